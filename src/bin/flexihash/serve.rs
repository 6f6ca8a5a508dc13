//! `flexihash serve`: a saved model answers over HTTP, always by its newest generation.

use crate::error::CommandError;
use crate::stop;
use crate::watch::Watch;
use flexihash::checkpoint::ModelDir;
use flexihash::config::RunFlags;
use flexihash::engine::Follower;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Answer over HTTP by the newest generation of a model folder
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Folder of the model; whoever trains on it may go on
    #[arg(long, short = 'm', value_name = "DIR")]
    model: PathBuf,
    /// Where: PORT on loopback, or HOST:PORT
    #[arg(long, value_name = "ADDR", default_value = "8080")]
    listen: String,
    /// A file with the token that requests must bring; else the environment's FLEXIHASH_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// HTTPS: the certificate with its chain, PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// HTTPS: its private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Longest record in bytes
    #[arg(long, value_name = "BYTES")]
    record_limit: Option<usize>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let stop = stop::on_signal()?;
        let folder = ModelDir::open(&self.model)?;
        let flags = RunFlags {
            listen: Some(self.listen),
            token_file: self.token_file,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            record_limit: self.record_limit,
            ..RunFlags::default()
        };
        let watch = Watch::begin(&flags, &stop)?;
        let Some(live) = watch.live() else { return Ok(()) };
        let mut follower = Follower::new(folder, live, watch.metrics()).with_insight(watch.insight());
        let mut first = true;
        while !stop.load(Ordering::Relaxed) {
            match follower.look() {
                Ok(Some(generation)) => {
                    tracing::info!(generation, "answering");
                    watch.set_ready(true);
                }
                Ok(None) if first => tracing::info!("no generation yet: waiting for the first"),
                // A model that is broken from the start is nothing to wait for; a later one is, with the one before.
                Err(error) if follower.generation().is_none() => return Err(error.into()),
                Ok(None) | Err(_) => {}
            }
            first = false;
            std::thread::sleep(EVERY);
        }
        tracing::info!("stopping: requests under way are answered");
        Ok(())
    }
}

//! `flexihash predict`: score records with a saved model; nothing is learned.

use crate::error::{CommandError, usage};
use crate::progress::Progress;
use crate::train::stored_key;
use crate::watch::Watch;
use crate::{inputs, stop};
use flexihash::checkpoint::ModelDir;
use flexihash::config::RunFlags;
use flexihash::engine::{Engine, EngineOptions, Model, Outputs, Task};
use flexihash::sink::LinesSink;
use flexihash::source::{LinesOptions, LinesSource};
use std::path::{Path, PathBuf};

/// Predict records with a saved model; learn nothing
#[derive(Debug, clap::Args)]
pub(crate) struct Predict {
    /// JSON lines: files (plain, .gz, .zst) or - for standard input [default: - when piped]
    input: Vec<PathBuf>,
    /// Folder of the model
    #[arg(long, short = 'm', value_name = "DIR")]
    model: PathBuf,
    /// Prediction lines to a file
    #[arg(long, short = 'p', value_name = "PATH", default_value = "-")]
    predictions: PathBuf,
    /// Bad records, with reason and place, as JSON lines
    #[arg(long, value_name = "PATH")]
    dead_letters: Option<PathBuf>,
    /// Stop with an error after more than so many bad records
    #[arg(long, value_name = "N")]
    max_errors: Option<u64>,
    /// Parse threads; results do not depend on their number. 0: whoever predicts parses by itself
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Longest record in bytes
    #[arg(long, value_name = "BYTES")]
    record_limit: Option<usize>,
    /// Serve /metrics, /healthz and /readyz over HTTP here: PORT on loopback, or HOST:PORT
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<String>,
    /// With --kafka: commit offsets and predictions after so many records or so much time [default: 1s]
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "N|DURATION")]
    checkpoint_every: Vec<flexihash::config::Every>,
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    kafka: flexihash::config::KafkaFlags,
}

/// The newest generation of the model at `path`.
pub(crate) fn load(path: &Path) -> Result<Model, CommandError> {
    let folder = ModelDir::open(path)?;
    let Some(mut generation) = folder.latest()? else {
        return Err(usage(format!("{}: holds no model", path.display())));
    };
    let key = stored_key(&folder, None)?;
    Ok(Model::load(&mut generation, &key)?)
}

impl Predict {
    /// Whether it is to run for long, with nobody looking on.
    pub(crate) fn is_service(&self) -> bool {
        #[cfg(feature = "kafka")]
        let is_service = self.kafka.kafka.is_some();
        #[cfg(not(feature = "kafka"))]
        let is_service = false;
        is_service
    }

    pub(crate) fn run(self) -> Result<(), CommandError> {
        #[cfg(feature = "kafka")]
        if let Some(options) = self.kafka.options(self.record_limit)? {
            let run = RunFlags {
                input: self.input,
                predictions: Some(self.predictions),
                dead_letters: self.dead_letters,
                model: Some(self.model),
                checkpoint_every: self.checkpoint_every,
                threads: self.threads,
                max_errors: self.max_errors,
                metrics_listen: self.metrics_listen,
                ..RunFlags::default()
            };
            return crate::kafka::predict(&run, &self.kafka, options);
        }
        let stop = stop::on_signal()?;
        let listen = RunFlags { metrics_listen: self.metrics_listen, ..RunFlags::default() };
        let watch = Watch::begin(&listen, &stop)?;
        let defaults = LinesOptions::default();
        let record_limit = self.record_limit.unwrap_or(defaults.record_limit);
        let options = LinesOptions { record_limit, ..defaults };
        let inputs = inputs::or_stdin(self.input)?;
        inputs::check_outputs(&inputs, [&Some(self.predictions.clone()), &self.dead_letters], None)?;
        let source = LinesSource::open(&inputs, options)?;
        let model = load(&self.model)?.for_prediction();
        let dead_letters = self.dead_letters.as_deref().map(|path| LinesSink::open(path, 0)).transpose()?;
        let outputs = Outputs {
            predictions: Some(LinesSink::open(&self.predictions, 0)?),
            dead_letters,
            ..Outputs::default()
        };
        let options = EngineOptions {
            task: Task::Predict,
            learners: 1,
            threads: self.threads.unwrap_or_else(inputs::parse_threads),
            checkpoint_every: Vec::new(),
            max_errors: self.max_errors,
            allow_unseen: true,
        };
        let engine = watch.over(Engine::new(model, options, outputs, None));
        watch.set_ready(true);
        engine.run(Box::new(source), &stop, &mut Progress::new(true, 1))?;
        Ok(())
    }
}

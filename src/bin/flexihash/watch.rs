//! A run seen from outside: its metrics, and the servers that were asked for.

use crate::error::{CommandError, usage};
use flexihash::config::RunFlags;
use flexihash::engine::{Engine, Insight, Live};
use flexihash::metrics::Metrics;
use flexihash::serve::{ServeError, Server, ServerOptions, Tls, Token};
use flexihash::source::LinesOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The environment variable that may hold the token.
const TOKEN_VARIABLE: &str = "FLEXIHASH_TOKEN";

/// Counts a run and answers by its model; ends the servers when it is dropped.
pub(crate) struct Watch {
    metrics: Metrics,
    live: Option<Live>,
    insight: Insight,
    servers: Vec<Server>,
}

impl Watch {
    /// Listens where `run` says so: before anything that takes long, so that a taken port is known at once and the
    /// process is seen to live while it loads.
    pub(crate) fn begin(run: &RunFlags, stop: &Arc<AtomicBool>) -> Result<Self, CommandError> {
        let mut watch =
            Self { metrics: Metrics::new(), live: None, insight: Insight::new(), servers: Vec::new() };
        let insight: Arc<Insight> = Arc::new(watch.insight.clone());
        let at = |option| move |error| CommandError::Serve { option, error };
        if let Some(address) = &run.metrics_listen {
            let options = ServerOptions { insight: Some(insight.clone()), ..ServerOptions::default() };
            let server = Server::start_with(address, options, watch.metrics.clone(), stop);
            let server = server.map_err(at("metrics-listen"))?;
            tracing::info!(address = %server.address(), "serving /metrics, the page and the probes");
            watch.servers.push(server);
        }
        let Some(address) = &run.listen else {
            let needs =
                [("token-file", &run.token_file), ("tls-cert", &run.tls_cert), ("tls-key", &run.tls_key)];
            return match needs.into_iter().find(|(_, given)| given.is_some()) {
                Some((option, _)) => Err(usage(format!("--{option}: needs --listen"))),
                None => Ok(watch),
            };
        };
        let live = Live::new(run.record_limit.unwrap_or(LinesOptions::default().record_limit));
        let (token, tls) = (token(run.token_file.as_deref())?, tls(run)?);
        let (is_open, is_tls) = (token.is_none(), tls.is_some());
        let options =
            ServerOptions { service: Some(Arc::new(live.clone())), insight: Some(insight), token, tls };
        let server =
            Server::start_with(address, options, watch.metrics.clone(), stop).map_err(at("listen"))?;
        let address = server.address();
        tracing::info!(%address, tls = is_tls, "serving /predict, /explain, /embed, /learn, /model, the page, /metrics and the probes");
        if is_open && !address.ip().is_loopback() {
            tracing::warn!(%address, "whoever reaches this address may ask: --token-file lets in who has the token");
        }
        watch.servers.push(server);
        watch.live = Some(live);
        Ok(watch)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// `engine`, seen from outside.
    pub(crate) fn over(&self, engine: Engine) -> Engine {
        let engine = engine.with_metrics(&self.metrics).with_insight(&self.insight);
        match &self.live {
            Some(live) => engine.with_live(live),
            None => engine,
        }
    }

    /// What there is to see of the stream.
    pub(crate) fn insight(&self) -> &Insight {
        &self.insight
    }

    /// Answers by the model of a run, if somebody may ask.
    pub(crate) fn live(&self) -> Option<&Live> {
        self.live.as_ref()
    }

    /// The model is loaded and the source open, or not any more.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.servers.iter().for_each(|server| server.set_ready(ready));
    }
}

/// The token that requests must bring, if there is one.
fn token(file: Option<&Path>) -> Result<Option<Token>, CommandError> {
    let (name, text) = match file {
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| usage(format!("{name}: {error}")))?;
            (name, text)
        }
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => (TOKEN_VARIABLE.to_owned(), text),
            Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(error) => return Err(usage(format!("{TOKEN_VARIABLE}: {error}"))),
        },
    };
    let token = Token::new(&text).map_err(|error: ServeError| usage(format!("{name}: {error}")))?;
    Ok(Some(token))
}

fn tls(run: &RunFlags) -> Result<Option<Tls>, CommandError> {
    let read = |cert: &PathBuf, key: &PathBuf| {
        Tls::read(cert, key).map_err(|error| CommandError::Serve { option: "tls-cert", error })
    };
    match (&run.tls_cert, &run.tls_key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => read(cert, key).map(Some),
        (Some(_), None) => Err(usage("--tls-cert: needs --tls-key")),
        (None, Some(_)) => Err(usage("--tls-key: needs --tls-cert")),
    }
}

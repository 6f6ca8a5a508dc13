//! A run seen from outside: its metrics, and the probes' server if one was asked for.

use crate::error::CommandError;
use flexihash::metrics::Metrics;
use flexihash::serve::Server;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Counts a run; ends the server when it is dropped.
pub(crate) struct Watch {
    metrics: Metrics,
    server: Option<Server>,
}

impl Watch {
    /// Listens on `address`, if there is one: before anything that takes long, so that a taken port is known at once and the
    /// process is seen to live while it loads.
    pub(crate) fn begin(address: Option<&str>, stop: &Arc<AtomicBool>) -> Result<Self, CommandError> {
        let metrics = Metrics::new();
        let server = address.map(|address| Server::start(address, metrics.clone(), stop)).transpose()?;
        if let Some(server) = &server {
            tracing::info!(address = %server.address(), "serving /metrics, /healthz and /readyz");
        }
        Ok(Self { metrics, server })
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The model is loaded and the source open, or not any more.
    pub(crate) fn set_ready(&self, ready: bool) {
        if let Some(server) = &self.server {
            server.set_ready(ready);
        }
    }
}

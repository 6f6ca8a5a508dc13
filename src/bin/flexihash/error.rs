//! What ends a command: one line that says what to do.

use flexihash::checkpoint::CheckpointError;
use flexihash::config::ConfigError;
use flexihash::engine::{EngineError, ModelError};
use flexihash::record::SourceError;
use flexihash::serve::ServeError;
use flexihash::sink::{PublishError, SinkError};
use std::io::Write;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("--{option}: {error}")]
    Serve { option: &'static str, error: ServeError },
    #[error("{0}")]
    Usage(String),
}

impl From<SourceError> for CommandError {
    fn from(error: SourceError) -> Self {
        Self::Engine(error.into())
    }
}

impl CommandError {
    /// One line on standard error. If that is closed too, there is nobody to tell.
    pub(crate) fn print(&self) {
        let line = self.to_string().replace('\n', "; ");
        let _ = writeln!(std::io::stderr(), "flexihash: {line}");
    }
}

pub(crate) fn usage(message: impl Into<String>) -> CommandError {
    CommandError::Usage(message.into())
}

//! One typed description of a run, composed of each module's own options.
//!
//! Every option exists once, as an optional field of [`ModelFlags`] (what a model is bound to), [`RunFlags`] (what may
//! differ from run to run) or `KafkaFlags` (a run that reads topics). The command line and the TOML file fill the same structs; flags win over the file, defaults
//! come last, in [`ModelFlags::resolve`]. A model stores its resolved flags, so a contradiction at resume can be named by
//! its option.

mod device;
mod every;
mod file;
#[cfg(feature = "kafka")]
mod kafka;
mod model;
#[cfg(feature = "network")]
mod network;
mod run;

pub use device::{DeviceChoice, DeviceChoiceError};
pub use every::{Every, EveryError};
pub use file::{ConfigFile, overlay};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaFlags, Place};
pub use model::{LossName, ModelConfig, ModelFlags};
#[cfg(feature = "network")]
pub use network::NetworkConfig;
pub use run::RunFlags;

use std::path::PathBuf;

/// A run that cannot start as described.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An option outside its range, or two that exclude each other.
    #[error("--{option}: {reason}")]
    Option {
        /// The option's name.
        option: String,
        /// Expected and got.
        reason: String,
    },
    /// A flag that contradicts the model's stored configuration.
    #[error(
        "--{option}: this model was made with {stored}, which cannot become {given}: leave the option out or start another model"
    )]
    Contradiction {
        /// The option's name.
        option: String,
        /// The model's value.
        stored: String,
        /// The flag's value.
        given: String,
    },
    /// Options that cannot be put together: a path that is not UTF-8.
    #[error("options: {0}; paths must be UTF-8, for a model stores them")]
    NotUtf8(serde_json::Error),
    /// A config file that cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A config file that is not what was expected.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Where, expected, got.
        reason: String,
    },
}

/// Reads a value by the name serde gives it: one spelling for flags, files and stored models.
///
/// # Errors
/// Another name; the message has those there are.
#[cfg(feature = "cli")]
pub fn named<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|error| error.to_string())
}

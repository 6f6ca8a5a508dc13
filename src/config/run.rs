//! What may differ from run to run.

use super::{DeviceChoice, Every};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Options of a training run. `None`: not given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct RunFlags {
    /// JSON lines: files (plain, .gz, .zst) or - for standard input [default: - when piped]
    #[cfg_attr(feature = "cli", arg(value_name = "INPUT"))]
    pub input: Vec<PathBuf>,
    /// Prediction lines to a file, or - for standard output
    #[cfg_attr(feature = "cli", arg(long, short = 'p', value_name = "PATH", help_heading = "Output"))]
    pub predictions: Option<PathBuf>,
    /// With a network (--config): what it computes under this name, with each prediction; may be given twice
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", help_heading = "Output"))]
    pub watch: Vec<String>,
    /// Bad records, those sent to /learn too, with reason and place, as JSON lines
    #[cfg_attr(feature = "cli", arg(long, value_name = "PATH", help_heading = "Output"))]
    pub dead_letters: Option<PathBuf>,
    /// The results as one JSON object
    #[cfg_attr(feature = "cli", arg(long, value_name = "PATH", help_heading = "Output"))]
    pub summary: Option<PathBuf>,
    /// The results as one page, FILE.html, with learning curve, calibration and options; opens anywhere
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Output"))]
    pub report: Option<PathBuf>,
    /// Print nothing but errors
    #[cfg_attr(
        feature = "cli",
        arg(long, short = 'q', num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Output")
    )]
    pub quiet: Option<bool>,
    /// Serve a live page, /metrics, /healthz and /readyz over HTTP here: PORT on loopback, or HOST:PORT
    #[cfg(feature = "serve")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDR", help_heading = "Output"))]
    pub metrics_listen: Option<String>,
    /// Answer over HTTP by the model while it learns (/predict, /embed, /learn, /model), with metrics and probes: PORT on loopback, or HOST:PORT
    #[cfg(feature = "serve")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDR", help_heading = "Serve"))]
    pub listen: Option<String>,
    /// With --listen: a file with the token that requests must bring; else the environment's FLEXIHASH_TOKEN
    #[cfg(feature = "serve")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Serve"))]
    pub token_file: Option<PathBuf>,
    /// With --listen: HTTPS, the certificate with its chain, PEM
    #[cfg(feature = "tls")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Serve"))]
    pub tls_cert: Option<PathBuf>,
    /// With --listen: HTTPS, the certificate's private key, PEM
    #[cfg(feature = "tls")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Serve"))]
    pub tls_key: Option<PathBuf>,
    /// Watch who shares rows, how many features there are and how the keys of records change: on /metrics and in the model
    /// [default: as the model had it, off for a new one]
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Output"))]
    pub insight: Option<bool>,
    /// Keep the names of so many features, those that come most often, for inspect --features; implies --insight
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Output"))]
    pub names: Option<usize>,
    /// Folder of the model
    #[cfg_attr(feature = "cli", arg(long, short = 'm', value_name = "DIR", help_heading = "Model"))]
    pub model: Option<PathBuf>,
    /// Go on with the model in --model, from where its input was left
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Model"))]
    pub resume: Option<bool>,
    /// A pipe carries new records only: with --resume, skip none of them
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Model"))]
    pub no_skip: Option<bool>,
    /// Checkpoint after so many records (100000) or so much time (30s); may be given twice
    #[cfg_attr(feature = "cli", arg(long, value_name = "N|DURATION", help_heading = "Model"))]
    pub checkpoint_every: Vec<Every>,
    /// Generations of the model to keep [default: 2]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Model"))]
    pub keep: Option<usize>,
    /// A file with the hash key, 32 hexadecimal digits; else the environment's FLEXIHASH_HASH_KEY
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = "Model"))]
    pub hash_key_file: Option<PathBuf>,
    /// Passes over the input files; losses report the first [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Run"))]
    pub passes: Option<u32>,
    /// Parse threads; results do not depend on their number. 0: the learner parses by itself [default: processors less one]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Run"))]
    pub threads: Option<usize>,
    /// Learners side by side, each parsing what it learns; more than one: faster, and no two runs alike to the bit [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Run"))]
    pub learners: Option<usize>,
    /// With a network (--config): where its rows are learned. cpu; cuda or cuda:N, an NVIDIA GPU; auto, that if there is one. The model
    /// is the same to the bit [default: cpu]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DEVICE", help_heading = "Run"))]
    pub device: Option<DeviceChoice>,
    /// Stop with an error after more than so many bad records [default: unlimited]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", help_heading = "Run"))]
    pub max_errors: Option<u64>,
    /// With a network (--config): go on though one of its tasks or fields occurs in none of the first 1000 labelled records
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Run"))]
    pub allow_unseen: Option<bool>,
    /// Longest record in bytes; longer ones are bad records [default: 16777216]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BYTES", help_heading = "Run"))]
    pub record_limit: Option<usize>,
}

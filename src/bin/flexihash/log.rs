//! Log lines on standard error: which, and in what form.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Environment variables that may hold the filter, the first of them that is set.
const VARIABLES: [&str; 2] = ["FLEXIHASH_LOG", "RUST_LOG"];

/// Options of all commands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogFlags {
    /// Log lines: error, warn, info, debug, trace, or by module; else the environment's FLEXIHASH_LOG or RUST_LOG [default: warn; info with --kafka or --listen, and of serve]
    #[arg(long, global = true, value_name = "FILTER", value_parser = filter)]
    log: Option<String>,
    /// Form of log lines. json: standard error holds nothing else, no progress, no summary
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// Forms of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The Kafka client's wrapper calls it an error that a consumer is closed before it is dropped. What the client itself has to
/// say comes under `librdkafka`.
fn quiet(filter: EnvFilter) -> EnvFilter {
    match "rdkafka::consumer=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    }
}

impl LogFlags {
    /// Begins to log; `default` is the level unless something else is asked for.
    pub(crate) fn begin(&self, default: &str) {
        let asked = self.log.clone();
        let from_environment =
            || VARIABLES.iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()));
        let filter = asked.or_else(from_environment).and_then(|text| EnvFilter::try_new(text).ok());
        let filter = quiet(filter.unwrap_or_else(|| EnvFilter::new(default)));
        let colours = std::io::stderr().is_terminal();
        let lines =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
        match self.log_format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).init(),
        }
    }

    /// Whether standard error is for lines of JSON alone.
    pub(crate) fn is_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }
}

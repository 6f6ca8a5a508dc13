//! The `flexihash` command: train, predict, embed, inspect. One file a command, on the library's public API only.

mod embed;
mod error;
mod inputs;
mod inspect;
#[cfg(feature = "kafka")]
mod kafka;
mod predict;
mod progress;
mod report;
mod stop;
mod train;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Streaming online learning on hashed features: JSON lines in, predictions and a learned model out.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Train>),
    Predict(Box<predict::Predict>),
    Embed(embed::Embed),
    Inspect(inspect::Inspect),
}

fn main() -> ExitCode {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("FLEXIHASH_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    stop::survive_file_limits();
    let result = match Cli::parse().command {
        Command::Train(train) => train.run(),
        Command::Predict(predict) => predict.run(),
        Command::Embed(embed) => embed.run(),
        Command::Inspect(inspect) => inspect.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            ExitCode::FAILURE
        }
    }
}

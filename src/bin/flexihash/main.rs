//! The `flexihash` command: train, predict, serve, explain, embed, inspect, collisions. One file a command, on the library's public API only.

mod chart;
mod collisions;
mod device;
mod embed;
mod error;
mod explain;
mod html;
mod inputs;
mod inspect;
#[cfg(feature = "kafka")]
mod kafka;
mod log;
mod predict;
mod progress;
#[cfg(feature = "network")]
mod recommend;
mod report;
mod serve;
mod shown;
mod stop;
mod train;
mod watch;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Streaming online learning on hashed features: JSON lines in, predictions and a learned model out.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: log::LogFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Train>),
    Predict(Box<predict::Predict>),
    Serve(serve::Serve),
    Embed(embed::Embed),
    Explain(explain::Explain),
    Inspect(inspect::Inspect),
    Collisions(collisions::Collisions),
    #[cfg(feature = "network")]
    Recommend(recommend::Recommend),
}

fn main() -> ExitCode {
    #[cfg(feature = "network")]
    flexihash::model::network::prefer_one_thread();
    let Cli { command, log } = Cli::parse();
    let is_service = match &command {
        Command::Train(train) => train.is_service(),
        Command::Predict(predict) => predict.is_service(),
        Command::Serve(_) => true,
        _ => false,
    };
    // The client says the same of a cluster that is away over and over.
    log.begin(if is_service { "info,librdkafka=warn" } else { "warn" });
    stop::survive_file_limits();
    let result = match command {
        Command::Train(train) => train.run(log.is_json()),
        Command::Predict(predict) => predict.run(),
        Command::Serve(serve) => serve.run(),
        Command::Embed(embed) => embed.run(),
        Command::Explain(explain) => explain.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Collisions(collisions) => collisions.run(),
        #[cfg(feature = "network")]
        Command::Recommend(recommend) => recommend.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if log.is_json() => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            error.print();
            ExitCode::FAILURE
        }
    }
}

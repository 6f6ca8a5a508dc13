//! `flexihash explain`: what the features of a record did for its prediction.

use crate::error::{CommandError, usage};
use crate::{inputs, predict, shown, stop};
use flexihash::engine::{Explained, Model, ScoreUnit};
use flexihash::record::RecordBatch;
use flexihash::sink::LinesSink;
use flexihash::source::{LinesOptions, LinesSource};
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Say what each feature of a record contributed to its prediction
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// JSON lines: files (plain, .gz, .zst) or - for standard input [default: - when piped]
    input: Vec<PathBuf>,
    /// Folder of the model
    #[arg(long, short = 'm', value_name = "DIR")]
    model: PathBuf,
    /// Features shown, those with the largest contributions
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// A table for people rather than JSON lines [default: on a terminal]
    #[arg(long)]
    table: bool,
    /// JSON lines also on a terminal
    #[arg(long, conflicts_with = "table")]
    json: bool,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let stop = stop::on_signal()?;
        let inputs = inputs::or_stdin(self.input.clone())?;
        let mut source = LinesSource::open(&inputs, LinesOptions::default())?;
        let mut model = predict::load(&self.model)?.for_prediction();
        let is_table = self.table || (!self.json && std::io::stdout().is_terminal());
        let mut sink = LinesSink::open(Path::new("-"), 0)?;
        let (mut bad, mut last) = (0_u64, String::new());
        inputs::each_batch(&mut source, &stop, |records| {
            for line in explain(&mut model, records, self.top, is_table) {
                match line {
                    Ok(line) => sink.write(&line)?,
                    Err(reason) => (bad, last) = (bad + 1, reason),
                }
            }
            Ok(())
        })?;
        if bad > 0 {
            return Err(usage(format!("{bad} bad records are not explained; the last: {last}")));
        }
        Ok(())
    }
}

/// One answer a record: its bytes, or why it is bad.
fn explain<'a>(
    model: &'a mut Model,
    records: &'a RecordBatch,
    top: usize,
    is_table: bool,
) -> impl Iterator<Item = Result<Vec<u8>, String>> + 'a {
    records.iter().map(move |record| {
        let place = || format!("{}, line {}", record.source, record.at.lines + 1);
        if record.is_cut() {
            return Err(format!("{}: longer than the limit", place()));
        }
        let explained = model.explain(record.bytes, top);
        let explained = explained.map_err(|error| format!("{}: {error}", place()))?;
        if is_table {
            return Ok(table(&explained).into_bytes());
        }
        let mut line = serde_json::to_vec(&explained).map_err(|error| error.to_string())?;
        line.push(b'\n');
        Ok(line)
    })
}

fn table(explained: &Explained) -> String {
    let unit = match explained.unit {
        ScoreUnit::LogOdds => "log-odds",
        ScoreUnit::LogMean => "log of the mean",
        ScoreUnit::Prediction => "the prediction's own unit",
    };
    let mut out = String::new();
    if let Some(id) = &explained.id {
        let _ = writeln!(out, "record {}", shown::text(id.get()));
    }
    for output in &explained.outputs {
        let task = output.task.as_deref().map(|task| format!(" of {}", shown::text(task)));
        let item = output.item.map(|item| format!(" for item {item}"));
        let (task, item) = (task.unwrap_or_default(), item.unwrap_or_default());
        let _ = writeln!(
            out,
            "prediction{task}{item} {:.6}, score {:+.4} ({unit})",
            output.prediction, output.score
        );
        for part in &output.contributions {
            let _ = writeln!(
                out,
                "{:>+12.4}  {} = {}",
                part.contribution,
                shown::text(&part.feature),
                part.value
            );
        }
    }
    if explained.explained < explained.features {
        let _ = writeln!(
            out,
            "(the first {} of {} features were left out in turn)",
            explained.explained, explained.features
        );
    }
    out.push('\n');
    out
}

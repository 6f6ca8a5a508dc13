//! `flexihash recommend`: for each record the best of known items.

use crate::error::{CommandError, usage};
use crate::{inputs, predict, stop};
use flexihash::engine::{Asking, Catalogue, Model, Recommended};
use flexihash::sink::LinesSink;
use flexihash::source::{LinesOptions, LinesSource};
use serde::Serialize;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};

/// Find the best items for a user, of a list of ids, by a dot-product model
#[derive(Debug, clap::Args)]
pub(crate) struct Recommend {
    /// JSON lines that say who asks, as records to be predicted do: files or - for standard input [default: - when piped]
    input: Vec<PathBuf>,
    /// Folder of the model
    #[arg(long, short = 'm', value_name = "DIR")]
    model: PathBuf,
    /// Ids of the items, one a line
    #[arg(long, value_name = "FILE")]
    items: PathBuf,
    /// How many items a record gets
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    top: usize,
    /// Lines of recommendations to a file
    #[arg(long, short = 'o', value_name = "PATH", default_value = "-")]
    output: PathBuf,
}

/// One line of output.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a RawValue,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    item: &'a str,
    prediction: f32,
}

/// Answers records one by one.
struct Recommender {
    model: Model,
    catalogue: Catalogue,
    top: usize,
    asking: Asking,
    /// Number of the next good record, for those without an id.
    number: u64,
}

impl Recommend {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let stop = stop::on_signal()?;
        if self.top == 0 {
            return Err(usage("--top: expected at least 1"));
        }
        let inputs = inputs::or_stdin(self.input.clone())?;
        inputs::check_outputs(&inputs, [&Some(self.output.clone())], None)?;
        let mut source = LinesSource::open(&inputs, LinesOptions::default())?;
        let model = predict::load(&self.model)?.for_prediction();
        let catalogue = catalogue(&model, &self.items)?;
        let asking = Asking::default();
        let mut recommender = Recommender { model, catalogue, top: self.top, asking, number: 0 };
        let mut output = LinesSink::open(&self.output, 0)?;
        let mut bad = 0_u64;
        inputs::each_batch(&mut source, &stop, |records| {
            let mut lines = Vec::new();
            for record in records.iter() {
                if let Err(reason) = recommender.answer(record.bytes, &mut lines) {
                    tracing::warn!("{}, line {}: {reason}", record.source, record.at.lines + 1);
                    bad += 1;
                }
            }
            Ok(output.write(&lines)?)
        })?;
        output.sync()?;
        if bad > 0 {
            tracing::warn!(bad, "bad records have no recommendations");
        }
        Ok(())
    }
}

impl Recommender {
    /// Appends the answer to a record to `lines`, or says why there is none.
    fn answer(&mut self, record: &[u8], lines: &mut Vec<u8>) -> Result<(), String> {
        let Self { model, catalogue, top, asking, number } = self;
        let best = model.recommend(record, catalogue, *top, asking).map_err(|error| error.to_string())?;
        let item = |best: &Recommended| {
            let item = catalogue.ids().get(best.item).map_or("", String::as_str);
            Item { item, prediction: best.prediction }
        };
        let id = match asking.id() {
            Some(id) => String::from_utf8_lossy(id).replace(['\n', '\r'], " "),
            None => number.to_string(),
        };
        let id = RawValue::from_string(id).map_err(|error| error.to_string())?;
        let line = Line { id: &id, items: best.iter().map(item).collect() };
        serde_json::to_writer(&mut *lines, &line).map_err(|error| error.to_string())?;
        lines.push(b'\n');
        *number += 1;
        Ok(())
    }
}

/// Ids from a file: one a line, as they are, or as a JSON string.
fn catalogue(model: &Model, path: &Path) -> Result<Catalogue, CommandError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| usage(format!("{shown}: {error}")))?;
    let id = |line: &str| serde_json::from_str::<String>(line).unwrap_or_else(|_| line.to_owned());
    let ids: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(id).collect();
    if ids.is_empty() {
        return Err(usage(format!("{shown}: expected the ids of items, one a line, found none")));
    }
    model.catalogue(ids).map_err(|error| usage(format!("{shown}: {error}")))
}

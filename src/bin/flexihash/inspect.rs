//! `flexihash inspect`: what is in a model folder.

use crate::error::{CommandError, usage};
use crate::{predict, shown};
use flexihash::checkpoint::{Manifest, ModelDir};
use flexihash::engine::{InsightReport, Model, NamedFeature, Summary};
use flexihash::sink::LinesSink;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Show a saved model: options, counters, rows touched, norms
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Folder of the model
    model: PathBuf,
    /// Also the features with the largest weights, by name, where train kept --names
    #[arg(long)]
    features: bool,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = 20, requires = "features")]
    top: usize,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Everything shown. The hash key is no part of it: only whether it is the public one.
#[derive(Debug, Serialize)]
struct Inspection {
    generation: u64,
    crate_version: String,
    hash_key: &'static str,
    config: Value,
    summary: Summary,
    tables: Vec<TableFigures>,
    files: usize,
    bytes: u64,
    positions: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    insight: Option<InsightReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<Features>,
}

/// The largest weights by name.
#[derive(Debug, Serialize)]
struct Features {
    /// Share of the weights' magnitudes, 0 to 1, in rows of features whose names were kept.
    named_share: Option<f64>,
    top: Vec<NamedFeature>,
}

/// A task's table, or one of declared fields.
#[derive(Debug, Serialize)]
struct TableFigures {
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    rows: u64,
    floats_per_row: usize,
    rows_touched: u64,
    /// Touched rows / rows.
    load_factor: f64,
    /// Of the rows' weights.
    norm_l1: f64,
    norm_l2: f64,
    largest_weight: f64,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let inspection = inspect(&self.model, self.features.then_some(self.top))?;
        let mut out = Vec::new();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &inspection).map_err(|error| usage(error.to_string()))?;
            out.push(b'\n');
        } else {
            out = inspection.to_string().into_bytes();
        }
        Ok(LinesSink::open(Path::new("-"), 0)?.write(&out)?)
    }
}

fn inspect(path: &Path, top: Option<usize>) -> Result<Inspection, CommandError> {
    let folder = ModelDir::open(path)?;
    let Some(generation) = folder.latest()? else {
        return Err(usage(format!("{}: holds no model", path.display())));
    };
    let manifest: Manifest = generation.manifest().clone();
    let hash_key = match folder.hash_key()? {
        Some(key) if !key.is_default() => "secret",
        _ => "default",
    };
    let model = predict::load(path)?;
    if top.is_some() && model.names_kept().unwrap_or(0) == 0 {
        return Err(usage(format!(
            "{}: was trained without --names: no feature's name is known",
            path.display()
        )));
    }
    let features = |top| Features { named_share: model.named_share(), top: model.heaviest(top) };
    let json = |value: Result<Value, serde_json::Error>| value.unwrap_or_default();
    Ok(Inspection {
        generation: manifest.generation,
        crate_version: manifest.crate_version.clone(),
        hash_key,
        config: json(serde_json::to_value(model.flags())),
        summary: model.summary(),
        tables: tables(&model),
        files: manifest.chain_files() + 2,
        bytes: manifest.stored_bytes(),
        positions: json(serde_json::to_value(&manifest.progress.positions)),
        insight: model.insight(),
        features: top.map(features),
    })
}

fn tables(model: &Model) -> Vec<TableFigures> {
    let learner = model.learner();
    let tasks: Vec<Option<String>> = learner.task_names().map(|name| name.map(str::to_owned)).collect();
    let names = learner.table_names();
    let tables = learner.tables().into_iter().enumerate();
    let figures = tables.map(|(index, (_, table))| {
        let name = names.get(index).cloned();
        let task = tasks.get(index).cloned().flatten().filter(|_| name.is_none());
        let (mut norm_l1, mut squares, mut largest_weight) = (0.0, 0.0, 0.0_f64);
        learner.for_each_weight(index, |weight| {
            let weight = f64::from(weight);
            norm_l1 += weight.abs();
            squares += weight * weight;
            largest_weight = largest_weight.max(weight.abs());
        });
        let (rows, rows_touched) = (table.options().rows, table.touched());
        TableFigures {
            table: name,
            task,
            rows,
            floats_per_row: table.options().width,
            rows_touched,
            load_factor: rows_touched as f64 / rows as f64,
            norm_l1,
            norm_l2: squares.sqrt(),
            largest_weight,
        }
    });
    figures.collect()
}

impl std::fmt::Display for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        line(f, "generation", &self.generation.to_string())?;
        line(f, "written by", &format!("flexihash {}", self.crate_version))?;
        line(f, "hash key", self.hash_key)?;
        line(f, "size", &format!("{} bytes in {} files", self.bytes, self.files))?;
        line(f, "examples", &self.summary.examples.to_string())?;
        line(f, "bad records", &self.summary.skipped.to_string())?;
        line(f, "features", &self.summary.features.to_string())?;
        line(f, "loss", &format!("{:.6}", self.summary.figures.loss))?;
        for table in &self.tables {
            let name = table.table.as_ref().or(table.task.as_ref());
            writeln!(f, "\ntable {}", name.map_or("", String::as_str))?;
            let touched =
                format!("{} of {} ({:.3} %)", table.rows_touched, table.rows, 100.0 * table.load_factor);
            line(f, "  rows touched", &touched)?;
            line(f, "  floats per row", &table.floats_per_row.to_string())?;
            line(f, "  norm of weights", &format!("L1 {:.4}, L2 {:.4}", table.norm_l1, table.norm_l2))?;
            line(f, "  largest weight", &format!("{:.4}", table.largest_weight))?;
        }
        if let Some(insight) = &self.insight {
            seen(f, insight)?;
        }
        if let Some(features) = &self.features {
            by_weight(f, features)?;
        }
        writeln!(f, "\nconfig")?;
        for (option, value) in self.config.as_object().into_iter().flatten() {
            if !value.is_null() && value != &Value::Array(Vec::new()) {
                line(f, &format!("  {option}"), &value.to_string())?;
            }
        }
        writeln!(f, "\npositions\n  {}", self.positions)
    }
}

fn line(f: &mut std::fmt::Formatter<'_>, name: &str, value: &str) -> std::fmt::Result {
    writeln!(f, "{name:<22}{value}")
}

/// Fields shown, those with the highest rates.
const FIELDS: usize = 8;

/// What was seen beside learning.
fn seen(f: &mut std::fmt::Formatter<'_>, insight: &InsightReport) -> std::fmt::Result {
    writeln!(f, "\ninsight")?;
    line(f, "  records looked at", &insight.records.to_string())?;
    if let Some(found) = &insight.collisions {
        line(f, "  distinct features", &format!("about {}", found.distinct_keys))?;
        let rate = format!("{:.3} % of lookups find a row another feature had first", 100.0 * found.rate);
        line(f, "  collisions", &rate)?;
        line(f, "  with twice the rows", &format!("about {:.3} %", 100.0 * found.rate_doubled))?;
        for field in found.fields.iter().filter(|field| field.collisions > 0).take(FIELDS) {
            let name = if field.field.is_empty() { "(others)" } else { &field.field };
            line(f, "", &format!("{:>9.3} %  {}", 100.0 * field.rate, shown::text(name)))?;
        }
    }
    if let Some(names) = &insight.names {
        line(f, "  names kept", &format!("{} of at most {}", names.kept, names.limit))?;
    }
    if let Some(schema) = &insight.schema {
        let changes = schema.changes;
        let counts =
            format!("{} new, {} vanished, {} of another kind", changes.new, changes.vanished, changes.r#type);
        line(f, "  keys", &schema.keys.len().to_string())?;
        line(f, "  keys that changed", &counts)?;
    }
    Ok(())
}

fn by_weight(f: &mut std::fmt::Formatter<'_>, features: &Features) -> std::fmt::Result {
    let named = features.named_share.map(|share| format!(" (named: {:.1} % of all weight)", 100.0 * share));
    writeln!(f, "\nfeatures by weight{}", named.unwrap_or_default())?;
    for feature in &features.top {
        let table = if feature.table.is_empty() { String::new() } else { format!("{}: ", feature.table) };
        let name = shown::text(&format!("{table}{}", feature.feature));
        writeln!(f, "{:>+12.4} {:>12}x  {name}", feature.weight, feature.count)?;
    }
    Ok(())
}

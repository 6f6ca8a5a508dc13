//! Figures that the learner tells together, about once a second: how good the predictions are, by task, and how full the tables.
//!
//! All of one telling is shown together, so a reader never sees the figures of one second beside the bins of another, and what no
//! longer applies (a bin that has emptied) is gone. The number of lines is bounded: tasks, tables and bins are.

use crate::sketch::CalibrationBin;
use crate::sync::{Mutex, lock};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// Lower ends of the norms that rows are counted by; the first holds all below the second.
pub const NORMS: [f64; 12] = [0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// How good predictions were over some stretch. What does not apply to the loss is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quality {
    /// Examples of the stretch.
    pub examples: u64,
    /// Progressive loss.
    pub loss: f64,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Log loss / entropy of the base rate.
    pub normalized_entropy: Option<f64>,
    /// Mean prediction / mean label.
    pub calibration: Option<f64>,
    /// In ascending order; those without weight are left out.
    pub bins: Vec<CalibrationBin>,
}

/// One task's figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFigures {
    /// None for a single label.
    pub task: Option<String>,
    /// Over the model's life.
    pub life: Quality,
    /// Over the last 10,000 to 20,000 examples.
    pub window: Quality,
}

/// How full a table is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableFigures {
    /// None for the one table of a single label.
    pub table: Option<String>,
    /// Its rows.
    pub rows: u64,
    /// Rows that were ever changed.
    pub touched: u64,
    /// By [`NORMS`], the share of touched rows with such a norm, of a sample; empty before there is one.
    pub norms: Vec<f64>,
}

/// What the learner tells at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Means over the tasks, weighted by their examples: over life and window.
    pub means: [Quality; 2],
    /// By task.
    pub tasks: Vec<TaskFigures>,
    /// By table.
    pub tables: Vec<TableFigures>,
}

/// What was told last.
#[derive(Clone)]
pub(super) struct Told(Arc<Mutex<Arc<Figures>>>);

impl Default for Told {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Arc::default())))
    }
}

impl Told {
    pub(super) fn set(&self, figures: Figures) {
        *lock(&self.0) = Arc::new(figures);
    }

    pub(super) fn get(&self) -> Arc<Figures> {
        Arc::clone(&lock(&self.0))
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Writes gauges of one name at a time.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    /// All of one name; nothing at all where there are no values.
    fn family<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels<'l>, Option<f64>)>,
    ) -> fmt::Result {
        let mut values = values.filter_map(|(labels, value)| Some((labels, value?))).peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.try_for_each(|(labels, value)| gauge(&mut metric, &labels, value))
    }
}

fn gauge(metric: &mut MetricEncoder<'_>, labels: &Labels<'_>, value: f64) -> fmt::Result {
    if labels.is_empty() {
        metric.encode_gauge(&value)
    } else {
        metric.encode_family(labels)?.encode_gauge(&value)
    }
}

fn named<'a>(key: &'static str, name: &'a Option<String>) -> Labels<'a> {
    name.iter().map(|name| (key, name.as_str())).collect()
}

/// Each task's figures over life and window, with their labels.
fn stretches(figures: &Figures) -> impl Iterator<Item = (Labels<'_>, &Quality)> {
    figures.tasks.iter().flat_map(|task| {
        [("life", &task.life), ("window", &task.window)].map(|(over, quality)| {
            let mut labels = vec![("over", over)];
            labels.extend(named("task", &task.task));
            (labels, quality)
        })
    })
}

/// Bins of all tasks and stretches, with their labels.
fn bins(figures: &Figures) -> impl Iterator<Item = (Labels<'_>, CalibrationBin)> {
    stretches(figures).flat_map(|(labels, quality)| {
        quality.bins.iter().map(move |bin| {
            let mut labels = labels.clone();
            labels.push(("bin", edge(bin.from)));
            (labels, *bin)
        })
    })
}

/// Lower ends of calibration's bins: fine where probabilities are small or large, as those of clicks and faults are.
pub const CALIBRATION: [f64; 19] = [
    0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99,
];

/// The ends as they are written.
pub(super) const EDGES: [&str; 19] = [
    "0", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7",
    "0.8", "0.9", "0.95", "0.98", "0.99",
];
pub(super) const NORM_EDGES: [&str; 12] =
    ["0", "0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3", "10"];

fn edge(from: f64) -> &'static str {
    CALIBRATION.iter().position(|&edge| edge == from).and_then(|at| EDGES.get(at)).copied().unwrap_or("0")
}

impl Collector for Told {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = self.get();
        let figures = figures.as_ref();
        let mut page = Page { encoder };
        let over = |pick: fn(&Quality) -> Option<f64>| {
            stretches(figures).map(move |(labels, quality)| (labels, pick(quality)))
        };
        page.family("auc", "Area under the ROC curve.", over(|quality| quality.auc))?;
        let entropy = over(|quality| quality.normalized_entropy);
        page.family("normalized_entropy", "Log loss over the entropy of the base rate.", entropy)?;
        let ratio = over(|quality| quality.calibration);
        page.family("calibration_ratio", "Mean prediction over mean label.", ratio)?;
        let tasks = || figures.tasks.iter().filter(|task| task.task.is_some());
        let examples = tasks().map(|task| (named("task", &task.task), Some(task.life.examples as f64)));
        page.family("task_examples", "Examples of a task over the model's whole life.", examples)?;
        let is_task = |(labels, _): &(Labels<'_>, Option<f64>)| labels.len() > 1;
        let losses = over(|quality| Some(quality.loss)).filter(is_task);
        page.family("task_loss", "Progressive loss of a task.", losses)?;
        let of_bins = |pick: fn(CalibrationBin) -> f64| {
            bins(figures).map(move |(labels, bin)| (labels, Some(pick(bin))))
        };
        let (mean, weight) = ("calibration_prediction_mean", "calibration_weight");
        page.family(mean, "Mean prediction of those from this one on.", of_bins(|bin| bin.prediction))?;
        page.family("calibration_label_mean", "Mean label of these predictions.", of_bins(|bin| bin.label))?;
        page.family(weight, "Weight of these predictions.", of_bins(|bin| bin.weight))?;
        tables(&mut page, figures)
    }
}

fn tables(page: &mut Page<'_>, figures: &Figures) -> fmt::Result {
    let tables = || figures.tables.iter().map(|table| (named("table", &table.table), table));
    let rows = tables().map(|(labels, table)| (labels, Some(table.rows as f64)));
    page.family("table_rows", "Rows of a table.", rows)?;
    let touched = tables().map(|(labels, table)| (labels, Some(table.touched as f64)));
    page.family("table_rows_touched", "Rows that were ever changed.", touched)?;
    let norms = tables().flat_map(|(labels, table)| {
        table.norms.iter().zip(NORM_EDGES).map(move |(share, edge)| {
            let mut labels = labels.clone();
            labels.push(("norm", edge));
            (labels, Some(*share))
        })
    });
    page.family("row_norm_share", "Share of touched rows with a norm from this one on, of a sample.", norms)
}

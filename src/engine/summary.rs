//! The figures of a model's whole life, as `--summary` writes them.

use super::Model;
use crate::learner::{Figures, Report};
use serde::Serialize;
use std::collections::BTreeMap;

/// The figures of a whole life; serialized as `--summary` writes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Records learned.
    pub examples: u64,
    /// Bad records.
    pub skipped: u64,
    /// Good records, labelled or not.
    pub records: u64,
    /// Features of the records learned.
    pub features: u64,
    /// Row updates dropped because they were not finite.
    pub dropped_steps: u64,
    /// Time spent in all runs.
    pub seconds: f64,
    /// examples / seconds.
    pub examples_per_second: f64,
    /// Progressive figures; with several tasks, means weighted by examples.
    #[serde(flatten)]
    pub figures: Figures,
    /// The last 10,000 to 20,000 examples.
    pub window: Figures,
    /// Figures of each task, if labels are per task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<BTreeMap<String, TaskSummary>>,
}

/// Figures of one task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TaskSummary {
    /// Over the model's life.
    #[serde(flatten)]
    pub report: Report,
    /// The last 10,000 to 20,000 examples.
    pub window: Report,
}

impl Summary {
    /// The figures of `model` now.
    pub fn of(model: &Model) -> Self {
        let learner = model.learner();
        let counters = learner.counters();
        let (reports, windows): (Vec<Report>, Vec<Report>) = learner.reports().unzip();
        let names: Option<Vec<String>> = learner.task_names().map(|name| name.map(str::to_owned)).collect();
        let tasks = names.map(|names| {
            let reports = reports.iter().zip(&windows);
            let tasks = reports.map(|(&report, &window)| TaskSummary { report, window });
            names.into_iter().zip(tasks).collect()
        });
        let seconds = model.seconds();
        Self {
            examples: counters.examples,
            skipped: model.skipped(),
            records: counters.records,
            features: counters.features,
            dropped_steps: counters.dropped_steps,
            seconds,
            examples_per_second: if seconds > 0.0 { counters.examples as f64 / seconds } else { 0.0 },
            figures: mean(&reports),
            window: mean(&windows),
            tasks,
        }
    }
}

/// Means over tasks, weighted by their examples.
pub(super) fn mean(reports: &[Report]) -> Figures {
    if let [one] = reports {
        return one.figures;
    }
    let mean = |figure: &dyn Fn(&Figures) -> Option<f64>| {
        let some = reports.iter().filter_map(|r| Some((r.examples as f64, figure(&r.figures)?)));
        let (weight, sum) = some.fold((0.0, 0.0), |(w, s), (weight, value)| (w + weight, s + weight * value));
        (weight > 0.0).then(|| sum / weight)
    };
    Figures {
        loss: mean(&|f| Some(f.loss)).unwrap_or_default(),
        logloss: mean(&|f| f.logloss),
        rmse: mean(&|f| f.rmse),
        auc: mean(&|f| f.auc),
        calibration: mean(&|f| f.calibration),
        normalized_entropy: mean(&|f| f.normalized_entropy),
        mean_label: mean(&|f| Some(f.mean_label)).unwrap_or_default(),
        mean_prediction: mean(&|f| Some(f.mean_prediction)).unwrap_or_default(),
    }
}

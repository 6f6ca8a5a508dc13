//! What figures were, for whoever looks late: the last minutes second by second, and all before ever more coarsely.

use super::figures::Quality;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;

/// Samples of each of the two parts.
const KEPT: usize = 600;

/// Tasks whose figures are kept, the first ones: with all samples of so many that is 6 MB.
pub(super) const TASKS: usize = 64;

/// How good predictions were at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Goodness {
    /// Examples over the model's life.
    pub(super) examples: u64,
    /// In the order of the last [`COLUMNS`]; NaN for what does not apply.
    values: [f64; 8],
}

impl Goodness {
    /// Of figures over the model's life and over the window.
    pub(super) fn of(examples: u64, life: &Quality, window: &Quality) -> Self {
        let of = |quality: &Quality| {
            let Quality { loss, auc, normalized_entropy, calibration, .. } = *quality;
            let loss = (quality.examples > 0).then_some(loss);
            [loss, auc, normalized_entropy, calibration].map(|value| value.unwrap_or(f64::NAN))
        };
        let ([a, b, c, d], [e, f, g, h]) = (of(life), of(window));
        Self { examples, values: [a, e, b, f, c, g, d, h] }
    }
}

/// Figures at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sample {
    /// Unix time in seconds.
    pub(super) time: f64,
    /// Records and bad ones since the process began.
    pub(super) records: u64,
    pub(super) bad: u64,
    /// Of all tasks together, and of each, [`TASKS`] at most.
    pub(super) all: Goodness,
    pub(super) tasks: Arc<[Goodness]>,
}

/// Names of a sample's values, in order.
const COLUMNS: [&str; 12] = [
    "time",
    "records",
    "bad",
    "examples",
    "loss_life",
    "loss_window",
    "auc_life",
    "auc_window",
    "normalized_entropy_life",
    "normalized_entropy_window",
    "calibration_life",
    "calibration_window",
];

type Values = [Option<f64>; COLUMNS.len()];

impl Sample {
    /// Of all tasks, or of the one in this place; none if there was none yet.
    fn values(&self, task: Option<usize>) -> Option<Values> {
        let good = task.map_or(Some(&self.all), |task| self.tasks.get(task))?;
        let [records, bad, examples] =
            [self.records, self.bad, good.examples].map(|count| Some(count as f64));
        let [a, b, c, d, e, f, g, h] = good.values.map(|value| value.is_finite().then_some(value));
        Some([Some(self.time), records, bad, examples, a, b, c, d, e, f, g, h])
    }
}

/// The last [`KEPT`] samples, and before them every n-th, [`KEPT`] at most: n doubles as that fills.
#[derive(Debug, Default)]
pub(super) struct History {
    recent: VecDeque<Sample>,
    old: Vec<Sample>,
    /// log2 of n, and how many samples have become old.
    thinned: u32,
    passed: u64,
}

/// As it is sent.
#[derive(Debug, Serialize)]
struct Table<'a> {
    columns: [&'static str; COLUMNS.len()],
    tasks: &'a [&'a str],
    samples: Vec<Values>,
}

impl History {
    pub(super) fn push(&mut self, sample: Sample) {
        self.recent.push_back(sample);
        if self.recent.len() <= KEPT {
            return;
        }
        let Some(passed) = self.recent.pop_front() else { return };
        if self.passed.is_multiple_of(1 << self.thinned) {
            self.old.push(passed);
        }
        self.passed += 1;
        if self.old.len() == KEPT {
            let mut index = 0;
            self.old.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.thinned += 1;
        }
    }

    /// All samples later than `since` (Unix time), in order.
    pub(super) fn after(&self, since: f64) -> Vec<Sample> {
        self.old.iter().chain(&self.recent).filter(|sample| sample.time > since).cloned().collect()
    }
}

/// Samples as a JSON object, of all tasks or of the one in place `task` of `tasks`; made of a copy, so that nobody who adds one waits
/// for it.
pub(super) fn json(samples: &[Sample], tasks: &[&str], task: Option<usize>) -> String {
    let samples = samples.iter().filter_map(|sample| sample.values(task)).collect();
    // Numbers and strings cannot fail.
    serde_json::to_string(&Table { columns: COLUMNS, tasks, samples }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_samples_stay_and_older_ones_thin_out() {
        let mut history = History::default();
        let pushed = 100_000;
        for second in 0..pushed {
            history.push(Sample { time: f64::from(second), ..Sample::default() });
        }
        let times: Vec<f64> = history.old.iter().chain(&history.recent).map(|sample| sample.time).collect();
        assert!(times.len() > KEPT + KEPT / 2 - 1 && times.len() < 2 * KEPT, "{}", times.len());
        assert!(times.is_sorted() && times[0] == 0.0);
        let last: Vec<f64> = (pushed - KEPT as i32..pushed).map(f64::from).collect();
        assert_eq!(&times[times.len() - KEPT..], &last);
        let gaps: Vec<f64> = times[..times.len() - KEPT].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap == gaps[0]), "evenly spaced: {gaps:?}");
    }

    fn quality(loss: f64, auc: Option<f64>) -> Quality {
        Quality { examples: 6, loss, auc, ..Quality::default() }
    }

    #[test]
    fn it_is_written_by_columns_and_from_a_time_on_for_all_tasks_or_one() {
        let mut history = History::default();
        let all = Goodness::of(6, &quality(0.5, None), &quality(0.25, Some(0.75)));
        let one = Goodness::of(4, &quality(0.125, None), &Quality::default());
        for (time, tasks) in [(1.5, vec![all]), (2.5, vec![all, one])] {
            let tasks = tasks.into();
            history.push(Sample { time, records: 7, bad: 1, all, tasks });
        }
        let read = |since: f64, task: Option<usize>| -> serde_json::Value {
            serde_json::from_str(&super::json(&history.after(since), &["a", "b"], task)).unwrap()
        };
        let json = read(1.5, None);
        assert_eq!(json["columns"].as_array().unwrap().len(), COLUMNS.len());
        assert_eq!(json["tasks"], serde_json::json!(["a", "b"]));
        let expected = serde_json::json!([2.5, 7.0, 1.0, 6.0, 0.5, 0.25, null, 0.75, null, null, null, null]);
        assert_eq!(json["samples"], serde_json::json!([expected]));
        assert_eq!(
            (&read(0.0, Some(0))["samples"][1], read(0.0, Some(0))["samples"].as_array().unwrap().len()),
            (&expected, 2)
        );
        // Of one that came later there is nothing before.
        let expected =
            serde_json::json!([2.5, 7.0, 1.0, 4.0, 0.125, null, null, null, null, null, null, null]);
        assert_eq!(read(0.0, Some(1))["samples"], serde_json::json!([expected]));
    }
}

//! What figures were, for whoever looks late: the last minutes second by second, and all before ever more coarsely.

use serde::Serialize;
use std::collections::VecDeque;

/// Samples of each of the two parts.
const KEPT: usize = 600;

/// Figures at one time. `None`: does not apply to the loss.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sample {
    /// Unix time in seconds.
    pub(super) time: f64,
    /// Records and bad ones since the process began, examples over the model's life.
    pub(super) records: u64,
    pub(super) bad: u64,
    pub(super) examples: u64,
    /// Over life and window.
    pub(super) loss: [Option<f64>; 2],
    pub(super) auc: [Option<f64>; 2],
    pub(super) normalized_entropy: [Option<f64>; 2],
    pub(super) calibration: [Option<f64>; 2],
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

impl Sample {
    fn values(&self) -> [Option<f64>; COLUMNS.len()] {
        let Self { loss, auc, normalized_entropy, calibration, .. } = *self;
        let [records, bad, examples] =
            [self.records, self.bad, self.examples].map(|count| Some(count as f64));
        let [[a, b], [c, d], [e, f], [g, h]] = [loss, auc, normalized_entropy, calibration];
        [Some(self.time), records, bad, examples, a, b, c, d, e, f, g, h]
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
struct Table {
    columns: [&'static str; COLUMNS.len()],
    samples: Vec<[Option<f64>; COLUMNS.len()]>,
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
        self.old.iter().chain(&self.recent).filter(|sample| sample.time > since).copied().collect()
    }
}

/// Samples as a JSON object; made of a copy, so that nobody who adds one waits for it.
pub(super) fn json(samples: &[Sample]) -> String {
    let table = Table { columns: COLUMNS, samples: samples.iter().map(Sample::values).collect() };
    // Numbers and plain strings cannot fail.
    serde_json::to_string(&table).unwrap_or_default()
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

    #[test]
    fn it_is_written_by_columns_and_from_a_time_on() {
        let mut history = History::default();
        for time in [1.5, 2.5] {
            let sample = Sample {
                time,
                records: 7,
                bad: 1,
                examples: 6,
                loss: [0.5, 0.25].map(Some),
                ..Sample::default()
            };
            history.push(Sample { auc: [None, Some(0.75)], ..sample });
        }
        let json: serde_json::Value = serde_json::from_str(&super::json(&history.after(1.5))).unwrap();
        assert_eq!(json["columns"].as_array().unwrap().len(), COLUMNS.len());
        let nothing = serde_json::Value::Null;
        let expected =
            serde_json::json!([2.5, 7.0, 1.0, 6.0, 0.5, 0.25, nothing, 0.75, null, null, null, null]);
        assert_eq!(json["samples"], serde_json::json!([expected]));
    }
}

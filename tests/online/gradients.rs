//! Every table row that a record looks up moves by the derivative of the loss by it: from JSON through fields, hashes, tables and network,
//! against finite differences of the loss of the predictions.

use crate::model;
use crate::streams::{asked, rated, shown};
use flexihash::batch::Slot;
use flexihash::config::{ConfigFile, ModelFlags};
use flexihash::field::{FieldBatch, FieldEncoder, FieldHasher, FieldScratch};
use flexihash::hash::HashKey;
use flexihash::learner::{Learner, Mode, Outcomes, Piece};
use flexihash::model::Loss;
use flexihash::optim::{LearningRate, OptimizerKind};
use flexihash::parse::Parser;
use serde_json::Value;
use std::sync::Arc;

const RATE: f64 = 1.0 / 1024.0;
const RECORDS: usize = 3;

struct Trial {
    flags: ModelFlags,
    batch: FieldBatch,
    /// Labels in the order of predictions; none where there is none.
    labels: Vec<Option<f64>>,
    loss: Loss,
}

impl Trial {
    fn new(name: &str, records: &str, skip: usize) -> Self {
        let mut flags = ConfigFile::read(&model(name)).unwrap().model;
        (flags.optimizer, flags.learning_rate) = (Some(OptimizerKind::Sgd), Some(LearningRate::Rate(RATE)));
        flags.batch = Some(RECORDS);
        // Dropout would make the loss that is learned another than that of the predictions.
        let text = flags.network.take().unwrap().to_string().replace("\"dropout\":0.5", "\"dropout\":0.0");
        let text = text.replace("\"mixing-dropout\":0.2", "\"mixing-dropout\":0.0");
        assert!(!text.contains("dropout\":0.2") && !text.contains("dropout\":0.5"), "{text}");
        flags.network = Some(serde_json::from_str(&text).unwrap());
        for field in &mut flags.fields {
            // Rows of a size at which differences are well above rounding.
            if field.init_scale.is_some() {
                field.init_scale = Some(0.3);
            }
        }
        let config = flags.resolve().unwrap();
        let network = config.network.as_ref().unwrap();
        let hasher = FieldHasher::new(Arc::clone(&network.fields), &HashKey::default(), config.parse.labels);
        let (hasher, parser) = (hasher.unwrap(), Parser::new(config.parse.clone()));
        let (mut batch, mut scratch, mut labels) =
            (FieldBatch::default(), FieldScratch::default(), Vec::new());
        let outputs = network.network.outputs();
        for line in records.lines().skip(skip).take(RECORDS) {
            let mut encoder = FieldEncoder::new(&hasher, &mut scratch, &mut batch);
            parser.parse(line.as_bytes(), &mut encoder).unwrap();
            encoder.finish().unwrap();
            let record: Value = serde_json::from_str(line).unwrap();
            let items = record["features"]["candidates"].as_array();
            let of = |of: &Value| outputs.names.iter().map(|name| of[name].as_f64()).collect::<Vec<_>>();
            match (items, &record["label"]) {
                (Some(items), _) => labels.extend(items.iter().flat_map(|item| match &item["actions"] {
                    Value::Null => of(&Value::Null),
                    // Where some of an item's labels are said, the others are 0.
                    said => of(said).into_iter().map(|label| label.or(Some(0.0))).collect(),
                })),
                (None, Value::Object(_)) => labels.extend(of(&record["label"])),
                (None, label) => labels.push(label.as_f64()),
            }
        }
        Self { loss: network.network.objective().loss(), flags, batch, labels }
    }

    fn learner(&self) -> Learner {
        self.flags.resolve().unwrap().learner().unwrap()
    }

    fn pass(&self, learner: &mut Learner, mode: Mode) -> Vec<f32> {
        let (mut outcomes, rows) = (Outcomes::default(), 0..RECORDS);
        learner.process_fields(&[Piece { batch: &self.batch, rows }], mode, &mut outcomes).unwrap();
        outcomes.predictions
    }

    /// The summed loss of what is predicted.
    fn loss(&self, learner: &mut Learner) -> f64 {
        let predictions = self.pass(learner, Mode::Predict);
        assert_eq!(predictions.len(), self.labels.len());
        let known = predictions.into_iter().zip(&self.labels);
        known.filter_map(|(prediction, label)| Some(self.loss.value(f64::from(prediction), (*label)?))).sum()
    }
}

#[test]
fn rows_move_by_the_derivative_of_the_loss() {
    for (name, records, skip) in [
        ("dot", rated(20), 0),
        ("dot-bias", rated(20), 3),
        ("murmur", rated(20), 0),
        ("modulo", rated(20), 5),
        ("flexi", rated(20), 0),
        ("multitask-id", asked(20), 0),
        ("multitask-cohort", asked(20), 2),
        ("multitask-dhe", asked(20), 4),
        ("multitask-mixture", asked(20), 6),
        ("ranker", shown(400), 300),
    ] {
        let trial = Trial::new(name, &records, skip);
        let (mut moved, mut still) = (trial.learner(), trial.learner());
        trial.pass(&mut moved, Mode::Learn);
        let (mut settled, mut all, mut largest) = (0, 0, 0.0_f64);
        for index in 0..moved.tables().len() {
            let (table, other) = (Arc::clone(moved.tables()[index].1), Arc::clone(still.tables()[index].1));
            let mut touched = Vec::new();
            table.for_each_touched(|slot, row| touched.push((slot, row.to_vec())));
            for (slot, after) in touched {
                let before = other.lease_all().row(slot).to_vec();
                for k in (0..after.len()).step_by(1 + after.len() / 4) {
                    let gradient = f64::from(before[k] - after[k]) / RATE;
                    let mut at = |step: f32| {
                        set(&other, slot, k, before[k] + step);
                        trial.loss(&mut still)
                    };
                    let difference = |wide: f64, narrow: f64, step: f64| (wide - narrow) / (2.0 * step);
                    let wide = difference(at(1.0 / 32.0), at(-1.0 / 32.0), 1.0 / 32.0);
                    let narrow = difference(at(1.0 / 64.0), at(-1.0 / 64.0), 1.0 / 64.0);
                    set(&other, slot, k, before[k]);
                    // A kink of ReLU between the points, or too strong a bend, says nothing.
                    let bound = 4e-3 + 1e-2 * narrow.abs();
                    if (wide - narrow).abs() <= bound {
                        settled += 1;
                        let off = (gradient - narrow).abs();
                        assert!(
                            off <= 2.0 * bound,
                            "{name}, table {index}, {slot:?}, {k}: {gradient} beside {narrow}"
                        );
                    }
                    (all, largest) = (all + 1, largest.max(gradient.abs()));
                }
            }
        }
        assert!(settled * 10 >= all * 9 && all > 10, "{name}: {settled} of {all} differences settled");
        assert!(largest > 0.02, "{name}: nothing but small gradients");
    }
}

fn set(table: &flexihash::table::Table, slot: Slot, k: usize, value: f32) {
    table.lease_all().row_mut(slot).0[k] = value;
}

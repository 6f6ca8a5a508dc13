//! A model as a whole: its options, hash key, parser, learner and place in the input.
//!
//! This is what people embed: feed it records one at a time from any code, save it, open it again. The threaded
//! [`super::Engine`] runs the same model over a source.

use super::Summary;
use crate::batch::Batch;
use crate::checkpoint::{
    CheckpointError, Generation, Progress, Snapshot, TableCut, Tensor, TensorData, Writer,
};
use crate::config::{ConfigError, ModelConfig, ModelFlags};
use crate::example::{ExampleSink, FeatureError, FeatureValue, LabelRange};
use crate::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashOptionError};
use crate::learner::{Learner, LearnerError, LearnerState, Mode, Outcome, Outcomes, Rejection};
use crate::parse::{HeaderError, ParseError, ParseOptions, Parser};
use crate::record::Positions;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A model that cannot be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Options that make no model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The learner refuses its options or state.
    #[error(transparent)]
    Learner(#[from] LearnerError),
    /// The hash refuses its options.
    #[error(transparent)]
    Hash(#[from] HashOptionError),
    /// The stored generation cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The manifest does not say what this release expects.
    #[error("the model's manifest: {0}")]
    Manifest(String),
}

/// A record that was not learned. The model is as if it had never come.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not a record.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A feature the hash cannot take.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// Headers that cannot be features.
    #[error(transparent)]
    Headers(#[from] HeaderError),
    /// A label the loss cannot take.
    #[error("expected a label that is {expected}, got {got}")]
    Label {
        /// What the loss takes.
        expected: &'static str,
        /// The label.
        got: f64,
    },
    /// Labels of another shape than before, or too many tasks.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// No memory for another task.
    #[error(transparent)]
    Learner(#[from] LearnerError),
}

/// Predictions of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The record's number among the good ones, from 0.
    pub number: u64,
    /// One a task: the probability (logistic), the mean (poisson), else the score.
    pub predictions: Vec<f32>,
    /// Names of the tasks, if labels are per task.
    pub tasks: Option<Arc<[String]>>,
}

/// What a manifest keeps beside tables and vectors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Stored {
    learner: LearnerState,
    skipped: u64,
    seconds: f64,
}

/// A model as a whole: options, hash key, parser, learner and place in the input. Feed it records one at a time, save it,
/// open it again; [`super::Engine`] runs the same model over a source. `Send`; wrap it in a lock to share it.
#[derive(Debug)]
pub struct Model {
    flags: ModelFlags,
    hasher: Arc<FeatureHasher>,
    parser: Arc<Parser>,
    learner: Learner,
    skipped: u64,
    seconds: f64,
    positions: Positions,
    scratch: EncoderScratch,
    batch: Batch,
    outcomes: Outcomes,
}

impl Model {
    /// A model that has learned nothing.
    pub fn new(flags: &ModelFlags, key: &HashKey) -> Result<Self, ModelError> {
        let config = flags.resolve()?;
        let learner = Learner::new(config.learner.clone())?;
        Self::with(flags, &config, key, learner)
    }

    fn with(
        flags: &ModelFlags,
        config: &ModelConfig,
        key: &HashKey,
        learner: Learner,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            flags: flags.clone().with_defaults(),
            hasher: Arc::new(FeatureHasher::new(config.hash, key)?),
            parser: Arc::new(Parser::new(config.parse.clone())),
            learner,
            skipped: 0,
            seconds: 0.0,
            positions: Positions::default(),
            scratch: EncoderScratch::default(),
            batch: Batch::default(),
            outcomes: Outcomes::default(),
        })
    }

    /// The model of a stored generation. `key`: the one stored with it, or the default.
    pub fn load(generation: &mut Generation, key: &HashKey) -> Result<Self, ModelError> {
        let manifest = |error: serde_json::Error| ModelError::Manifest(error.to_string());
        let progress = generation.manifest().progress.clone();
        let flags: ModelFlags = serde_json::from_value(progress.config).map_err(manifest)?;
        let stored: Stored = serde_json::from_value(progress.counters).map_err(manifest)?;
        let config = flags.resolve()?;
        let tensors = generation.load_tensors()?.into_iter();
        let vectors = tensors.filter_map(|(name, tensor)| match tensor.data {
            TensorData::F64(values) => Some((name, values)),
            _ => None,
        });
        let vectors = vectors.collect();
        let learner = Learner::restore(config.learner.clone(), stored.learner, &vectors)?;
        for (name, table) in learner.tables() {
            generation.load_table(&name, table)?;
        }
        let mut model = Self::with(&flags, &config, key, learner)?;
        (model.skipped, model.seconds, model.positions) =
            (stored.skipped, stored.seconds, progress.positions);
        Ok(model)
    }

    /// The same model for prediction only: labels are not looked at, so that a record with an odd one is predicted too.
    #[must_use]
    pub fn for_prediction(mut self) -> Self {
        let options = ParseOptions { labels: LabelRange::Ignored, ..self.parser.options().clone() };
        self.parser = Arc::new(Parser::new(options));
        self.positions = Positions::default();
        self.learner.forget_records();
        self
    }

    /// The options it is bound to, all filled in.
    pub fn flags(&self) -> &ModelFlags {
        &self.flags
    }

    /// The learner.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    pub(super) fn learner_mut(&mut self) -> &mut Learner {
        &mut self.learner
    }

    pub(super) fn hasher(&self) -> Arc<FeatureHasher> {
        Arc::clone(&self.hasher)
    }

    pub(super) fn parser(&self) -> Arc<Parser> {
        Arc::clone(&self.parser)
    }

    /// Where its input was left.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    pub(super) fn set_positions(&mut self, positions: Positions) {
        self.positions = positions;
    }

    /// Bad records over the model's life.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(super) fn skip(&mut self, records: u64) {
        self.skipped += records;
    }

    /// Seconds spent in runs over the model's life.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    pub(super) fn set_seconds(&mut self, seconds: f64) {
        self.seconds = seconds;
    }

    /// The figures so far.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }

    /// Predicts a JSON record, then learns it if it has a label. A bad record changes nothing but the count.
    pub fn learn_json(&mut self, record: &[u8]) -> Result<Scored, RecordError> {
        let scored = self.encode_json(record).and_then(|()| self.process(Mode::Learn));
        self.skipped += u64::from(scored.is_err());
        scored
    }

    /// Predicts a JSON record; its label, if any, is not learned.
    pub fn predict_json(&mut self, record: &[u8]) -> Result<Scored, RecordError> {
        self.encode_json(record)?;
        self.process(Mode::Predict)
    }

    /// Predicts a dict of features, then learns `label` if there is one. The same features as those of a JSON record with
    /// these keys and values, so the same bits.
    pub fn learn_dict<'v, K: AsRef<str>, V: Into<FeatureValue<'v>>>(
        &mut self,
        features: impl IntoIterator<Item = (K, V)>,
        label: Option<f64>,
    ) -> Result<Scored, RecordError> {
        let scored = self.encode_dict(features, label).and_then(|()| self.process(Mode::Learn));
        self.skipped += u64::from(scored.is_err());
        scored
    }

    /// Predicts a dict of features; learns nothing.
    pub fn predict_dict<'v, K: AsRef<str>, V: Into<FeatureValue<'v>>>(
        &mut self,
        features: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Scored, RecordError> {
        self.encode_dict(features, None)?;
        self.process(Mode::Predict)
    }

    fn encode_dict<'v, K: AsRef<str>, V: Into<FeatureValue<'v>>>(
        &mut self,
        features: impl IntoIterator<Item = (K, V)>,
        label: Option<f64>,
    ) -> Result<(), RecordError> {
        self.batch.clear();
        let mut encoder = Encoder::new(&self.hasher, &mut self.scratch, &mut self.batch);
        if let Some(got) = label {
            let labels = self.parser.options().labels;
            let label = labels.check(got).ok_or(RecordError::Label { expected: labels.describe(), got })?;
            encoder.target(None, label);
        }
        for (key, value) in features {
            value.into().tell(key.as_ref(), &mut encoder)?;
        }
        Ok(encoder.finish()?)
    }

    fn encode_json(&mut self, record: &[u8]) -> Result<(), RecordError> {
        self.batch.clear();
        encode(&self.parser, Encoder::new(&self.hasher, &mut self.scratch, &mut self.batch), record, |_| {
            Ok(())
        })
    }

    /// Takes the one row that was encoded.
    fn process(&mut self, mode: Mode) -> Result<Scored, RecordError> {
        self.learner.process(&self.batch, 0..1, mode, &mut self.outcomes)?;
        match self.outcomes.rows.first() {
            Some(Outcome::Scored { number, predictions }) => Ok(Scored {
                number: *number,
                predictions: self.outcomes.predictions.get(predictions.clone()).unwrap_or_default().to_vec(),
                tasks: if self.outcomes.unnamed > 0 { None } else { self.outcomes.tasks.clone() },
            }),
            Some(Outcome::Rejected(rejection)) => Err(rejection.clone().into()),
            None => Ok(Scored { number: 0, predictions: Vec::new(), tasks: None }),
        }
    }

    /// Hashes a JSON record into `batch` as one more row, for [`Model::embed`]. On an error the batch is as before.
    pub fn encode(&mut self, record: &[u8], batch: &mut Batch) -> Result<(), RecordError> {
        encode(&self.parser, Encoder::new(&self.hasher, &mut self.scratch, batch), record, |_| Ok(()))
    }

    /// Sums of the learned embeddings of `batch`, `[rows, dim]`; empty if the head has none.
    pub fn embed(&mut self, batch: &Batch) -> Vec<f32> {
        self.learner.embed(batch)
    }

    /// Saves the model as a new generation.
    pub fn save(&mut self, store: &mut Writer) -> Result<(), ModelError> {
        let snapshot = self.snapshot(&self.positions, self.seconds, false);
        store.commit(snapshot)?;
        Ok(())
    }

    /// Everything as it is now; the tables' cuts are begun.
    pub(super) fn snapshot(&self, positions: &Positions, seconds: f64, finished: bool) -> Snapshot {
        let stored = Stored { learner: self.learner.state(), skipped: self.skipped, seconds };
        let json = |value: Result<serde_json::Value, _>| value.unwrap_or_default();
        let progress = Progress {
            positions: positions.clone(),
            outputs: std::collections::BTreeMap::new(),
            counters: json(serde_json::to_value(&stored)),
            config: json(serde_json::to_value(&self.flags)),
            finished,
        };
        let tables = self.learner.tables().map(|(name, table)| TableCut::begin(name, table)).collect();
        let vectors = self.learner.vectors().into_iter();
        let tensors = vectors.map(|(name, values)| (name, Tensor::vector(TensorData::F64(values)))).collect();
        Snapshot { tables, tensors, progress }
    }
}

/// Parses `record` into a row of the encoder's batch; on an error the batch is as before. `more` tells what stands beside the
/// record: it is asked last, because the parser may begin again and forget what was told before.
pub(super) fn encode(
    parser: &Parser,
    mut encoder: Encoder<'_>,
    record: &[u8],
    more: impl FnOnce(&mut Encoder<'_>) -> Result<(), HeaderError>,
) -> Result<(), RecordError> {
    let parsed = parser.parse(record, &mut encoder).map_err(RecordError::from);
    match parsed.and_then(|()| Ok(more(&mut encoder)?)) {
        Ok(()) => Ok(encoder.finish()?),
        Err(error) => {
            encoder.abandon();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dict_is_the_record_with_its_keys_and_values() {
        let flags = ModelFlags { buckets: Some(1 << 12), ..ModelFlags::default() };
        let mut by_json = Model::new(&flags, &HashKey::default()).unwrap();
        let mut by_dict = Model::new(&flags, &HashKey::default()).unwrap();
        for i in 0..200 {
            let (carrier, distance, label) =
                (format!("c{}", i % 7), f64::from(i % 13) / 4.0, f64::from(i % 3 / 2));
            let features = serde_json::json!({"carrier": carrier, "distance": distance, "night": i % 2 == 0});
            let record = serde_json::json!({"label": label, "features": features}).to_string();
            let json = by_json.learn_json(record.as_bytes()).unwrap();
            let dict = [("carrier", FeatureValue::from(&carrier)), ("distance", distance.into())];
            let dict = dict.into_iter().chain([("night", (i % 2 == 0).into())]);
            assert_eq!(by_dict.learn_dict(dict, Some(label)).unwrap(), json);
        }
        assert_eq!(by_json.learner().vectors(), by_dict.learner().vectors());
    }

    #[test]
    fn a_bad_dict_changes_nothing_but_the_count() {
        let flags = ModelFlags { buckets: Some(64), ..ModelFlags::default() };
        let mut model = Model::new(&flags, &HashKey::default()).unwrap();
        let before = model.learner().vectors();
        assert!(model.learn_dict([("a", f64::NAN)], Some(1.0)).is_err());
        assert!(model.learn_dict([("a", 1.0)], Some(7.0)).is_err());
        assert_eq!((model.skipped(), model.learner().vectors()), (2, before));
        assert_eq!(model.learn_dict([("a", 1.0)], None).unwrap().number, 0);
    }
}

//! A model as a whole: its options, hash key, parser, learner and place in the input.
//!
//! This is what people embed: feed it records one at a time from any code, save it, open it again. The threaded
//! [`super::Engine`] runs the same model over a source.

use super::Summary;
use super::encode::{Beside, Encoded, Reader, ReaderScratch, Tell};
use super::insight::Watch;
use crate::batch::Batch;
use crate::checkpoint::{
    CheckpointError, Generation, Progress, Snapshot, TableCut, Tensor, TensorData, Writer,
};
use crate::config::{ConfigError, ModelConfig, ModelFlags};
use crate::example::{FeatureError, FeatureValue, RecordSink};
use crate::hash::{FeatureHasher, HashKey, HashOptionError};
use crate::learner::{Learner, LearnerError, LearnerState, Mode, Outcome, Outcomes, Rejection};
#[cfg(feature = "network")]
use crate::model::network::Network;
use crate::parse::{HeaderError, ParseError};
use crate::record::Positions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

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
    /// Features asked of a model that takes declared fields.
    #[error("this model is a network, which takes declared fields")]
    Fields,
}

/// Predictions of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The record's number among the good ones, from 0.
    pub number: u64,
    /// One a task: the probability (logistic), the mean (poisson), else the score. Of a network whose outputs are those of a list,
    /// `[items, tasks]`.
    pub predictions: Vec<f32>,
    /// Names of the tasks, if labels are per task.
    pub tasks: Option<Arc<[String]>>,
    /// What the predictions are worth together: one, or one an item; empty if the model does not say.
    pub values: Vec<f32>,
}

/// The small tensor with what was seen.
pub(super) const INSIGHT: &str = "insight";

/// What a manifest keeps beside tables and vectors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Stored {
    learner: LearnerState,
    skipped: u64,
    seconds: f64,
    #[serde(default, skip_serializing_if = "is_zero")]
    taught: u64,
}

/// What few models have counted stands in few manifests.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A model as a whole: options, hash key, parser, learner and place in the input. Feed it records one at a time, save it,
/// open it again; [`super::Engine`] runs the same model over a source. `Send`; wrap it in a lock to share it.
#[derive(Debug)]
pub struct Model {
    flags: ModelFlags,
    reader: Arc<Reader>,
    /// The same for prediction only, made when it is first asked for.
    blind: OnceLock<Arc<Reader>>,
    learner: Learner,
    skipped: u64,
    seconds: f64,
    /// Records that came beside its input, good and bad.
    taught: u64,
    positions: Positions,
    scratch: ReaderScratch,
    encoded: Encoded,
    outcomes: Outcomes,
    /// What is seen beside learning, if anybody looks.
    pub(super) watch: Option<Box<Watch>>,
}

impl Model {
    /// A model that has learned nothing.
    pub fn new(flags: &ModelFlags, key: &HashKey) -> Result<Self, ModelError> {
        let config = flags.resolve()?;
        let learner = config.learner()?;
        Self::with(flags, config, key, learner)
    }

    fn with(
        flags: &ModelFlags,
        config: ModelConfig,
        key: &HashKey,
        learner: Learner,
    ) -> Result<Self, ModelError> {
        let reader = match config.fields() {
            None => Reader::of_features(config.parse, FeatureHasher::new(config.hash, key)?),
            Some(fields) => Reader::of_fields(config.parse, fields, key)?,
        };
        Ok(Self {
            flags: flags.clone().with_defaults(),
            reader: Arc::new(reader),
            blind: OnceLock::new(),
            learner,
            skipped: 0,
            seconds: 0.0,
            taught: 0,
            positions: Positions::default(),
            scratch: ReaderScratch::default(),
            encoded: Encoded::default(),
            outcomes: Outcomes::default(),
            watch: None,
        })
    }

    /// A model that predicts by a network of one's own. `flags` say what it takes of a record
    /// ([`fields`](ModelFlags::fields)) and how it learns; they name no network.
    ///
    /// # Errors
    /// Flags that make no model with this network.
    #[cfg(feature = "network")]
    pub fn of_network(
        flags: &ModelFlags,
        key: &HashKey,
        network: Arc<dyn Network>,
    ) -> Result<Self, ModelError> {
        let flags = flags.clone().of_network(network.as_ref())?;
        let config = flags.resolve_network(network)?;
        let learner = config.learner()?;
        Self::with(&flags, config, key, learner)
    }

    /// The model of a stored generation that predicts by a network of one's own: the one it was made with.
    ///
    /// # Errors
    /// Those of [`Model::load`]; the state of another network.
    #[cfg(feature = "network")]
    pub fn load_network(
        generation: &mut Generation,
        key: &HashKey,
        network: Arc<dyn Network>,
    ) -> Result<Self, ModelError> {
        Self::load_as(generation, key, |flags| flags.resolve_network(network))
    }

    /// The model of a stored generation. `key`: the one stored with it, or the default.
    ///
    /// # Errors
    /// A generation that cannot be read, or is of another release or a program's own network.
    pub fn load(generation: &mut Generation, key: &HashKey) -> Result<Self, ModelError> {
        Self::load_as(generation, key, ModelFlags::resolve)
    }

    fn load_as(
        generation: &mut Generation,
        key: &HashKey,
        resolve: impl FnOnce(&ModelFlags) -> Result<ModelConfig, ConfigError>,
    ) -> Result<Self, ModelError> {
        let manifest = |error: serde_json::Error| ModelError::Manifest(error.to_string());
        let progress = generation.manifest().progress.clone();
        let flags: ModelFlags = serde_json::from_value(progress.config).map_err(manifest)?;
        let stored: Stored = serde_json::from_value(progress.counters).map_err(manifest)?;
        let config = resolve(&flags)?;
        let (mut vectors, mut seen) = (BTreeMap::new(), None);
        for (name, tensor) in generation.load_tensors()? {
            match tensor.data {
                TensorData::F64(values) => _ = vectors.insert(name, values),
                TensorData::U64(values) if name == INSIGHT => seen = Some(values),
                _ => {}
            }
        }
        let learner = config.restore(stored.learner, &vectors)?;
        for (name, table) in learner.tables() {
            generation.load_table(&name, table)?;
        }
        let mut model = Self::with(&flags, config, key, learner)?;
        (model.skipped, model.seconds, model.taught) = (stored.skipped, stored.seconds, stored.taught);
        model.positions = progress.positions;
        if let Some(seen) = seen {
            model.load_watch(generation, &seen)?;
        }
        Ok(model)
    }

    /// The same model for prediction only: labels are not looked at, so that a record with an odd one is predicted too.
    #[must_use]
    pub fn for_prediction(mut self) -> Self {
        self.reader = self.prediction_reader();
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

    /// What a network computes under these names comes with the predictions of every record from now on; another forward pass
    /// each. Nothing of the model changes.
    pub fn watch(&mut self, names: &[String]) {
        self.learner.watch(names);
    }

    /// Keeps a learning curve of each task from now on, for [`Learner::curves`]. Nothing of the model changes.
    pub fn trace(&mut self) {
        self.learner.trace();
    }

    pub(super) fn learner_mut(&mut self) -> &mut Learner {
        &mut self.learner
    }

    pub(super) fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader)
    }

    /// What reads records and does not look at labels.
    pub(super) fn prediction_reader(&self) -> Arc<Reader> {
        Arc::clone(self.blind.get_or_init(|| Arc::new(self.reader.for_prediction())))
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

    /// Records that came beside the input over the model's life.
    pub(super) fn taught(&self) -> u64 {
        self.taught
    }

    pub(super) fn teach(&mut self, records: u64) {
        self.taught += records;
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

    /// Predicts a JSON record, then learns it if it has a label. A bad record changes nothing but the count. A network learns it by
    /// itself, whatever the size of its batches in a stream.
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
        self.encoded.clear();
        let label = match label {
            None => None,
            Some(got) => {
                let labels = self.reader.labels();
                Some(labels.check(got).ok_or(RecordError::Label { expected: labels.describe(), got })?)
            }
        };
        self.reader.write(&mut self.scratch, &mut self.encoded, Beside::default(), Dict { features, label })
    }

    fn encode_json(&mut self, record: &[u8]) -> Result<(), RecordError> {
        self.encoded.clear();
        self.reader.read(&mut self.scratch, &mut self.encoded, record, Beside::default())
    }

    /// Takes the one row that was encoded.
    fn process(&mut self, mode: Mode) -> Result<Scored, RecordError> {
        self.encoded.process(&mut self.learner, mode, &mut self.outcomes)?;
        if let Some(Outcome::Rejected(rejection)) = self.outcomes.rows.first() {
            return Err(rejection.clone().into());
        }
        let Some(predicted) = self.outcomes.row(0) else {
            return Ok(Scored { number: 0, predictions: Vec::new(), tasks: None, values: Vec::new() });
        };
        Ok(Scored {
            number: predicted.number,
            predictions: predicted.predictions.to_vec(),
            tasks: predicted.tasks.and(self.outcomes.tasks.clone()),
            values: predicted.values.to_vec(),
        })
    }

    /// Hashes a JSON record into `batch` as one more row, for [`Model::embed`]. On an error the batch is as before.
    pub fn encode(&mut self, record: &[u8], batch: &mut Batch) -> Result<(), RecordError> {
        self.reader.read_features(&mut self.scratch, batch, record)
    }

    /// Sums of the learned embeddings of `batch`, `[rows, dim]`; empty if the head has none.
    pub fn embed(&mut self, batch: &Batch) -> Vec<f32> {
        self.learner.embed(batch)
    }

    /// Takes the rows of a network to a GPU, and goes on there to the same bits: see [`Learner::move_to_device`]. Nothing of it is saved
    /// with the model.
    ///
    /// # Errors
    /// Those of [`Learner::move_to_device`]; the model is as it was.
    #[cfg(all(feature = "cuda", feature = "network"))]
    pub fn move_to_device<M>(&mut self, machine: Arc<M>) -> Result<(), ModelError>
    where
        M: crate::kernel::cuda::Machine + Send + Sync + 'static,
    {
        Ok(self.learner.move_to_device(machine)?)
    }

    /// As [`Model::move_to_device`], and the network computes there too: see [`Learner::move_network_to_device`].
    ///
    /// # Errors
    /// Those of [`Learner::move_network_to_device`]; the model is as it was.
    #[cfg(all(feature = "cuda", feature = "network"))]
    pub fn move_network_to_device<M>(&mut self, machine: Arc<M>) -> Result<(), ModelError>
    where
        M: crate::kernel::cuda::Tensors + Send + Sync + 'static,
    {
        Ok(self.learner.move_network_to_device(machine)?)
    }

    /// Saves the model as a new generation.
    pub fn save(&mut self, store: &mut Writer) -> Result<(), ModelError> {
        let snapshot = self.snapshot(&self.positions.clone(), self.seconds, false)?;
        store.commit(snapshot)?;
        Ok(())
    }

    /// Everything as it is now; the tables' cuts are begun.
    ///
    /// # Errors
    /// A device does not give its rows.
    pub(super) fn snapshot(
        &mut self,
        positions: &Positions,
        seconds: f64,
        finished: bool,
    ) -> Result<Snapshot, LearnerError> {
        self.learner.write_back()?;
        let (skipped, taught) = (self.skipped, self.taught);
        let stored = Stored { learner: self.learner.state(), skipped, seconds, taught };
        let json = |value: Result<serde_json::Value, _>| value.unwrap_or_default();
        let progress = Progress {
            positions: positions.clone(),
            outputs: std::collections::BTreeMap::new(),
            counters: json(serde_json::to_value(&stored)),
            config: json(serde_json::to_value(&self.flags)),
            finished,
        };
        let watched = self.watch.as_mut().map_or(Vec::new(), |watch| watch.stored_tables());
        let tables = self.learner.tables().into_iter().chain(watched);
        let tables: Vec<TableCut> = tables.map(|(name, table)| TableCut::begin(name, table)).collect();
        let vectors = self.learner.vectors().into_iter();
        let tensors = vectors.map(|(name, values)| (name, Tensor::vector(TensorData::F64(values))));
        let seen = self
            .watch
            .iter()
            .map(|watch| (INSIGHT.to_owned(), Tensor::vector(TensorData::U64(watch.state()))));
        let tensors = tensors.chain(seen).collect();
        Ok(Snapshot { tables, tensors, progress })
    }
}

/// A dict of features with its label.
struct Dict<I> {
    features: I,
    label: Option<f32>,
}

impl<'v, K: AsRef<str>, V: Into<FeatureValue<'v>>, I: IntoIterator<Item = (K, V)>> Tell for Dict<I> {
    fn tell(self, sink: &mut impl RecordSink) -> Result<(), RecordError> {
        if let Some(label) = self.label {
            sink.target(None, label);
        }
        for (key, value) in self.features {
            value.into().tell(key.as_ref(), sink)?;
        }
        Ok(())
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
    fn what_reads_for_predictions_is_made_once_and_sees_no_labels() {
        let flags = ModelFlags { buckets: Some(64), ..ModelFlags::default() };
        let mut model = Model::new(&flags, &HashKey::default()).unwrap();
        let odd = br#"{"label":7,"features":{"a":1}}"#;
        assert!(model.predict_json(odd).is_err());
        let reader = model.prediction_reader();
        assert_eq!(model.explain(odd, 5).unwrap().features, 1);
        assert!(Arc::ptr_eq(&reader, &model.prediction_reader()));
        assert_eq!(model.for_prediction().predict_json(odd).unwrap().predictions, [0.5]);
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

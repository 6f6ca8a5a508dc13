//! Joins table and model: predict, then learn.
//!
//! A [`Learner`] takes hashed batches, record by record in their order: it predicts with what it knows, notes how
//! good that was ([`validation`]), then learns the label at once. A task (a named label) has a table, a head and
//! figures of its own; tasks appear with the first record that names them. A [network](crate::model::network) instead takes
//! declared fields, has one table a field or shared ones, predicts all its tasks at once, and learns records in batches. Everything a
//! learner knows is in its tables and in a small state that can be taken out and put back exactly, so that a restart
//! continues bit for bit.

mod arm;
mod build;
mod copies;
mod curve;
mod heads;
#[cfg(feature = "network")]
mod network;
mod options;
mod replica;
pub mod validation;
mod viewer;

pub use crate::sketch::CalibrationBin;
pub use curve::CurvePoint;
#[cfg(feature = "network")]
pub use network::NetworkOptions;
pub use options::{HeadKind, LearnerError, LearnerOptions, Learning};
pub use replica::{Learned, Replica};
pub use validation::{Figures, Report, Validation};
pub use viewer::Viewer;

use crate::batch::{Batch, Slot, Target};
use crate::field::FieldBatch;
use crate::table::Table;
use arm::{Job, Lesson};
use heads::Heads;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Most tasks of a model: each has a table of its own.
pub const MAX_TASKS: usize = 64;

/// How labels come: settled by the first labelled record, unless tasks were named up front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelShape {
    /// No labelled record yet.
    #[default]
    Unknown,
    /// `"label": 1`
    Single,
    /// `"label": {"click": 1}`
    Tasks,
}

/// What happened over the model's whole life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Good records: the number of the next one.
    pub records: u64,
    /// Records learned: at least one label and a weight above 0.
    pub examples: u64,
    /// Features of those.
    pub features: u64,
    /// Row updates dropped because they were not finite.
    pub dropped_steps: u64,
}

/// The learner's state beside its tables and dense vectors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LearnerState {
    /// How labels come.
    pub shape: LabelShape,
    /// Task names in order; one `None` for a single label.
    pub tasks: Vec<Option<String>>,
    /// Counts.
    pub counters: Counters,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Predicted (and learned, if it had a label).
    Scored {
        /// The record's number among the good ones, from 0.
        number: u64,
        /// Its predictions in [`Outcomes::predictions`], one a task known by then; if [`Outcomes::items`], those of each item.
        predictions: Range<usize>,
    },
    /// A bad record after all.
    Rejected(Rejection),
}

/// Why a well-formed record could not be learned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A single label where earlier records had one per task.
    #[error("expected a label per task, as in earlier records: {{\"task\": value}}, got a single label")]
    SingleLabel,
    /// Task labels where earlier records had a single one.
    #[error("expected a single label, as in earlier records, got labels of tasks")]
    TaskLabels,
    /// One more task than a model can have.
    #[error("task {0:?} would be one more than the {MAX_TASKS} a model can have")]
    TooManyTasks(String),
    /// A task that the network does not have.
    #[error("expected labels of {known}, got one of {task:?}")]
    UnknownTask {
        /// The task.
        task: String,
        /// What there is.
        known: String,
    },
    /// A label of the record, where items have them.
    #[error("expected labels in the items of the list {0:?}, got one of the record")]
    LabelOfRecord(String),
}

/// Results of a call to [`Learner::process`], reused.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    /// One per row of the range, in order.
    pub rows: Vec<Outcome>,
    /// Predictions of all rows; see [`Outcome::Scored`].
    pub predictions: Vec<f32>,
    /// The same before they were rounded to f32, if it is some when records are processed; of a network they are those of f32.
    pub exact: Option<Vec<f64>>,
    /// Task names, if labels are per task; a row with k predictions has the first k.
    pub tasks: Option<Arc<[String]>>,
    /// The first rows, as many as came before the first label of all: nobody could know then whether labels are per
    /// task, so their one prediction has no task's name even where [`Outcomes::tasks`] has names.
    pub unnamed: usize,
    /// Whether a record has predictions for each item of a list, `[items, tasks]`, rather than its own, `[tasks]`.
    pub items: bool,
    /// What the predictions of a record, or of an item, are worth together, in the order of `predictions`; empty if the model
    /// does not say.
    pub values: Vec<f32>,
    /// By row, what of a network [is watched](Learner::watch); empty if nothing is.
    pub watched: Vec<Watched>,
}

impl Outcomes {
    /// The predictions of row `index` as exactly as they are known; none if it was rejected.
    pub fn exact_row(&self, index: usize) -> Vec<f64> {
        let Some(Outcome::Scored { predictions, .. }) = self.rows.get(index) else { return Vec::new() };
        let exact = self.exact.as_ref().and_then(|exact| exact.get(predictions.clone()));
        let rounded = || self.predictions.get(predictions.clone()).unwrap_or_default();
        exact.map_or_else(|| rounded().iter().copied().map(f64::from).collect(), <[f64]>::to_vec)
    }

    /// The predictions of row `index`; none if it was rejected.
    pub fn row(&self, index: usize) -> Option<Predicted<'_>> {
        let Some(Outcome::Scored { number, predictions }) = self.rows.get(index) else { return None };
        // Before the first label there are no names yet.
        let tasks = self.tasks.as_deref().filter(|_| index >= self.unnamed);
        let width = tasks.map_or(1, <[String]>::len).max(1);
        let values = predictions.start / width..predictions.end / width;
        let values = self.values.get(values).unwrap_or_default();
        let predictions = self.predictions.get(predictions.clone()).unwrap_or_default();
        let watched = self.watched.get(index);
        Some(Predicted { number: *number, tasks, predictions, items: self.items, values, watched })
    }
}

/// What a network computed for a record on its way to the predictions, by name.
pub type Watched = BTreeMap<String, Vec<f32>>;

/// What was predicted for a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted<'a> {
    /// The record's number among the good ones, from 0.
    pub number: u64,
    /// Names of the tasks, if labels are per task.
    pub tasks: Option<&'a [String]>,
    /// One a task, or `[items, tasks]`.
    pub predictions: &'a [f32],
    /// Whether they are those of items.
    pub items: bool,
    /// What they are worth together: one, or `[items]`; empty if the model does not say.
    pub values: &'a [f32],
    /// What of the network is watched.
    pub watched: Option<&'a Watched>,
}

/// Consecutive rows of a batch of declared fields.
#[derive(Debug, Clone)]
pub struct Piece<'a> {
    /// The batch.
    pub batch: &'a FieldBatch,
    /// Its rows.
    pub rows: Range<usize>,
}

/// Whether labels are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Predict, note how good that was, then learn.
    Learn,
    /// Learn records seen before, in a further pass: figures and record numbers are those of the first.
    Again,
    /// Predict only; nothing changes but the record count.
    Predict,
}

struct Task {
    name: Option<String>,
    validation: Validation,
}

/// See the [module](self).
pub struct Learner {
    options: LearnerOptions,
    shape: LabelShape,
    tasks: Vec<Task>,
    names: Option<Arc<[String]>>,
    counters: Counters,
    /// Whether learning curves are kept.
    traces: bool,
    heads: Heads,
    #[cfg(feature = "network")]
    network: Option<Box<network::NetworkArm>>,
}

/// Calls its second argument with each weight of a row.
type WeightsOf<'a> = Box<dyn Fn(&[f32], &mut dyn FnMut(f32)) + 'a>;

/// Rows of a batch, and what to do with them.
struct Work<'a> {
    batch: &'a Batch,
    range: Range<usize>,
    mode: Mode,
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learner").field("options", &self.options).field("state", &self.state()).finish()
    }
}

impl Learner {
    /// A learner that has learned nothing.
    pub fn new(options: LearnerOptions) -> Result<Self, LearnerError> {
        let tasks = if options.tasks.is_empty() {
            vec![None]
        } else {
            options.tasks.iter().cloned().map(Some).collect()
        };
        let shape = if options.tasks.is_empty() { LabelShape::Unknown } else { LabelShape::Tasks };
        Self::with(options, LearnerState { shape, tasks, counters: Counters::default() })
    }

    /// A learner with `state` and the dense vectors that [`Learner::vectors`] returned; its tables are still to be
    /// filled.
    pub fn restore(
        options: LearnerOptions,
        state: LearnerState,
        vectors: &BTreeMap<String, Vec<f64>>,
    ) -> Result<Self, LearnerError> {
        let mut learner = Self::with(options, state)?;
        learner.heads.restore(vectors)?;
        learner.restore_figures(vectors)?;
        Ok(learner)
    }

    fn restore_figures(&mut self, vectors: &BTreeMap<String, Vec<f64>>) -> Result<(), LearnerError> {
        for (index, task) in self.tasks.iter_mut().enumerate() {
            let figures = format!("validation.{index}");
            if !vectors.get(&figures).is_some_and(|state| task.validation.restore(state)) {
                return Err(LearnerError::State(figures));
            }
        }
        Ok(())
    }

    fn with(options: LearnerOptions, state: LearnerState) -> Result<Self, LearnerError> {
        if state.tasks.len() > MAX_TASKS {
            return Err(LearnerError::TooManyTasks(state.tasks.len()));
        }
        let mut learner = Self::empty(options, state.shape, state.counters);
        for name in state.tasks {
            learner.add_task(name)?;
        }
        Ok(learner)
    }

    fn empty(options: LearnerOptions, shape: LabelShape, counters: Counters) -> Self {
        Self {
            options,
            shape,
            tasks: Vec::new(),
            names: None,
            counters,
            traces: false,
            heads: Heads::default(),
            #[cfg(feature = "network")]
            network: None,
        }
    }

    fn add_task(&mut self, name: Option<String>) -> Result<(), LearnerError> {
        self.heads.add(&self.options)?;
        self.name_task(name);
        Ok(())
    }

    fn name_task(&mut self, name: Option<String>) {
        let mut validation = Validation::new(self.options.loss);
        if self.traces {
            validation.trace();
        }
        self.tasks.push(Task { name, validation });
        self.names = self.tasks.iter().map(|task| task.name.clone()).collect();
    }

    /// The options it was made with.
    pub fn options(&self) -> &LearnerOptions {
        &self.options
    }

    /// Counts over the model's whole life.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Numbers records from 0 again: for another stream that is only predicted.
    pub fn forget_records(&mut self) {
        self.counters.records = 0;
    }

    /// The number of the next record: after predictions that are to leave no trace.
    #[cfg(feature = "pipeline")]
    pub(crate) fn renumber(&mut self, next: u64) {
        self.counters.records = next;
    }

    /// Task names in order; one `None` for a single label.
    pub fn task_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.tasks.iter().map(|task| task.name.as_deref())
    }

    /// Figures of each task over the model's life and over the last window, in the order of
    /// [`Learner::task_names`].
    pub fn reports(&self) -> impl Iterator<Item = (Report, Report)> {
        self.tasks.iter().map(|task| (task.validation.report(), task.validation.window()))
    }

    /// Keeps a learning curve of each task from now on; see [`Validation::trace`]. What is learned stays the same.
    pub fn trace(&mut self) {
        self.traces = true;
        self.tasks.iter_mut().for_each(|task| task.validation.trace());
    }

    /// Each task's learning curve, in the order of [`Learner::task_names`]; see [`Validation::curve`].
    pub fn curves(&self) -> impl Iterator<Item = Vec<CurvePoint>> {
        self.tasks.iter().map(|task| task.validation.curve())
    }

    /// Each task's predictions beside labels, over the model's life and the last window; see [`Validation::calibration`].
    pub fn calibrations(&self, edges: &[f64]) -> impl Iterator<Item = [Vec<CalibrationBin>; 2]> {
        self.tasks.iter().map(move |task| task.validation.calibration(edges))
    }

    /// Writes the rows that have moved on a device to the tables. Whoever reads them through the learner has that done for him; what he
    /// does not hear of is an error. Nothing to do for a learner whose rows are on no device.
    ///
    /// # Errors
    /// The device failed.
    pub fn write_back(&self) -> Result<(), LearnerError> {
        #[cfg(feature = "network")]
        if let Some(network) = &self.network {
            return network.write_back();
        }
        Ok(())
    }

    /// The tables with the names they are stored under: one a task, or those of the fields. Of a learner on a device they are as they are
    /// now, and learning moves them no further: to be asked for again by whoever reads later.
    pub fn tables(&self) -> Vec<(String, &Arc<Table>)> {
        #[cfg(feature = "network")]
        if let Some(network) = &self.network {
            return network.tables();
        }
        self.heads.tables()
    }

    /// Names of the tables as the declared fields have them; empty where each task has one.
    pub fn table_names(&self) -> Vec<String> {
        #[cfg(feature = "network")]
        if let Some(network) = &self.network {
            return network.table_names();
        }
        Vec::new()
    }

    /// State beside tables and vectors.
    pub fn state(&self) -> LearnerState {
        let tasks = self.tasks.iter().map(|task| task.name.clone()).collect();
        LearnerState { shape: self.shape, tasks, counters: self.counters }
    }

    /// Dense state by name, exact.
    pub fn vectors(&self) -> BTreeMap<String, Vec<f64>> {
        let tasks = self.tasks.iter().enumerate();
        let figures = tasks.map(|(index, task)| (format!("validation.{index}"), task.validation.state()));
        let mut vectors = self.heads.vectors();
        #[cfg(feature = "network")]
        vectors.extend(self.network.iter().flat_map(|network| network.vectors()));
        vectors.extend(figures);
        vectors
    }

    /// Length of an embedding; 0 if the head has none.
    pub fn dim(&self) -> usize {
        self.heads.dim()
    }

    /// Sums of the learned embeddings of `batch`, `[rows, dim]`, of the first task.
    pub fn embed(&mut self, batch: &Batch) -> Vec<f32> {
        self.heads.embed(batch)
    }

    /// Weights of the touched rows of table `index`, for norms: calls `visit` with each.
    pub fn for_each_weight(&self, index: usize, mut visit: impl FnMut(f32)) {
        if let Some((table, weights)) = self.weights(index) {
            table.for_each_touched(|_, row| weights(row, &mut visit));
        }
    }

    /// Norms (L2) of the weights of some touched rows of table `index`: of those of stripe `place.0`, `most` at most, from a slot on
    /// that `place.1` chooses. The stripe is locked meanwhile. A row of a head counts by its weight, a network's by its vector.
    pub fn sample_norms(&self, index: usize, place: (usize, usize), most: usize, mut visit: impl FnMut(f32)) {
        let Some((table, weights)) = self.weights(index) else { return };
        table.sample_touched(place, most, |row| {
            let mut squares = 0.0;
            weights(row, &mut |weight| squares += f64::from(weight) * f64::from(weight));
            visit(squares.sqrt() as f32);
        });
    }

    /// The weight of a feature in these rows of table `index`: their sum, or of a network the length of the sum of their vectors. Of
    /// the first task. 0 where nothing was learned.
    pub fn feature_weight(&self, index: usize, slots: &[u32]) -> f64 {
        let mut sums: Vec<f64> = Vec::new();
        for &slot in slots {
            let weights = self.row_weights(index, slot);
            sums.resize(weights.len().max(sums.len()), 0.0);
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += f64::from(weight));
        }
        match sums.as_slice() {
            [one] => *one,
            all => all.iter().map(|weight| weight * weight).sum::<f64>().sqrt(),
        }
    }

    /// What a row of table `index` adds to [`Learner::for_each_weight`]'s sum of magnitudes.
    pub fn row_mass(&self, index: usize, slot: u32) -> f64 {
        self.row_weights(index, slot).into_iter().map(|weight| f64::from(weight.abs())).sum()
    }

    /// The weights of a row; none of one that the table does not have.
    fn row_weights(&self, index: usize, slot: u32) -> Vec<f32> {
        let mut all = Vec::new();
        if let Some((table, weights)) = self.weights(index)
            && let Some(row) = table.copied(Slot(slot))
        {
            weights(&row, &mut |weight| all.push(weight));
        }
        all
    }

    /// Table `index`, and what its rows weigh.
    fn weights(&self, index: usize) -> Option<(&Table, WeightsOf<'_>)> {
        #[cfg(feature = "network")]
        if let Some(network) = &self.network {
            return network.weights(index);
        }
        self.heads.weights(index)
    }

    /// How many records are learned together, counted from the first: 1 but for networks.
    pub fn batch(&self) -> usize {
        #[cfg(feature = "network")]
        if let Some(network) = &self.network {
            return network.batch();
        }
        1
    }

    /// What a network computes under these names comes with the predictions of every record from now on; another forward pass
    /// each. Nothing of the model changes.
    pub fn watch(&mut self, names: &[String]) {
        #[cfg(feature = "network")]
        if let Some(network) = &mut self.network {
            network.watch(names);
        }
        let _ = names;
    }

    /// Whether it takes declared fields.
    pub fn is_network(&self) -> bool {
        #[cfg(feature = "network")]
        return self.network.is_some();
        #[cfg(not(feature = "network"))]
        false
    }

    /// Takes the rows of `range` in order: predicts each, then learns it if `mode` says so. `outcomes` is replaced.
    ///
    /// # Errors
    /// No memory for another task. A network, which takes [declared fields](Learner::process_fields).
    pub fn process(
        &mut self,
        batch: &Batch,
        range: Range<usize>,
        mode: Mode,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        let range = range.start.min(batch.len())..range.end.min(batch.len());
        if self.is_network() {
            return Err(LearnerError::Fields);
        }
        outcomes.rows.clear();
        outcomes.values.clear();
        outcomes.watched.clear();
        (outcomes.unnamed, outcomes.items) = (0, false);
        self.heads.known.clear();
        let mut total = 0;
        for row in range.clone() {
            let outcome = match self.admit(batch, row, mode)? {
                Some(rejection) => Outcome::Rejected(rejection),
                None => self.number(self.tasks.len(), &mut total, mode),
            };
            let known = if matches!(outcome, Outcome::Scored { .. }) { self.tasks.len() } else { 0 };
            self.heads.known.push(known);
            outcomes.rows.push(outcome);
            outcomes.unnamed += usize::from(self.shape == LabelShape::Unknown);
        }
        outcomes.predictions.clear();
        outcomes.predictions.resize(total, 0.0);
        if let Some(exact) = &mut outcomes.exact {
            exact.clear();
            exact.resize(total, 0.0);
        }
        outcomes.tasks = if self.shape == LabelShape::Tasks { self.names.clone() } else { None };
        let work = Work { batch, range: range.clone(), mode };
        for (index, task) in self.tasks.iter_mut().enumerate() {
            self.counters.dropped_steps += self.heads.run(index, task, &work, outcomes);
        }
        if mode != Mode::Predict {
            self.count(batch, range, outcomes);
        }
        Ok(())
    }

    /// Takes the records of `pieces` in order: predicts and learns them batch by batch, the first of which begins with the first
    /// record and the last of which may be shorter. `outcomes` is replaced.
    ///
    /// # Errors
    /// A model that is no network. What a network refuses in spite of having been tried out.
    pub fn process_fields(
        &mut self,
        pieces: &[Piece<'_>],
        mode: Mode,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        #[cfg(feature = "network")]
        return self.process_by_network(pieces, mode, outcomes);
        #[cfg(not(feature = "network"))]
        {
            let _ = (pieces, mode, outcomes);
            Err(LearnerError::Features)
        }
    }

    /// What a network was declared with that no record so far has had, in words; none of heads, which declare nothing. To be asked
    /// after some records of a model's life.
    pub fn unseen(&self) -> Option<String> {
        #[cfg(feature = "network")]
        return self.unseen_by_network();
        #[cfg(not(feature = "network"))]
        None
    }

    /// Why a record cannot be taken, as far as the record alone says: such a one changes nothing and is no part of a batch. Heads
    /// refuse by what came before, so only networks say something here.
    pub fn refused(&self, records: &Batch, row: usize, mode: Mode) -> Option<Rejection> {
        #[cfg(feature = "network")]
        return self.refused_by_network(records, row, mode);
        #[cfg(not(feature = "network"))]
        {
            let _ = (records, row, mode);
            None
        }
    }

    /// Gives a good record its number, and its place for the predictions of `tasks`.
    fn number(&mut self, tasks: usize, total: &mut usize, mode: Mode) -> Outcome {
        let predictions = *total..*total + tasks;
        *total = predictions.end;
        let number = self.counters.records;
        self.counters.records += u64::from(mode != Mode::Again);
        Outcome::Scored { number, predictions }
    }

    /// Checks a row's labels against the model's shape, and takes up the tasks it names.
    fn admit(&mut self, batch: &Batch, row: usize, mode: Mode) -> Result<Option<Rejection>, LearnerError> {
        if mode == Mode::Predict {
            return Ok(None);
        }
        if let Some(rejection) = self.refuse(batch, row) {
            return Ok(Some(rejection));
        }
        for target in batch.targets(row) {
            let name = task_name(batch, target.task);
            match (self.shape, name) {
                (LabelShape::Unknown, None) => self.shape = LabelShape::Single,
                (LabelShape::Unknown, Some(_)) => {
                    self.shape = LabelShape::Tasks;
                    self.tasks.clear();
                    self.heads.arms.clear();
                }
                _ => {}
            }
            if let Some(name) = name.filter(|name| self.task(name).is_none()) {
                self.add_task(Some(name.clone()))?;
            }
        }
        Ok(None)
    }

    /// Why a row cannot be learned, before anything is changed for it: a bad record leaves the model as it was.
    fn refuse(&self, batch: &Batch, row: usize) -> Option<Rejection> {
        let mut tasks = if self.shape == LabelShape::Unknown { 0 } else { self.tasks.len() };
        for target in batch.targets(row) {
            match (self.shape, task_name(batch, target.task)) {
                (LabelShape::Tasks, None) => return Some(Rejection::SingleLabel),
                (LabelShape::Single, Some(_)) => return Some(Rejection::TaskLabels),
                (_, Some(name)) if self.task(name).is_none() => {
                    tasks += 1;
                    if tasks > MAX_TASKS {
                        return Some(Rejection::TooManyTasks(name.clone()));
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn task(&self, name: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.name.as_deref() == Some(name))
    }

    fn count(&mut self, batch: &Batch, range: Range<usize>, outcomes: &Outcomes) {
        for (row, outcome) in range.zip(&outcomes.rows) {
            let scored = matches!(outcome, Outcome::Scored { .. });
            if scored && batch.weight(row) > 0.0 && !batch.targets(row).is_empty() {
                self.counters.examples += 1;
                self.counters.features += batch.row(row).len() as u64;
            }
        }
    }
}

fn task_name(batch: &Batch, task: Option<u32>) -> Option<&String> {
    batch.task_names().get(task? as usize)
}

/// Takes up what task `index` predicted for rows of a piece of work: into its figures and into `outcomes`.
fn note(
    validation: &mut Validation,
    index: usize,
    work: &Work<'_>,
    scored: impl Iterator<Item = (Job, f64)> + Clone,
    outcomes: &mut Outcomes,
) {
    if work.mode == Mode::Learn {
        let learned = scored.clone().filter_map(|(job, prediction)| {
            let Lesson { label, weight } = job.lesson?;
            Some((prediction, f64::from(label), f64::from(weight)))
        });
        validation.add_all(learned);
    }
    for (job, prediction) in scored {
        if let Some(Outcome::Scored { predictions, .. }) = outcomes.rows.get(job.row - work.range.start) {
            let at = predictions.start + index;
            outcomes.predictions[at] = prediction as f32;
            if let Some(exact) = outcomes.exact.as_mut().and_then(|exact| exact.get_mut(at)) {
                *exact = prediction;
            }
        }
    }
}

/// The lesson that `row` holds for the task `name`, if any, and if `mode` learns.
fn lesson(batch: &Batch, row: usize, name: Option<&str>, mode: Mode) -> Option<Lesson> {
    if mode == Mode::Predict {
        return None;
    }
    let weight = batch.weight(row);
    let is_named = |target: &&Target| task_name(batch, target.task).map(String::as_str) == name;
    let target = batch.targets(row).iter().find(is_named)?;
    (weight > 0.0).then_some(Lesson { label: target.value, weight })
}

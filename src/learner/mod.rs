//! Joins table and model: predict, then learn.
//!
//! A [`Learner`] takes hashed batches, record by record in their order: it predicts with what it knows, notes how
//! good that was ([`validation`]), then learns the label at once. A task (a named label) has a table, a head and
//! figures of its own; tasks appear with the first record that names them. Everything it knows is in its tables and
//! in a small state that can be taken out and put back exactly, so that a restart continues bit for bit.

mod arm;
mod build;
mod copies;
mod options;
mod replica;
pub mod validation;

pub use options::{HeadKind, LearnerError, LearnerOptions, Learning};
pub use replica::{Learned, Replica};
pub use validation::{Figures, Report, Validation};

use crate::batch::{Batch, Target};
use crate::table::Table;
use arm::{Arm, Job, Lesson};
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
        /// Its predictions in [`Outcomes::predictions`], one a task known by then.
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
}

/// Results of a call to [`Learner::process`], reused.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    /// One per row of the range, in order.
    pub rows: Vec<Outcome>,
    /// Predictions of all rows; see [`Outcome::Scored`].
    pub predictions: Vec<f32>,
    /// Task names, if labels are per task; a row with k predictions has the first k.
    pub tasks: Option<Arc<[String]>>,
    /// The first rows, as many as came before the first label of all: nobody could know then whether labels are per
    /// task, so their one prediction has no task's name even where [`Outcomes::tasks`] has names.
    pub unnamed: usize,
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
    arm: Box<dyn Arm>,
    validation: Validation,
}

/// See the [module](self).
pub struct Learner {
    options: LearnerOptions,
    shape: LabelShape,
    tasks: Vec<Task>,
    names: Option<Arc<[String]>>,
    counters: Counters,
    scratch: Scratch,
}

/// Rows of a batch, and what to do with them.
struct Work<'a> {
    batch: &'a Batch,
    range: Range<usize>,
    mode: Mode,
}

#[derive(Default)]
struct Scratch {
    /// Tasks known at each row of the range; 0: rejected.
    known: Vec<usize>,
    jobs: Vec<Job>,
    predictions: Vec<f64>,
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
        for (index, task) in learner.tasks.iter_mut().enumerate() {
            let head = format!("head.{index}");
            if !vectors.get(&head).is_some_and(|state| task.arm.restore(state)) {
                return Err(LearnerError::State(head));
            }
            let figures = format!("validation.{index}");
            if !vectors.get(&figures).is_some_and(|state| task.validation.restore(state)) {
                return Err(LearnerError::State(figures));
            }
        }
        Ok(learner)
    }

    fn with(options: LearnerOptions, state: LearnerState) -> Result<Self, LearnerError> {
        if state.tasks.len() > MAX_TASKS {
            return Err(LearnerError::TooManyTasks(state.tasks.len()));
        }
        let (shape, counters, scratch) = (state.shape, state.counters, Scratch::default());
        let mut learner = Self { options, shape, tasks: Vec::new(), names: None, counters, scratch };
        for name in state.tasks {
            learner.add_task(name)?;
        }
        Ok(learner)
    }

    fn add_task(&mut self, name: Option<String>) -> Result<(), LearnerError> {
        let arm = build::arm(&self.options)?;
        self.tasks.push(Task { name, arm, validation: Validation::new(self.options.loss) });
        self.names = self.tasks.iter().map(|task| task.name.clone()).collect();
        Ok(())
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

    /// Task names in order; one `None` for a single label.
    pub fn task_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.tasks.iter().map(|task| task.name.as_deref())
    }

    /// Figures of each task over the model's life and over the last window, in the order of
    /// [`Learner::task_names`].
    pub fn reports(&self) -> impl Iterator<Item = (Report, Report)> {
        self.tasks.iter().map(|task| (task.validation.report(), task.validation.window()))
    }

    /// The tables, in the order of tasks, with the names they are stored under.
    pub fn tables(&self) -> impl Iterator<Item = (String, &Arc<Table>)> {
        self.tasks.iter().enumerate().map(|(index, task)| (format!("task{index}"), task.arm.table()))
    }

    /// State beside tables and vectors.
    pub fn state(&self) -> LearnerState {
        let tasks = self.tasks.iter().map(|task| task.name.clone()).collect();
        LearnerState { shape: self.shape, tasks, counters: self.counters }
    }

    /// Dense state by name, exact.
    pub fn vectors(&self) -> BTreeMap<String, Vec<f64>> {
        let tasks = self.tasks.iter().enumerate();
        let vectors = tasks.flat_map(|(index, task)| {
            [
                (format!("head.{index}"), task.arm.state()),
                (format!("validation.{index}"), task.validation.state()),
            ]
        });
        vectors.collect()
    }

    /// Length of an embedding; 0 if the head has none.
    pub fn dim(&self) -> usize {
        self.tasks.first().map_or(0, |task| task.arm.dim())
    }

    /// Sums of the learned embeddings of `batch`, `[rows, dim]`, of the first task.
    pub fn embed(&mut self, batch: &Batch) -> Vec<f32> {
        let dim = self.dim();
        let mut out = vec![0.0; batch.len() * dim];
        if let Some(task) = self.tasks.first_mut().filter(|_| dim > 0) {
            for (index, out) in out.chunks_mut(dim).enumerate() {
                task.arm.embed(batch.row(index), out);
            }
        }
        out
    }

    /// Weights of the touched rows of task `index`, for norms: calls `visit` with each.
    pub fn for_each_weight(&self, index: usize, mut visit: impl FnMut(f32)) {
        if let Some(task) = self.tasks.get(index) {
            task.arm.table().for_each_touched(|_, row| visit(task.arm.weight(row)));
        }
    }

    /// Takes the rows of `range` in order: predicts each, then learns it if `mode` says so. `outcomes` is replaced.
    pub fn process(
        &mut self,
        batch: &Batch,
        range: Range<usize>,
        mode: Mode,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        let range = range.start.min(batch.len())..range.end.min(batch.len());
        outcomes.rows.clear();
        outcomes.unnamed = 0;
        self.scratch.known.clear();
        let mut total = 0;
        for row in range.clone() {
            let outcome = match self.admit(batch, row, mode)? {
                Some(rejection) => Outcome::Rejected(rejection),
                None => self.number(self.tasks.len(), &mut total, mode),
            };
            let known = if matches!(outcome, Outcome::Scored { .. }) { self.tasks.len() } else { 0 };
            self.scratch.known.push(known);
            outcomes.rows.push(outcome);
            outcomes.unnamed += usize::from(self.shape == LabelShape::Unknown);
        }
        outcomes.predictions.clear();
        outcomes.predictions.resize(total, 0.0);
        outcomes.tasks = if self.shape == LabelShape::Tasks { self.names.clone() } else { None };
        for task in 0..self.tasks.len() {
            self.run_task(task, &Work { batch, range: range.clone(), mode }, outcomes);
        }
        if mode != Mode::Predict {
            self.count(batch, range, outcomes);
        }
        Ok(())
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

    fn run_task(&mut self, index: usize, work: &Work<'_>, outcomes: &mut Outcomes) {
        let Scratch { known, jobs, predictions } = &mut self.scratch;
        let Some(task) = self.tasks.get_mut(index) else { return };
        jobs.clear();
        predictions.clear();
        let name = task.name.as_deref();
        let rows = work.range.clone().zip(known.iter()).filter(|(_, known)| **known > index);
        jobs.extend(rows.map(|(row, _)| Job { row, lesson: lesson(work.batch, row, name, work.mode) }));
        task.arm.run(work.batch, jobs, predictions);
        let scored = jobs.iter().copied().zip(predictions.iter().copied());
        note(&mut task.validation, index, work, scored, outcomes);
        self.counters.dropped_steps += task.arm.take_dropped();
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
            outcomes.predictions[predictions.start + index] = prediction as f32;
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

//! Several learners of one model.
//!
//! A [`Replica`] shares the model's rows and has a copy of its heads: it learns batches of its own on a thread of its own
//! ([`Replica::learn`]), and the model takes the results in the order of the input ([`Learner::settle`]), so that record numbers,
//! figures and prediction lines are those of one stream. From time to time, and before every checkpoint, the heads are joined
//! ([`Learner::merge`]). A batch that changes the shape of the model (the first label, a new task) or breaks it is left to the
//! model itself.

use super::arm::{Arm, Job};
use super::{LabelShape, Learner, LearnerError, Mode, Outcomes, Work, lesson, note, task_name};
use crate::batch::Batch;

/// A learner beside others: it shares the rows of the [`Learner`] it was made of and has a copy of its heads. Rows may be learned by
/// several replicas at once, each on a thread of its own.
pub struct Replica {
    shape: LabelShape,
    names: Vec<Option<String>>,
    arms: Vec<Box<dyn Arm>>,
    jobs: Vec<Job>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("shape", &self.shape)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What a replica made of a batch; reused.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    shape: LabelShape,
    /// Of each task, for every row: `[tasks, rows]`.
    predictions: Vec<f64>,
    tasks: usize,
    dropped: u64,
}

impl Replica {
    /// Predicts the rows of `batch` in order, and learns each at once if `mode` says so. `false`: the batch is not one for a
    /// replica, and nothing was done; give it to [`Learner::process`].
    pub fn learn(&mut self, batch: &Batch, mode: Mode, learned: &mut Learned) -> bool {
        if mode != Mode::Predict && !(0..batch.len()).all(|row| self.fits(batch, row)) {
            return false;
        }
        (learned.shape, learned.tasks, learned.dropped) = (self.shape, self.arms.len(), 0);
        learned.predictions.clear();
        for (arm, name) in self.arms.iter_mut().zip(&self.names) {
            self.jobs.clear();
            self.jobs.extend(jobs(batch, name.as_deref(), mode));
            arm.run(batch, &self.jobs, &mut learned.predictions);
            learned.dropped += arm.take_dropped();
        }
        true
    }

    pub(super) fn arms(&self) -> &[Box<dyn Arm>] {
        &self.arms
    }

    /// Whether a row's labels are those that the model has heads for.
    fn fits(&self, batch: &Batch, row: usize) -> bool {
        batch.targets(row).iter().all(|target| match (self.shape, task_name(batch, target.task)) {
            (LabelShape::Single, None) => true,
            (LabelShape::Tasks, Some(task)) => self.names.iter().flatten().any(|name| name == task),
            _ => false,
        })
    }
}

/// All rows of a batch, with what task `name` learns from each.
fn jobs(batch: &Batch, name: Option<&str>, mode: Mode) -> impl Iterator<Item = Job> + Clone {
    (0..batch.len()).map(move |row| Job { row, lesson: lesson(batch, row, name, mode) })
}

impl Learner {
    /// One of `learners` replicas, as the model is now.
    pub fn replica(&self, learners: usize) -> Replica {
        Replica {
            shape: self.shape,
            names: self.tasks.iter().map(|task| task.name.clone()).collect(),
            arms: self.heads.arms.iter().map(|arm| arm.apart(learners)).collect(),
            jobs: Vec::new(),
        }
    }

    /// Joins what replicas, made together of this model, have learned since. They are spent: make new ones.
    pub fn merge(&mut self, replicas: &[&Replica]) {
        for (index, arm) in self.heads.arms.iter_mut().enumerate() {
            let heads: Vec<_> =
                replicas.iter().filter_map(|replica| Some(replica.arms.get(index)?.head())).collect();
            arm.merge(&heads);
        }
    }

    /// Takes up what a replica made of `batch`, as [`Learner::process`] would have: record numbers, figures, counts;
    /// `outcomes` is replaced. A batch that came before the model took its shape is processed here and now.
    pub fn settle(
        &mut self,
        batch: &Batch,
        learned: &Learned,
        mode: Mode,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        if learned.shape != self.shape && mode != Mode::Predict {
            return self.process(batch, 0..batch.len(), mode, outcomes);
        }
        let tasks = learned.tasks.min(self.tasks.len());
        outcomes.values.clear();
        outcomes.watched.clear();
        outcomes.items = false;
        outcomes.unnamed = if self.shape == LabelShape::Unknown { batch.len() } else { 0 };
        outcomes.tasks = if self.shape == LabelShape::Tasks { self.names.clone() } else { None };
        let mut total = 0;
        outcomes.rows.clear();
        outcomes.rows.extend((0..batch.len()).map(|_| self.number(tasks, &mut total, mode)));
        outcomes.predictions.clear();
        outcomes.predictions.resize(total, 0.0);
        let work = Work { batch, range: 0..batch.len(), mode };
        let of_tasks = learned.predictions.chunks_exact(batch.len().max(1));
        for (index, (task, predictions)) in self.tasks.iter_mut().zip(of_tasks).enumerate() {
            let scored = jobs(batch, task.name.as_deref(), mode).zip(predictions.iter().copied());
            note(&mut task.validation, index, &work, scored, outcomes);
        }
        self.counters.dropped_steps += learned.dropped;
        if mode != Mode::Predict {
            self.count(batch, 0..batch.len(), outcomes);
        }
        Ok(())
    }
}

//! The heads of a learner: for each task a table, a rule for its rows and a prediction function on their sums.

use super::arm::{Arm, Job};
use super::{LearnerError, LearnerOptions, Outcomes, Task, WeightsOf, Work, build, lesson, note};
use crate::batch::Batch;
use crate::table::Table;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One arm a task, in the order of tasks.
#[derive(Default)]
pub(super) struct Heads {
    pub(super) arms: Vec<Box<dyn Arm>>,
    /// Tasks known at each row of what is learned; 0: rejected.
    pub(super) known: Vec<usize>,
    jobs: Vec<Job>,
    predictions: Vec<f64>,
}

impl Heads {
    /// Of these arms.
    pub(super) fn of(arms: Vec<Box<dyn Arm>>) -> Self {
        Self { arms, ..Self::default() }
    }

    /// An arm for one more task.
    pub(super) fn add(&mut self, options: &LearnerOptions) -> Result<(), LearnerError> {
        self.arms.push(build::arm(options)?);
        Ok(())
    }

    pub(super) fn restore(&mut self, vectors: &BTreeMap<String, Vec<f64>>) -> Result<(), LearnerError> {
        for (index, arm) in self.arms.iter_mut().enumerate() {
            let name = format!("head.{index}");
            if !vectors.get(&name).is_some_and(|state| arm.restore(state)) {
                return Err(LearnerError::State(name));
            }
        }
        Ok(())
    }

    pub(super) fn vectors(&self) -> BTreeMap<String, Vec<f64>> {
        let arms = self.arms.iter().enumerate();
        arms.map(|(index, arm)| (format!("head.{index}"), arm.state())).collect()
    }

    pub(super) fn tables(&self) -> Vec<(String, &Arc<Table>)> {
        let arms = self.arms.iter().enumerate();
        arms.map(|(index, arm)| (format!("task{index}"), arm.table())).collect()
    }

    pub(super) fn dim(&self) -> usize {
        self.arms.first().map_or(0, |arm| arm.dim())
    }

    pub(super) fn embed(&mut self, batch: &Batch) -> Vec<f32> {
        let dim = self.dim();
        let mut out = vec![0.0; batch.len() * dim];
        if let Some(arm) = self.arms.first_mut().filter(|_| dim > 0) {
            for (index, out) in out.chunks_mut(dim).enumerate() {
                arm.embed(batch, index, out);
            }
        }
        out
    }

    /// A task's table, and what a row of it weighs: one weight.
    pub(super) fn weights(&self, index: usize) -> Option<(&Table, WeightsOf<'_>)> {
        let arm = self.arms.get(index)?;
        Some((arm.table().as_ref(), Box::new(|row, visit| visit(arm.weight(row)))))
    }

    /// Predicts and learns the rows of `work` for task `index`; returns how many row updates were dropped.
    pub(super) fn run(
        &mut self,
        index: usize,
        task: &mut Task,
        work: &Work<'_>,
        outcomes: &mut Outcomes,
    ) -> u64 {
        let Self { arms, known, jobs, predictions } = self;
        let Some(arm) = arms.get_mut(index) else { return 0 };
        jobs.clear();
        predictions.clear();
        let name = task.name.as_deref();
        let rows = work.range.clone().zip(known.iter()).filter(|(_, known)| **known > index);
        jobs.extend(rows.map(|(row, _)| Job { row, lesson: lesson(work.batch, row, name, work.mode) }));
        arm.run(work.batch, jobs, predictions);
        let scored = jobs.iter().copied().zip(predictions.iter().copied());
        note(&mut task.validation, index, work, scored, outcomes);
        arm.take_dropped()
    }
}

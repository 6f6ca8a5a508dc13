//! Predictions beside a learner that goes on learning.
//!
//! A [`Viewer`] shares the rows of the [`Learner`] it was made of and has copies of all else as it was then: heads, or a network's
//! dense parameters. It predicts with the rows as they are by now, each as it was at one moment, and learns nothing: neither the model
//! nor what it learns depends on whether there is one. Rows come by [`RowReader`](crate::table::RowReader), so that no learner waits
//! for it.

use super::arm::Arm;
use super::heads::Heads;
use super::{Counters, Learner, LearnerError, Mode, Outcomes, Piece, Replica, Task, Validation};
use crate::batch::Batch;
use crate::model::Loss;
use std::ops::Range;

/// Predicts beside a learner that goes on learning. For one thread at a time; [`Viewer::again`] makes another.
#[derive(Debug)]
pub struct Viewer(Learner);

impl Viewer {
    /// Another one of the same model, as it was when this one was made.
    pub fn again(&self) -> Self {
        self.0.view()
    }

    /// Predicts the rows of `range`; `outcomes` is replaced, and numbers in it count what this viewer has predicted.
    ///
    /// # Errors
    /// A network, which takes [declared fields](Viewer::predict_fields).
    pub fn predict(
        &mut self,
        batch: &Batch,
        range: Range<usize>,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        self.0.process(batch, range, Mode::Predict, outcomes)
    }

    /// Predicts the records of `pieces`; `outcomes` is replaced.
    ///
    /// # Errors
    /// A model that is no network.
    pub fn predict_fields(
        &mut self,
        pieces: &[Piece<'_>],
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        self.0.process_fields(pieces, Mode::Predict, outcomes)
    }

    /// The learner that predicts, to be given nothing to learn.
    #[cfg(feature = "pipeline")]
    pub(crate) fn learner_mut(&mut self) -> &mut Learner {
        &mut self.0
    }

    /// Whether it takes declared fields.
    pub fn is_network(&self) -> bool {
        self.0.is_network()
    }

    /// The loss it learns by.
    pub fn loss(&self) -> Loss {
        self.0.options().loss
    }

    /// Length of an embedding; 0 if the head has none.
    pub fn dim(&self) -> usize {
        self.0.dim()
    }

    /// Sums of the learned embeddings of `batch`, `[rows, dim]`, of the first task.
    pub fn embed(&mut self, batch: &Batch) -> Vec<f32> {
        self.0.embed(batch)
    }
}

impl Learner {
    /// One that predicts beside it, with the heads as they are now.
    pub fn view(&self) -> Viewer {
        Viewer(self.viewer())
    }

    /// The same with the heads of a replica, which knows what it has learned itself.
    pub fn view_by(&self, replica: &Replica) -> Viewer {
        let mut viewer = self.viewer();
        if viewer.heads.arms.len() == replica.arms().len() {
            viewer.heads = viewing(replica.arms());
        }
        Viewer(viewer)
    }

    fn viewer(&self) -> Self {
        let Self { options, shape, tasks, names, .. } = self;
        // It notes no figures: those of this loss are the smallest.
        let task = |task: &Task| Task { name: task.name.clone(), validation: Validation::new(Loss::Squared) };
        let mut viewer = Self::empty(options.clone(), *shape, Counters::default());
        viewer.tasks = tasks.iter().map(task).collect();
        viewer.names.clone_from(names);
        viewer.heads = viewing(&self.heads.arms);
        #[cfg(feature = "network")]
        {
            viewer.network = self.network.as_ref().map(|network| Box::new(network.viewing()));
        }
        viewer
    }
}

fn viewing(arms: &[Box<dyn Arm>]) -> Heads {
    Heads::of(arms.iter().map(|arm| arm.viewing()).collect())
}

//! One score, one loss, one gradient for all rows: the head of a linear model or a factorization machine with a given
//! optimizer.

use super::{Head, Loss};
use crate::optim::{FactorSums, OptimizerOptions, PlainStep};
use std::marker::PhantomData;

/// Sums that make a score.
pub trait Score: Send {
    /// The score of the record; finite for finite rows and values.
    fn score(&self) -> f64;
}

impl Score for f64 {
    fn score(&self) -> f64 {
        *self
    }
}

impl Score for FactorSums {
    fn score(&self) -> f64 {
        FactorSums::score(self)
    }
}

/// Scores beyond this are clipped; squares of it are still finite.
const SCORE_MAX: f64 = 1e30;

/// The head under a given optimizer: the score is the sum, the step its gradient and rate.
#[derive(Debug, Clone)]
pub struct PlainHead<S> {
    loss: Loss,
    options: OptimizerOptions,
    examples: f64,
    sums: PhantomData<S>,
}

impl<S> PlainHead<S> {
    /// A head that has learned nothing.
    pub fn new(loss: Loss, options: OptimizerOptions) -> Self {
        Self { loss, options, examples: 0.0, sums: PhantomData }
    }
}

impl<S: Score> Head for PlainHead<S> {
    type Sums = S;
    type Step = PlainStep;
    type Forward = f64;

    fn examples(&self) -> f64 {
        self.examples
    }
    fn forward(&self, sums: &S) -> f64 {
        sums.score().clamp(-SCORE_MAX, SCORE_MAX)
    }
    fn prediction(&self, score: &f64) -> f64 {
        self.loss.link(*score)
    }
    fn learn(&mut self, _: &S, score: &f64, label: f32, weight: f32) -> PlainStep {
        let gradient = self.loss.gradient(*score, f64::from(label)) * f64::from(weight);
        let rate = self.options.rate_at(self.examples);
        self.examples += 1.0;
        PlainStep { gradient, rate }
    }
    fn merge(&mut self, copies: &[&Self]) {
        self.examples += copies.iter().map(|copy| copy.examples - self.examples).sum::<f64>();
    }
    fn state(&self) -> Vec<f64> {
        vec![self.examples]
    }
    fn restore(&mut self, state: &[f64]) -> bool {
        let &[examples] = state else { return false };
        self.examples = examples;
        true
    }
}

//! The textbook optimizers, one weight a row: SGD, AdaGrad, FTRL-proximal, Adam.
//!
//! An [`Optimizer`] is a pure function of one weight's state, so that the same one moves a linear weight or, many at a time,
//! the factors of a factorization machine. Regularization touches the rows of the record only (lazily), as online
//! learners do. Products are taken in f64, where no product of two finite f32 overflows; a result that f32 cannot hold
//! is dropped, and counted by the caller.

use super::{Input, OptimizerOptions, RowRule, merge};

/// How one weight moves. Its state is `N` floats, the weight or what it is derived from first.
pub trait Optimizer<const N: usize>: Copy + Send + Sync + 'static {
    /// The floats from this one on are sums of squares or counts: joined, they stay at least 0.
    const SQUARES: usize;

    /// Where a non-zero initial weight goes: it is multiplied by this.
    fn init_scale(&self) -> f64 {
        1.0
    }

    /// The weight that a state holds.
    #[inline(always)]
    fn weight(&self, state: [f32; N]) -> f32 {
        state[0]
    }

    /// The state after a step of size `rate` against `gradient`.
    fn moved(&self, state: [f32; N], gradient: f64, rate: f64) -> [f64; N];
}

/// Stochastic gradient descent.
#[derive(Debug, Clone, Copy)]
pub struct Sgd(pub OptimizerOptions);

impl Optimizer<1> for Sgd {
    const SQUARES: usize = 1;

    #[inline(always)]
    fn moved(&self, [w]: [f32; 1], gradient: f64, rate: f64) -> [f64; 1] {
        [shrink(&self.0, f64::from(w) - rate * with_l2(&self.0, gradient, w), rate)]
    }
}

/// Per-coordinate rates (Duchi, Hazan & Singer 2011): the state is the weight and the sum of squared gradients.
#[derive(Debug, Clone, Copy)]
pub struct Adagrad(pub OptimizerOptions);

impl Optimizer<2> for Adagrad {
    const SQUARES: usize = 1;

    #[inline(always)]
    fn moved(&self, [w, n]: [f32; 2], gradient: f64, rate: f64) -> [f64; 2] {
        let g = with_l2(&self.0, gradient, w);
        let sum = f64::from(n) + g * g;
        let rate = rate / (sum.sqrt() + 1e-8);
        [shrink(&self.0, f64::from(w) - rate * g, rate), sum]
    }
}

/// Follow the regularized leader, proximal (McMahan et al. 2013): the state is z and the sum of squared gradients n.
#[derive(Debug, Clone, Copy)]
pub struct Ftrl(pub OptimizerOptions);

impl Optimizer<2> for Ftrl {
    const SQUARES: usize = 1;

    /// The weight is derived from z, so it starts at −β/α · w.
    fn init_scale(&self) -> f64 {
        -(self.0.ftrl_beta / self.0.rate + self.0.l2)
    }

    #[inline(always)]
    fn weight(&self, [z, n]: [f32; 2]) -> f32 {
        let (z, n) = (f64::from(z), f64::from(n));
        let shrunk = z - self.0.l1.copysign(z);
        let weight = -shrunk / ((self.0.ftrl_beta + n.sqrt()) / self.0.rate + self.0.l2);
        let weight = weight.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        if z.abs() <= self.0.l1 { 0.0 } else { weight }
    }

    #[inline(always)]
    fn moved(&self, [z, n]: [f32; 2], gradient: f64, _: f64) -> [f64; 2] {
        let w = f64::from(self.weight([z, n]));
        let sum = f64::from(n) + gradient * gradient;
        let sigma = (sum.sqrt() - f64::from(n).sqrt()) / self.0.rate;
        [f64::from(z) + gradient - sigma * w, sum]
    }
}

/// Adam (Kingma & Ba 2015), lazily: the state is the weight, both moments and the number of its steps.
#[derive(Debug, Clone, Copy)]
pub struct Adam(pub OptimizerOptions);

impl Optimizer<4> for Adam {
    const SQUARES: usize = 2;

    #[inline(always)]
    fn moved(&self, [w, m, v, t]: [f32; 4], gradient: f64, rate: f64) -> [f64; 4] {
        let g = with_l2(&self.0, gradient, w);
        let (first, second) = (0.9 * f64::from(m) + 0.1 * g, 0.999 * f64::from(v) + 0.001 * g * g);
        let count = (f64::from(t) + 1.0).min(16_777_216.0);
        let (c1, c2) = (1.0 - libm::pow(0.9, count), 1.0 - libm::pow(0.999, count));
        let moved = f64::from(w) - rate * (first / c1) / ((second / c2).sqrt() + 1e-8);
        [shrink(&self.0, moved, rate), first, second, count]
    }
}

#[inline(always)]
fn with_l2(options: &OptimizerOptions, gradient: f64, weight: f32) -> f64 {
    gradient + options.l2 * f64::from(weight)
}

/// Soft threshold: the proximal step of `l1`.
#[inline(always)]
fn shrink(options: &OptimizerOptions, weight: f64, rate: f64) -> f64 {
    let threshold = rate * options.l1;
    let shrunk = (weight.abs() - threshold).max(0.0).copysign(weight);
    if threshold == 0.0 { weight } else { shrunk }
}

/// The state to be stored: all of `next`, or `state` as it was if f32 cannot hold one of it, and false.
#[inline(always)]
pub(super) fn stored<const N: usize>(state: [f32; N], next: [f64; N]) -> ([f32; N], bool) {
    let next = next.map(|value| value as f32);
    let finite = next.iter().fold(true, |finite, value| finite & value.is_finite());
    (std::array::from_fn(|k| if finite { next[k] } else { state[k] }), finite)
}

/// Joins states that were moved apart: differences add up; the floats from `squares` on, sums of squares, stay at least 0.
pub(super) fn merge_states(now: &mut [f32], before: &[f32], after: &[f32], squares: usize) {
    merge::add_differences(now, before, after);
    now.iter_mut().skip(squares).for_each(|state| *state = state.max(0.0));
}

/// A linear model with a given optimizer: one weight a row.
#[derive(Debug, Clone, Copy)]
pub struct Plain<O, const N: usize> {
    optimizer: O,
}

/// The loss' gradient by the score, and the step size for this record.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainStep {
    /// dL/dscore, times the record's weight.
    pub gradient: f64,
    /// Step size.
    pub rate: f64,
}

impl<O: Optimizer<N>, const N: usize> Plain<O, N> {
    /// A linear rule.
    pub fn new(optimizer: O) -> Self {
        Self { optimizer }
    }
}

impl<O: Optimizer<N>, const N: usize> RowRule for Plain<O, N> {
    /// The score, Σ x·w.
    type Sums = f64;
    type Step = PlainStep;
    type Kept = ();

    fn width(&self) -> usize {
        N
    }
    fn sums(&self) -> f64 {
        0.0
    }
    fn reset(&self, sums: &mut f64) {
        *sums = 0.0;
    }
    #[inline(always)]
    fn gather(&self, row: &[f32], input: Input, sums: &mut f64) {
        *sums += f64::from(input.x) * f64::from(self.weight(row));
    }
    fn keep(&self, _: &[f32]) {}
    #[inline(always)]
    fn update(&self, row: &mut [f32], (input, ()): (Input, ()), _: &f64, step: &PlainStep) -> bool {
        let Some(state) = row.first_chunk_mut() else { return false };
        let next = self.optimizer.moved(*state, step.gradient * f64::from(input.x), step.rate);
        let finite;
        (*state, finite) = stored(*state, next);
        finite
    }
    fn merge(&self, now: &mut [f32], before: &[f32], after: &[f32]) {
        merge_states(now, before, after, O::SQUARES);
    }
    #[inline(always)]
    fn weight(&self, row: &[f32]) -> f32 {
        row.first_chunk().map_or(0.0, |state| self.optimizer.weight(*state))
    }
}

//! The textbook optimizers, one weight a row: SGD, AdaGrad, FTRL-proximal, Adam.
//!
//! Regularization touches the rows of the record only (lazily), as online learners do. Products are taken in f64,
//! where no product of two finite f32 overflows; a result that f32 cannot hold is dropped, and counted by the caller.

use super::{Input, OptimizerKind, OptimizerOptions, RowRule, merge};

/// The state of one weight and how it moves: shared by linear weights and the factors of a factorization machine.
#[derive(Debug, Clone, Copy)]
pub struct WeightRule(OptimizerOptions);

impl WeightRule {
    /// A rule for `options`.
    pub fn new(options: OptimizerOptions) -> Self {
        Self(options)
    }

    /// Floats per weight, the weight or what it is derived from included.
    pub fn floats(&self) -> usize {
        match self.0.kind {
            OptimizerKind::Sgd => 1,
            OptimizerKind::Adagrad | OptimizerKind::Ftrl => 2,
            OptimizerKind::Adam => 4,
        }
    }

    /// Where a non-zero initial weight goes: FTRL derives its weight from `z`, so it starts at `−β/α · w`.
    pub fn init_scale(&self) -> f64 {
        match self.0.kind {
            OptimizerKind::Ftrl => -(self.0.ftrl_beta / self.0.rate + self.0.l2),
            _ => 1.0,
        }
    }

    /// The weight that `state` `[floats]` holds.
    #[inline]
    pub fn weight(&self, state: &[f32]) -> f32 {
        match (self.0.kind, state) {
            (OptimizerKind::Ftrl, &[z, n]) => self.ftrl_weight(z, n),
            (_, &[weight, ..]) => weight,
            _ => 0.0,
        }
    }

    #[inline]
    fn ftrl_weight(&self, z: f32, n: f32) -> f32 {
        let (z, n) = (f64::from(z), f64::from(n));
        if z.abs() <= self.0.l1 {
            return 0.0;
        }
        let shrunk = z - self.0.l1.copysign(z);
        let weight = -shrunk / ((self.0.ftrl_beta + n.sqrt()) / self.0.rate + self.0.l2);
        weight.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
    }

    /// Moves `state` against `gradient` with step size `rate`. `false`: the result was not finite; nothing changed.
    #[inline]
    pub fn step(&self, state: &mut [f32], gradient: f64, rate: f64) -> bool {
        match (self.0.kind, state) {
            (OptimizerKind::Sgd, [w]) => {
                let moved = self.shrink(f64::from(*w) - rate * self.with_l2(gradient, *w), rate);
                store([(w, moved)])
            }
            (OptimizerKind::Adagrad, [w, n]) => {
                let g = self.with_l2(gradient, *w);
                let sum = f64::from(*n) + g * g;
                let rate = rate / (sum.sqrt() + 1e-8);
                let moved = self.shrink(f64::from(*w) - rate * g, rate);
                store([(w, moved), (n, sum)])
            }
            (OptimizerKind::Ftrl, [z, n]) => {
                let w = f64::from(self.ftrl_weight(*z, *n));
                let sum = f64::from(*n) + gradient * gradient;
                let sigma = (sum.sqrt() - f64::from(*n).sqrt()) / self.0.rate;
                let moved = f64::from(*z) + gradient - sigma * w;
                store([(z, moved), (n, sum)])
            }
            (OptimizerKind::Adam, [w, m, v, t]) => {
                let g = self.with_l2(gradient, *w);
                let (first, second) = (0.9 * f64::from(*m) + 0.1 * g, 0.999 * f64::from(*v) + 0.001 * g * g);
                let count = (f64::from(*t) + 1.0).min(16_777_216.0);
                let (c1, c2) = (1.0 - libm::pow(0.9, count), 1.0 - libm::pow(0.999, count));
                let moved = f64::from(*w) - rate * (first / c1) / ((second / c2).sqrt() + 1e-8);
                store([(w, self.shrink(moved, rate)), (m, first), (v, second), (t, count)])
            }
            _ => false,
        }
    }

    /// Joins states that were moved apart: differences add up; sums of squares stay at least 0.
    pub(super) fn merge(&self, now: &mut [f32], before: &[f32], after: &[f32]) {
        merge::add_differences(now, before, after);
        let squares = match self.0.kind {
            OptimizerKind::Sgd => return,
            OptimizerKind::Adagrad | OptimizerKind::Ftrl => 1,
            OptimizerKind::Adam => 2,
        };
        now.iter_mut().skip(squares).for_each(|state| *state = state.max(0.0));
    }

    #[inline]
    fn with_l2(&self, gradient: f64, weight: f32) -> f64 {
        gradient + self.0.l2 * f64::from(weight)
    }

    /// Soft threshold: the proximal step of `l1`.
    #[inline]
    fn shrink(&self, weight: f64, rate: f64) -> f64 {
        let threshold = rate * self.0.l1;
        if threshold == 0.0 { weight } else { (weight.abs() - threshold).max(0.0).copysign(weight) }
    }
}

/// Stores all values, or none if one is not finite in f32.
#[inline]
fn store<const N: usize>(values: [(&mut f32, f64); N]) -> bool {
    if values.iter().any(|(_, value)| !(*value as f32).is_finite()) {
        return false;
    }
    for (place, value) in values {
        *place = value as f32;
    }
    true
}

/// A linear model with a given optimizer: one weight a row.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    rule: WeightRule,
}

/// The loss' gradient by the score, and the step size for this record.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainStep {
    /// dL/dscore, times the record's weight.
    pub gradient: f64,
    /// Step size.
    pub rate: f64,
}

impl Plain {
    /// A linear rule for `options`.
    pub fn new(options: OptimizerOptions) -> Self {
        Self { rule: WeightRule::new(options) }
    }
}

impl RowRule for Plain {
    /// The score, Σ x·w.
    type Sums = f64;
    type Step = PlainStep;
    type Kept = ();

    fn width(&self) -> usize {
        self.rule.floats()
    }
    fn sums(&self) -> f64 {
        0.0
    }
    fn reset(&self, sums: &mut f64) {
        *sums = 0.0;
    }
    #[inline(always)]
    fn gather(&self, row: &[f32], input: Input, sums: &mut f64) {
        *sums += f64::from(input.x) * f64::from(self.rule.weight(row));
    }
    fn keep(&self, _: &[f32]) {}
    #[inline(always)]
    fn update(&self, row: &mut [f32], (input, ()): (Input, ()), _: &f64, step: &PlainStep) -> bool {
        self.rule.step(row, step.gradient * f64::from(input.x), step.rate)
    }
    fn merge(&self, now: &mut [f32], before: &[f32], after: &[f32]) {
        self.rule.merge(now, before, after);
    }
    fn weight(&self, row: &[f32]) -> f32 {
        self.rule.weight(row)
    }
}

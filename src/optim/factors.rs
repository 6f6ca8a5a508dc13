//! A factorization machine's row with a given optimizer: one weight and `dim` factors, each with its state.
//!
//! Rendle (2010): score = Σ xᵢwᵢ + ½ Σ_f [(Σ xᵢvᵢf)² − Σ xᵢ²vᵢf²]; the gradient of factor f of row i is
//! g·xᵢ·(F_f − xᵢvᵢf) with F_f = Σ xⱼvⱼf. So a record needs the sums F `[dim]` and one scalar, whatever its length.

use super::plain::{PlainStep, WeightRule};
use super::{Init, Input, OptimizerOptions, RowRule};

/// Standard deviation of a factor before it is learned.
const INIT_SCALE: f64 = 0.01;

/// The row of a factorization machine under a given optimizer: a weight and its factors, each with its state.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    rule: WeightRule,
    dim: usize,
}

/// Σ x·w, the factor sums `[dim]` and Σ (x·v)².
#[derive(Debug, Clone, Default)]
pub struct FactorSums {
    /// Σ x·w.
    pub linear: f64,
    /// F, `[dim]`.
    pub factors: Vec<f64>,
    /// Σ over rows and factors of (x·v)².
    pub squares: f64,
}

/// The same step for all weights of the record.
pub type FactorStep = PlainStep;

impl Factors {
    /// A rule with `dim` factors.
    pub fn new(options: OptimizerOptions, dim: usize) -> Self {
        Self { rule: WeightRule::new(options), dim }
    }
}

impl FactorSums {
    /// The score of the record.
    pub fn score(&self) -> f64 {
        let pairs: f64 = self.factors.iter().map(|f| f * f).sum();
        self.linear + 0.5 * (pairs - self.squares)
    }
}

impl RowRule for Factors {
    type Sums = FactorSums;
    type Step = FactorStep;
    type Kept = ();

    fn width(&self) -> usize {
        self.rule.floats() * (1 + self.dim)
    }

    /// The first float of every weight's state is random for factors; the layout is weight-major, so that the
    /// values (or FTRL's z) come first: `[w, v…]`, then the second floats of all, and so on.
    fn init(&self) -> Init {
        let scale = (INIT_SCALE * self.rule.init_scale()).abs() as f32;
        Init::Normal { start: 1, columns: self.dim, scale, tail: &[] }
    }
    fn sums(&self) -> FactorSums {
        FactorSums { factors: vec![0.0; self.dim], ..FactorSums::default() }
    }
    fn reset(&self, sums: &mut FactorSums) {
        sums.linear = 0.0;
        sums.squares = 0.0;
        sums.factors.fill(0.0);
    }
    fn gather(&self, row: &[f32], input: Input, sums: &mut FactorSums) {
        let (x, u) = (f64::from(input.x), f64::from(input.u));
        sums.linear += x * f64::from(self.value(row, 0));
        for (f, sum) in sums.factors.iter_mut().enumerate() {
            let xv = u * f64::from(self.value(row, f + 1));
            *sum += xv;
            sums.squares += xv * xv;
        }
    }
    fn keep(&self, _: &[f32]) {}
    fn update(
        &self,
        row: &mut [f32],
        (input, ()): (Input, ()),
        sums: &FactorSums,
        step: &FactorStep,
    ) -> bool {
        let (x, u) = (f64::from(input.x), f64::from(input.u));
        let mut finite = self.step(row, 0, step.gradient * x, step.rate);
        for (f, sum) in sums.factors.iter().enumerate() {
            let gradient = step.gradient * u * (sum - u * f64::from(self.value(row, f + 1)));
            finite &= self.step(row, f + 1, gradient, step.rate);
        }
        finite
    }
    fn merge(&self, now: &mut [f32], before: &[f32], after: &[f32]) {
        for index in 0..=self.dim {
            let (mut state, floats) = self.state(now, index);
            let (before, after) = (self.state(before, index).0, self.state(after, index).0);
            self.rule.merge(&mut state[..floats], &before[..floats], &after[..floats]);
            self.put(now, index, &state[..floats]);
        }
    }
    fn embed(&self, row: &[f32], input: Input, out: &mut [f32]) {
        for (f, out) in out.iter_mut().enumerate().take(self.dim) {
            let sum = f64::from(*out) + f64::from(input.u) * f64::from(self.value(row, f + 1));
            *out = sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        }
    }
    fn dim(&self) -> usize {
        self.dim
    }
    fn weight(&self, row: &[f32]) -> f32 {
        self.value(row, 0)
    }
}

impl Factors {
    /// The state of weight `index` (0: linear, then factors), gathered from the weight-major layout.
    fn state(&self, row: &[f32], index: usize) -> ([f32; 4], usize) {
        let floats = self.rule.floats();
        let mut state = [0.0; 4];
        for (k, place) in state.iter_mut().enumerate().take(floats) {
            *place = row.get(k * (1 + self.dim) + index).copied().unwrap_or(0.0);
        }
        (state, floats)
    }

    fn value(&self, row: &[f32], index: usize) -> f32 {
        let (state, floats) = self.state(row, index);
        self.rule.weight(&state[..floats])
    }

    fn step(&self, row: &mut [f32], index: usize, gradient: f64, rate: f64) -> bool {
        let (mut state, floats) = self.state(row, index);
        let finite = self.rule.step(&mut state[..floats], gradient, rate);
        self.put(row, index, &state[..floats]);
        finite
    }

    fn put(&self, row: &mut [f32], index: usize, state: &[f32]) {
        for (k, value) in state.iter().enumerate() {
            if let Some(place) = row.get_mut(k * (1 + self.dim) + index) {
                *place = *value;
            }
        }
    }
}

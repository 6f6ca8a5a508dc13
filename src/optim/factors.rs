//! A factorization machine's row with a given optimizer: one weight and `dim` factors, each with its state.
//!
//! Rendle (2010): score = Σ xᵢwᵢ + ½ Σ_f [(Σ xᵢvᵢf)² − Σ xᵢ²vᵢf²]; the gradient of factor f of row i is
//! g·xᵢ·(F_f − xᵢvᵢf) with F_f = Σ xⱼvⱼf. So a record needs the sums F `[dim]` and one scalar, whatever its length.

use super::plain::{Optimizer, PlainStep, merge_states, stored};
use super::{Init, Input, RowRule};

/// Standard deviation of a factor before it is learned.
const INIT_SCALE: f64 = 0.01;

/// Factors that are moved together.
const WIDE: usize = 8;

/// The row of a factorization machine under a given optimizer: a weight and its factors, each with its state. The layout is
/// by columns, `[N, 1 + dim]`: the first floats of all weights `[w, v…]` (FTRL's z), then the second floats of all, and so on.
#[derive(Debug, Clone, Copy)]
pub struct Factors<O, const N: usize> {
    optimizer: O,
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

impl<O: Optimizer<N>, const N: usize> Factors<O, N> {
    /// A rule with `dim` factors.
    pub fn new(optimizer: O, dim: usize) -> Self {
        Self { optimizer, dim }
    }

    /// The states of all weights, by columns `[1 + dim]`; `None` for a row of another shape.
    #[inline(always)]
    fn columns<'r>(&self, row: &'r [f32]) -> Option<[&'r [f32]; N]> {
        let mut columns = row.get(..self.width())?.chunks_exact(1 + self.dim);
        Some(std::array::from_fn(|_| columns.next().unwrap_or_default()))
    }

    #[inline(always)]
    fn columns_mut<'r>(&self, row: &'r mut [f32]) -> Option<[&'r mut [f32]; N]> {
        let mut columns = row.get_mut(..self.width())?.chunks_exact_mut(1 + self.dim);
        Some(std::array::from_fn(|_| columns.next().unwrap_or_default()))
    }

    #[inline(always)]
    fn value(&self, columns: &[&[f32]; N], index: usize) -> f32 {
        self.optimizer.weight(std::array::from_fn(|k| columns[k][index]))
    }

    /// The states of the weights `at..at + W`, `[N, W]`, in arrays of a fixed size and out of memory, where the compiler sees
    /// that they overlap with nothing.
    #[inline(always)]
    fn states<'r, const W: usize>(&self, column: impl Fn(usize) -> &'r [f32], at: usize) -> [[f32; W]; N] {
        std::array::from_fn(|k| {
            let mut states = [0.0; W];
            states.copy_from_slice(&column(k)[at..at + W]);
            states
        })
    }

    /// u·v of the factors `at..at + W`.
    #[inline(always)]
    fn scaled<const W: usize>(&self, columns: &[&[f32]; N], at: usize, u: f64) -> [f64; W] {
        let states = self.states::<W>(|k| columns[k], at);
        std::array::from_fn(|i| u * f64::from(self.optimizer.weight(states.map(|states| states[i]))))
    }

    /// Moves the states of the weights `at..at + W`, each against `gradient(its index, its value)`.
    #[inline(always)]
    fn step<const W: usize>(
        &self,
        columns: &mut [&mut [f32]; N],
        at: usize,
        rate: f64,
        gradient: impl Fn(usize, f64) -> f64,
    ) -> bool {
        let (mut states, mut all) = (self.states::<W>(|k| &*columns[k], at), true);
        #[expect(
            clippy::needless_range_loop,
            reason = "a loop over columns: as closures it is compiled one at a time"
        )]
        for i in 0..W {
            let state = std::array::from_fn(|k| states[k][i]);
            let gradient = gradient(i, f64::from(self.optimizer.weight(state)));
            let (next, finite) = stored(state, self.optimizer.moved(state, gradient, rate));
            (0..N).for_each(|k| states[k][i] = next[k]);
            all &= finite;
        }
        for (states, column) in states.iter().zip(columns.iter_mut()) {
            column[at..at + W].copy_from_slice(states);
        }
        all
    }
}

impl FactorSums {
    /// The score of the record.
    pub fn score(&self) -> f64 {
        let pairs: f64 = self.factors.iter().map(|f| f * f).sum();
        self.linear + 0.5 * (pairs - self.squares)
    }
}

impl<O: Optimizer<N>, const N: usize> RowRule for Factors<O, N> {
    type Sums = FactorSums;
    type Step = FactorStep;
    type Kept = ();

    fn width(&self) -> usize {
        N * (1 + self.dim)
    }

    fn init(&self) -> Init {
        let scale = (INIT_SCALE * self.optimizer.init_scale()).abs() as f32;
        Init::Normal { start: 1, columns: self.dim, mean: 0.0, scale, tail: &[] }
    }
    fn sums(&self) -> FactorSums {
        FactorSums { factors: vec![0.0; self.dim], ..FactorSums::default() }
    }
    fn reset(&self, sums: &mut FactorSums) {
        sums.linear = 0.0;
        sums.squares = 0.0;
        sums.factors.fill(0.0);
    }
    #[inline(always)]
    fn gather(&self, row: &[f32], input: Input, sums: &mut FactorSums) {
        let (x, u) = (f64::from(input.x), f64::from(input.u));
        let Some(columns) = self.columns(row) else { return };
        sums.linear += x * f64::from(self.value(&columns, 0));
        let factors = columns.map(|column| &column[1..]);
        let (wide, narrow) = sums.factors.as_chunks_mut::<WIDE>();
        let rest = wide.len() * WIDE;
        for (chunk, wide) in wide.iter_mut().enumerate() {
            let xv = self.scaled(&factors, chunk * WIDE, u);
            sums.squares = add(wide, sums.squares, xv);
        }
        for (i, sum) in narrow.iter_mut().enumerate() {
            let xv = self.scaled(&factors, rest + i, u);
            sums.squares = add(std::array::from_mut(sum), sums.squares, xv);
        }
    }
    fn keep(&self, _: &[f32]) {}
    #[inline(always)]
    fn update(
        &self,
        row: &mut [f32],
        (input, ()): (Input, ()),
        sums: &FactorSums,
        step: &FactorStep,
    ) -> bool {
        let (x, u) = (f64::from(input.x), f64::from(input.u));
        let Some(mut columns) = self.columns_mut(row) else { return false };
        let mut finite = self.step::<1>(&mut columns, 0, step.rate, |_, _| step.gradient * x);
        let mut factors = columns.map(|column| &mut column[1..]);
        let (gradient, (wide, narrow)) = (step.gradient * u, sums.factors.as_chunks::<WIDE>());
        for (chunk, sums) in wide.iter().enumerate() {
            let pull = |i: usize, v: f64| gradient * (sums[i] - u * v);
            finite &= self.step::<WIDE>(&mut factors, chunk * WIDE, step.rate, pull);
        }
        for (i, sum) in narrow.iter().enumerate() {
            let pull = |_, v: f64| gradient * (sum - u * v);
            finite &= self.step::<1>(&mut factors, wide.len() * WIDE + i, step.rate, pull);
        }
        finite
    }
    fn merge(&self, now: &mut [f32], before: &[f32], after: &[f32]) {
        merge_states(now, before, after, O::SQUARES * (1 + self.dim));
    }
    fn embed(&self, row: &[f32], input: Input, out: &mut [f32]) {
        let Some(columns) = self.columns(row) else { return };
        for (f, out) in out.iter_mut().enumerate().take(self.dim) {
            let sum = f64::from(*out) + f64::from(input.u) * f64::from(self.value(&columns, f + 1));
            *out = sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        }
    }
    fn dim(&self) -> usize {
        self.dim
    }
    fn weight(&self, row: &[f32]) -> f32 {
        self.columns(row).map_or(0.0, |columns| self.value(&columns, 0))
    }
}

/// Adds `xv` to `sums` and its squares, one after the other, to `squares`.
#[inline(always)]
fn add<const W: usize>(sums: &mut [f64; W], squares: f64, xv: [f64; W]) -> f64 {
    *sums = std::array::from_fn(|i| sums[i] + xv[i]);
    xv.iter().fold(squares, |squares, xv| squares + xv * xv)
}

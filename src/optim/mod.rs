//! How a row moves, given its gradient.
//!
//! A [`RowRule`] says what the floats of a row mean: how it enters the sums of a record and how it answers the
//! step that the head hands back. Weights and optimizer state lie side by side in the row. Rules hold constants only;
//! everything that changes while learning is in the rows or in the head. `plain` has the textbook optimizers for a
//! given learning rate, `lanes` the self-tuning default. What a network looks up is no sum and has a gradient a float: `vectors`.

mod bilinear;
mod factors;
mod init;
mod lanes;
mod merge;
mod options;
mod plain;
mod standard;
mod vectors;

pub use bilinear::{Bilinear, BilinearStep, BilinearSums, MACHINES};
pub use factors::{FactorStep, FactorSums, Factors};
pub use init::Init;
#[cfg(feature = "network")]
pub(crate) use init::SplitMix64;
pub use lanes::{KALMAN_FROM, LaneStep, LaneSums, Lanes};
pub use options::{LearningRate, OptimizerKind, OptimizerOptions, Schedule};
pub use plain::{Adagrad, Adam, Ftrl, Optimizer, Plain, PlainStep, Sgd};
pub use standard::{SIDE, Standardizer};
pub use vectors::Vectors;

/// A feature's value as its row sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// For the linear weights.
    pub x: f32,
    /// For interactions.
    pub u: f32,
}

impl Input {
    /// The constant feature, which every record has: it takes no part in interactions.
    pub const CONSTANT: Self = Self { x: 1.0, u: 0.0 };

    /// The same value for both.
    pub fn plain(value: f32) -> Self {
        Self { x: value, u: value }
    }
}

/// A numeric feature of a record and the statistics beside its row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// The value as it came.
    pub value: f32,
    /// The side column: that before the record, then the one that results from it.
    pub side: [f32; SIDE],
    /// The value as the rule wants it.
    pub input: Input,
}

impl Number {
    /// A number not yet standardized.
    #[inline(always)]
    pub fn new(value: f32, side: [f32; SIDE]) -> Self {
        Self { value, side, input: Input::plain(value) }
    }
}

/// What a row is made of and how it moves.
pub trait RowRule: Send + Sync {
    /// What is summed over a record's rows.
    type Sums: Default + Send;
    /// What the head hands back for the rows of one record.
    type Step: Send;
    /// What a row's update needs again of what was computed when it was summed.
    type Kept: Copy + Default + Send;

    /// Floats in a row: weights and optimizer state.
    fn width(&self) -> usize;
    /// Floats in the side column of numeric features; 0 for none.
    fn side(&self) -> usize {
        0
    }
    /// Initial values of a row.
    fn init(&self) -> Init {
        Init::Zeros
    }
    /// Makes the numbers of a record what the rule wants, and their side columns what results from having seen them.
    /// `examples`: how many the model will have learned, this one included.
    #[inline(always)]
    fn numbers(&self, numbers: &mut [Number], examples: f64) {
        let _ = (numbers, examples);
    }
    /// The value of a categorical feature, usually 1, as the rule wants it.
    #[inline(always)]
    fn category(&self, value: f32) -> Input {
        Input::plain(value)
    }
    /// Sums of no row.
    fn sums(&self) -> Self::Sums;
    /// Makes `sums` those of no row again.
    fn reset(&self, sums: &mut Self::Sums);
    /// Adds a row `[width]` with value `input`, and says what of it is kept for [`RowRule::update`].
    fn gather(&self, row: &[f32], input: Input, sums: &mut Self::Sums) -> Self::Kept;
    /// What [`RowRule::gather`] would keep of a row.
    fn keep(&self, row: &[f32]) -> Self::Kept;
    /// Moves a row `[width]` that entered `sums` and has not changed since; `seen`: the value it entered with, and what
    /// [`RowRule::gather`] kept. `false`: the step was not finite and was dropped.
    fn update(
        &self,
        row: &mut [f32],
        seen: (Input, Self::Kept),
        sums: &Self::Sums,
        step: &Self::Step,
    ) -> bool;
    /// Joins what two learners learned apart: `now` `[width]` is the row as others left it, `after` what this learner made of
    /// `before`. A float that would not be finite stays as it is.
    fn merge(&self, now: &mut [f32], before: &[f32], after: &[f32]);
    /// The same for the side column `[side]`.
    fn merge_side(&self, now: &mut [f32], before: &[f32], after: &[f32]) {
        Standardizer::merge(now, before, after);
    }
    /// Adds the row's embedding, if the rule has one, to `out` `[dim]`.
    fn embed(&self, row: &[f32], input: Input, out: &mut [f32]) {
        let _ = (row, input, out);
    }
    /// Length of the embedding; 0 for none.
    fn dim(&self) -> usize {
        0
    }
    /// The row's weight as one number, for norms: its score for a value of 1.
    fn weight(&self, row: &[f32]) -> f32;
}

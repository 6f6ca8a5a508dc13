//! From summed embeddings to predictions, and back to gradients.
//!
//! A [`Head`] is a pure function of the sums of a record and of its own small state: it never names the table. The
//! learner hands it sums, takes its [`Head::Step`] and scatters it to the rows the sums came from.

mod bilinear;
mod frame;
mod loss;
mod mixer;
mod mixture;
#[cfg(feature = "network")]
pub mod network;
mod plain;

pub use bilinear::{BilinearForward, BilinearMixture};
pub use loss::Loss;
pub use mixture::{Forward, Mixture};
pub use plain::{PlainHead, Score};

/// Self-tuning heads count an importance weight above this as this much: their rows work in f32, and a record that
/// counts for a million others has settled the matter.
pub const IMPORTANCE_MAX: f32 = 1e6;

/// A prediction function that learns.
pub trait Head: Send {
    /// What a record's rows were summed to.
    type Sums;
    /// What the rows are told.
    type Step;
    /// A prediction with what learning from it needs.
    type Forward: Copy;

    /// Examples learned so far.
    fn examples(&self) -> f64;
    /// Predicts; changes nothing.
    fn forward(&self, sums: &Self::Sums) -> Self::Forward;
    /// The prediction as users see it: the probability (logistic), the mean (poisson), else the score.
    fn prediction(&self, forward: &Self::Forward) -> f64;
    /// Learns `label` (in the loss' range) with importance `weight` > 0, and says how the rows should move.
    fn learn(&mut self, sums: &Self::Sums, forward: &Self::Forward, label: f32, weight: f32) -> Self::Step;
    /// Joins what copies of this head learned apart; `copies` were equal to it before. Dense state is averaged by the number
    /// of examples each has learned, counts and label statistics add up. No example at all: nothing changes.
    fn merge(&mut self, copies: &[&Self]);
    /// All state, exactly; see [`Head::restore`].
    fn state(&self) -> Vec<f64>;
    /// Takes up what [`Head::state`] returned. `false`: not the state of such a head; nothing changed.
    fn restore(&mut self, state: &[f64]) -> bool;
}

/// The share of the examples since `before` that each copy has learned; `None` if there were none.
fn shares<H: Head>(before: &H, copies: &[&H]) -> Option<Vec<f64>> {
    let learned: Vec<f64> = copies.iter().map(|copy| copy.examples() - before.examples()).collect();
    let all: f64 = learned.iter().sum();
    (all > 0.0).then(|| learned.iter().map(|learned| learned / all).collect())
}

/// Each of `own` becomes the mean of the copies' values in its place.
fn merge_means<const N: usize>(
    own: &mut [f32; N],
    shares: &[f64],
    copies: impl Iterator<Item = [f32; N]> + Clone,
) {
    for (i, own) in own.iter_mut().enumerate() {
        *own = mean(shares, copies.clone().map(|copy| f64::from(copy[i]))) as f32;
    }
}

/// Σ share · value.
fn mean(shares: &[f64], values: impl Iterator<Item = f64>) -> f64 {
    shares.iter().zip(values).map(|(share, value)| share * value).sum()
}

//! Which units a training pass drops.
//!
//! candle-nn draws its dropout from a generator of the thread, which no seed and no checkpoint reaches. So the decision is
//! made here, by a generator of one word that is part of the model's state; candle multiplies.

use crate::optim::SplitMix64;
use std::fmt;

/// Decides for each unit of a layer whether it is kept.
pub trait DropoutMasks: fmt::Debug {
    /// Whether each of `count` units of `layer` is kept, given the `rate` at which they are dropped, in [0, 1).
    fn keep(&mut self, layer: &str, rate: f64, count: usize) -> Vec<bool>;
}

/// Drops each unit by itself with the layer's rate (Srivastava et al. 2014), as a seeded generator says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomMasks(SplitMix64);

impl RandomMasks {
    /// Masks from a seed, or from the [state](Self::state) of earlier ones.
    pub fn new(state: u64) -> Self {
        Self(SplitMix64(state))
    }

    /// Where the generator is.
    pub fn state(&self) -> u64 {
        self.0.0
    }
}

impl DropoutMasks for RandomMasks {
    fn keep(&mut self, _: &str, rate: f64, count: usize) -> Vec<bool> {
        (0..count).map(|_| f64::from(self.0.uniform()) >= rate).collect()
    }
}

/// What a pass is for.
#[derive(Debug)]
pub enum Phase<'a> {
    /// Predicting: nothing is dropped.
    Predict,
    /// Training: these masks drop.
    Train(&'a mut (dyn DropoutMasks + 'static)),
}

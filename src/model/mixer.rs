//! Mixing experts by what they turn out to be worth.
//!
//! A mixer is a linear model of `N` expert scores, learned by an extended Kalman filter with a full `N × N`
//! covariance: a Newton step on the loss of the mixed score, from a Gaussian prior. A little variance is added at
//! each record, so that the weights can follow a change. (Mattern 2012 mixes log-odds by gradient steps; van Erven &
//! Koolen 2016 learn which learning rate is right; the second-order step does both with nothing to tune.) Several
//! mixers that drift at different speeds are averaged by their recent loss.

use super::mean;
use crate::kernel::exp_f64;

/// Prior variance of a mixing weight.
const PRIOR: f64 = 0.05;
const WEIGHT_MAX: f64 = 1e3;
/// Memory of the mixers' losses: about a thousand records.
const LOSS_DECAY: f64 = 0.999;

/// Bound of the curvature: beyond it rounding would eat the covariance.
const CURVATURE_MAX: f64 = 1e9;
/// Bound of the loss of one record, as far as it says which mixer is good.
const LOSS_MAX: f64 = 1e4;

/// Weights and covariance of one mixer, its `N` experts padded to `P` lanes. Aligned as cache lines are.
#[derive(Debug, Clone, PartialEq)]
#[repr(C, align(64))]
struct Mixer<const N: usize, const P: usize> {
    /// Column by column, so that what is summed over a row is summed in the lanes of all rows at once.
    covariance: [[f64; P]; N],
    weights: [f64; P],
    loss: f64,
}

impl<const N: usize, const P: usize> Mixer<N, P> {
    fn new(weights: [f64; N]) -> Self {
        Self { weights: padded(&weights), covariance: Self::prior(), loss: 0.0 }
    }

    fn prior() -> [[f64; P]; N] {
        let mut covariance = [[0.0; P]; N];
        for (i, row) in covariance.iter_mut().enumerate() {
            row[i] = PRIOR;
        }
        covariance
    }

    #[inline(always)]
    fn score(&self, scores: &[f64; N]) -> f64 {
        dot(&self.weights, scores)
    }

    /// A Newton step: `gradient` and `curvature` > 0 are the loss' derivatives by the mixed score.
    #[inline(always)]
    fn learn(&mut self, scores: &[f64; N], gradient: f64, curvature: f64, drift: f64) {
        let mut spread = [-0.0; P];
        for (column, &score) in self.covariance.iter().zip(scores) {
            for (spread, c) in spread.iter_mut().zip(column) {
                *spread += c * score;
            }
        }
        let variance = dot(&spread, scores).max(0.0);
        let step = gradient / (1.0 + curvature * variance);
        let shrink = 1.0 / (1.0 / curvature + variance);
        for (weight, spread) in self.weights.iter_mut().zip(&spread) {
            *weight = (*weight - spread * step).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        }
        let (mut trace, mut least) = (0.0, f64::MAX);
        for (j, column) in self.covariance.iter_mut().enumerate() {
            let across = spread[j];
            for (c, spread) in column.iter_mut().zip(&spread) {
                *c -= spread * across * shrink;
            }
            trace += column[j];
            least = if column[j] < least { column[j] } else { least };
        }
        if least <= 0.0 {
            // Rounding made it indefinite, and it would run away: the weights stay, their variances start afresh.
            self.covariance = Self::prior();
        } else if trace < PRIOR * N as f64 {
            for (j, column) in self.covariance.iter_mut().enumerate() {
                column[j] += drift;
            }
        }
    }
}

/// Σ of the products, in order.
#[inline(always)]
fn dot<const N: usize, const P: usize>(a: &[f64; P], b: &[f64; N]) -> f64 {
    let mut products = [0.0; N];
    for ((product, a), b) in products.iter_mut().zip(a).zip(b) {
        *product = a * b;
    }
    let mut sum = -0.0; // what `Iterator::sum` starts from: x + -0 is x, for every x
    for product in products {
        sum += product;
    }
    sum
}

fn padded<const N: usize, const P: usize>(values: &[f64; N]) -> [f64; P] {
    let mut padded = [0.0; P];
    for (place, &value) in padded.iter_mut().zip(values) {
        *place = value;
    }
    padded
}

/// `M` mixers of `N` experts (padded to `P` lanes), averaged by their recent loss.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mixers<const N: usize, const P: usize, const M: usize> {
    mixers: [Mixer<N, P>; M],
    drifts: [f64; M],
}

/// What the mixers made of one record's scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mixed<const M: usize> {
    /// Of each mixer.
    pub(super) each: [f64; M],
    /// Averaged.
    pub(super) score: f64,
}

impl<const N: usize, const P: usize, const M: usize> Mixers<N, P, M> {
    /// Mixers that start with `weights`; `drifts`: variance added to each weight per record.
    pub(super) fn new(weights: [f64; N], drifts: [f64; M]) -> Self {
        Self { mixers: std::array::from_fn(|_| Mixer::new(weights)), drifts }
    }

    #[inline(always)]
    pub(super) fn mix(&self, scores: &[f64; N]) -> Mixed<M> {
        let each = std::array::from_fn(|m| self.mixers[m].score(scores));
        if M == 1 {
            return Mixed { each, score: each[0] };
        }
        let best = self.mixers.iter().map(|mixer| mixer.loss).fold(f64::MAX, f64::min);
        let behind = std::array::from_fn::<f64, M, _>(|m| best - self.mixers[m].loss);
        let near = behind.iter().all(|&behind| behind > -700.0);
        let weights = if near { exp_f64(behind) } else { behind.map(libm::exp) };
        let (mut sum, mut total) = (0.0, 0.0);
        for (weight, score) in weights.into_iter().zip(each) {
            sum += weight * score;
            total += weight;
        }
        Mixed { each, score: sum / total }
    }

    /// Lets each mixer learn; `respond` gives gradient, curvature > 0 and loss of mixer m's score.
    #[inline(always)]
    pub(super) fn learn(
        &mut self,
        scores: &[f64; N],
        mixed: &Mixed<M>,
        mut respond: impl FnMut(usize, f64, bool) -> (f64, f64, f64),
    ) {
        for (m, mixer) in self.mixers.iter_mut().enumerate() {
            let (drift, score) = (self.drifts[m], mixed.each[m]);
            let (gradient, curvature, loss) = respond(m, score, M > 1);
            mixer.loss = mixer.loss * LOSS_DECAY + loss.min(LOSS_MAX);
            let within = (CURVATURE_MAX / curvature).min(1.0);
            mixer.learn(scores, gradient * within, curvature * within, drift);
        }
    }

    /// Averages weights and covariances of copies by `shares`: a mean of covariances is one.
    pub(super) fn merge<'m>(&mut self, shares: &[f64], copies: impl Iterator<Item = &'m Self> + Clone) {
        for (m, mixer) in self.mixers.iter_mut().enumerate() {
            let copies = copies.clone().map(|copy| &copy.mixers[m]);
            for i in 0..N {
                mixer.weights[i] = mean(shares, copies.clone().map(|copy| copy.weights[i]));
                for j in 0..N {
                    mixer.covariance[i][j] = mean(shares, copies.clone().map(|copy| copy.covariance[i][j]));
                }
            }
            mixer.loss = mean(shares, copies.map(|copy| copy.loss));
        }
    }

    pub(super) fn state(&self, out: &mut Vec<f64>) {
        for mixer in &self.mixers {
            out.extend(&mixer.weights[..N]);
            out.extend((0..N * N).map(|at| mixer.covariance[at % N][at / N]));
            out.push(mixer.loss);
        }
    }

    /// Reads what [`Mixers::state`] wrote off the front of `state`.
    pub(super) fn restore(&mut self, state: &mut impl Iterator<Item = f64>) -> Option<()> {
        for mixer in &mut self.mixers {
            for weight in &mut mixer.weights[..N] {
                *weight = state.next()?;
            }
            for at in 0..N * N {
                mixer.covariance[at % N][at / N] = state.next()?;
            }
            mixer.loss = state.next()?;
        }
        Some(())
    }
}

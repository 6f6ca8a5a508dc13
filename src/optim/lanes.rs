//! The self-tuning row: eight learners of one weight, side by side in one cache line.
//!
//! ```text
//! row = w[8] n[8], zero when fresh
//! lanes 0..4  AdaGrad (Duchi et al. 2011) with rates 0.1, 0.3, 1, 3; n = Σ g²
//! lanes 4..8  diagonal Kalman filter (cf. the extended Kalman view of online Newton steps: Ollivier 2018);
//!             a weight's variance is 1 / (τ + n), n = precision gathered from the records
//! ```
//!
//! Some lanes forget (n shrinks a little at each touch) and so follow drift. Each lane learns from its *own* error;
//! the head mixes their scores by what they turn out to be worth, so no rate has to be chosen. A lane's arithmetic
//! is +, −, ×, ÷, √ on eight floats at once.

use super::merge::difference;
use super::standard::standardize;
use super::{Input, Number, RowRule, SIDE};
use crate::kernel::LANES;

/// First Kalman lane.
pub const KALMAN_FROM: usize = 4;
const KALMANS: usize = LANES - KALMAN_FROM;

const ALPHA: [f32; KALMAN_FROM] = [0.1, 0.3, 1.0, 3.0];
const BETA: f32 = 1.0;
/// Prior precision of a weight.
const TAU: [f32; KALMANS] = [0.2, 3.0, 10.0, 3.0];
/// What is left of n at each touch.
const KEEP: [f32; LANES] = [1.0, 1.0, 0.99, 1.0, 1.0, 1.0, 0.997, 0.98];
/// The lane whose screened score is a further expert, for wide records of mostly irrelevant features.
const SCREENED: usize = 5;
const SCREEN: f32 = 4.0;
const WEIGHT_MAX: f32 = 1e4;
const STATE_MAX: f32 = 1e12;

/// The self-tuning row of `--head linear`: four AdaGrad and four Kalman learners of one weight.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lanes;

/// Scores of the lanes, and the variance of the Kalman lanes' scores.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct LaneSums {
    /// Σ x·w.
    pub scores: [f32; LANES],
    /// Σ x²/(τ + n); 0 for AdaGrad lanes.
    pub variances: [f32; LANES],
    /// The score of one Kalman lane, each weight shrunk by its own doubt: w²/(w² + 4·variance).
    pub screened: f32,
}

/// What each lane answers a record with.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct LaneStep {
    /// AdaGrad lanes: dL/dscore. Kalman lanes: dL/dscore / (1 + curvature · variance of the score).
    pub gradient: [f32; LANES],
    /// 1 / curvature of the loss.
    pub inverse_curvature: [f32; LANES],
    /// 1 / curvature + variance of the score.
    pub innovation: [f32; LANES],
}

impl RowRule for Lanes {
    type Sums = LaneSums;
    type Step = LaneStep;
    /// Variances of the Kalman lanes' weights.
    type Kept = [f32; KALMANS];

    fn width(&self) -> usize {
        2 * LANES
    }
    fn side(&self) -> usize {
        SIDE
    }
    #[inline(always)]
    fn numbers(&self, numbers: &mut [Number], examples: f64) {
        standardize(numbers, examples);
    }
    fn sums(&self) -> LaneSums {
        LaneSums::default()
    }
    #[inline(always)]
    fn reset(&self, sums: &mut LaneSums) {
        *sums = LaneSums::default();
    }

    #[inline(always)]
    fn gather(&self, row: &[f32], input: Input, sums: &mut LaneSums) -> [f32; KALMANS] {
        let Some((w, n)) = halves(row) else { return [0.0; KALMANS] };
        let x = input.x;
        for (score, w) in sums.scores.iter_mut().zip(w) {
            *score += x * w;
        }
        let variance = variances(n);
        for (sum, variance) in sums.variances[KALMAN_FROM..].iter_mut().zip(variance) {
            *sum += x * x * variance;
        }
        let (w, squared) = (w[SCREENED], w[SCREENED] * w[SCREENED]);
        sums.screened += x * w * squared / (squared + SCREEN * variance[SCREENED - KALMAN_FROM]);
        variance
    }

    #[inline(always)]
    fn keep(&self, row: &[f32]) -> [f32; KALMANS] {
        halves(row).map_or([0.0; KALMANS], |(_, n)| variances(n))
    }

    /// A Kalman lane's precision: 1/v' = 1/v + x² / (1/h + V − v·x²), the covariance update.
    #[inline(always)]
    fn update(&self, row: &mut [f32], seen: (Input, [f32; KALMANS]), _: &LaneSums, step: &LaneStep) -> bool {
        let Some(row) = row.first_chunk_mut::<{ 2 * LANES }>() else { return false };
        let (Input { x, .. }, variance) = seen;
        let squared = x * x;
        let (mut w, mut n) = ([0.0; LANES], [0.0; LANES]);
        // Numerators and denominators of an AdaGrad lane's step and of a Kalman lane's gain of precision.
        let (mut over, mut under) = ([0.0; LANES], [0.0; LANES]);
        w.copy_from_slice(&row[..LANES]);
        for l in 0..LANES {
            n[l] = row[LANES + l] * KEEP[l];
        }
        for l in 0..KALMAN_FROM {
            let g = step.gradient[l] * x;
            n[l] = at_most(n[l] + g * g, STATE_MAX);
            over[l] = ALPHA[l] * g;
            under[l] = BETA + n[l].sqrt();
        }
        for l in KALMAN_FROM..LANES {
            let rest = step.innovation[l] - variance[l - KALMAN_FROM] * squared;
            over[l] = squared;
            under[l] = if rest > step.inverse_curvature[l] { rest } else { step.inverse_curvature[l] };
        }
        let mut moves = [0.0; LANES];
        for l in 0..LANES {
            moves[l] = over[l] / under[l];
        }
        for l in KALMAN_FROM..LANES {
            n[l] = at_most(n[l] + moves[l], STATE_MAX);
            moves[l] = variance[l - KALMAN_FROM] * x * step.gradient[l];
        }
        for l in 0..LANES {
            w[l] = (w[l] - moves[l]).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        }
        row[..LANES].copy_from_slice(&w);
        row[LANES..].copy_from_slice(&n);
        true
    }

    /// Precisions and sums of squares add up. Two learners that moved a weight the same way mostly learned the same thing,
    /// a shift of the stream that both saw: it counts once, as the larger of the two.
    fn merge(&self, now: &mut [f32], before: &[f32], after: &[f32]) {
        let (Some((w0, n0)), Some((w1, n1))) = (halves(before), halves(after)) else { return };
        let Some((w, n)) = halves_mut(now) else { return };
        for l in 0..LANES {
            n[l] = difference(n[l], n0[l], n1[l]).clamp(0.0, STATE_MAX);
            let (others, own) = (w[l] - w0[l], w1[l] - w0[l]);
            if others * own <= 0.0 {
                w[l] = difference(w[l], w0[l], w1[l]).clamp(-WEIGHT_MAX, WEIGHT_MAX);
            } else if own.abs() > others.abs() {
                w[l] = w1[l];
            }
        }
    }

    fn weight(&self, row: &[f32]) -> f32 {
        row.iter().take(LANES).sum::<f32>() / LANES as f32
    }
}

#[inline(always)]
fn halves(row: &[f32]) -> Option<(&[f32; LANES], &[f32; LANES])> {
    let (w, rest) = row.split_first_chunk()?;
    Some((w, rest.first_chunk()?))
}

#[inline]
fn halves_mut(row: &mut [f32]) -> Option<(&mut [f32; LANES], &mut [f32; LANES])> {
    let (w, rest) = row.split_first_chunk_mut()?;
    Some((w, rest.first_chunk_mut()?))
}

/// 1 / (τ + n) of the Kalman lanes.
#[inline(always)]
fn variances(n: &[f32; LANES]) -> [f32; KALMANS] {
    std::array::from_fn(|k| 1.0 / (TAU[k] + n[KALMAN_FROM + k]))
}

/// The lesser one, `limit` for NaN: a single instruction, unlike `min`.
#[inline(always)]
fn at_most(x: f32, limit: f32) -> f32 {
    if x < limit { x } else { limit }
}

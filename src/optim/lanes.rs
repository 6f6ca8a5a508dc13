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

use super::{Input, RowRule, SIDE, Standardizer};
use crate::kernel::LANES;

/// First Kalman lane.
pub const KALMAN_FROM: usize = 4;

const ALPHA: [f32; KALMAN_FROM] = [0.1, 0.3, 1.0, 3.0];
const BETA: f32 = 1.0;
/// Prior precision of a weight.
const TAU: [f32; LANES - KALMAN_FROM] = [0.2, 3.0, 10.0, 3.0];
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

    fn width(&self) -> usize {
        2 * LANES
    }
    fn side(&self) -> usize {
        SIDE
    }
    #[inline]
    fn number(&self, side: &[f32], value: f32, examples: f64) -> (Input, [f32; SIDE]) {
        let mut seen = Standardizer::load(side);
        let x = seen.see(value, examples);
        let mut side = [0.0; SIDE];
        seen.store(&mut side);
        (Input::plain(x), side)
    }
    fn sums(&self) -> LaneSums {
        LaneSums::default()
    }
    fn reset(&self, sums: &mut LaneSums) {
        *sums = LaneSums::default();
    }

    #[inline]
    fn gather(&self, row: &[f32], input: Input, sums: &mut LaneSums) {
        let Some((w, n)) = halves(row) else { return };
        let x = input.x;
        for (score, w) in sums.scores.iter_mut().zip(w) {
            *score += x * w;
        }
        let mut variance = [0.0; LANES - KALMAN_FROM];
        for (k, variance) in variance.iter_mut().enumerate() {
            *variance = 1.0 / (TAU[k] + n[KALMAN_FROM + k]);
            sums.variances[KALMAN_FROM + k] += x * x * *variance;
        }
        let (w, squared) = (w[SCREENED], w[SCREENED] * w[SCREENED]);
        sums.screened += x * w * squared / (squared + SCREEN * variance[SCREENED - KALMAN_FROM]);
    }

    #[inline]
    fn update(&self, row: &mut [f32], input: Input, _: &LaneSums, step: &LaneStep) -> bool {
        let Some((w, n)) = halves_mut(row) else { return false };
        let x = input.x;
        for l in 0..KALMAN_FROM {
            let g = step.gradient[l] * x;
            n[l] = (n[l] * KEEP[l] + g * g).min(STATE_MAX);
            w[l] = (w[l] - ALPHA[l] * g / (BETA + n[l].sqrt())).clamp(-WEIGHT_MAX, WEIGHT_MAX);
        }
        let squared = x * x;
        for l in KALMAN_FROM..LANES {
            let variance = 1.0 / (TAU[l - KALMAN_FROM] + n[l]);
            w[l] = (w[l] - variance * x * step.gradient[l]).clamp(-WEIGHT_MAX, WEIGHT_MAX);
            // 1/v' = 1/v + x² / (1/h + V − v·x²): the covariance update, in precision.
            let rest = (step.innovation[l] - variance * squared).max(step.inverse_curvature[l]);
            n[l] = (n[l] * KEEP[l] + squared / rest).min(STATE_MAX);
        }
        true
    }

    fn weight(&self, row: &[f32]) -> f32 {
        row.iter().take(LANES).sum::<f32>() / LANES as f32
    }
}

#[inline]
fn halves(row: &[f32]) -> Option<(&[f32; LANES], &[f32; LANES])> {
    let (w, rest) = row.split_first_chunk()?;
    Some((w, rest.first_chunk()?))
}

#[inline]
fn halves_mut(row: &mut [f32]) -> Option<(&mut [f32; LANES], &mut [f32; LANES])> {
    let (w, rest) = row.split_first_chunk_mut()?;
    Some((w, rest.first_chunk_mut()?))
}

//! The self-tuning head of a linear model: eight lanes and a screened score, mixed.

use super::frame::{Frame, Linked, Response, Scores};
use super::mixer::{Mixed, Mixers};
use super::{Head, IMPORTANCE_MAX, Loss, merge_means, shares};
use crate::kernel::LANES;
use crate::optim::{KALMAN_FROM, LaneStep, LaneSums};

const EXPERTS: usize = LANES + 1;
const PADDED: usize = 12;
/// π/8 (MacKay 1992): log-odds with variance V count for 1/√(1 + πV/8).
#[expect(clippy::approx_constant, reason = "stored models were learned with these four digits")]
const SHRINK: f32 = 0.3927;
const LEAST_CURVATURE: f32 = 1e-5;
/// Bound of an AdaGrad lane's gradient: its square is what n can hold, so that no step is above the lane's rate.
const GRADIENT_MAX: f32 = 1e6;
const DRIFT: f64 = 1e-6;

/// The self-tuning head of a linear model: eight lanes and a screened score, mixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    frame: Frame,
    mixers: Mixers<EXPERTS, PADDED, 1>,
    errors: [f32; LANES],
}

/// A record's scores and their mixture.
#[derive(Debug, Clone, Copy)]
pub struct Forward {
    lanes: Scores<LANES>,
    experts: [f64; EXPERTS],
    mixed: Mixed<1>,
    linked: f64,
}

impl Mixture {
    /// A head that has learned nothing.
    pub fn new(loss: Loss) -> Self {
        let mut weights = [1.0 / LANES as f64; EXPERTS];
        weights[LANES] = 0.0; // the screened score starts unused
        Self { frame: Frame::new(loss), mixers: Mixers::new(weights, [DRIFT]), errors: [1.0; LANES] }
    }
}

/// Lane scores within their bounds, and as they enter a mixer.
#[inline(always)]
pub(super) fn lane_scores(frame: &Frame, sums: &LaneSums) -> Scores<LANES> {
    let raw = sums.scores.map(|score| frame.clip(score));
    let mut mixed = raw;
    if frame.shrinks() {
        for l in KALMAN_FROM..LANES {
            mixed[l] = raw[l] / (1.0 + SHRINK * sums.variances[l]).sqrt();
        }
    }
    Scores { raw, mixed, newton_from: KALMAN_FROM, least_curvature: LEAST_CURVATURE }
}

/// What the lanes' rows are told.
#[inline(always)]
pub(super) fn lane_step(sums: &LaneSums, response: &Response<LANES>) -> LaneStep {
    let Response { gradient, curvature } = *response;
    let mut step =
        LaneStep { gradient, inverse_curvature: curvature.map(|h| 1.0 / h), innovation: [0.0; LANES] };
    for gradient in &mut step.gradient[..KALMAN_FROM] {
        *gradient = gradient.clamp(-GRADIENT_MAX, GRADIENT_MAX);
    }
    for l in KALMAN_FROM..LANES {
        step.gradient[l] = gradient[l] / (1.0 + curvature[l] * sums.variances[l]);
        step.innovation[l] = step.inverse_curvature[l] + sums.variances[l];
    }
    step
}

impl Head for Mixture {
    type Sums = LaneSums;
    type Step = LaneStep;
    type Forward = Forward;

    fn examples(&self) -> f64 {
        self.frame.examples
    }

    #[inline(always)]
    fn forward(&self, sums: &LaneSums) -> Forward {
        let lanes = lane_scores(&self.frame, sums);
        let mut experts = [0.0; EXPERTS];
        for (expert, score) in experts.iter_mut().zip(lanes.mixed) {
            *expert = f64::from(score);
        }
        experts[LANES] = f64::from(self.frame.clip(sums.screened));
        let mixed = self.mixers.mix(&experts);
        let [linked] = self.frame.linked([mixed.score]);
        Forward { lanes, experts, mixed, linked }
    }

    #[inline(always)]
    fn prediction(&self, forward: &Forward) -> f64 {
        self.frame.prediction(forward.mixed.score, forward.linked)
    }

    #[inline(always)]
    fn learn(&mut self, sums: &LaneSums, forward: &Forward, label: f32, weight: f32) -> LaneStep {
        let weight = weight.min(IMPORTANCE_MAX);
        let seen = self.frame.see(label, weight);
        let response = self.frame.respond(&seen, &forward.lanes, &mut self.errors);
        self.frame.note_before(&seen, forward.mixed.score);
        let frame = &self.frame;
        self.mixers.learn(&forward.experts, &forward.mixed, |_, score, weighed| {
            frame.respond_mixed(&seen, Linked { score, linked: forward.linked }, weighed)
        });
        self.frame.note_after(&seen, forward.mixed.score);
        lane_step(sums, &response)
    }

    fn merge(&mut self, copies: &[&Self]) {
        let Some(shares) = shares(self, copies) else { return };
        merge_means(&mut self.errors, &shares, copies.iter().map(|copy| copy.errors));
        self.frame.merge(&shares, copies.iter().map(|copy| &copy.frame));
        self.mixers.merge(&shares, copies.iter().map(|copy| &copy.mixers));
    }

    fn state(&self) -> Vec<f64> {
        let mut state = Vec::new();
        self.frame.state(&mut state);
        self.mixers.state(&mut state);
        state.extend(self.errors.map(f64::from));
        state
    }

    fn restore(&mut self, state: &[f64]) -> bool {
        let mut next = self.clone();
        let mut values = state.iter().copied();
        let read = next.frame.restore(&mut values).and_then(|()| next.mixers.restore(&mut values));
        let errors = next.errors.iter_mut().all(|place| match values.next() {
            Some(value) => {
                *place = value as f32;
                true
            }
            None => false,
        });
        if read.is_none() || !errors || values.next().is_some() {
            return false;
        }
        *self = next;
        true
    }
}

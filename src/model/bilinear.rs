//! The self-tuning head of a factorization machine: the lanes and two Bayesian machines, mixed.
//!
//! Each machine enters the mixers twice, as it is and shrunk by its own doubt, 1/(1 + V). V, the variance of its score,
//! needs no second walk over the rows: Σ p·u²·(F − u·v)² = A·F² − 2·F·B + C with the sums A, B, C of one gather.

use super::frame::{Frame, Linked, Scores};
use super::mixer::{Mixed, Mixers};
use super::mixture::{lane_scores, lane_step};
use super::{Head, IMPORTANCE_MAX, Loss, merge_means, shares};
use crate::kernel::LANES;
use crate::optim::{BilinearStep, BilinearSums, MACHINES};

const EXPERTS: usize = LANES + 2 * MACHINES;
const MIXERS: usize = 3;
/// A standing mixer, a slow one and a faster one.
const DRIFTS: [f64; MIXERS] = [1e-6, 1e-5, 0.0];
const LEAST_CURVATURE: f32 = 0.01;
/// Records with more rows than this have their interactions scaled down.
const ROWS: f32 = 10.0;
const VARIANCE_MAX: f32 = 1e12;

/// The self-tuning head of a factorization machine: lanes and two machines, mixed by three mixers.
#[derive(Debug, Clone, PartialEq)]
pub struct BilinearMixture<const K: usize> {
    frame: Frame,
    mixers: Mixers<EXPERTS, EXPERTS, MIXERS>,
    lane_errors: [f32; LANES],
    machine_errors: [f32; MACHINES],
}

/// A record's scores and their mixture.
#[derive(Debug, Clone, Copy)]
pub struct BilinearForward<const K: usize> {
    lanes: Scores<LANES>,
    machines: Scores<MACHINES>,
    variances: [f32; MACHINES],
    factors: [[f32; K]; MACHINES],
    scale: f32,
    experts: [f64; EXPERTS],
    mixed: Mixed<MIXERS>,
    /// Links of the mixers' scores, then of the mixed one.
    linked: [f64; MIXERS + 1],
}

impl<const K: usize> BilinearMixture<K> {
    /// A head that has learned nothing.
    pub fn new(loss: Loss) -> Self {
        Self {
            frame: Frame::new(loss),
            mixers: Mixers::new([1.0 / EXPERTS as f64; EXPERTS], DRIFTS),
            lane_errors: [1.0; LANES],
            machine_errors: [1.0; MACHINES],
        }
    }

    /// Score and variance of machine `m`, and its factor sums scaled.
    #[inline(always)]
    fn machine(&self, sums: &BilinearSums<K>, m: usize, scale: f32) -> (f32, f32, [f32; K]) {
        let sums = &sums.machines[m];
        let (second, third) = (scale * scale, scale * scale * scale);
        let factors = sums.factors.map(|f| f * scale);
        let (mut pairs, mut doubt) = (0.0, 0.0);
        for (k, f) in factors.iter().enumerate() {
            pairs += f * f - sums.squares[k] * second;
            doubt += f * f * (sums.variance * second) - 2.0 * f * (sums.variance_factors[k] * third)
                + sums.variance_squares[k] * second * second;
        }
        let variance = (sums.linear_variance + doubt.max(0.0)).min(VARIANCE_MAX);
        (self.frame.clip(sums.linear + 0.5 * pairs), variance, factors)
    }
}

impl<const K: usize> Head for BilinearMixture<K> {
    type Sums = BilinearSums<K>;
    type Step = BilinearStep<K>;
    type Forward = BilinearForward<K>;

    fn examples(&self) -> f64 {
        self.frame.examples
    }

    #[inline(always)]
    fn forward(&self, sums: &BilinearSums<K>) -> BilinearForward<K> {
        let scale = (ROWS / sums.rows.max(1.0)).sqrt().min(1.0);
        let lanes = lane_scores(&self.frame, &sums.lanes);
        let mut experts = [0.0; EXPERTS];
        for (expert, score) in experts.iter_mut().zip(lanes.mixed) {
            *expert = f64::from(score);
        }
        let (mut raw, mut variances, mut factors) = ([0.0; MACHINES], [0.0; MACHINES], [[0.0; K]; MACHINES]);
        for m in 0..MACHINES {
            (raw[m], variances[m], factors[m]) = self.machine(sums, m, scale);
            experts[LANES + 2 * m] = f64::from(raw[m]);
            experts[LANES + 2 * m + 1] = f64::from(raw[m] / (1.0 + variances[m]));
        }
        let machines = Scores { raw, mixed: raw, newton_from: 0, least_curvature: LEAST_CURVATURE };
        let mixed = self.mixers.mix(&experts);
        let [a, b, c] = mixed.each;
        let linked = self.frame.linked([a, b, c, mixed.score]);
        BilinearForward { lanes, machines, variances, factors, scale, experts, mixed, linked }
    }

    #[inline(always)]
    fn prediction(&self, forward: &BilinearForward<K>) -> f64 {
        self.frame.prediction(forward.mixed.score, forward.linked[MIXERS])
    }

    #[inline(always)]
    fn learn(
        &mut self,
        sums: &BilinearSums<K>,
        forward: &BilinearForward<K>,
        label: f32,
        weight: f32,
    ) -> BilinearStep<K> {
        let weight = weight.min(IMPORTANCE_MAX);
        let seen = self.frame.see(label, weight);
        let lanes = self.frame.respond(&seen, &forward.lanes, &mut self.lane_errors);
        let machines = self.frame.respond(&seen, &forward.machines, &mut self.machine_errors);
        self.frame.note_before(&seen, forward.mixed.score);
        let frame = &self.frame;
        self.mixers.learn(&forward.experts, &forward.mixed, |m, score, weighed| {
            frame.respond_mixed(&seen, Linked { score, linked: forward.linked[m] }, weighed)
        });
        self.frame.note_after(&seen, forward.mixed.score);
        let (mut innovation, mut precision) = ([0.0; MACHINES], [0.0; MACHINES]);
        for m in 0..MACHINES {
            let share = 1.0 / (1.0 + machines.curvature[m] * forward.variances[m]);
            innovation[m] = -machines.gradient[m] * share;
            precision[m] = machines.curvature[m] * share;
        }
        let lanes = lane_step(&sums.lanes, &lanes);
        BilinearStep { lanes, innovation, precision, factors: forward.factors, scale: forward.scale }
    }

    fn merge(&mut self, copies: &[&Self]) {
        let Some(shares) = shares(self, copies) else { return };
        merge_means(&mut self.lane_errors, &shares, copies.iter().map(|copy| copy.lane_errors));
        merge_means(&mut self.machine_errors, &shares, copies.iter().map(|copy| copy.machine_errors));
        self.frame.merge(&shares, copies.iter().map(|copy| &copy.frame));
        self.mixers.merge(&shares, copies.iter().map(|copy| &copy.mixers));
    }

    fn state(&self) -> Vec<f64> {
        let mut state = Vec::new();
        self.frame.state(&mut state);
        self.mixers.state(&mut state);
        state.extend(self.lane_errors.iter().chain(&self.machine_errors).map(|&error| f64::from(error)));
        state
    }

    fn restore(&mut self, state: &[f64]) -> bool {
        let mut next = self.clone();
        let mut values = state.iter().copied();
        let read = next.frame.restore(&mut values).and_then(|()| next.mixers.restore(&mut values));
        for place in next.lane_errors.iter_mut().chain(&mut next.machine_errors) {
            let Some(value) = values.next() else { return false };
            *place = value as f32;
        }
        if read.is_none() || values.next().is_some() {
            return false;
        }
        *self = next;
        true
    }
}

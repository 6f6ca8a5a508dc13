//! The self-tuning row of a factorization machine: the eight lanes, and two Bayesian machines of `K` factors each.
//!
//! ```text
//! row = lanes[16] v[2][K] w[2] s[2] p[2]
//! ```
//!
//! Each machine has a weight w with variance s and factors v with one shared variance p, all moved by an extended
//! Kalman filter with a diagonal covariance: a coordinate's step is its own variance, divided by 1 + h·V with V the
//! variance of the record's score. No rate is left to choose. The first machine assumes a standing world, the second
//! lets its variances drift upwards at each touch. Interactions as in Rendle (2010); numbers enter them as
//! x/(1+|x|), and records with more than ten features are scaled by √(10/n), so that pairs do not outweigh the rest.

use super::lanes::{LaneStep, LaneSums, Lanes};
use super::merge::{Belief, mean_of};
use super::{Init, Input, Number, RowRule, SIDE};
use crate::kernel::{LANES, tree_sums};

/// Factorization machines in a row.
pub const MACHINES: usize = 2;

const LANE_FLOATS: usize = 2 * LANES;
const PRIOR_WEIGHT: [f32; MACHINES] = [0.05, 0.05];
const PRIOR_FACTOR: [f32; MACHINES] = [0.2, 0.1];
const DRIFT_WEIGHT: [f32; MACHINES] = [0.0, 1e-4];
const DRIFT_FACTOR: [f32; MACHINES] = [0.0, 3e-5];
const VARIANCE_MIN: f32 = 1e-6;
const WEIGHT_MAX: f32 = 1e4;
const FACTOR_MAX: f32 = 1e2;
const INIT_SCALE: f32 = 0.04;
/// w, s and p of both machines in a fresh row.
const FRESH: [f32; 3 * MACHINES] =
    [0.0, 0.0, PRIOR_WEIGHT[0], PRIOR_WEIGHT[1], PRIOR_FACTOR[0], PRIOR_FACTOR[1]];

/// The self-tuning row of `--head fm`: eight lanes and two Bayesian factorization machines of `K` factors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bilinear<const K: usize>;

/// Sums of one machine over a record's rows. Aligned as cache lines are: sums that lie across two of them take twice as
/// long to change.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct MachineSums<const K: usize> {
    /// Σ u·v.
    pub factors: [f32; K],
    /// Σ (u·v)².
    pub squares: [f32; K],
    /// Σ p·u²·(u·v).
    pub variance_factors: [f32; K],
    /// Σ p·u²·(u·v)².
    pub variance_squares: [f32; K],
    /// Σ p·u².
    pub variance: f32,
    /// Σ x·w.
    pub linear: f32,
    /// Σ x²·s.
    pub linear_variance: f32,
}

/// Sums of a record.
#[derive(Debug, Clone, Copy)]
pub struct BilinearSums<const K: usize> {
    /// Of the lanes.
    pub lanes: LaneSums,
    /// Of the machines.
    pub machines: [MachineSums<K>; MACHINES],
    /// Rows summed.
    pub rows: f32,
}

/// What the rows of one record are told.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct BilinearStep<const K: usize> {
    /// Factor sums, scaled.
    pub factors: [[f32; K]; MACHINES],
    /// For the lanes.
    pub lanes: LaneStep,
    /// Per machine: −dL/dscore / (1 + h·V).
    pub innovation: [f32; MACHINES],
    /// Per machine: h / (1 + h·V), h the curvature of the loss.
    pub precision: [f32; MACHINES],
    /// √(10/rows), 1 at most.
    pub scale: f32,
}

impl<const K: usize> Default for BilinearSums<K> {
    #[inline(always)]
    fn default() -> Self {
        Self { lanes: LaneSums::default(), machines: [MachineSums::ZERO; MACHINES], rows: 0.0 }
    }
}

impl<const K: usize> MachineSums<K> {
    const ZERO: Self = Self {
        linear: 0.0,
        linear_variance: 0.0,
        factors: [0.0; K],
        squares: [0.0; K],
        variance: 0.0,
        variance_factors: [0.0; K],
        variance_squares: [0.0; K],
    };

    #[inline(always)]
    fn add(&mut self, machine: Machine<'_, K>, input: Input) {
        let Input { x, u } = input;
        self.linear += x * machine.weight;
        self.linear_variance += x * x * machine.weight_variance;
        let variance = machine.factor_variance * u * u;
        self.variance += variance;
        for f in 0..K {
            let t = u * machine.factors[f];
            self.factors[f] += t;
            self.squares[f] += t * t;
            self.variance_factors[f] += variance * t;
            self.variance_squares[f] += variance * t * t;
        }
    }
}

/// One machine's part of a row.
#[derive(Clone, Copy)]
struct Machine<'a, const K: usize> {
    factors: &'a [f32; K],
    weight: f32,
    weight_variance: f32,
    factor_variance: f32,
}

#[inline(always)]
fn machines<const K: usize>(row: &[f32]) -> Option<[Machine<'_, K>; MACHINES]> {
    let (a, rest) = row.get(LANE_FLOATS..)?.split_first_chunk::<K>()?;
    let (b, rest) = rest.split_first_chunk::<K>()?;
    let &[w_a, w_b, s_a, s_b, p_a, p_b] = rest.first_chunk::<{ 3 * MACHINES }>()?;
    Some([
        Machine { factors: a, weight: w_a, weight_variance: s_a, factor_variance: p_a },
        Machine { factors: b, weight: w_b, weight_variance: s_b, factor_variance: p_b },
    ])
}

impl<const K: usize> RowRule for Bilinear<K> {
    type Sums = BilinearSums<K>;
    type Step = BilinearStep<K>;
    type Kept = <Lanes as RowRule>::Kept;

    fn width(&self) -> usize {
        LANE_FLOATS + MACHINES * (K + 3)
    }
    fn side(&self) -> usize {
        SIDE
    }
    fn init(&self) -> Init {
        Init::Normal { start: LANE_FLOATS, columns: MACHINES * K, mean: 0.0, scale: INIT_SCALE, tail: &FRESH }
    }
    #[inline(always)]
    fn numbers(&self, numbers: &mut [Number], examples: f64) {
        Lanes.numbers(numbers, examples);
        for Number { input, .. } in numbers {
            input.u = input.x / (1.0 + input.x.abs());
        }
    }
    #[inline(always)]
    fn category(&self, value: f32) -> Input {
        Input { x: value, u: value.clamp(-1.0, 1.0) }
    }
    fn sums(&self) -> BilinearSums<K> {
        BilinearSums::default()
    }
    #[inline(always)]
    fn reset(&self, sums: &mut BilinearSums<K>) {
        *sums = BilinearSums::default();
    }

    #[inline(always)]
    fn gather(&self, row: &[f32], input: Input, sums: &mut BilinearSums<K>) -> Self::Kept {
        let kept = Lanes.gather(row, input, &mut sums.lanes);
        let Some(machines) = machines::<K>(row) else { return kept };
        for (sums, machine) in sums.machines.iter_mut().zip(machines) {
            sums.add(machine, input);
        }
        sums.rows += 1.0;
        kept
    }

    #[inline(always)]
    fn keep(&self, row: &[f32]) -> Self::Kept {
        Lanes.keep(row)
    }

    #[inline(always)]
    fn update(
        &self,
        row: &mut [f32],
        seen: (Input, Self::Kept),
        sums: &BilinearSums<K>,
        step: &BilinearStep<K>,
    ) -> bool {
        let (input, done) = (seen.0, Lanes.update(row, seen, &sums.lanes, &step.lanes));
        let Some((a, rest)) = row.get_mut(LANE_FLOATS..).and_then(|row| row.split_first_chunk_mut::<K>())
        else {
            return false;
        };
        let Some((b, rest)) = rest.split_first_chunk_mut::<K>() else { return false };
        let Some(tail) = rest.first_chunk_mut::<{ 3 * MACHINES }>() else { return false };
        for machine in 0..MACHINES {
            move_weight(machine, tail, input.x, step);
        }
        if let Some((_, variances)) = tail.split_last_chunk_mut::<MACHINES>() {
            move_factors([a, b], variances, input, step);
        }
        done
    }

    fn merge(&self, now: &mut [f32], before: &[f32], after: &[f32]) {
        Lanes.merge(now, before, after);
        let (Some(old), Some(start), Some(end)) =
            (machines::<K>(now), machines::<K>(before), machines::<K>(after))
        else {
            return;
        };
        let mut tail = [0.0; 3 * MACHINES];
        let mut factors = [[0.0; K]; MACHINES];
        for m in 0..MACHINES {
            let (weights, shared) =
                ([old[m], start[m], end[m]].map(|m| (m.weight, m.weight_variance)), |f: usize| {
                    [old[m], start[m], end[m]].map(|m| (m.factors[f], m.factor_variance))
                });
            (tail[m], tail[MACHINES + m]) = join(weights, PRIOR_WEIGHT[m], WEIGHT_MAX);
            for (f, factor) in factors[m].iter_mut().enumerate() {
                (*factor, tail[2 * MACHINES + m]) = join(shared(f), PRIOR_FACTOR[m], FACTOR_MAX);
            }
        }
        let places = now.iter_mut().skip(LANE_FLOATS);
        places.zip(factors.as_flattened().iter().chain(&tail)).for_each(|(place, value)| *place = *value);
    }

    fn embed(&self, row: &[f32], input: Input, out: &mut [f32]) {
        if let Some([first, _]) = machines::<K>(row) {
            crate::kernel::add_scaled(out, input.u, first.factors);
        }
    }
    fn dim(&self) -> usize {
        K
    }
    fn weight(&self, row: &[f32]) -> f32 {
        Lanes.weight(row)
    }
}

/// Mean and variance that hold what `[now, before, after]` know.
#[inline]
fn join([now, before, after]: [(f32, f32); 3], prior: f32, limit: f32) -> (f32, f32) {
    if now == before {
        return after;
    }
    let belief = |(mean, variance): (f32, f32)| Belief { mean, precision: 1.0 / variance.max(VARIANCE_MIN) };
    let (now, before, after) = (belief(now), belief(before), belief(after));
    let precision = now.precision + (after.precision - before.precision);
    let variance = (1.0 / precision.max(1.0 / prior)).max(VARIANCE_MIN);
    (clip(mean_of(now, before, after, 1.0 / variance), limit), variance)
}

#[inline(always)]
#[expect(clippy::manual_clamp, reason = "clamp keeps NaN, this order of max and min gives a bound")]
fn move_weight<const K: usize>(
    machine: usize,
    tail: &mut [f32; 3 * MACHINES],
    x: f32,
    step: &BilinearStep<K>,
) {
    let (squared, variance) = (x * x, tail[MACHINES + machine]);
    let weight = &mut tail[machine];
    *weight = clip(*weight + variance * x * step.innovation[machine], WEIGHT_MAX);
    let drift = DRIFT_WEIGHT[machine] * squared.min(1.0);
    let next = variance - variance * variance * squared * step.precision[machine] + drift;
    tail[MACHINES + machine] = next.max(VARIANCE_MIN).min(PRIOR_WEIGHT[machine]);
}

/// d score / d v = u·(F − u·v).
#[inline(always)]
fn move_factors<const K: usize>(
    machines: [&mut [f32; K]; MACHINES],
    variances: &mut [f32; MACHINES],
    input: Input,
    step: &BilinearStep<K>,
) {
    let u = input.u * step.scale;
    let mut squares = [[0.0; K]; MACHINES];
    for (machine, factors) in machines.into_iter().enumerate() {
        let (p, sums, innovation) = (variances[machine], &step.factors[machine], step.innovation[machine]);
        for f in 0..K {
            let slope = u * (sums[f] - u * factors[f]);
            squares[machine][f] = slope * slope;
            factors[f] = clip(factors[f] + p * slope * innovation, FACTOR_MAX);
        }
    }
    let sums = tree_sums(&squares[0], &squares[1]);
    for (machine, p) in variances.iter_mut().enumerate() {
        let mean = sums[machine] / K as f32;
        let drift = DRIFT_FACTOR[machine] * input.u * input.u;
        let next = *p - *p * *p * mean * step.precision[machine] + drift;
        *p = next.max(VARIANCE_MIN).min(PRIOR_FACTOR[machine]);
    }
}

/// Within ±`limit`, NaN included.
#[inline(always)]
fn clip(x: f32, limit: f32) -> f32 {
    x.max(-limit).min(limit)
}

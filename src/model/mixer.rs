//! Mixing experts by what they turn out to be worth.
//!
//! A mixer is a linear model of `N` expert scores, learned by an extended Kalman filter with a full `N × N`
//! covariance: a Newton step on the loss of the mixed score, from a Gaussian prior. A little variance is added at
//! each record, so that the weights can follow a change. (Mattern 2012 mixes log-odds by gradient steps; van Erven &
//! Koolen 2016 learn which learning rate is right; the second-order step does both with nothing to tune.) Several
//! mixers that drift at different speeds are averaged by their recent loss.

/// Prior variance of a mixing weight.
const PRIOR: f64 = 0.05;
const WEIGHT_MAX: f64 = 1e3;
/// Memory of the mixers' losses: about a thousand records.
const LOSS_DECAY: f64 = 0.999;

/// Bound of the curvature: beyond it rounding would eat the covariance.
const CURVATURE_MAX: f64 = 1e9;
/// Bound of the loss of one record, as far as it says which mixer is good.
const LOSS_MAX: f64 = 1e4;

/// Weights and covariance of one mixer.
#[derive(Debug, Clone, PartialEq)]
struct Mixer<const N: usize> {
    weights: [f64; N],
    covariance: [[f64; N]; N],
    loss: f64,
}

impl<const N: usize> Mixer<N> {
    fn new(weights: [f64; N]) -> Self {
        Self { weights, covariance: Self::prior(), loss: 0.0 }
    }

    fn prior() -> [[f64; N]; N] {
        let mut covariance = [[0.0; N]; N];
        for (i, row) in covariance.iter_mut().enumerate() {
            row[i] = PRIOR;
        }
        covariance
    }

    fn score(&self, scores: &[f64; N]) -> f64 {
        self.weights.iter().zip(scores).map(|(weight, score)| weight * score).sum()
    }

    /// A Newton step: `gradient` and `curvature` > 0 are the loss' derivatives by the mixed score.
    fn learn(&mut self, scores: &[f64; N], gradient: f64, curvature: f64, drift: f64) {
        let mut spread = [0.0; N];
        for (spread, row) in spread.iter_mut().zip(&self.covariance) {
            *spread = row.iter().zip(scores).map(|(c, score)| c * score).sum();
        }
        let variance = spread.iter().zip(scores).map(|(s, score)| s * score).sum::<f64>().max(0.0);
        let step = gradient / (1.0 + curvature * variance);
        let shrink = 1.0 / (1.0 / curvature + variance);
        let (mut trace, mut least) = (0.0, f64::MAX);
        for i in 0..N {
            self.weights[i] = (self.weights[i] - spread[i] * step).clamp(-WEIGHT_MAX, WEIGHT_MAX);
            for j in 0..N {
                self.covariance[i][j] -= spread[i] * spread[j] * shrink;
            }
            trace += self.covariance[i][i];
            least = least.min(self.covariance[i][i]);
        }
        if least <= 0.0 {
            // Rounding made it indefinite, and it would run away: the weights stay, their variances start afresh.
            self.covariance = Self::prior();
        } else if trace < PRIOR * N as f64 {
            for i in 0..N {
                self.covariance[i][i] += drift;
            }
        }
    }
}

/// `M` mixers of `N` experts, averaged by their recent loss.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mixers<const N: usize, const M: usize> {
    mixers: [Mixer<N>; M],
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

impl<const N: usize, const M: usize> Mixers<N, M> {
    /// Mixers that start with `weights`; `drifts`: variance added to each weight per record.
    pub(super) fn new(weights: [f64; N], drifts: [f64; M]) -> Self {
        Self { mixers: std::array::from_fn(|_| Mixer::new(weights)), drifts }
    }

    pub(super) fn mix(&self, scores: &[f64; N]) -> Mixed<M> {
        let each = std::array::from_fn(|m| self.mixers[m].score(scores));
        if M == 1 {
            return Mixed { each, score: each[0] };
        }
        let best = self.mixers.iter().map(|mixer| mixer.loss).fold(f64::MAX, f64::min);
        let (mut sum, mut total) = (0.0, 0.0);
        for (mixer, score) in self.mixers.iter().zip(each) {
            let weight = libm::exp(best - mixer.loss);
            sum += weight * score;
            total += weight;
        }
        Mixed { each, score: sum / total }
    }

    /// Lets each mixer learn; `respond` gives gradient, curvature > 0 and loss of a mixer's score.
    pub(super) fn learn(
        &mut self,
        scores: &[f64; N],
        mixed: &Mixed<M>,
        mut respond: impl FnMut(f64, bool) -> (f64, f64, f64),
    ) {
        for ((mixer, &drift), &score) in self.mixers.iter_mut().zip(&self.drifts).zip(&mixed.each) {
            let (gradient, curvature, loss) = respond(score, M > 1);
            mixer.loss = mixer.loss * LOSS_DECAY + loss.min(LOSS_MAX);
            let within = (CURVATURE_MAX / curvature).min(1.0);
            mixer.learn(scores, gradient * within, curvature * within, drift);
        }
    }

    pub(super) fn state(&self, out: &mut Vec<f64>) {
        for mixer in &self.mixers {
            out.extend(mixer.weights);
            out.extend(mixer.covariance.iter().flatten());
            out.push(mixer.loss);
        }
    }

    /// Reads what [`Mixers::state`] wrote off the front of `state`.
    pub(super) fn restore(&mut self, state: &mut impl Iterator<Item = f64>) -> Option<()> {
        for mixer in &mut self.mixers {
            for place in mixer.weights.iter_mut().chain(mixer.covariance.iter_mut().flatten()) {
                *place = state.next()?;
            }
            mixer.loss = state.next()?;
        }
        Some(())
    }
}

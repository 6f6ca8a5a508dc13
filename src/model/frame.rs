//! The frame in which experts see labels, and how they answer one.
//!
//! Experts work on scores of order 1 whatever the labels are. For squared and quantile loss a label y becomes
//! z = (y − mean)/deviation with the running mean and deviation of the labels (this one included, so that |z| cannot
//! explode); for poisson, scores are log-ratios to the running mean, and a running dispersion φ scales the likelihood.
//! So predictions are equivariant in the label's unit and, where it has one, its origin.
//!
//! An expert of gradient type is answered with dL/dscore, one of Newton type with gradient and curvature of a
//! log-likelihood: logistic p(1−p); squared 1/r with r the expert's own running squared error; quantile by a density of
//! the residual of about 1.4·q(1−q)/E|e|; poisson μ/φ. Hinge's Newton experts learn log-odds.
//!
//! An importance weight c multiplies gradient and curvature. A log-odds' curvature far out is next to nothing, and
//! with c ≫ 1 no prior would hold the Newton step back; so (c − 1)·|gradient|/5 is added to it, and the most
//! important record moves a score by about 5.

use super::{Loss, mean};
use crate::kernel;

/// Scores of logistic, hinge and poisson experts are kept in ±20; standardized ones in ±100.
const SCORE_MAX: f32 = 20.0;
const STANDARD_MAX: f32 = 100.0;
/// Log-odds of a prediction are kept in ±12.
const LOG_ODDS_MAX: f64 = 12.0;
/// Curvature the mixer assumes for the hinge.
const HINGE_CURVATURE: f64 = 0.25;
/// Which expert is good is not settled by one record, however important: mixers count it at most this often.
const MIXER_IMPORTANCE_MAX: f32 = 100.0;
/// How far a very important record may move log-odds.
const MOVE: f64 = 5.0;
/// Floor of the logistic curvature of the mixers.
const MIXER_CURVATURE: f64 = 1e-5;

/// Running label statistics and the mixture's own running error.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) loss: Loss,
    pub(super) examples: f64,
    mean: f64,
    variance: f64,
    low: f64,
    high: f64,
    /// Squared: running squared error; quantile: running absolute error; poisson: dispersion φ.
    error: f64,
}

/// A label as experts see it, and the running-average rate of this record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    label: f64,
    weight: f32,
    z: f32,
    rate: f32,
    log_mean: f64,
    dispersion: f64,
}

/// Gradient and curvature by score, for each of `N` experts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Response<const N: usize> {
    pub(super) gradient: [f32; N],
    pub(super) curvature: [f32; N],
}

/// Scores of `N` experts: as summed, and as they enter the mixer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scores<const N: usize> {
    pub(super) raw: [f32; N],
    pub(super) mixed: [f32; N],
    /// Experts from this index on are of Newton type.
    pub(super) newton_from: usize,
    /// Least logistic curvature of a Newton expert.
    pub(super) least_curvature: f32,
}

/// A mixed score and its link, as far as it is needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linked {
    pub(super) score: f64,
    /// What [`Frame::linked`] made of it.
    pub(super) linked: f64,
}

impl Frame {
    pub(super) fn new(loss: Loss) -> Self {
        Self { loss, examples: 0.0, mean: 0.0, variance: 0.0, low: 0.0, high: 0.0, error: 1.0 }
    }

    /// A score within its bounds.
    #[inline(always)]
    pub(super) fn clip(&self, score: f32) -> f32 {
        let limit = if self.is_standard() { STANDARD_MAX } else { SCORE_MAX };
        score.max(-limit).min(limit)
    }

    /// Whether a doubtful expert's score should be shrunk before it is mixed: log-odds are (MacKay 1992).
    #[inline(always)]
    pub(super) fn shrinks(&self) -> bool {
        matches!(self.loss, Loss::Logistic | Loss::Hinge)
    }

    #[inline(always)]
    fn is_standard(&self) -> bool {
        matches!(self.loss, Loss::Squared | Loss::Quantile(_))
    }

    fn deviation(&self) -> f64 {
        if self.variance > 0.0 { self.variance.sqrt() } else { 1.0 }
    }

    fn log_mean(&self) -> f64 {
        match (self.mean > 0.0, self.examples > 0.0) {
            (true, _) => libm::log(self.mean),
            (false, true) => libm::log(0.5 / self.examples),
            (false, false) => 0.0,
        }
    }

    /// The link of mixed scores, where predictions and derivatives need it: the logistic. Else 0.
    #[inline(always)]
    pub(super) fn linked<const N: usize>(&self, scores: [f64; N]) -> [f64; N] {
        if self.loss == Loss::Logistic { self.loss.links(scores) } else { [0.0; N] }
    }

    /// The prediction that a mixed score stands for; `linked`: what [`Frame::linked`] made of it.
    #[inline(always)]
    pub(super) fn prediction(&self, score: f64, linked: f64) -> f64 {
        match self.loss {
            Loss::Logistic if score.abs() <= LOG_ODDS_MAX => linked,
            Loss::Logistic => self.loss.link(score.clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX)),
            Loss::Hinge => score.clamp(-1.0, 1.0),
            Loss::Poisson if self.examples == 0.0 => 1.0,
            Loss::Poisson => {
                let limit = f64::from(SCORE_MAX);
                libm::exp(score.clamp(-limit, limit) + self.log_mean()).min(self.high.max(self.mean))
            }
            Loss::Squared | Loss::Quantile(_) if self.examples == 0.0 => 0.0,
            Loss::Squared | Loss::Quantile(_) => {
                (self.mean + self.deviation() * score).clamp(self.low, self.high)
            }
        }
    }

    /// Takes in the label of a record that counts `weight` times.
    #[inline(always)]
    pub(super) fn see(&mut self, label: f32, weight: f32) -> Seen {
        let label = f64::from(label);
        let (log_mean, dispersion) = match self.loss {
            Loss::Poisson => (self.log_mean(), self.error.max(1e-9)),
            _ => (0.0, 1.0),
        };
        let before = self.examples;
        self.examples += 1.0;
        if !matches!(self.loss, Loss::Logistic | Loss::Hinge) {
            self.take(label);
        }
        let limit = f64::from(STANDARD_MAX);
        let z = if self.is_standard() {
            ((label - self.mean) / self.deviation()).clamp(-limit, limit) as f32
        } else {
            0.0
        };
        let count = if self.loss == Loss::Poisson { before } else { self.examples };
        Seen { label, weight, z, rate: 1.0 / (count + 5.0).min(1000.0) as f32, log_mean, dispersion }
    }

    fn take(&mut self, label: f64) {
        if self.examples == 1.0 {
            (self.low, self.high) = (label, label);
        }
        self.low = self.low.min(label);
        self.high = self.high.max(label);
        let k = 1.0 / self.examples;
        let from_mean = label - self.mean;
        self.mean += from_mean * k;
        self.variance = self.variance * (1.0 - k) + from_mean * (label - self.mean) * k;
    }

    /// What each expert is told. `errors`: their running errors, updated.
    #[inline(always)]
    pub(super) fn respond<const N: usize>(
        &self,
        seen: &Seen,
        scores: &Scores<N>,
        errors: &mut [f32; N],
    ) -> Response<N> {
        let mut response = match self.loss {
            Loss::Logistic => logistic(seen, scores),
            Loss::Hinge => hinge(seen, scores),
            Loss::Squared => squared(seen, scores, errors),
            Loss::Quantile(tau) => quantile(seen, scores, errors, tau as f32),
            Loss::Poisson => poisson(self.mean_before(seen), seen, scores),
        };
        let brake = self.brake(seen.weight) as f32;
        for (gradient, curvature) in response.gradient.iter_mut().zip(&mut response.curvature) {
            *curvature = *curvature * seen.weight + brake * gradient.abs();
            *gradient *= seen.weight;
        }
        response
    }

    /// Curvature to add for each unit of the gradient; 0 for weights up to 1.
    #[inline(always)]
    fn brake(&self, weight: f32) -> f64 {
        if self.shrinks() { (f64::from(weight) - 1.0).max(0.0) / MOVE } else { 0.0 }
    }

    fn mean_before(&self, seen: &Seen) -> f64 {
        libm::exp(seen.log_mean)
    }

    /// Gradient, curvature and loss of the mixed score. Call [`Frame::note_before`] first.
    #[inline(always)]
    pub(super) fn respond_mixed(&self, seen: &Seen, score: Linked, weighed: bool) -> (f64, f64, f64) {
        let weight = seen.weight.min(MIXER_IMPORTANCE_MAX);
        let (gradient, curvature, loss) = self.derivatives(seen, score, weighed);
        let (brake, weight) = (self.brake(weight), f64::from(weight));
        (gradient * weight, curvature * weight + brake * gradient.abs(), loss * weight)
    }

    #[inline(always)]
    fn derivatives(&self, seen: &Seen, score: Linked, weighed: bool) -> (f64, f64, f64) {
        let Linked { score, linked } = score;
        let loss = |prediction, label| if weighed { self.loss.value(prediction, label) } else { 0.0 };
        let z = f64::from(seen.z);
        match self.loss {
            Loss::Logistic => {
                let p = linked;
                (p - seen.label, (p * (1.0 - p)).max(MIXER_CURVATURE), loss(p, seen.label))
            }
            Loss::Hinge => {
                let gradient = self.loss.gradient(score, seen.label);
                (gradient, HINGE_CURVATURE, loss(score, seen.label))
            }
            Loss::Squared => {
                let curvature = 1.0 / self.error.max(1e-9);
                let error = (score - z).clamp(-f64::from(STANDARD_MAX), f64::from(STANDARD_MAX));
                (error * curvature, curvature, 0.5 * error * error * curvature)
            }
            Loss::Quantile(tau) => {
                let density = 1.4 / self.error.max(1e-4);
                let curvature = density * density * (tau * (1.0 - tau)).max(1e-3);
                (self.loss.gradient(score, z) * density, curvature, loss(score, z) * density)
            }
            Loss::Poisson => {
                let limit = f64::from(SCORE_MAX);
                let mean = libm::exp(score.clamp(-limit, limit) + seen.log_mean);
                let gradient = ((mean - seen.label) / seen.dispersion).clamp(-1e6, 1e6);
                let curvature = (mean.max(seen.label / 4.0) / seen.dispersion).clamp(1e-5, 1e6);
                (gradient, curvature, 0.5 * loss(mean, seen.label) / seen.dispersion)
            }
        }
    }

    /// Takes the error of the mixed score into its running average, where the mixers' step needs it.
    #[inline(always)]
    pub(super) fn note_before(&mut self, seen: &Seen, score: f64) {
        if self.is_standard() {
            self.note_error(seen, score);
        }
    }

    /// The same for poisson, whose dispersion is that before the record.
    #[inline(always)]
    pub(super) fn note_after(&mut self, seen: &Seen, score: f64) {
        if self.loss == Loss::Poisson {
            self.note_error(seen, score);
        }
    }

    fn note_error(&mut self, seen: &Seen, score: f64) {
        let rate = f64::from(seen.rate);
        let limit = f64::from(STANDARD_MAX);
        let error = (score - f64::from(seen.z)).clamp(-limit, limit);
        let now = match self.loss {
            Loss::Squared => error * error,
            Loss::Quantile(_) => error.abs(),
            Loss::Poisson => {
                let limit = f64::from(SCORE_MAX);
                let mean = libm::exp(score.clamp(-limit, limit) + seen.log_mean);
                ((seen.label - mean) * (seen.label - mean) / mean.max(1e-9)).min(1e12)
            }
            Loss::Logistic | Loss::Hinge => return,
        };
        self.error += (now - self.error) * rate;
    }

    /// Joins what copies saw apart: label counts, sums and sums of squares add up, running errors are averaged by `shares`.
    pub(super) fn merge<'f>(&mut self, shares: &[f64], copies: impl Iterator<Item = &'f Self> + Clone) {
        let before = self.clone();
        let square = |frame: &Self| frame.variance + frame.mean * frame.mean;
        let total = |of: &dyn Fn(&Self) -> f64| {
            let start = of(&before);
            start + copies.clone().map(|copy| of(copy) - start).sum::<f64>()
        };
        self.examples = total(&|frame| frame.examples);
        if self.examples > 0.0 {
            self.mean = total(&|frame| frame.examples * frame.mean) / self.examples;
            let squares = total(&|frame| frame.examples * square(frame)) / self.examples;
            self.variance = (squares - self.mean * self.mean).max(0.0);
        }
        let learned = || copies.clone().filter(|copy| copy.examples > 0.0);
        self.low = learned().map(|copy| copy.low).reduce(f64::min).unwrap_or(self.low);
        self.high = learned().map(|copy| copy.high).reduce(f64::max).unwrap_or(self.high);
        self.error = mean(shares, copies.clone().map(|copy| copy.error));
    }

    pub(super) fn state(&self, out: &mut Vec<f64>) {
        out.extend([self.examples, self.mean, self.variance, self.low, self.high, self.error]);
    }

    pub(super) fn restore(&mut self, state: &mut impl Iterator<Item = f64>) -> Option<()> {
        let Self { examples, mean, variance, low, high, error, .. } = self;
        for place in [examples, mean, variance, low, high, error] {
            *place = state.next().filter(|value| value.is_finite())?;
        }
        (self.low <= self.high).then_some(())
    }
}

#[inline(always)]
fn logistic<const N: usize>(seen: &Seen, scores: &Scores<N>) -> Response<N> {
    let (p, y) = (kernel::sigmoid(scores.mixed), seen.label as f32);
    let gradient = p.map(|p| p - y);
    Response { gradient, curvature: p.map(|p| (p * (1.0 - p)).max(scores.least_curvature)) }
}

fn hinge<const N: usize>(seen: &Seen, scores: &Scores<N>) -> Response<N> {
    let mut response = logistic(seen, scores);
    for l in 0..scores.newton_from {
        response.gradient[l] = Loss::Hinge.gradient(f64::from(scores.raw[l]), seen.label) as f32;
    }
    response
}

fn squared<const N: usize>(seen: &Seen, scores: &Scores<N>, errors: &mut [f32; N]) -> Response<N> {
    let mut response = Response { gradient: [0.0; N], curvature: [1.0; N] };
    for (l, running) in errors.iter_mut().enumerate() {
        let error = (scores.raw[l] - seen.z).clamp(-STANDARD_MAX, STANDARD_MAX);
        *running += (error * error - *running) * seen.rate;
        response.curvature[l] = 1.0 / running.max(1e-6);
        response.gradient[l] = if l < scores.newton_from { error } else { error * response.curvature[l] };
    }
    response
}

fn quantile<const N: usize>(seen: &Seen, scores: &Scores<N>, errors: &mut [f32; N], tau: f32) -> Response<N> {
    let mut response = Response { gradient: [0.0; N], curvature: [1.0; N] };
    let loss = Loss::Quantile(f64::from(tau));
    for (l, running) in errors.iter_mut().enumerate() {
        *running += ((scores.raw[l] - seen.z).abs() - *running) * seen.rate;
        let density = 1.4 / running.max(1e-4);
        response.curvature[l] = density * density * (tau * (1.0 - tau)).max(1e-3);
        let slope = loss.gradient(f64::from(scores.raw[l]), f64::from(seen.z)) as f32;
        response.gradient[l] = if l < scores.newton_from { slope } else { slope * density };
    }
    response
}

fn poisson<const N: usize>(mean: f64, seen: &Seen, scores: &Scores<N>) -> Response<N> {
    let mut response = Response { gradient: [0.0; N], curvature: [1.0; N] };
    let (label, dispersion) = (seen.label, seen.dispersion);
    let unit = (mean * dispersion).sqrt();
    for l in 0..N {
        let predicted = libm::exp(f64::from(scores.raw[l]) + seen.log_mean);
        // Curvature is bounded below by a quarter of the label: no wild step from far below.
        response.curvature[l] = (predicted.max(label / 4.0) / dispersion).clamp(1e-5, 1e6) as f32;
        let gradient = if l < scores.newton_from {
            ((predicted - label) / unit).clamp(-100.0, 100.0)
        } else {
            ((predicted - label) / dispersion).clamp(-1e6, 1e6)
        };
        response.gradient[l] = gradient as f32;
    }
    response
}

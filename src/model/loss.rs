//! Losses: their links, values and derivatives by the score.

use crate::example::LabelRange;
use crate::kernel;
use serde::{Deserialize, Serialize};

/// What is minimized. `score` is the linear or factorized sum, before the link.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// −y·ln p − (1−y)·ln(1−p), p = 1/(1+e^−score), y in [0, 1].
    #[default]
    Logistic,
    /// (score − y)²; its gradient is taken as score − y.
    Squared,
    /// max(0, 1 − score) for y = 1, max(0, 1 + score) for y = 0; soft labels in between.
    Hinge,
    /// The pinball loss of quantile τ: τ·(y − score) above, (1 − τ)·(score − y) below.
    Quantile(f64),
    /// The deviance 2·(y·ln(y/μ) − y + μ), μ = e^score; its gradient is taken as μ − y.
    Poisson,
}

/// Log-odds beyond this are not told apart.
const LOG_ODDS_MAX: f64 = 30.0;

impl Loss {
    /// The labels it accepts.
    pub fn labels(self) -> LabelRange {
        match self {
            Self::Logistic | Self::Hinge => LabelRange::Binary,
            Self::Poisson => LabelRange::NonNegative,
            Self::Squared | Self::Quantile(_) => LabelRange::Finite,
        }
    }

    /// The prediction as users see it: probability, mean, or the score itself.
    pub fn link(self, score: f64) -> f64 {
        match self {
            Self::Logistic => 1.0 / (1.0 + libm::exp(-score.clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX))),
            Self::Poisson => libm::exp(score.clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX)),
            _ => score,
        }
    }

    /// [`Loss::link`] of several scores, side by side: the same bits.
    #[inline(always)]
    pub(super) fn links<const N: usize>(self, scores: [f64; N]) -> [f64; N] {
        match self {
            Self::Logistic => {
                let powers = kernel::exp_f64(scores.map(|score| -score.clamp(-LOG_ODDS_MAX, LOG_ODDS_MAX)));
                powers.map(|power| 1.0 / (1.0 + power))
            }
            _ => scores.map(|score| self.link(score)),
        }
    }

    /// dL/dscore.
    pub fn gradient(self, score: f64, label: f64) -> f64 {
        match self {
            Self::Logistic | Self::Poisson => self.link(score) - label,
            Self::Squared => score - label,
            Self::Hinge => {
                let positive = if score < 1.0 { -label } else { 0.0 };
                positive + if score > -1.0 { 1.0 - label } else { 0.0 }
            }
            Self::Quantile(tau) if score > label => 1.0 - tau,
            Self::Quantile(tau) if score < label => -tau,
            Self::Quantile(_) => 0.0,
        }
    }

    /// The loss of a prediction (after the link), in nats where it is a likelihood.
    pub fn value(self, prediction: f64, label: f64) -> f64 {
        match self {
            Self::Logistic => {
                let p = prediction.clamp(1e-15, 1.0 - 1e-15);
                let positive = if label > 0.0 { -label * libm::log(p) } else { 0.0 };
                positive - if label < 1.0 { (1.0 - label) * libm::log1p(-p) } else { 0.0 }
            }
            Self::Squared => (prediction - label) * (prediction - label),
            Self::Hinge => label * (1.0 - prediction).max(0.0) + (1.0 - label) * (1.0 + prediction).max(0.0),
            Self::Quantile(tau) if label >= prediction => tau * (label - prediction),
            Self::Quantile(tau) => (1.0 - tau) * (prediction - label),
            Self::Poisson => {
                let mean = prediction.max(1e-15);
                let ratio = if label > 0.0 { label * libm::log(label / mean) } else { 0.0 };
                2.0 * (ratio - label + mean)
            }
        }
    }

    /// [`Loss::value`] of several predictions, side by side: the same bits.
    #[inline(always)]
    pub(crate) fn values<const N: usize>(self, predictions: [f64; N], labels: [f64; N]) -> [f64; N] {
        if self != Self::Logistic || predictions.iter().any(|p| p.is_nan()) {
            return std::array::from_fn(|i| self.value(predictions[i], labels[i]));
        }
        let p = predictions.map(|p| p.clamp(1e-15, 1.0 - 1e-15));
        let (positive, negative) = (kernel::ln_f64(p), kernel::ln_1p_f64(p.map(|p| -p)));
        std::array::from_fn(|i| {
            let (label, rest) = (labels[i], 1.0 - labels[i]);
            let positive = if label > 0.0 { -label * positive[i] } else { 0.0 };
            positive - if label < 1.0 { rest * negative[i] } else { 0.0 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Loss; 5] = [Loss::Logistic, Loss::Squared, Loss::Hinge, Loss::Quantile(0.3), Loss::Poisson];

    #[test]
    fn gradients_are_those_of_the_values() {
        for loss in ALL {
            let halved = if matches!(loss, Loss::Squared | Loss::Poisson) { 0.5 } else { 1.0 };
            for score in [-2.3, -0.4, 0.7, 1.9] {
                for label in [0.0, 0.25, 1.0] {
                    let at = |s: f64| halved * loss.value(loss.link(s), label);
                    let numeric = (at(score + 1e-6) - at(score - 1e-6)) / 2e-6;
                    assert!((numeric - loss.gradient(score, label)).abs() < 1e-4, "{loss:?} {score} {label}");
                }
            }
        }
    }

    #[test]
    fn extreme_scores_give_finite_losses() {
        for loss in ALL {
            for score in [-1e30, 1e30] {
                assert!(loss.value(loss.link(score), 1.0).is_finite(), "{loss:?}");
                assert!(loss.gradient(score, 1.0).is_finite(), "{loss:?}");
            }
        }
    }

    #[test]
    fn values_side_by_side_have_the_bits_of_each_alone() {
        for loss in ALL {
            for i in 0..2000 {
                let score =
                    |lane: usize| ((i * 8 + lane) as f64 * 0.731).sin() * if i % 2 == 0 { 4.0 } else { 40.0 };
                let p: [f64; 8] = std::array::from_fn(|lane| loss.link(score(lane)));
                let labels: [f64; 8] = std::array::from_fn(|lane| [0.0, 1.0, 0.25, 1.0][(i + lane) % 4]);
                for (lane, value) in loss.values(p, labels).into_iter().enumerate() {
                    let alone = loss.value(p[lane], labels[lane]);
                    assert_eq!(value.to_bits(), alone.to_bits(), "{loss:?} {} {}", p[lane], labels[lane]);
                }
            }
        }
    }
}

//! Progressive validation: how good the predictions were, each made before its label was learned.
//!
//! Weighted means in f64, an AUC from a fixed histogram (memory does not grow, and two runs add in the same order, so
//! figures are deterministic). Nothing here feeds back into learning.

use super::curve::{Curve, CurvePoint};
use crate::kernel::Isa;
use crate::model::Loss;
use crate::sketch::{CalibrationBin, calibration_bins};
use serde::{Deserialize, Serialize};

const BINS: usize = 4096;
/// Examples per window block; the reported window is the last one to two blocks.
pub const WINDOW: u64 = 10_000;

/// Figures over some stretch of examples, and how many those were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Examples with a label and a weight above 0.
    pub examples: u64,
    /// How good they were.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Figures over some stretch of examples. Those that do not apply to the loss are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Weighted mean of the loss; nats for logistic.
    pub loss: f64,
    /// Weighted mean of −ln(likelihood): logistic only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logloss: Option<f64>,
    /// Root of the weighted mean squared error: squared, quantile and poisson.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// Area under the ROC curve: logistic and hinge, once both classes were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
    /// Mean prediction / mean label: logistic, squared and poisson.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<f64>,
    /// Log loss / entropy of the base rate (He et al. 2014): logistic. Below 1: better than the base rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalized_entropy: Option<f64>,
    /// Weighted mean of the labels.
    pub mean_label: f64,
    /// Weighted mean of the predictions.
    pub mean_prediction: f64,
}

/// A prediction held against its label.
struct Judged {
    loss: f64,
    prediction: f64,
    label: f64,
    weight: f64,
    bin: usize,
}

/// Sums over a stretch of examples.
#[derive(Debug, Clone, PartialEq)]
struct Sums {
    examples: u64,
    weight: f64,
    loss: f64,
    label: f64,
    prediction: f64,
    squares: f64,
    /// Weight of positives and of negatives by score, `[2, BINS]`; empty where AUC does not apply.
    histogram: Vec<f64>,
}

impl Sums {
    fn new(loss: Loss) -> Self {
        let bins = if matches!(loss, Loss::Logistic | Loss::Hinge) { 2 * BINS } else { 0 };
        let histogram = vec![0.0; bins];
        Self { examples: 0, weight: 0.0, loss: 0.0, label: 0.0, prediction: 0.0, squares: 0.0, histogram }
    }

    fn add(&mut self, judged: &Judged) {
        let Judged { loss, prediction, label, weight, bin } = *judged;
        self.examples += 1;
        self.weight += weight;
        self.loss += weight * loss;
        self.label += weight * label;
        self.prediction += weight * prediction;
        self.squares += weight * (prediction - label) * (prediction - label);
        if let Some((positive, negative)) = self.histogram.split_at_mut_checked(BINS)
            && let (Some(positive), Some(negative)) = (positive.get_mut(bin), negative.get_mut(bin))
        {
            *positive += weight * label;
            *negative += weight * (1.0 - label);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.examples += other.examples;
        self.weight += other.weight;
        self.loss += other.loss;
        self.label += other.label;
        self.prediction += other.prediction;
        self.squares += other.squares;
        for (sum, other) in self.histogram.iter_mut().zip(&other.histogram) {
            *sum += other;
        }
    }

    fn clear(&mut self) {
        let mut histogram = std::mem::take(&mut self.histogram);
        histogram.fill(0.0);
        *self = Self { histogram, ..Self::new(Loss::Squared) };
    }

    fn auc(&self) -> Option<f64> {
        let (positive, negative) = self.histogram.split_at_checked(BINS)?;
        let (mut below, mut ordered) = (0.0, 0.0);
        for (positive, negative) in positive.iter().zip(negative) {
            ordered += positive * (below + 0.5 * negative);
            below += negative;
        }
        let pairs = positive.iter().sum::<f64>() * below;
        (pairs > 0.0).then(|| ordered / pairs)
    }

    /// Empty where predictions are no probabilities.
    fn calibration(&self, loss: Loss, edges: &[f64]) -> Vec<CalibrationBin> {
        match self.histogram.split_at_checked(BINS) {
            Some((positive, negative)) if loss == Loss::Logistic => {
                let weights = positive.iter().copied().zip(negative.iter().copied()).enumerate();
                calibration_bins(weights.map(|(bin, weights)| (middle(bin), weights)), edges)
            }
            _ => Vec::new(),
        }
    }

    fn report(&self, loss: Loss) -> Report {
        let mean = |sum: f64| if self.weight > 0.0 { sum / self.weight } else { 0.0 };
        let (label, prediction) = (mean(self.label), mean(self.prediction));
        let logistic = matches!(loss, Loss::Logistic);
        let entropy = Loss::Logistic.value(label, label);
        let calibrated = matches!(loss, Loss::Logistic | Loss::Squared | Loss::Poisson) && label != 0.0;
        let errors = matches!(loss, Loss::Squared | Loss::Quantile(_) | Loss::Poisson);
        let figures = Figures {
            loss: mean(self.loss),
            logloss: logistic.then(|| mean(self.loss)),
            rmse: errors.then(|| mean(self.squares).sqrt()),
            auc: self.auc(),
            calibration: calibrated.then(|| prediction / label),
            normalized_entropy: (logistic && entropy > 0.0).then(|| mean(self.loss) / entropy),
            mean_label: label,
            mean_prediction: prediction,
        };
        Report { examples: self.examples, figures }
    }

    fn state(&self, out: &mut Vec<f64>) {
        out.extend([self.examples as f64, self.weight, self.loss, self.label, self.prediction, self.squares]);
        out.extend(&self.histogram);
    }

    fn restore(&mut self, state: &[f64]) -> bool {
        let Some((&[examples, weight, loss, label, prediction, squares], histogram)) =
            state.split_first_chunk()
        else {
            return false;
        };
        if histogram.len() != self.histogram.len() {
            return false;
        }
        let histogram = histogram.to_vec();
        *self = Self { examples: examples as u64, weight, loss, label, prediction, squares, histogram };
        true
    }
}

/// Odds beyond these, 2^-32 and 2^31, are not told apart.
const ODDS_MIN: f64 = 1.0 / 4_294_967_296.0;
const ODDS_MAX: f64 = 2_147_483_648.0;

/// Monotone in the prediction. Logistic: the leading bits of the odds (an exponent and six bits of mantissa: 1.6 %
/// wide). Hinge: linear in ±8.
#[inline(always)]
fn bin(loss: Loss, prediction: f64) -> usize {
    if loss == Loss::Logistic {
        let odds = (prediction / (1.0 - prediction)).clamp(ODDS_MIN, ODDS_MAX) as f32;
        return (odds.to_bits() >> 17).saturating_sub((127 - 32) << 6).min(BINS as u32 - 1) as usize;
    }
    ((prediction.clamp(-8.0, 8.0) + 8.0) / 16.0 * (BINS - 1) as f64) as usize
}

/// The probability in the middle of a logistic bin: predictions in it are within 0.2 percentage points of it.
fn middle(bin: usize) -> f64 {
    let odds = f64::from(f32::from_bits(((bin as u32 + ((127 - 32) << 6)) << 17) | 1 << 16));
    odds / (1.0 + odds)
}

/// Predictions judged side by side.
const WIDE: usize = 8;

/// Holds predictions against their labels; `records`: prediction, label and weight of each.
#[inline(always)]
fn judge(loss: Loss, records: [(f64, f64, f64); WIDE]) -> [Judged; WIDE] {
    let (predictions, labels) = (records.map(|record| record.0), records.map(|record| record.1));
    let losses = loss.values(predictions, labels);
    let bins = predictions.map(|prediction| bin(loss, prediction));
    std::array::from_fn(|i| {
        let (prediction, label, weight) = records[i];
        Judged { loss: losses[i], prediction, label, weight, bin: bins[i] }
    })
}

/// See the [module](self).
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    loss: Loss,
    whole: Sums,
    previous: Sums,
    current: Sums,
    /// The number of examples at which the curve gets its next point; never if there is none.
    next_point: u64,
    curve: Curve,
}

impl Validation {
    /// Nothing seen.
    pub fn new(loss: Loss) -> Self {
        let [whole, previous, current] = std::array::from_fn(|_| Sums::new(loss));
        Self { loss, whole, previous, current, next_point: u64::MAX, curve: Curve::default() }
    }

    /// Keeps a learning curve from now on, which is no part of the state: some 200 points, at numbers of examples that depend on
    /// nothing but that number.
    pub fn trace(&mut self) {
        self.next_point = self.curve.next(self.whole.examples);
    }

    /// The points of the curve so far, and how things stand now as the last one; only that if none is kept.
    pub fn curve(&self) -> Vec<CurvePoint> {
        let mut points = self.curve.points().to_vec();
        if points.last().is_none_or(|last| last.examples < self.whole.examples) {
            points.push(self.point());
        }
        points
    }

    fn point(&self) -> CurvePoint {
        let (life, window) = (self.report(), self.window());
        CurvePoint { examples: life.examples, life: life.figures, window: window.figures }
    }

    #[cold]
    fn take_point(&mut self) {
        let point = self.point();
        self.next_point = self.curve.push(point);
    }

    /// Predictions beside labels by the size of the prediction, over the model's life and over the last window: a range from each of
    /// `edges`, ascending from 0, to the next; those without weight are left out. Empty for losses other than logistic. The mean
    /// prediction is that of a fine histogram, true to 0.2 percentage points.
    pub fn calibration(&self, edges: &[f64]) -> [Vec<CalibrationBin>; 2] {
        let mut window = self.previous.clone();
        window.merge(&self.current);
        [self.whole.calibration(self.loss, edges), window.calibration(self.loss, edges)]
    }

    /// Notes a prediction made before its label was learned.
    pub fn add(&mut self, prediction: f64, label: f64, weight: f64) {
        self.add_all(std::iter::once((prediction, label, weight)));
    }

    /// Notes predictions, labels and weights, in order: what [`Validation::add`] does with each.
    pub fn add_all(&mut self, records: impl Iterator<Item = (f64, f64, f64)>) {
        let mut records = records.peekable();
        while records.peek().is_some() {
            let (mut some, mut count) = ([(0.5, 0.0, 0.0); WIDE], 0);
            for (place, record) in some.iter_mut().zip(&mut records) {
                *place = record;
                count += 1;
            }
            let loss = self.loss;
            let judged = Isa::best().run(
                #[inline(always)]
                || judge(loss, some),
            );
            judged.iter().take(count).for_each(|judged| self.note(judged));
        }
    }

    fn note(&mut self, judged: &Judged) {
        if self.current.examples == WINDOW {
            std::mem::swap(&mut self.previous, &mut self.current);
            self.current.clear();
        }
        self.whole.add(judged);
        self.current.add(judged);
        if self.whole.examples == self.next_point {
            self.take_point();
        }
    }

    /// Over the whole life of the model.
    pub fn report(&self) -> Report {
        self.whole.report(self.loss)
    }

    /// Over the last 10,000 to 20,000 examples.
    pub fn window(&self) -> Report {
        let mut both = self.previous.clone();
        both.merge(&self.current);
        both.report(self.loss)
    }

    /// All state, exactly.
    pub fn state(&self) -> Vec<f64> {
        let mut out = Vec::new();
        for sums in [&self.whole, &self.previous, &self.current] {
            sums.state(&mut out);
        }
        out
    }

    /// Takes up what [`Validation::state`] returned. `false`: not such a state.
    pub fn restore(&mut self, state: &[f64]) -> bool {
        let third = state.len() / 3;
        let parts = [&mut self.whole, &mut self.previous, &mut self.current];
        third > 0
            && third * 3 == state.len()
            && parts.into_iter().zip(state.chunks(third)).all(|(sums, part)| sums.restore(part))
    }
}

#[cfg(test)]
mod tests;

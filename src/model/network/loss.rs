//! What a network learns from: labels with weights, and the loss of its outputs.

use super::NetworkError;
use super::field::expect_len;
use crate::model::Loss;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Labels of a batch, one for each output, row-major.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targets {
    /// The labels. What stands where the weight is 0 plays no part.
    pub values: Vec<f32>,
    /// How much each counts, ≥ 0; 0: the label is missing.
    pub weights: Vec<f32>,
}

impl Targets {
    /// Labels that count 1 each; `None` is a missing one.
    pub fn of(labels: impl IntoIterator<Item = Option<f32>>) -> Self {
        let pair = |label: Option<f32>| label.map_or((0.0, 0.0), |label| (label, 1.0));
        let (values, weights) = labels.into_iter().map(pair).unzip();
        Self { values, weights }
    }

    /// The same with record i's labels counting `importance[i]` times as much.
    ///
    /// # Errors
    /// Labels that cannot be dealt to that many records evenly.
    pub fn weighted(mut self, importance: &[f32]) -> Result<Self, NetworkError> {
        let outputs = self.weights.len() / importance.len().max(1);
        expect_len("importance weights", self.weights.len(), outputs * importance.len())?;
        for (weights, importance) in self.weights.chunks_mut(outputs.max(1)).zip(importance) {
            weights.iter_mut().for_each(|weight| *weight *= importance);
        }
        Ok(self)
    }

    /// Whether there is a label at all.
    pub(super) fn any(&self) -> bool {
        self.weights.iter().any(|weight| *weight != 0.0)
    }

    /// Labels and weights of `outputs` numbers each, the labels of padding and what stands for missing ones left out.
    pub(super) fn masked(&self, outputs: usize, mask: Option<&[bool]>) -> Result<Self, NetworkError> {
        expect_len("targets", outputs, self.values.len())?;
        expect_len("weights of the targets", outputs, self.weights.len())?;
        let mut masked = self.clone();
        if let Some(mask) = mask {
            let width = outputs / mask.len().max(1);
            for (weights, _) in
                masked.weights.chunks_mut(width.max(1)).zip(mask).filter(|(_, there)| !**there)
            {
                weights.fill(0.0);
            }
        }
        let labels = masked.values.iter_mut().zip(&masked.weights);
        labels.filter(|(_, weight)| **weight == 0.0).for_each(|(value, _)| *value = 0.0);
        Ok(masked)
    }
}

/// The loss of one output o with label y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputLoss {
    /// −y·ln p − (1−y)·ln(1−p), p = 1/(1+e^−o), y in [0, 1].
    #[default]
    Logistic,
    /// (o − y)², whose gradient is 2·(o − y).
    Squared,
}

/// How the losses of the labels there are become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Σ weight·loss: a record moves the model as far in a large batch as in a small one.
    #[default]
    Sum,
    /// Σ weight·loss / number of labels there are.
    Mean,
}

/// What a network minimizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Objective {
    /// Of one output.
    pub loss: OutputLoss,
    /// Of all.
    pub reduction: Reduction,
}

impl Objective {
    /// The loss of `outputs`, a scalar; `targets` and `weights` have their shape.
    ///
    /// The logistic loss is written max(o, 0) − o·y + ln(1 + e^−|o|), which is finite for every finite o; candle-nn's takes
    /// the logarithm of a probability that f32 has rounded to 0 or 1, and is NaN from log-odds of 17 on.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn of(&self, outputs: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor, NetworkError> {
        let losses = match self.loss {
            OutputLoss::Squared => outputs.sub(targets)?.sqr()?,
            OutputLoss::Logistic => {
                let rest = outputs.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?;
                outputs.relu()?.sub(&outputs.mul(targets)?)?.add(&rest)?
            }
        };
        let sum = losses.mul(weights)?.sum_all()?;
        match self.reduction {
            Reduction::Sum => Ok(sum),
            Reduction::Mean => {
                let labels = weights.ne(0f32)?.to_dtype(weights.dtype())?.sum_all()?.to_scalar::<f32>()?;
                Ok(sum.affine(1.0 / f64::from(labels.max(1.0)), 0.0)?)
            }
        }
    }

    /// The prediction as users see it: the probability, or the output itself. It is finite: an output beyond the range of
    /// f32 counts as the largest number in it, NaN as 0.
    pub fn prediction(&self, output: f32) -> f32 {
        let output = if output.is_nan() { 0.0 } else { output.clamp(f32::MIN, f32::MAX) };
        self.loss().link(f64::from(output)) as f32
    }

    /// The loss by which predictions are scored.
    pub fn loss(&self) -> Loss {
        match self.loss {
            OutputLoss::Logistic => Loss::Logistic,
            OutputLoss::Squared => Loss::Squared,
        }
    }
}

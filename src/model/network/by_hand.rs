//! Networks written out: forward and backward in plain arithmetic, where candle's graph would cost more than all it computes.
//!
//! A graph costs a few microseconds an operation whatever it holds. A dot product of eight floats is five operations, and a
//! recommender that learns every rating at once has nothing else to do. Such a network gives its outputs and gradients itself;
//! candle's stay the reference, and tests hold the two together.

use super::{Gradients, Inputs, Objective, OutputLoss, Reduction, Targets};

/// Outputs and gradients without a graph.
pub trait ByHand {
    /// What [`Network::forward`](super::Network::forward) computes with dropout off, row-major. `parameters`: the weights of each,
    /// in the order of [`Network::parameters`](super::Network::parameters). `inputs` have been checked.
    fn outputs(&self, inputs: &Inputs, parameters: &[Vec<f32>]) -> Vec<f32>;

    /// The gradients of Σ slope · output, by field and by parameter in their orders.
    fn gradients(&self, inputs: &Inputs, parameters: &[Vec<f32>], slopes: &[f32]) -> Gradients;
}

impl Objective {
    /// The loss of `outputs`, as [`Objective::of`] has it, and its derivative by each.
    pub fn by_hand(&self, outputs: &[f32], targets: &Targets) -> (f32, Vec<f32>) {
        let labels = targets.weights.iter().filter(|weight| **weight != 0.0).count();
        let share = match self.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / labels.max(1) as f32,
        };
        let mut loss = 0.0;
        let labels = targets.values.iter().zip(&targets.weights);
        let slopes = outputs.iter().zip(labels).map(|(&output, (&label, &weight))| {
            let (value, slope) = match self.loss {
                OutputLoss::Squared => ((output - label) * (output - label), 2.0 * (output - label)),
                OutputLoss::Logistic => {
                    let small = (-output.abs()).exp();
                    let probability = if output < 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) };
                    (output.max(0.0) - output * label + (1.0 + small).ln(), probability - label)
                }
            };
            loss += weight * value;
            weight * slope * share
        });
        let slopes = slopes.collect();
        (loss * share, slopes)
    }
}

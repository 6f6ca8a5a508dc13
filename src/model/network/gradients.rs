//! Gradients of a loss, where they are: floats of this process, or tensors of candle's device.

use super::parameter::all_finite;
use super::{NetworkError, Values};
use candle_core::Tensor;

/// What fields and parameters are moved by.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// By field, of its values; no floats for fields that hold no table rows.
    pub leaves: Vec<Values>,
    /// By parameter, row-major.
    pub parameters: Vec<Vec<f32>>,
}

impl Gradients {
    /// Whether each of them is finite. Waits for the device of those that are tensors.
    pub(super) fn are_finite(&self) -> Result<bool, NetworkError> {
        let leaves = self.leaves.iter().map(Values::as_floats);
        let mut here = leaves.chain(self.parameters.iter().map(Vec::as_slice));
        Ok(here.all(all_finite) && self.are_finite_there()?)
    }

    /// The same of gradients that are tensors, by one number for all: 0 times anything is 0, but for what is not finite.
    fn are_finite_there(&self) -> Result<bool, NetworkError> {
        let zeros = self.leaves.iter().filter_map(|leaf| match leaf {
            Values::Tensor(slopes) => Some((slopes * 0.0).and_then(|zeros| zeros.sum_all())),
            _ => None,
        });
        let zeros = zeros.collect::<Result<Vec<Tensor>, _>>()?;
        Ok(zeros.is_empty() || Tensor::stack(&zeros, 0)?.sum_all()?.to_scalar::<f32>()? == 0.0)
    }
}

//! Vectors as candle's tensors: for a dense part that computes where the rows are.
//!
//! Sums and gradients are copied within the device, `[records, dim]` each; rows are never.

use super::{CudaError, DeviceVectors, Machine};
use candle_core::{Device as Candle, Tensor};

/// A machine that candle computes on, too.
pub trait Tensors: Machine {
    /// candle's device for the same memory.
    fn candle(&self) -> Candle;

    /// The first `floats` of `from` as a tensor `[floats]`, after all that was started before.
    ///
    /// # Errors
    /// Floats beyond the memory; no room; the device failed.
    fn tensor(&self, from: &Self::Memory, floats: usize) -> Result<Tensor, CudaError>;

    /// Copies the floats of `from` to the beginning of `to`, after all that computes them.
    ///
    /// # Errors
    /// A tensor that is not f32 on [this device](Tensors::candle); more floats than the memory has; the device failed.
    fn copy_tensor(&self, from: &Tensor, to: &mut Self::Memory) -> Result<(), CudaError>;
}

impl<M: Tensors> DeviceVectors<M> {
    /// The vectors as a tensor `[records · dim]`.
    ///
    /// # Errors
    /// No room; the device failed.
    pub fn tensor(&self) -> Result<Tensor, CudaError> {
        self.machine.tensor(&self.memory, self.records * self.dim)
    }

    /// Replaces the vectors by the floats of a tensor.
    ///
    /// # Errors
    /// No whole number of vectors; a tensor of another device; no room.
    pub fn set_tensor(&mut self, floats: &Tensor) -> Result<(), CudaError> {
        let records = self.records_of(floats.elem_count())?;
        self.resize(records)?;
        self.machine.copy_tensor(floats, &mut self.memory)
    }
}

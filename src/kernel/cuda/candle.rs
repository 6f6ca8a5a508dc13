//! candle's device of the same GPU: its stream is the one that our kernels run on, so nothing waits for anything but what comes before.

use super::device::{Device, DeviceMemory, failed, within};
use super::{CudaError, Tensors};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Storage, Tensor};
use std::fmt::Display;

const FLOAT: usize = size_of::<f32>();

fn refused<E: Display>(doing: &'static str) -> impl Fn(E) -> CudaError {
    move |error| CudaError::Driver { doing, reason: error.to_string() }
}

/// candle's device of number `index`, with a stream of its own.
pub(super) fn open(index: usize) -> Result<CudaDevice, CudaError> {
    CudaDevice::new_with_stream(index).map_err(refused("opening the device for candle"))
}

impl Tensors for Device {
    fn candle(&self) -> candle_core::Device {
        candle_core::Device::Cuda(self.candle.clone())
    }

    fn tensor(&self, from: &DeviceMemory, floats: usize) -> Result<Tensor, CudaError> {
        const DOING: &str = "copying to a tensor";
        within(from.0.len(), 0, floats.saturating_mul(FLOAT))?;
        let no_room = Self::no_room(floats * FLOAT);
        // SAFETY: the copy overwrites all of it.
        let mut copy = unsafe { self.kernels.alloc::<f32>(floats) }.map_err(no_room)?;
        // SAFETY: bytes of any value are floats, and the driver aligns memory to more than four bytes.
        let from = unsafe { from.0.transmute::<f32>(floats) }.ok_or_else(|| refused(DOING)("too short"))?;
        self.kernels.memcpy_dtod(&from, &mut copy).map_err(failed(DOING))?;
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(copy, self.candle.clone()));
        Ok(Tensor::from_storage(storage, floats, BackpropOp::none(), false))
    }

    fn copy_tensor(&self, from: &Tensor, to: &mut DeviceMemory) -> Result<(), CudaError> {
        const DOING: &str = "copying from a tensor";
        let floats = from.elem_count();
        within(to.0.len(), 0, floats.saturating_mul(FLOAT))?;
        let from = from.contiguous().map_err(refused(DOING))?;
        let (storage, layout) = from.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { return Err(CudaError::Elsewhere) };
        let slice = storage.as_cuda_slice::<f32>().map_err(refused(DOING))?;
        let start = layout.start_offset();
        let from = slice.try_slice(start..start + floats).ok_or_else(|| refused(DOING)("too short"))?;
        // SAFETY: as above.
        let to = unsafe { to.0.transmute_mut::<f32>(floats) };
        let mut to = to.ok_or_else(|| refused(DOING)("no room"))?;
        self.kernels.memcpy_dtod(&from, &mut to).map_err(failed(DOING))
    }
}

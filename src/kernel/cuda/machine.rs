//! What runs kernels: a CUDA device, or in tests a processor that plays one.
//!
//! The order of launches, the sizes of grids and the arguments of kernels are as easy to get wrong as the kernels. So all of
//! that is written against this trait, and tests/cuda runs it, with the kernels' own text, where no device is.

use super::CudaError;
use std::fmt::Debug;

/// A kernel by its name in the text, and which of the variants by floats a thread: [`Groups::vectors`](super::Groups).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Its name.
    pub name: &'static str,
    /// The name is followed by the variant.
    pub varies: bool,
    /// The variant.
    pub vectors: u32,
}

impl Kernel {
    /// Its name in a program.
    pub fn full_name(&self) -> String {
        if self.varies { format!("{}_{}", self.name, self.vectors) } else { self.name.to_owned() }
    }
}

/// An argument of a kernel, with the type that the kernel declares.
#[derive(Debug)]
pub enum Arg<'a, M> {
    /// A pointer to memory that is read.
    Read(&'a M),
    /// A pointer to memory that is read and written.
    Write(&'a mut M),
    /// `u32`.
    U32(u32),
    /// `u64`.
    U64(u64),
    /// `float`.
    F32(f32),
    /// `double`.
    F64(f64),
}

/// A device with memory of its own. Work is done in the order in which it was asked for; what is not a download may still be
/// under way when a call returns.
pub trait Machine: Debug {
    /// Memory of the device.
    type Memory: Debug + Send;
    /// Memory of this process that the device can read by itself.
    type Staging: Debug + Send;

    /// Memory of `bytes` zeros, at least 16-byte aligned.
    ///
    /// # Errors
    /// No room.
    fn zeroed(&self, bytes: usize) -> Result<Self::Memory, CudaError>;

    /// Staging memory of `bytes`.
    ///
    /// # Errors
    /// No room.
    fn staging(&self, bytes: usize) -> Result<Self::Staging, CudaError>;

    /// The bytes of `staging`, to be written; waits until the device has read what was sent before.
    ///
    /// # Errors
    /// The device failed.
    fn write<'s>(&self, staging: &'s mut Self::Staging) -> Result<&'s mut [u8], CudaError>;

    /// Copies the first `bytes` of `staging` to the beginning of `to`, beside the kernels that run; those that are started later and
    /// use `to` wait for it, and it waits for those started before.
    ///
    /// # Errors
    /// More bytes than one of both has; the device failed.
    fn send(&self, staging: &mut Self::Staging, bytes: usize, to: &mut Self::Memory)
    -> Result<(), CudaError>;

    /// Copies `from` to `to`, from byte `at` of it on.
    ///
    /// # Errors
    /// Bytes beyond the memory; the device failed.
    fn upload(&self, from: &[u8], to: &mut Self::Memory, at: usize) -> Result<(), CudaError>;

    /// Copies from byte `at` of `from` on over `to`, after all that was started before.
    ///
    /// # Errors
    /// Bytes beyond the memory; the device failed.
    fn download(&self, from: &Self::Memory, at: usize, to: &mut [u8]) -> Result<(), CudaError>;

    /// Starts `kernel` in `blocks` blocks of [`BLOCK`](super::BLOCK) threads.
    ///
    /// # Errors
    /// No such kernel; the device failed.
    ///
    /// # Safety
    /// `args` are those that the kernel's text declares, in number, order and type, and it stays within the memory they name:
    /// slots are below the table's rows, offsets ascend and end at the number of features, and so on.
    unsafe fn launch(
        &self,
        kernel: Kernel,
        blocks: u32,
        args: &mut [Arg<'_, Self::Memory>],
    ) -> Result<(), CudaError>;
}

//! A machine that can be made to fail.

#![allow(
    unsafe_code,
    reason = "`Machine::launch` is unsafe; what it asks for is asked for by whoever calls this one"
)]

use flexihash::kernel::cuda::{Arg, CudaError, Kernel, Machine};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// As the machine inside, until it fails.
#[derive(Debug)]
pub(crate) struct Failing<M> {
    inside: Arc<M>,
    /// What it still does.
    left: AtomicUsize,
}

impl<M> Failing<M> {
    pub(crate) fn new(inside: Arc<M>) -> Arc<Self> {
        Arc::new(Self { inside, left: AtomicUsize::new(usize::MAX) })
    }

    /// It does `more` of what it is asked for, and then nothing.
    pub(crate) fn fail_after(&self, more: usize) {
        self.left.store(more, Ordering::Relaxed);
    }

    fn inside(&self) -> Result<&M, CudaError> {
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Ok(&self.inside),
            Err(_) => Err(CudaError::Driver { doing: "failing", reason: "on purpose".to_owned() }),
        }
    }
}

impl<M: Machine> Machine for Failing<M> {
    type Memory = M::Memory;
    type Staging = M::Staging;

    fn zeroed(&self, bytes: usize) -> Result<M::Memory, CudaError> {
        self.inside()?.zeroed(bytes)
    }

    fn staging(&self, bytes: usize) -> Result<M::Staging, CudaError> {
        self.inside()?.staging(bytes)
    }

    fn write<'s>(&self, staging: &'s mut M::Staging) -> Result<&'s mut [u8], CudaError> {
        self.inside()?.write(staging)
    }

    fn send(&self, staging: &mut M::Staging, bytes: usize, to: &mut M::Memory) -> Result<(), CudaError> {
        self.inside()?.send(staging, bytes, to)
    }

    fn upload(&self, from: &[u8], to: &mut M::Memory, at: usize) -> Result<(), CudaError> {
        self.inside()?.upload(from, to, at)
    }

    fn download(&self, from: &M::Memory, at: usize, to: &mut [u8]) -> Result<(), CudaError> {
        self.inside()?.download(from, at, to)
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        blocks: u32,
        args: &mut [Arg<'_, M::Memory>],
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's.
        unsafe { self.inside()?.launch(kernel, blocks, args) }
    }
}

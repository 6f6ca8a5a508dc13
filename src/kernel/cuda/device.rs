//! A CUDA device: the only file that speaks to the driver.
//!
//! The driver is loaded at run time. Whether it and NVRTC are there, and new enough to have all functions used here, is asked
//! first, so that nothing panics on a machine without. Kernels run on one stream, copies from staging memory on another; the driver's
//! events, recorded with each use of memory, keep what depends on each other in order.

use super::CudaError;
use super::compile::{compile, target};
use super::launch::BLOCK;
use super::machine::{Arg, Kernel, Machine};
use super::program::VARIANTS;
use crate::sync::{Mutex, lock};
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute, CUevent_flags, CUresult};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PinnedHostSlice,
    PushKernelArg, result,
};
use cudarc::nvrtc::Ptx;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The oldest driver: it has every function of the bindings, which are those of CUDA 12.0.
const DRIVER: i32 = 12_000;

/// A device that has been opened.
#[derive(Debug)]
pub struct Device {
    context: Arc<CudaContext>,
    pub(super) kernels: Arc<CudaStream>,
    /// candle's device, whose stream `kernels` is.
    #[cfg(feature = "candle-cuda")]
    pub(super) candle: candle_core::CudaDevice,
    copies: Arc<CudaStream>,
    name: String,
    target: String,
    /// By full name; filled by variant, as they are needed.
    functions: Mutex<BTreeMap<String, CudaFunction>>,
}

/// Memory of a device.
#[derive(Debug)]
pub struct DeviceMemory(pub(super) CudaSlice<u8>);

/// Memory of this process that cannot be paged out, so that the device reads it by itself.
#[derive(Debug)]
pub struct PinnedMemory {
    bytes: PinnedHostSlice<u8>,
    /// When the device has read what was sent last.
    sent: Option<CudaEvent>,
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.sent.take().map(|sent| sent.synchronize()) {
            tracing::warn!(%error, "CUDA: a copy that nobody waits for any more failed");
        }
    }
}

pub(super) fn failed(doing: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| CudaError::Driver { doing, reason: error.to_string() }
}

/// Checks that `bytes` from `at` on lie within memory of `length`.
pub(super) fn within(length: usize, at: usize, bytes: usize) -> Result<(), CudaError> {
    if at.checked_add(bytes).is_some_and(|end| end <= length) {
        return Ok(());
    }
    let got = at.saturating_add(bytes) as u64;
    Err(CudaError::Shape { what: "bytes of device memory, at most", expected: length as u64, got })
}

impl Device {
    /// The device of number `index`, from 0, as `CUDA_VISIBLE_DEVICES` leaves them. Its first kernels are compiled, about a second.
    ///
    /// # Errors
    /// No driver, one that is too old, no device, none of this number, one that is too old; NVRTC missing or failing.
    pub fn open(index: usize) -> Result<Self, CudaError> {
        let devices = Self::count()?;
        if index >= devices {
            return Err(CudaError::Index { index, devices });
        }
        let opening = failed("opening the device");
        #[cfg(feature = "candle-cuda")]
        let candle = super::candle::open(index)?;
        #[cfg(feature = "candle-cuda")]
        let kernels = candle.cuda_stream();
        #[cfg(not(feature = "candle-cuda"))]
        let kernels = CudaContext::new(index).and_then(|context| context.new_stream()).map_err(&opening)?;
        let context = Arc::clone(kernels.context());
        let name = context.name().map_err(&opening)?;
        let (major, minor) = context.compute_capability().map_err(&opening)?;
        if major < 7 {
            return Err(CudaError::Capability { name, major, minor });
        }
        let copies = context.new_stream().map_err(&opening)?;
        let (target, functions) = (target(major, minor)?, Mutex::new(BTreeMap::new()));
        let device = Self {
            context,
            kernels,
            #[cfg(feature = "candle-cuda")]
            candle,
            copies,
            name,
            target,
            functions,
        };
        device.load(1)?;
        tracing::info!(index, name = device.name, target = device.target, "CUDA device");
        Ok(device)
    }

    /// How many devices there are, at least one.
    ///
    /// # Errors
    /// No driver, one that is too old, no device.
    pub fn count() -> Result<usize, CudaError> {
        // With candle's device the program is linked with the driver, and does not start without.
        #[cfg(not(feature = "candle-cuda"))]
        // SAFETY: loading the driver runs its initializers, which is what it is for.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        let mut version = 0;
        // SAFETY: the driver writes one int; every version has this function.
        let found = unsafe { sys::cuDriverGetVersion(&raw mut version) };
        if found != CUresult::CUDA_SUCCESS || version < DRIVER {
            return Err(CudaError::OldDriver { major: version / 1000, minor: version % 1000 / 10 });
        }
        match result::init() {
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Err(CudaError::NoDevice),
            other => other.map_err(failed("starting the driver"))?,
        }
        let count = result::device::get_count().map_err(failed("counting devices"))?;
        match usize::try_from(count) {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(CudaError::NoDevice),
        }
    }

    /// What the driver calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes a second between the device and its memory, by its clock and the width of its bus; 0 if the driver does not say.
    pub fn bandwidth(&self) -> f64 {
        let number = |attribute| f64::from(self.context.attribute(attribute).unwrap_or(0));
        let kilohertz = number(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE);
        // Two transfers a clock.
        kilohertz * 1e3 * 2.0 * number(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH) / 8.0
    }

    /// Bytes of its memory that are free.
    ///
    /// # Errors
    /// The device failed.
    pub fn free_memory(&self) -> Result<u64, CudaError> {
        Ok(self.context.mem_get_info().map_err(failed("asking for free memory"))?.0 as u64)
    }

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    /// The device failed at some of it.
    pub fn wait(&self) -> Result<(), CudaError> {
        self.copies.synchronize().map_err(failed("waiting for copies"))?;
        self.kernels.synchronize().map_err(failed("waiting for kernels"))
    }

    /// Seconds that the kernels started by `work` take on the device.
    ///
    /// # Errors
    /// Those of `work`; the device failed.
    pub fn time(&self, work: impl FnOnce() -> Result<(), CudaError>) -> Result<f64, CudaError> {
        let now = || {
            self.kernels.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).map_err(failed("taking time"))
        };
        let start = now()?;
        work()?;
        let end = now()?;
        Ok(f64::from(start.elapsed_ms(&end).map_err(failed("taking time"))?) / 1e3)
    }

    /// Compiles and loads the kernels of a variant.
    fn load(&self, vectors: u32) -> Result<(), CudaError> {
        let code = compile(&self.target, vectors)?;
        let ptx = if self.target.starts_with("sm_") {
            Ptx::from_binary(code)
        } else {
            let text = code.into_iter().take_while(|byte| *byte != 0).collect();
            Ptx::from_src(String::from_utf8(text).unwrap_or_default())
        };
        let loading = failed("loading the kernels");
        let module = self.context.load_module(ptx).map_err(&loading)?;
        let mut functions = lock(&self.functions);
        for kernel in Kernel::all(vectors) {
            let name = kernel.full_name();
            let function = module.load_function(&name).map_err(&loading)?;
            functions.entry(name).or_insert(function);
        }
        Ok(())
    }

    fn function(&self, kernel: Kernel) -> Result<CudaFunction, CudaError> {
        let name = kernel.full_name();
        let find = || lock(&self.functions).get(&name).cloned();
        if let Some(function) = find() {
            return Ok(function);
        }
        if VARIANTS.contains(&kernel.vectors) {
            self.load(kernel.vectors)?;
        }
        let missing = CudaError::Driver { doing: "finding a kernel", reason: format!("there is no {name}") };
        find().ok_or(missing)
    }

    /// The error of an allocation of `bytes`.
    pub(super) fn no_room(bytes: usize) -> impl Fn(DriverError) -> CudaError {
        move |error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::Memory { bytes: bytes as u64 },
            _ => failed("allocating")(error),
        }
    }
}

impl Machine for Device {
    type Memory = DeviceMemory;
    type Staging = PinnedMemory;

    fn zeroed(&self, bytes: usize) -> Result<DeviceMemory, CudaError> {
        // The driver allocates nothing for 0 bytes.
        let memory = self.kernels.alloc_zeros(bytes.max(16)).map_err(Self::no_room(bytes))?;
        Ok(DeviceMemory(memory))
    }

    fn staging(&self, bytes: usize) -> Result<PinnedMemory, CudaError> {
        const PLAIN: u32 = 0;
        // SAFETY: bytes of any value may be read; they are overwritten before they are sent.
        let memory = unsafe { self.context.alloc_pinned_with_flags(bytes.max(16), PLAIN) };
        Ok(PinnedMemory { bytes: memory.map_err(Self::no_room(bytes))?, sent: None })
    }

    fn write<'s>(&self, staging: &'s mut PinnedMemory) -> Result<&'s mut [u8], CudaError> {
        if let Some(sent) = staging.sent.take() {
            sent.synchronize().map_err(failed("waiting for a copy"))?;
        }
        staging.bytes.as_mut_slice().map_err(failed("waiting for a copy"))
    }

    fn send(&self, staging: &mut PinnedMemory, bytes: usize, to: &mut DeviceMemory) -> Result<(), CudaError> {
        within(staging.bytes.len(), 0, bytes)?;
        within(to.0.len(), 0, bytes)?;
        if bytes == 0 {
            return Ok(());
        }
        let copying = failed("copying to the device");
        let from = staging.bytes.as_slice().map_err(&copying)?;
        // The copy reads on after this returns: `sent` is waited for before the bytes are written or freed.
        let copied = self.copies.memcpy_htod(&from[..bytes], &mut to.0.slice_mut(..bytes));
        let sent = self.copies.record_event(None).map_err(&copying)?;
        staging.sent = Some(sent);
        copied.map_err(&copying)
    }

    fn upload(&self, from: &[u8], to: &mut DeviceMemory, at: usize) -> Result<(), CudaError> {
        within(to.0.len(), at, from.len())?;
        if from.is_empty() {
            return Ok(());
        }
        let copying = failed("copying to the device");
        let copied = self.kernels.memcpy_htod(from, &mut to.0.slice_mut(at..at + from.len()));
        // `from` may be pinned memory, which the driver would go on reading.
        self.kernels.synchronize().map_err(&copying)?;
        copied.map_err(&copying)
    }

    fn download(&self, from: &DeviceMemory, at: usize, to: &mut [u8]) -> Result<(), CudaError> {
        within(from.0.len(), at, to.len())?;
        if to.is_empty() {
            return Ok(());
        }
        let copying = failed("copying from the device");
        let copied = self.kernels.memcpy_dtoh(&from.0.slice(at..at + to.len()), to);
        self.kernels.synchronize().map_err(&copying)?;
        copied.map_err(&copying)
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        blocks: u32,
        args: &mut [Arg<'_, DeviceMemory>],
    ) -> Result<(), CudaError> {
        let function = self.function(kernel)?;
        let mut launch = self.kernels.launch_builder(&function);
        for arg in args {
            match arg {
                Arg::Read(memory) => launch.arg(&memory.0),
                Arg::Write(memory) => launch.arg(&mut memory.0),
                Arg::U32(number) => launch.arg(&*number),
                Arg::U64(number) => launch.arg(&*number),
                Arg::F32(number) => launch.arg(&*number),
                Arg::F64(number) => launch.arg(&*number),
            };
        }
        let grid = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the caller's arguments are those of the kernel, and it stays within the memory they name.
        unsafe { launch.launch(grid) }.map(|_| ()).map_err(failed("starting a kernel"))
    }
}

//! What can go wrong between this process and a device. One clear sentence each; nothing here panics.

/// Why a device cannot be used, or did not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// `libcuda` cannot be loaded.
    #[error("no NVIDIA driver: libcuda.so.1 cannot be loaded")]
    NoDriver,
    /// A driver older than the functions used here.
    #[error("the NVIDIA driver is too old: it has CUDA {major}.{minor}, and 12.0 is needed")]
    OldDriver {
        /// Of the newest CUDA that the driver has.
        major: i32,
        /// The same.
        minor: i32,
    },
    /// A driver without a device.
    #[error("the NVIDIA driver finds no device")]
    NoDevice,
    /// No device of this number.
    #[error("no CUDA device {index}: there are {devices}, counted from 0")]
    Index {
        /// The device asked for.
        index: usize,
        /// How many there are.
        devices: usize,
    },
    /// A device that lacks what the kernels use: comparisons across a warp.
    #[error("{name} has compute capability {major}.{minor}, and 7.0 is needed")]
    Capability {
        /// The device.
        name: String,
        /// Its compute capability.
        major: i32,
        /// The same.
        minor: i32,
    },
    /// The compiler of kernels cannot be loaded.
    #[error(
        "NVRTC, which compiles the kernels, cannot be loaded: put libnvrtc.so.12 and libnvrtc-builtins on LD_LIBRARY_PATH; \
         NVIDIA's wheel nvidia-cuda-nvrtc-cu12 has both"
    )]
    NoCompiler,
    /// The compiler of kernels refused them.
    #[error("NVRTC did not compile the kernels for {target}: {reason}")]
    Compile {
        /// The architecture.
        target: String,
        /// What it said.
        reason: String,
    },
    /// The device has no room.
    #[error("the device has no room for {bytes} bytes more: fewer buckets or a smaller dim would do")]
    Memory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// Anything else that the driver reports.
    #[error("CUDA: {doing}: {reason}")]
    Driver {
        /// What was asked of it.
        doing: &'static str,
        /// The driver's name and description of the error.
        reason: String,
    },
    /// Vectors longer than the kernels take.
    #[error("a dim of {dim}: on a device 1 to 1024 are possible")]
    Dim {
        /// The dim asked for.
        dim: usize,
    },
    /// More rows than slots can tell apart.
    #[error("a table of {rows} rows: expected 1 to 2147483649")]
    Rows {
        /// Rows asked for.
        rows: u64,
    },
    /// Arguments that do not fit each other.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// Which argument.
        what: &'static str,
        /// As the others have it.
        expected: u64,
        /// As it is.
        got: u64,
    },
    /// Memory of two devices, or of one that was opened twice.
    #[error("rows, batch and vectors are not all of the same opened device")]
    Elsewhere,
    /// A slot beyond the table.
    #[error("slot {slot}: expected one below the table's {rows} rows")]
    Slot {
        /// The slot.
        slot: u32,
        /// Rows of the table.
        rows: u64,
    },
}

/// Checks the length of an argument.
pub(super) fn expect(what: &'static str, expected: usize, got: usize) -> Result<(), CudaError> {
    if expected == got {
        return Ok(());
    }
    Err(CudaError::Shape { what, expected: expected as u64, got: got as u64 })
}

//! Rows on an NVIDIA GPU: sums of rows, and rows moved, by kernels of our own.
//!
//! ```text
//! Batch ──fill──▶ DeviceBatch ──gather──▶ DeviceVectors ──▶ a model ──▶ gradients ──step──▶ DeviceRows
//!                  (CSR, copied beside        [records, dim]             [records, dim]      (sort by slot,
//!                   the kernels)                                                              one owner a row)
//! ```
//!
//! The kernels (`*.cu`) are plain CUDA C++ without headers, compiled by NVRTC for the device when it is opened; the driver and
//! NVRTC are loaded at run time, so that this builds and links where neither is. All arithmetic is that of the CPU, each operation
//! rounded once and in the same order, so rows are the same bits; [`Move::AddInParts`] alone sums in another order, for speed, the same in every run.
//!
//! Nothing but the driver's part ([`Device`]) is about a driver: batches, rows and the order of launches are written against
//! [`Machine`], and tests/cuda runs them, and the text of the kernels compiled as C++, on the CPU.

mod batch;
#[cfg(feature = "candle-cuda")]
mod candle;
mod compile;
mod device;
mod error;
mod lanes;
mod launch;
mod machine;
mod program;
mod rows;
mod step;
mod sums;
#[cfg(feature = "network")]
mod tensor;
mod vectors;

pub use batch::DeviceBatch;
pub use compile::compile;
pub use device::{Device, DeviceMemory, PinnedMemory};
pub use error::CudaError;
pub use lanes::{DeviceLanes, LANE_STEPS, LANE_SUMS};
pub use launch::{BLOCK, Groups, MAX_DIM};
pub use machine::{Arg, Kernel, Machine};
pub use program::{PROGRAM, PROGRAM_OPTIONS, VARIANTS};
pub(crate) use rows::ROWS_A_COPY;
pub use rows::{DeviceRows, FtrlConstants, Normal, RowsShape, Weights};
pub use step::Move;
#[cfg(feature = "network")]
pub use tensor::Tensors;
pub use vectors::DeviceVectors;

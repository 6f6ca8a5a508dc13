//! Arithmetic on slices and lanes: the numeric contract.
//!
//! Scalar code is the specification. It is written over fixed-size lanes, so that the compiler turns it into vector
//! instructions without changing a bit: no reassociation, no fused multiply-add, no approximate instruction, no call
//! into the system's mathematics library (whose last bits differ between systems). So one seed and one stream give
//! one model on every machine.
//!
//! One loop is compiled for several instruction sets and the widest that the processor has is taken ([`Isa`]); all of
//! them give the same bits. This is the only module with `unsafe`.

mod arena;
#[cfg(feature = "cuda")]
pub mod cuda;
mod dot;
#[cfg(feature = "network")]
mod environment;
mod exact;
mod gather;
mod isa;
mod list;
mod math;
mod memory;
#[cfg(target_arch = "x86_64")]
mod register;
mod rows;
mod scan;
mod scatter;
mod sip;
mod sort;
mod tree;

pub(crate) use arena::{Arena, HeldCells, HeldRows, MOST_SHARES, ROWS_PER_CHUNK, RowShape, Share};
pub use dot::{DOT_LANES, DotBlock, dot_rows};
#[cfg(feature = "network")]
pub(crate) use environment::set_default;
pub use exact::{exp_f64, ln_1p_f64, ln_f64};
pub use gather::{Features, gather_sum};
pub use isa::Isa;
pub use list::{RowCells, RowList};
pub use math::{exp, sigmoid};
pub(crate) use memory::Zeroed;
pub use rows::{add_scaled, prefetch, prefetch_far};
pub use scan::{Quotes, text};
pub use scatter::{Overflow, scatter_add};
pub use sip::{CELL_BYTES, Cell, SIP_LANES, siphash_1_3_lanes};
pub use sort::{SORT_LANES, sort_distinct};
pub use tree::tree_sums;

/// Lanes of a row that the self-tuning learner works on side by side.
pub const LANES: usize = 8;

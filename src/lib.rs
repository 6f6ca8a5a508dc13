//! Streaming online learning on hashed features.
//!
//! JSON feature dicts come in, their keys are hashed (no vocabulary is kept), the rows of a sharded table are
//! summed into fixed-size vectors, a head predicts, and the loss' gradient is scattered back at once: predict
//! first, then learn. Modules stand in the order of the data flow; each names only modules above it.

pub mod sync;

// words
pub mod record;
pub mod example;
pub mod batch;

// in

pub mod hash;

// state
pub mod table;

// out
#[cfg(feature = "pipeline")]
pub mod checkpoint;

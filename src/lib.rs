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
#[cfg(feature = "pipeline")]
pub mod source;
pub mod parse;
pub mod hash;

// state
#[allow(unsafe_code, reason = "the one module that may: instructions the language has no word for")]
pub mod kernel;
pub mod optim;
pub mod table;
pub mod embedding;

// learning
pub mod model;
pub mod learner;

// out
#[cfg(feature = "pipeline")]
pub mod checkpoint;
#[cfg(feature = "pipeline")]
pub mod sink;

// wiring
#[cfg(feature = "pipeline")]
pub mod config;
#[cfg(feature = "pipeline")]
pub mod engine;

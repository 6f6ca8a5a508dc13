//! Brings bytes in and says where they came from.
//!
//! Each source is one implementation of [`crate::record::Source`]; the engine knows only that trait. [`LinesSource`] reads
//! JSON lines from standard input, files and any reader, compressed or not; [`KafkaSource`] reads topics.

#[cfg(feature = "kafka")]
pub(crate) mod kafka;
mod lines;

#[cfg(feature = "kafka")]
pub use kafka::{KafkaOptions, KafkaSource, OnGap, Properties, PropertyError};
pub use lines::{CUT_BYTES, LinesOptions, LinesSource};

//! Brings bytes in and says where they came from.
//!
//! Each source is one implementation of [`crate::record::Source`]; the engine knows only that trait. [`LinesSource`] reads
//! JSON lines from standard input, files and any reader, compressed or not.

mod lines;

pub use lines::{CUT_BYTES, LinesOptions, LinesSource};

//! Predictions and dead letters out, as lines.
//!
//! `format` turns results into bytes where they arise, in the order of the input; a [`LinesSink`] only writes, counts
//! and syncs. A checkpoint stores the lengths of its files, and a resumed run cuts them back to it, so that a file holds
//! each line once whatever was killed when. Standard output cannot be cut back: it is at least once.

mod dead_letter;
mod lines;
mod prediction;

pub use dead_letter::{DEAD_LETTER_BYTES, DeadLetter};
pub use lines::{LinesSink, SinkError};
pub use prediction::write_prediction;

//! Predictions and dead letters out: as lines, or with each commit by a [`Publisher`].
//!
//! `format` turns results into bytes where they arise, in the order of the input; a [`LinesSink`] only writes, counts
//! and syncs. A checkpoint stores the lengths of its files, and a resumed run cuts them back to it, so that a file holds
//! each line once whatever was killed when. Standard output cannot be cut back: it is at least once. A [`Publisher`] takes
//! the results of a generation whole, after it is durable: [`KafkaPublisher`] puts them into one transaction with the
//! offsets; an [`Emitter`] sends them on at once.

mod answers;
mod dead_letter;
#[cfg(feature = "kafka")]
mod kafka;
mod lines;
mod prediction;
mod publish;

pub use answers::Answers;
pub use dead_letter::{DEAD_LETTER_BYTES, DeadLetter};
#[cfg(feature = "kafka")]
pub use kafka::{Committed, Delivery, KafkaCommits, KafkaEmitter, KafkaOutputs, KafkaPublisher};
pub use lines::{LinesSink, SinkError};
pub use prediction::{write_embedding, write_prediction};
pub use publish::{Emitter, Letter, PublishError, Publisher, Results, Wants};

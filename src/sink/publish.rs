//! Words of those who publish: what a run hands on when its results become visible with a commit, not before; and of those
//! who send results at once.

use crate::record::{Positions, Record};
use std::fmt;
use std::sync::Arc;

/// Results of consecutive records of one source, in the order of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// Name of the source.
    pub source: Arc<str>,
    /// Prediction lines, each with its line end.
    pub predictions: Vec<u8>,
    /// Bad records.
    pub letters: Vec<Letter>,
}

impl Results {
    /// Bytes held.
    pub fn byte_len(&self) -> usize {
        self.predictions.len() + self.letters.iter().map(|letter| letter.bytes.len() + 64).sum::<usize>()
    }
}

/// A bad record as it came, and why it is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Where it is in its source: bytes, or messages, before it.
    pub offset: u64,
    /// What was expected and found.
    pub reason: String,
    /// Its bytes; the first of them if it was over the record limit.
    pub bytes: Vec<u8>,
    /// Its full length in bytes.
    pub length: u64,
    /// What its source calls it.
    pub key: Option<Vec<u8>>,
}

impl Letter {
    /// A letter for `record`.
    pub fn new(record: Record<'_>, reason: String) -> Self {
        Self {
            offset: record.at.offset,
            reason,
            bytes: record.bytes.to_vec(),
            length: record.length,
            key: record.key.map(<[u8]>::to_vec),
        }
    }
}

/// Which results somebody takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Prediction lines.
    pub predictions: bool,
    /// Bad records.
    pub letters: bool,
}

impl Wants {
    /// What either wants.
    pub fn or(self, other: Self) -> Self {
        Self { predictions: self.predictions || other.predictions, letters: self.letters || other.letters }
    }
}

/// Makes what a run did true for the world outside, in one act for each generation.
///
/// The order is: the generation is durable; `publish`; only then does the next cut begin. Whoever goes on later goes
/// by what was published, so a generation whose `publish` did not succeed never was.
pub trait Publisher: Send + fmt::Debug {
    /// What it takes; does not change during a run.
    fn wants(&self) -> Wants;

    /// Commits `results`, which are those since the last call, and `positions`, together. `generation` is the one that was
    /// made durable just now; none if nothing is saved. Blocks until it is done or cannot be done.
    fn publish(
        &mut self,
        generation: Option<u64>,
        positions: &Positions,
        results: &[Results],
    ) -> Result<(), PublishError>;
}

/// Makes results visible at once, apart from commits: at least once.
pub trait Emitter: Send + fmt::Debug {
    /// What it takes; does not change during a run.
    fn wants(&self) -> Wants;

    /// Sends `results`; they need not have arrived when this returns. Blocks where there is no room.
    fn emit(&mut self, results: &Results) -> Result<(), PublishError>;

    /// Waits until all that was sent has arrived for good. Called before each generation is saved.
    fn flush(&mut self) -> Result<(), PublishError>;
}

/// A commit that was not made. What was to be published is void.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Other members go on with the records from the last commit on. To be started again from there.
    #[error("the partitions went to other members of the group before the commit")]
    Lost,
    /// Another process goes by the same name.
    #[error(
        "{name}: fenced: another process runs under this id; each member needs a model folder of its own"
    )]
    Fenced {
        /// The id they share.
        name: String,
    },
    /// It cannot be done, or not in time.
    #[error("{name}: {doing}: {cause}")]
    Refused {
        /// Topic, group or cluster.
        name: String,
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        cause: String,
    },
}

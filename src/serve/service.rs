//! What the API asks of a model; whoever has one implements it ([`crate::engine::Live`] does).

use crate::sink::Answers;
use std::fmt;

/// Takes the answers to records that were learned. Dropped without a call if they never will be.
pub type Done = Box<dyn FnOnce(Answers) + Send>;

/// Why there are no answers at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not now: ask again.
    Later(String),
    /// This model or process does not do that.
    Absent(String),
    /// Something went wrong that should not have.
    Failed(String),
}

/// What there is to see of a stream beside its figures ([`crate::engine::Insight`] has it).
pub trait Sight: Send + Sync + fmt::Debug {
    /// All of it as a JSON object.
    fn json(&self) -> Vec<u8>;
}

/// A model that answers from many threads. Each call may take as long as its records do; none waits for another to be answered.
pub trait Service: Send + Sync + fmt::Debug {
    /// Predicts records; learns nothing.
    ///
    /// # Errors
    /// No answers at all.
    fn predict(&self, records: &[&[u8]]) -> Result<Answers, Refusal>;

    /// The vectors of records.
    ///
    /// # Errors
    /// No answers at all.
    fn embed(&self, records: &[&[u8]]) -> Result<Answers, Refusal>;

    /// What the features of records contributed to their predictions.
    ///
    /// # Errors
    /// No answers at all.
    fn explain(&self, records: &[&[u8]]) -> Result<Answers, Refusal>;

    /// Has records predicted, then learned; returns before that.
    ///
    /// # Errors
    /// They will not be learned.
    fn learn(&self, records: &[&[u8]], done: Done) -> Result<(), Refusal>;

    /// The model's options and figures as a JSON object, without secrets.
    ///
    /// # Errors
    /// There is none.
    fn about(&self) -> Result<Vec<u8>, Refusal>;
}

//! What the learner says of records: prediction lines and dead letters.

use super::super::EngineError;
use super::super::work::Entry;
use super::super::write::Out;
use super::{Input, Span, Stage};
use crate::learner::{Mode, Outcome};
use crate::metrics::{Bad, BadRecord};
use crate::record::Record;
use crate::sink::{DeadLetter, Letter, Results, write_prediction};
use std::sync::Arc;

/// Bad records, counted: as lines of a file or as they came, whichever is wanted.
#[derive(Debug, Default)]
pub(super) struct Dead {
    lines: Vec<u8>,
    letters: Vec<Letter>,
    pub(super) count: u64,
}

impl Dead {
    /// One more, and why it is bad.
    pub(super) fn push(&mut self, input: &Input, bad: Bad, record: Record<'_>, reason: String) {
        input.metrics.bad(told(bad, &record, &reason));
        self.count += 1;
        if input.letters {
            self.letters.push(Letter::new(record, reason));
        } else {
            DeadLetter::new(record, reason).write(&mut self.lines);
        }
    }
}

impl Stage<'_> {
    /// What is handed on of records of `source`; none if that is nothing.
    pub(super) fn out(&mut self, source: Arc<str>, predictions: Vec<u8>, dead: Dead) -> Option<Out> {
        let Dead { lines: dead_letters, letters, count } = dead;
        self.model.skip(count);
        let some = !predictions.is_empty() || !dead_letters.is_empty() || !letters.is_empty();
        let results = Results { source, predictions, letters };
        self.waiting += if self.input.publishes { results.byte_len() } else { 0 };
        some.then_some(Out::Lines { dead_letters, results })
    }

    /// The lines of a span whose first row has outcome `first`, and the error that ends the run, if there is one.
    pub(super) fn collect(
        &mut self,
        span: &Span,
        first: usize,
        mode: Mode,
    ) -> (Option<Out>, Option<EngineError>) {
        let (mut predictions, mut dead) = (Vec::new(), Dead::default());
        let (mut next, mut failure) = (0, None);
        let Some(work) = self.pending.works().get(span.work) else { return (None, None) };
        for index in span.entries.clone() {
            let (Some(record), Some(entry)) = (work.records.get(index), work.entries.get(index)) else {
                continue;
            };
            let bad = match entry {
                Entry::Bad(bad, reason) => Some((*bad, reason.clone())),
                Entry::Row => {
                    next += 1;
                    let id = work.encoded.records().id(span.rows.start + next - 1);
                    let refused = self.predicted(first + next - 1, id, mode, &mut predictions);
                    refused.map(|reason| (Bad::Learner, reason))
                }
            };
            let Some((bad, reason)) = bad.filter(|_| mode != Mode::Again) else { continue };
            let errors = self.errors + dead.count + 1;
            failure = failure.or_else(|| too_many(errors, self.options.max_errors, record, &reason));
            dead.push(self.input, bad, record, reason);
        }
        let source = work.records.source_name();
        self.errors += dead.count;
        (self.out(source, predictions, dead), failure)
    }

    /// Writes the prediction of a row, or says why the learner refused it.
    fn predicted(
        &self,
        outcome: usize,
        id: Option<&[u8]>,
        mode: Mode,
        lines: &mut Vec<u8>,
    ) -> Option<String> {
        if let Outcome::Rejected(rejection) = self.outcomes.rows.get(outcome)? {
            return Some(rejection.to_string());
        }
        if mode != Mode::Again
            && self.input.predictions
            && let Some(predicted) = self.outcomes.row(outcome)
        {
            write_prediction(lines, id, &predicted);
        }
        None
    }
}

fn told<'a>(bad: Bad, record: &Record<'a>, reason: &'a str) -> BadRecord<'a> {
    let (source, line) = (record.source, record.at.lines + 1);
    BadRecord { bad, reason, source, line, length: record.length, bytes: record.bytes }
}

/// The error of one bad record too many.
fn too_many(count: u64, limit: Option<u64>, record: Record<'_>, reason: &str) -> Option<EngineError> {
    let limit = limit.filter(|&limit| count > limit)?;
    let (source_name, line) = (record.source.to_owned(), record.at.lines + 1);
    Some(EngineError::TooManyErrors { count, limit, source_name, line, reason: reason.to_owned() })
}

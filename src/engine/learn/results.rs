//! What the learner says of records: prediction lines and dead letters.

use super::super::EngineError;
use super::super::work::Entry;
use super::super::write::Out;
use super::{Span, Stage};
use crate::learner::{Mode, Outcome};
use crate::metrics::{Bad, BadRecord};
use crate::record::Record;
use crate::sink::{DeadLetter, Letter, Results, write_prediction};

impl Stage<'_> {
    /// The lines of a span whose first row has outcome `first`, and the error that ends the run, if there is one.
    pub(super) fn collect(
        &mut self,
        span: &Span,
        first: usize,
        mode: Mode,
    ) -> (Option<Out>, Option<EngineError>) {
        let (mut predictions, mut dead_letters, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        let (mut next, mut failure) = (0, None);
        let Some(work) = self.pending.works().get(span.work) else { return (None, None) };
        let (mut errors, mut skipped) = (self.errors, 0);
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
            self.input.metrics.bad(told(bad, &record, &reason));
            if self.input.letters {
                letters.push(Letter::new(record, reason.clone()));
            } else {
                DeadLetter::new(record, reason.clone()).write(&mut dead_letters);
            }
            (errors, skipped) = (errors + 1, skipped + 1);
            failure = failure.or(too_many(errors, self.options.max_errors, record, reason));
        }
        let some = !predictions.is_empty() || !dead_letters.is_empty() || !letters.is_empty();
        let results = Results { source: work.records.source_name(), predictions, letters };
        self.waiting += if self.input.publishes { results.byte_len() } else { 0 };
        self.errors = errors;
        self.model.skip(skipped);
        (some.then_some(Out::Lines { dead_letters, results }), failure)
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

pub(super) fn told<'a>(bad: Bad, record: &Record<'a>, reason: &'a str) -> BadRecord<'a> {
    let (source, line) = (record.source, record.at.lines + 1);
    BadRecord { bad, reason, source, line, length: record.length, bytes: record.bytes }
}

/// The error of one bad record too many.
fn too_many(count: u64, limit: Option<u64>, record: Record<'_>, reason: String) -> Option<EngineError> {
    let limit = limit.filter(|&limit| count > limit)?;
    let (source_name, line) = (record.source.to_owned(), record.at.lines + 1);
    Some(EngineError::TooManyErrors { count, limit, source_name, line, reason })
}

//! What is published, and what a thread needs to answer by it.

use super::{LiveError, RecordError};
use crate::engine::encode::{Beside, Encoded, Reader, ReaderScratch};
use crate::engine::explain::explain;
use crate::learner::{LearnerError, Mode, Outcomes, Viewer};
use crate::sink::{Answers, write_embedding, write_prediction};
use crate::sync::{Mutex, lock};
use std::sync::Arc;
use std::time::Instant;

/// Records predicted together.
const CHUNK: usize = 256;
/// Features of a record that an explanation names.
const TOP: usize = 20;

/// What is asked of records.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    Predictions,
    Vectors,
}

/// What answers.
#[derive(Debug)]
pub(super) struct Published {
    /// Reads records and does not look at labels.
    reader: Arc<Reader>,
    original: Mutex<Viewer>,
    /// Of threads that are done with a request.
    seats: Mutex<Vec<Seat>>,
    pub(super) version: u64,
    pub(super) at: Instant,
}

/// What a thread needs to predict.
#[derive(Debug)]
pub(super) struct Seat {
    viewer: Viewer,
    scratch: ReaderScratch,
    encoded: Encoded,
    outcomes: Outcomes,
    /// The number of the next good record of the request.
    next: u64,
}

impl Published {
    pub(super) fn new(reader: Arc<Reader>, viewer: Viewer, version: u64) -> Self {
        let (original, seats) = (Mutex::new(viewer), Mutex::default());
        Self { reader, original, seats, version, at: Instant::now() }
    }

    /// Answers records, none longer than `limit` bytes.
    pub(super) fn answer(&self, records: &[&[u8]], wish: Wish, limit: usize) -> Result<Answers, LiveError> {
        let (mut seat, mut answers) = (self.seat(), Answers::default());
        seat.next = 0;
        for chunk in records.chunks(CHUNK) {
            let errors = seat.read(&self.reader, limit, chunk);
            match wish {
                Wish::Predictions => seat.predict(&errors, &mut answers)?,
                Wish::Vectors => seat.embed(&errors, &mut answers)?,
            }
        }
        lock(&self.seats).push(seat);
        Ok(answers)
    }

    /// Explains records, none longer than `limit` bytes.
    pub(super) fn explain(&self, records: &[&[u8]], limit: usize) -> Answers {
        let (mut seat, mut answers) = (self.seat(), Answers::default());
        for record in records {
            if record.len() > limit {
                answers.bad(&too_long(limit, record));
                continue;
            }
            match explain(&self.reader, seat.viewer.learner_mut(), record, TOP) {
                Ok(explained) => answers.good(|out| {
                    // A value written to a vector cannot fail.
                    let _ = serde_json::to_writer(&mut *out, &explained);
                    out.push(b'\n');
                }),
                Err(error) => answers.bad(&error.to_string()),
            }
        }
        lock(&self.seats).push(seat);
        answers
    }

    fn seat(&self) -> Seat {
        let spare = lock(&self.seats).pop();
        spare.unwrap_or_else(|| Seat {
            viewer: lock(&self.original).again(),
            scratch: ReaderScratch::default(),
            encoded: Encoded::default(),
            outcomes: Outcomes::default(),
            next: 0,
        })
    }
}

fn too_long(limit: usize, record: &[u8]) -> String {
    format!("expected a record within the limit of {limit} bytes, found one of {}", record.len())
}

impl Seat {
    /// Reads records; returns why each that is bad is so.
    fn read(&mut self, reader: &Reader, limit: usize, records: &[&[u8]]) -> Vec<Option<String>> {
        self.encoded.clear();
        let read = |record: &&[u8]| {
            if record.len() > limit {
                return Some(too_long(limit, record));
            }
            let (scratch, encoded) = (&mut self.scratch, &mut self.encoded);
            let read: Result<(), RecordError> = reader.read(scratch, encoded, record, Beside::default());
            read.err().map(|error| error.to_string())
        };
        records.iter().map(read).collect()
    }

    /// Answers with the predictions of what was read.
    fn predict(&mut self, errors: &[Option<String>], answers: &mut Answers) -> Result<(), LearnerError> {
        let Self { viewer, encoded, outcomes, next, .. } = self;
        encoded.process(viewer.learner_mut(), Mode::Predict, outcomes)?;
        let mut row = 0;
        for error in errors {
            if let Some(error) = error {
                answers.bad(error);
                continue;
            }
            if let Some(mut predicted) = outcomes.row(row) {
                predicted.number = *next;
                answers.good(|out| write_prediction(out, encoded.records().id(row), &predicted));
                *next += 1;
            }
            row += 1;
        }
        Ok(())
    }

    /// Answers with the vectors of what was read.
    fn embed(&mut self, errors: &[Option<String>], answers: &mut Answers) -> Result<(), LiveError> {
        let Self { viewer, encoded, next, .. } = self;
        let (dim, batch) = (viewer.dim(), &encoded.features);
        if dim == 0 {
            return Err(LiveError::NoEmbeddings);
        }
        let vectors = viewer.embed(batch);
        let mut vectors = vectors.chunks(dim).enumerate();
        for error in errors {
            if let Some(error) = error {
                answers.bad(error);
            } else if let Some((row, vector)) = vectors.next() {
                answers.good(|out| write_embedding(out, batch.id(row), *next, vector));
                *next += 1;
            }
        }
        Ok(())
    }
}

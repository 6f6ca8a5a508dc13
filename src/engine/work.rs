//! Parsing: records to hashed rows, or the reason why not.

use super::EngineError;
use super::model::encode;
use crate::batch::Batch;
use crate::example::ExampleSink;
use crate::hash::{Encoder, EncoderScratch, FeatureHasher};
use crate::parse::Parser;
use crate::record::{Record, RecordBatch};
use crossbeam_channel::{Receiver, Sender};

/// What became of a record.
#[derive(Debug)]
pub(super) enum Entry {
    /// A row of the batch; rows follow each other in the order of entries.
    Row,
    /// A bad record, and why.
    Bad(String),
}

/// A batch of records with what parsing made of them. A fixed number of these circulates.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) records: RecordBatch,
    pub(super) batch: Batch,
    /// One for each record.
    pub(super) entries: Vec<Entry>,
}

/// Parses what comes in until the reader is done.
pub(super) fn run(
    parser: &Parser,
    hasher: &FeatureHasher,
    input: &Receiver<Work>,
    output: &Sender<Work>,
) -> Result<(), EngineError> {
    let mut scratch = EncoderScratch::default();
    for mut work in input {
        parse(parser, hasher, &mut scratch, &mut work);
        if output.send(work).is_err() {
            break; // the learner is gone and says why
        }
    }
    Ok(())
}

fn parse(parser: &Parser, hasher: &FeatureHasher, scratch: &mut EncoderScratch, work: &mut Work) {
    work.batch.clear();
    work.entries.clear();
    for record in work.records.iter() {
        let entry = match parse_record(parser, hasher, scratch, &mut work.batch, record) {
            Ok(()) => Entry::Row,
            Err(reason) => Entry::Bad(reason),
        };
        work.entries.push(entry);
    }
}

fn parse_record(
    parser: &Parser,
    hasher: &FeatureHasher,
    scratch: &mut EncoderScratch,
    batch: &mut Batch,
    record: Record<'_>,
) -> Result<(), String> {
    if record.is_cut() {
        let (length, kept) = (record.length, record.bytes.len());
        return Err(format!(
            "expected a record within the limit, found one of {length} bytes (the first {kept} are kept)"
        ));
    }
    let mut encoder = Encoder::new(hasher, scratch, batch);
    if let Some(key) = record.key {
        encoder.id(&key_as_id(key)); // the record's own id, read later, takes its place
    }
    encode(parser, encoder, record.bytes).map_err(|error| error.to_string())
}

/// A message's key as an id: a JSON string, in hexadecimal if it is no text.
fn key_as_id(key: &[u8]) -> String {
    let text = match std::str::from_utf8(key) {
        Ok(text) => text.to_owned(),
        Err(_) => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    serde_json::Value::String(text).to_string()
}

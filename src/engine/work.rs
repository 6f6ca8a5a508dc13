//! Parsing: records to hashed rows, or the reason why not.

use super::EngineError;
use super::model::{RecordError, encode};
use super::team::Team;
use crate::batch::Batch;
use crate::hash::{Encoder, EncoderScratch, FeatureHasher};
use crate::learner::Learned;
use crate::metrics::Bad;
use crate::parse::Parser;
use crate::record::{Record, RecordBatch};
use crossbeam_channel::{Receiver, Sender};

/// What became of a record.
#[derive(Debug)]
pub(super) enum Entry {
    /// A row of the batch; rows follow each other in the order of entries.
    Row,
    /// A bad record, and why.
    Bad(Bad, String),
}

/// A batch of records with what parsing made of them. A fixed number of these circulates.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) records: RecordBatch,
    pub(super) batch: Batch,
    /// One for each record.
    pub(super) entries: Vec<Entry>,
    /// Place among the batches of the run, from 0.
    pub(super) number: u64,
    /// What a member of the team made of it, if `is_learned`.
    pub(super) learned: Learned,
    pub(super) is_learned: bool,
}

/// Parses what comes in until the reader is done; a member of a team also learns it.
pub(super) fn run(
    (parser, hasher): (&Parser, &FeatureHasher),
    member: Option<(&Team, usize)>,
    input: &Receiver<Work>,
    output: &Sender<Work>,
) -> Result<(), EngineError> {
    let mut scratch = EncoderScratch::default();
    for mut work in input {
        parse(parser, hasher, &mut scratch, &mut work);
        work.is_learned = false;
        if let Some((team, index)) = member {
            team.learn(index, &mut work);
        }
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
            Err((bad, reason)) => Entry::Bad(bad, reason),
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
) -> Result<(), (Bad, String)> {
    if record.is_cut() {
        let (length, kept) = (record.length, record.bytes.len());
        let reason = format!(
            "expected a record within the limit, found one of {length} bytes (the first {kept} are kept)"
        );
        return Err((Bad::Length, reason));
    }
    let encoder = Encoder::new(hasher, scratch, batch);
    encode(parser, encoder, record.bytes, || record.key.map(key_as_id))
        .map_err(|error| (kind(&error), error.to_string()))
}

fn kind(error: &RecordError) -> Bad {
    match error {
        RecordError::Parse(_) | RecordError::Label { .. } => Bad::Parse,
        RecordError::Feature(_) => Bad::Feature,
        RecordError::Rejected(_) | RecordError::Learner(_) => Bad::Learner,
    }
}

/// A message's key as an id: a JSON string, in hexadecimal if it is no text.
fn key_as_id(key: &[u8]) -> String {
    let text = match std::str::from_utf8(key) {
        Ok(text) => text.to_owned(),
        Err(_) => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    serde_json::Value::String(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelFlags;
    use crate::engine::Model;
    use crate::hash::HashKey;
    use crate::record::Position;

    /// The fast reader takes the plain ones and leaves those with escapes in keys: neither may forget the message's key.
    #[test]
    fn a_key_is_the_id_of_a_record_without_one_whichever_way_it_is_read() {
        let flags = ModelFlags { buckets: Some(1 << 10), ..ModelFlags::default() };
        let model = Model::new(&flags, &HashKey::default()).unwrap();
        let plain: [&[u8]; 2] = [br#"{"features":{"a":1}}"#, br#"{"id":7,"features":{"a":1}}"#];
        let left: [&[u8]; 2] =
            [br#"{"features":{"\u0061\n":1,"b":[1,[2]]}}"#, br#"{"i\u0064":7,"features":{"\u0061":1}}"#];
        let mut work = Work::default();
        for record in plain.into_iter().chain(left) {
            let at = Position::default();
            work.records.push(record, record.len() as u64, at, at);
            work.records.set_key(b"k\"1");
        }
        parse(&model.parser(), &model.hasher(), &mut EncoderScratch::default(), &mut work);
        let ids: Vec<_> = (0..4).map(|row| work.batch.id(row).unwrap()).collect();
        assert_eq!(ids, [&br#""k\"1""#[..], b"7", br#""k\"1""#, b"7"]);
    }
}

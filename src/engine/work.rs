//! Parsing: records to hashed rows, or the reason why not.

use super::EngineError;
use super::encode::{Beside, Encoded, Reader, ReaderScratch};
use super::insight::{Eye, Seen};
use super::model::RecordError;
use super::team::Team;
use crate::learner::Learned;
use crate::metrics::Bad;
use crate::record::{Record, RecordBatch};
use crossbeam_channel::{Receiver, Sender};
use std::ops::Range;
use std::sync::Arc;

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
    pub(super) encoded: Encoded,
    /// One for each record.
    pub(super) entries: Vec<Entry>,
    /// Place among the batches of the run, from 0.
    pub(super) number: u64,
    /// What a member of the team made of it, if `is_learned`.
    pub(super) learned: Learned,
    pub(super) is_learned: bool,
    /// What there was to see in it.
    pub(super) seen: Seen,
}

/// What one thread needs to read records.
#[derive(Debug)]
pub(super) struct Parse {
    reader: Arc<Reader>,
    eye: Option<Eye>,
    scratch: ReaderScratch,
}

impl Parse {
    /// Reads by `reader`; `eye` looks at the records.
    pub(super) fn new(reader: Arc<Reader>, eye: Option<Eye>) -> Self {
        let scratch =
            eye.as_ref().map_or_else(ReaderScratch::default, |eye| ReaderScratch::with_eye(&reader, eye));
        Self { reader, eye, scratch }
    }

    /// Reads the records of `work`.
    pub(super) fn parse(&mut self, work: &mut Work) {
        work.encoded.clear();
        work.entries.clear();
        work.seen.clear();
        work.is_learned = false;
        let mut skipped = 0..0;
        for (index, record) in work.records.iter().enumerate() {
            if let Some(eye) = &self.eye {
                let (index, lines) = (index as u32, record.at.lines);
                if skipped.contains(&lines) {
                    self.scratch.begin(index, None);
                } else {
                    skipped = look(eye, &mut self.scratch, (index, lines), &mut work.seen);
                }
            }
            let entry = match parse_record(&self.reader, &mut self.scratch, &mut work.encoded, record) {
                Ok(()) => Entry::Row,
                Err((bad, reason)) => {
                    self.scratch.retract();
                    Entry::Bad(bad, reason)
                }
            };
            work.entries.push(entry);
        }
        if self.eye.is_some() {
            self.scratch.collect(&mut work.seen.features);
            work.seen.keys.walk(&work.records);
        }
    }
}

/// Parses what comes in until the reader is done; a member of a team also learns it.
pub(super) fn run(
    mut parse: Parse,
    member: Option<(&Team, usize)>,
    input: &Receiver<Work>,
    output: &Sender<Work>,
) -> Result<(), EngineError> {
    for mut work in input {
        parse.parse(&mut work);
        if let Some((team, index)) = member {
            team.learn(index, &mut work);
        }
        if output.send(work).is_err() {
            break; // the learner is gone and says why
        }
    }
    Ok(())
}

/// Looks at a record, behind `lines` others of its source, before it is read; returns which of those behind it are not looked at.
fn look(eye: &Eye, scratch: &mut ReaderScratch, (index, lines): (u32, u64), seen: &mut Seen) -> Range<u64> {
    scratch.begin(index, eye.weight(lines));
    if eye.walks(lines) {
        seen.keys.choose(index);
    }
    eye.skipped(lines.saturating_add(1))
}

fn parse_record(
    reader: &Reader,
    scratch: &mut ReaderScratch,
    encoded: &mut Encoded,
    record: Record<'_>,
) -> Result<(), (Bad, String)> {
    if record.is_cut() {
        let (length, kept) = (record.length, record.bytes.len());
        let reason = format!(
            "expected a record within the limit, found one of {length} bytes (the first {kept} are kept)"
        );
        return Err((Bad::Length, reason));
    }
    let read = reader.read(scratch, encoded, record.bytes, Beside::of(&record));
    read.map_err(|error| (kind(&error), error.to_string()))
}

fn kind(error: &RecordError) -> Bad {
    match error {
        RecordError::Parse(_) | RecordError::Label { .. } => Bad::Parse,
        RecordError::Feature(_) | RecordError::Headers(_) => Bad::Feature,
        RecordError::Rejected(_) | RecordError::Learner(_) | RecordError::Fields => Bad::Learner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelFlags;
    use crate::engine::Model;
    use crate::hash::{HashKey, HashKind};
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
        Parse::new(model.reader(), None).parse(&mut work);
        let ids: Vec<_> = (0..4).map(|row| work.encoded.features.id(row).unwrap()).collect();
        assert_eq!(ids, [&br#""k\"1""#[..], b"7", br#""k\"1""#, b"7"]);
    }

    type Message<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);

    fn with_headers(flags: &ModelFlags, records: &[Message<'_>]) -> Work {
        let flags = ModelFlags { buckets: Some(1 << 16), headers_as: Some("h".to_owned()), ..flags.clone() };
        let model = Model::new(&flags, &HashKey::default()).unwrap();
        let mut work = Work::default();
        let at = Position::default();
        for (record, headers) in records {
            work.records.push(record.as_bytes(), record.len() as u64, at, at);
            headers.iter().for_each(|(name, value)| work.records.push_header(name.as_bytes(), value));
        }
        Parse::new(model.reader(), None).parse(&mut work);
        work
    }

    /// For a record of the fast reader, for one that it leaves half told, for a flat one; for another hash.
    #[test]
    fn headers_are_features_like_an_object_in_the_record() {
        let headers: [(&str, &[u8]); 3] = [("é", b"1"), ("b", b""), ("c", b"\xff\x00")];
        let object = r#""h":{"é":"1","b":"","c":"ff00"}"#;
        let whole = format!(r#"{{"features":{{"a":1,{object}}}}}"#);
        let deep =
            [r#"{"features":{"a":1}}"#, r#"{"features":{"\u0061":1}}"#].map(|part| (part, whole.as_str()));
        let whole = format!(r#"{{"a":1,{object}}}"#);
        let flat = [(r#"{"a":1}"#, whole.as_str())];
        let sklearn = ModelFlags { hash: Some(HashKind::Sklearn), ..ModelFlags::default() };
        let top = ModelFlags { flat: Some(true), ..ModelFlags::default() };
        for (flags, cases) in [(ModelFlags::default(), &deep[..]), (sklearn, &deep[..]), (top, &flat[..])] {
            for (part, whole) in cases {
                let work = with_headers(&flags, &[(part, &headers), (whole, &[])]);
                let row = |row| {
                    (
                        work.encoded.features.row(row).slots.to_vec(),
                        work.encoded.features.row(row).values.to_vec(),
                    )
                };
                assert_eq!(row(0).0.len(), 4, "{part}: {:?}", work.entries);
                assert_eq!(row(0), row(1), "{part}");
            }
        }
    }

    #[test]
    fn a_header_whose_name_is_no_text_makes_a_bad_record() {
        let flags =
            ModelFlags { buckets: Some(1 << 10), headers_as: Some("h".to_owned()), ..ModelFlags::default() };
        let model = Model::new(&flags, &HashKey::default()).unwrap();
        let mut work = Work::default();
        let at = Position::default();
        work.records.push(b"{}", 2, at, at);
        work.records.push_header(b"\xff\x01", b"1");
        work.records.push(b"{}", 2, at, at);
        Parse::new(model.reader(), None).parse(&mut work);
        let [Entry::Bad(Bad::Feature, reason), Entry::Row] = &work.entries[..] else {
            panic!("{:?}", work.entries)
        };
        assert_eq!(reason, "headers: expected a name in UTF-8, found bytes ff01");
        assert_eq!(work.encoded.features.len(), 1);
    }
}

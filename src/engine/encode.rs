//! From the bytes of a record to what the learner takes: hashed features, or declared fields.

use super::insight::{Eye, Shape};
use super::model::RecordError;
use crate::batch::Batch;
use crate::example::{LabelRange, RecordSink};
use crate::field::{FieldBatch, FieldEncoder, FieldHasher, FieldScratch, Fields};
use crate::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashOptionError, Probe, Sights};
use crate::learner::{Learner, LearnerError, Mode, Outcomes, Piece};
use crate::parse::{HeaderError, ParseOptions, Parser, bytes_as_text};
use crate::record::{Headers, Record};
use std::sync::Arc;

/// Encoded records: the features of each, or its declared fields; the other is empty.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    pub(super) features: Batch,
    pub(super) fields: FieldBatch,
    has_fields: bool,
}

impl Encoded {
    /// Ids, weights and targets of the records.
    pub(super) fn records(&self) -> &Batch {
        if self.has_fields { self.fields.records() } else { &self.features }
    }

    /// Hands all records to `learner`, in the form that it takes; `outcomes` is replaced.
    pub(super) fn process(
        &self,
        learner: &mut Learner,
        mode: Mode,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        let rows = 0..self.records().len();
        if learner.is_network() {
            return learner.process_fields(&[Piece { batch: &self.fields, rows }], mode, outcomes);
        }
        learner.process(&self.features, rows, mode, outcomes)
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.features.clear();
        self.fields.clear();
    }
}

/// Something that can be told to any sink.
pub(super) trait Tell {
    /// Tells it.
    fn tell(self, sink: &mut impl RecordSink) -> Result<(), RecordError>;
}

/// How keys become slots.
#[derive(Debug)]
enum Hasher {
    Features(FeatureHasher),
    Fields(FieldHasher),
}

/// Parser and hasher of a model: immutable, shared by threads.
#[derive(Debug)]
pub(super) struct Reader {
    parser: Parser,
    hasher: Hasher,
}

/// What one thread needs to read, besides the batch it fills.
#[derive(Debug, Default)]
pub(super) struct ReaderScratch {
    features: EncoderScratch,
    fields: FieldScratch,
}

impl ReaderScratch {
    /// What looks at all it reads from now on.
    pub(super) fn with_eye(reader: &Reader, eye: &Eye) -> Self {
        let mut scratch = Self::default();
        match &reader.hasher {
            Hasher::Features(_) => {
                let owners = eye.owners.first().map(Arc::clone);
                scratch.features.probe = owners.map(|owners| Box::new(Probe::new(owners, 0, None)));
            }
            Hasher::Fields(hasher) => scratch.fields.probe(hasher.fields(), &eye.owners),
        }
        scratch
    }

    fn probes(&mut self) -> impl Iterator<Item = &mut Probe> {
        self.features.probe.as_deref_mut().into_iter().chain(self.fields.probes())
    }

    /// Record number `entry` of a batch begins. `weight`: it belongs to the sample, and stands for so many.
    pub(super) fn begin(&mut self, entry: u32, weight: Option<u32>) {
        self.probes().for_each(|probe| probe.begin(entry, weight));
    }

    /// The record was bad: nothing of it was seen.
    pub(super) fn retract(&mut self) {
        self.probes().for_each(Probe::retract);
    }

    /// Moves all that was seen to `sights`.
    pub(super) fn collect(&mut self, sights: &mut Sights) {
        self.probes().for_each(|probe| sights.append(probe.sights()));
        if self.features.probe.is_none() {
            sights.sort();
        }
    }
}

/// What stands beside the bytes of a record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beside<'a> {
    key: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> Beside<'a> {
    pub(super) fn of(record: &Record<'a>) -> Self {
        Self { key: record.key, headers: record.headers }
    }
}

impl Reader {
    /// A reader of all features.
    pub(super) fn of_features(parse: ParseOptions, hasher: FeatureHasher) -> Self {
        Self { parser: Parser::new(parse), hasher: Hasher::Features(hasher) }
    }

    /// A reader of declared fields.
    pub(super) fn of_fields(
        parse: ParseOptions,
        fields: Arc<Fields>,
        key: &HashKey,
    ) -> Result<Self, HashOptionError> {
        let hasher = FieldHasher::new(fields, key, parse.labels)?;
        Ok(Self { parser: Parser::new(parse), hasher: Hasher::Fields(hasher) })
    }

    /// The same, but labels are not looked at.
    pub(super) fn for_prediction(&self) -> Self {
        let options = ParseOptions { labels: LabelRange::Ignored, ..self.parser.options().clone() };
        let hasher = match &self.hasher {
            Hasher::Features(hasher) => Hasher::Features(hasher.clone()),
            Hasher::Fields(hasher) => Hasher::Fields(hasher.clone().for_prediction()),
        };
        Self { parser: Parser::new(options), hasher }
    }

    /// The tables whose rows it gives out, and the names of declared fields.
    pub(super) fn shapes(&self) -> (Vec<Shape>, Vec<String>) {
        match &self.hasher {
            Hasher::Features(hasher) => {
                let (rows, hashes) = (hasher.options().buckets as usize, hasher.options().hashes);
                (vec![Shape { name: String::new(), rows, hashes }], Vec::new())
            }
            Hasher::Fields(hasher) => {
                let tables = hasher.fields().tables().iter();
                let tables = tables.map(|table| Shape {
                    name: table.name.clone(),
                    rows: table.rows(),
                    hashes: table.hash.hashes,
                });
                let fields = hasher.fields().fields().iter().map(|field| field.name.clone());
                (tables.collect(), fields.collect())
            }
        }
    }

    /// The labels that are accepted.
    pub(super) fn labels(&self) -> LabelRange {
        self.parser.options().labels
    }

    /// The hash of declared fields; none of a model that takes all features.
    #[cfg(feature = "network")]
    pub(super) fn fields(&self) -> Option<&FieldHasher> {
        match &self.hasher {
            Hasher::Features(_) => None,
            Hasher::Fields(hasher) => Some(hasher),
        }
    }

    /// Reads a record into `encoded` as one more of it; on an error `encoded` is as before.
    pub(super) fn read(
        &self,
        scratch: &mut ReaderScratch,
        encoded: &mut Encoded,
        record: &[u8],
        beside: Beside<'_>,
    ) -> Result<(), RecordError> {
        self.write(scratch, encoded, beside, Json { parser: &self.parser, record })
    }

    /// Writes what `tell` tells into `encoded` as one more record; on an error `encoded` is as before.
    pub(super) fn write(
        &self,
        scratch: &mut ReaderScratch,
        encoded: &mut Encoded,
        beside: Beside<'_>,
        tell: impl Tell,
    ) -> Result<(), RecordError> {
        match &self.hasher {
            Hasher::Features(hasher) => {
                encoded.has_fields = false;
                let encoder = Encoder::new(hasher, &mut scratch.features, &mut encoded.features);
                self.finish(encoder, beside, tell)
            }
            Hasher::Fields(hasher) => {
                encoded.has_fields = true;
                let encoder = FieldEncoder::new(hasher, &mut scratch.fields, &mut encoded.fields);
                self.finish(encoder, beside, tell)
            }
        }
    }

    /// Reads a record's features into `batch` as one more row.
    pub(super) fn read_features(
        &self,
        scratch: &mut ReaderScratch,
        batch: &mut Batch,
        record: &[u8],
    ) -> Result<(), RecordError> {
        let Hasher::Features(hasher) = &self.hasher else { return Err(RecordError::Fields) };
        let encoder = Encoder::new(hasher, &mut scratch.features, batch);
        self.finish(encoder, Beside::default(), Json { parser: &self.parser, record })
    }

    /// Tells `sink` what stands in a record.
    pub(super) fn tell(&self, record: &[u8], sink: impl RecordSink) -> Result<(), RecordError> {
        self.finish(sink, Beside::default(), Json { parser: &self.parser, record })
    }

    /// As [`write`](Self::write) of something that stands alone, where speed is no matter.
    pub(super) fn write_again(&self, encoded: &mut Encoded, tell: impl Tell) -> Result<(), RecordError> {
        self.write(&mut ReaderScratch::default(), encoded, Beside::default(), tell)
    }

    /// What stands beside the record is told last, because the parser may begin again and forget what was told before.
    fn finish<S: RecordSink>(
        &self,
        mut encoder: S,
        beside: Beside<'_>,
        tell: impl Tell,
    ) -> Result<(), RecordError> {
        match tell.tell(&mut encoder).and_then(|()| Ok(self.tell_beside(beside, &mut encoder)?)) {
            Ok(()) => Ok(encoder.finish()?),
            Err(error) => {
                encoder.abandon();
                Err(error)
            }
        }
    }

    fn tell_beside(&self, beside: Beside<'_>, encoder: &mut impl RecordSink) -> Result<(), HeaderError> {
        if let Some(key) = beside.key
            && !encoder.has_id()
        {
            encoder.id(&key_as_id(key));
        }
        self.parser.parse_headers(beside.headers, encoder)
    }
}

/// A record in bytes.
struct Json<'a> {
    parser: &'a Parser,
    record: &'a [u8],
}

impl Tell for Json<'_> {
    fn tell(self, sink: &mut impl RecordSink) -> Result<(), RecordError> {
        Ok(self.parser.parse(self.record, sink)?)
    }
}

/// A message's key as an id: a JSON string, in hexadecimal if it is no text.
fn key_as_id(key: &[u8]) -> String {
    serde_json::Value::String(bytes_as_text(key).into_owned()).to_string()
}

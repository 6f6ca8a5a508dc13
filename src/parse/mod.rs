//! Bytes to features, or a precise error.
//!
//! The [`Parser`] walks a record once and tells an [`ExampleSink`] what it meets while it is scanned; no tree is built
//! and no key is copied (unless it holds escapes). Ordinary records are read by a fast reader of our own (`fast`); what
//! that one leaves, the careful walk on serde_json reads (`walk`), and all errors are its words. The parser does no
//! I/O, keeps no state, so one serves all threads, and no input makes it panic, hang or recurse deeper than 127 levels:
//! serde_json's limit stays on, also below keys that are ignored. An error may come after parts of the record were told: the
//! caller drops the example. A byte order mark is the source's business, not the parser's.
//!
//! # The record (frozen)
//!
//! `{"id": any, "label": number | bool | null | {task: number | bool | null}, "weight": number ≥ 0 | null,
//! "features": {…} | null}`. The names are options; every field may be missing; other keys are ignored, though
//! they must be JSON. With [`ParseOptions::flat`] every other key is a feature, and no key is special as
//! `features`. Id, label, weight or a task twice is an error; features twice add up.
//!
//! # Feature values (frozen)
//!
//! The path of a value is the keys from the feature object down to it.
//!
//! | value | at a key | as element `i` of an array |
//! |---|---|---|
//! | integer in 64 bits | integer (0 too: it may be an id) at the path | the same at path + `i` |
//! | other number, finite in f32 | number at the path; none if it is 0 in f32 | the same at path + `i` |
//! | string | category at the path | category at the array's path, no index |
//! | `true` | number 1 at the path | number 1 at path + `i` |
//! | `false`, `null` | none | none |
//! | array | its elements | its elements at path + `i` |
//! | object | its keys below the path | its keys below the array's path, no index: a bag |
//!
//! A message's headers are features if [`ParseOptions::headers_as`] names a key for them: as if an object of names and
//! strings stood at that key ([`Parser::parse_headers`]).
//!
//! Integers beyond 64 bits and `-0` are read as f64, so as other numbers.

mod fast;
mod fault;
mod fields;
mod headers;
mod skip;
mod walk;

pub use fault::{Fault, ParseError};
pub use headers::HeaderError;
#[cfg(feature = "pipeline")]
pub(crate) use headers::text as bytes_as_text;

use crate::example::{ExampleSink, LabelRange};
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};

/// Most tasks (heads) in one record's label.
pub const MAX_TASKS: usize = 64;

/// Most bytes of paths over all features of a record. Each feature is hashed with its whole path, so a key of 8 MB
/// above a million values would keep a core busy for an hour; this limit allows 16 million features with paths of
/// 16 bytes.
pub const PATH_BYTES_LIMIT: usize = 256 << 20;

/// Where things stand in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParseOptions {
    /// Key of the label. Default `label`.
    pub label_field: String,
    /// Key of the importance weight. Default `weight`.
    pub weight_field: String,
    /// Key of the id. Default `id`.
    pub id_field: String,
    /// Key of the feature object. Default `features`.
    pub features_field: String,
    /// Whether every key but label, weight and id is a feature.
    pub flat: bool,
    /// Key under which a message's headers are features, as strings; none: they are none.
    pub headers_as: Option<String>,
    /// The labels that the loss accepts.
    pub labels: LabelRange,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            label_field: "label".to_owned(),
            weight_field: "weight".to_owned(),
            id_field: "id".to_owned(),
            features_field: "features".to_owned(),
            flat: false,
            headers_as: None,
            labels: LabelRange::default(),
        }
    }
}

/// Reads records. Immutable: share one among threads.
#[derive(Debug, Clone, Default)]
pub struct Parser {
    options: ParseOptions,
}

impl Parser {
    /// A parser for `options`. If two of its field names are equal, the first of label, weight, id, features has it.
    pub fn new(options: ParseOptions) -> Self {
        Self { options }
    }

    /// The options it was made with.
    pub fn options(&self) -> &ParseOptions {
        &self.options
    }

    /// Tells `sink` the example in `bytes`, one JSON object. On an error the sink may have been told a part of it,
    /// with keys entered and not left: abandon the example. A sink that can [restart](ExampleSink::restart) is told some
    /// times faster.
    pub fn parse(&self, bytes: &[u8], sink: &mut impl ExampleSink) -> Result<(), ParseError> {
        if fast::record(&self.options, bytes, sink) {
            return Ok(());
        }
        self.walk(bytes, sink, |walk, json| walk::Record(walk).deserialize(json))
    }

    /// Tells `sink` the features in `bytes`, one JSON object whose every key is a feature: no name is special. On an
    /// error as [`Parser::parse`].
    pub fn parse_features(&self, bytes: &[u8], sink: &mut impl ExampleSink) -> Result<(), ParseError> {
        if fast::features(&self.options, bytes, sink) {
            return Ok(());
        }
        self.walk(bytes, sink, |walk, json| walk::Features(walk).deserialize(json))
    }

    /// The careful reader, on serde_json: it knows all of JSON, and what is wrong with the rest.
    #[cold]
    #[inline(never)]
    fn walk<'b, S: ExampleSink>(
        &self,
        bytes: &'b [u8],
        sink: &mut S,
        read: impl FnOnce(&mut walk::Walk<'_, S>, &mut Json<'b>) -> serde_json::Result<()>,
    ) -> Result<(), ParseError> {
        let text = fault::utf8(bytes)?;
        fault::expect_object(text)?;
        let mut walk = walk::Walk::new(&self.options, text, sink);
        let mut json = serde_json::Deserializer::from_str(text);
        let read = read(&mut walk, &mut json);
        read.and_then(|()| json.end()).map_err(|error| walk.error(&error))
    }
}

type Json<'b> = serde_json::Deserializer<serde_json::de::StrRead<'b>>;

#[cfg(test)]
mod tests;

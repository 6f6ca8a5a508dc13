//! Why a record is refused, and where in it.
//!
//! The walk notes its own faults as values of [`Fault`]; faults of the JSON itself come from serde_json, which
//! counts lines and columns. Both end as one byte offset from the record's start, the unit a dead letter needs.

use crate::example::FeatureError;
use serde_json::error::Category;

/// A record that is not an example. The parser's sink may have been told a part of it: drop that.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("byte {byte}: {fault}")]
pub struct ParseError {
    /// Offset in the record, from 0: of the value at fault or, in malformed JSON, of the first byte that cannot
    /// stand there. The record's length if it ends too early.
    pub byte: usize,
    /// What was expected there, and what was found.
    pub fault: Fault,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Not UTF-8.
    #[error("expected UTF-8, found byte 0x{found:02x}")]
    Utf8 {
        /// The byte that cannot stand there.
        found: u8,
    },
    /// Well-formed so far, but it ends too early.
    #[error("expected more JSON, found the end of the record ({reason})")]
    Truncated {
        /// Inside what it ended.
        reason: String,
    },
    /// Not JSON, or JSON beyond what any reader of f64 and UTF-8 can take: 1e999, a lone surrogate, more than 127
    /// levels of nesting.
    #[error("expected valid JSON, found {found} ({reason})")]
    Json {
        /// What stands there.
        found: String,
        /// The rule it breaks.
        reason: String,
    },
    /// The record is another kind of value.
    #[error("expected a JSON object, found {found}")]
    NotAnObject {
        /// Its kind.
        found: String,
    },
    /// The feature field is another kind of value.
    #[error("expected an object of features or null, found {found}")]
    Features {
        /// Its kind.
        found: &'static str,
    },
    /// A feature's number is out of range.
    #[error("expected a number finite in f32, found {found:e}")]
    Number {
        /// The number.
        found: f64,
    },
    /// A feature the chosen hash cannot take.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// Long paths above very many values: hashing them would take longer than the record is worth.
    #[error("expected at most {limit} bytes of paths over all features, found more")]
    Paths {
        /// [`super::PATH_BYTES_LIMIT`].
        limit: usize,
    },
    /// A label outside the range of the loss.
    #[error("expected a label ({range}), null or an object of them by task, found {found}")]
    Label {
        /// The range in words.
        range: &'static str,
        /// The label as it was written, cut after some characters.
        found: String,
    },
    /// A task's label outside the range of the loss.
    #[error("expected a label of task {task:?} ({range}) or null, found {found}")]
    TaskLabel {
        /// The task.
        task: String,
        /// The range in words.
        range: &'static str,
        /// The label as it was written, cut after some characters.
        found: String,
    },
    /// More labels in one record than a model can have heads.
    #[error("expected at most {limit} tasks, found more")]
    Tasks {
        /// [`super::MAX_TASKS`].
        limit: usize,
    },
    /// A weight that is no weight.
    #[error("expected a weight (a number of at least 0, finite in f32) or null, found {found}")]
    Weight {
        /// The weight as it was written, cut after some characters.
        found: String,
    },
    /// Label, weight, id or a task occurs twice: nobody can say which one is meant.
    #[error("expected {key:?} once, found it twice")]
    Repeated {
        /// The key.
        key: String,
    },
}

/// Characters of a wrong value that a message shows.
const SHOWN: usize = 40;

/// `text` as a message shows it: cut after [`SHOWN`] characters.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The whole record as text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let byte = error.valid_up_to();
        let fault = match (bytes.get(byte), error.error_len()) {
            (Some(&found), Some(_)) => Fault::Utf8 { found },
            _ => Fault::Truncated { reason: "inside a UTF-8 sequence".to_owned() },
        };
        ParseError { byte: if error.error_len().is_some() { byte } else { bytes.len() }, fault }
    })
}

/// Refuses a record whose first byte cannot open an object.
pub(super) fn expect_object(text: &str) -> Result<(), ParseError> {
    let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let found = match start.chars().next() {
        Some('{') => return Ok(()),
        Some('[') => "an array".to_owned(),
        Some('"') => "a string".to_owned(),
        Some('-' | '0'..='9') => "a number".to_owned(),
        Some(_) if start.starts_with("null") => "null".to_owned(),
        Some(_) if start.starts_with("true") || start.starts_with("false") => "a boolean".to_owned(),
        Some(other) => format!("{other:?}"),
        None => "nothing".to_owned(),
    };
    Err(ParseError { byte: text.len() - start.len(), fault: Fault::NotAnObject { found } })
}

/// The fault of the JSON itself, from serde_json's words.
pub(super) fn from_json(text: &str, error: &serde_json::Error) -> ParseError {
    let reason = reason(error);
    if error.classify() == Category::Eof {
        return ParseError { byte: text.len(), fault: Fault::Truncated { reason } };
    }
    let byte = consumed(text, error).saturating_sub(1);
    let found = match text.get(byte..).and_then(|rest| rest.chars().next()) {
        Some(found) => format!("{found:?}"),
        None => "part of a character".to_owned(),
    };
    ParseError { byte, fault: Fault::Json { found, reason } }
}

/// serde_json's message without its place.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

/// Bytes that serde_json had consumed when it noticed the error.
pub(super) fn consumed(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    (lines.map(str::len).sum::<usize>() + error.column()).min(text.len())
}

/// Where the scalar starts that ends at `end`.
pub(super) fn scalar_start(text: &str, end: usize) -> usize {
    let before = text.get(..end).unwrap_or(text);
    if let Some(inside) = before.strip_suffix('"') {
        return string_start(inside);
    }
    before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')).len()
}

/// Where the string starts whose text without the closing quote ends `before`: at the last quote that is not
/// escaped, that is, has an even number of backslashes before it.
fn string_start(before: &str) -> usize {
    let mut quotes = before.rmatch_indices('"');
    let open = quotes.find(|&(at, _)| {
        let head = before.get(..at).unwrap_or_default();
        (head.len() - head.trim_end_matches('\\').len()) % 2 == 0
    });
    open.map_or(0, |(at, _)| at)
}

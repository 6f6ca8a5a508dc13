//! A bad record, with why and where: one JSON line, from which the record's bytes can be had back.

use crate::record::Record;
use base64::Engine as _;
use serde::Serialize;

/// Bytes of a record that a dead letter keeps; longer ones are cut and marked.
pub const DEAD_LETTER_BYTES: usize = 64 << 10;

/// The line's fields, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Line number, from 1.
    pub line: u64,
    /// Byte at which the record starts, from 0, after decompression.
    pub offset: u64,
    /// What was expected and found.
    pub reason: String,
    /// The record's full length in bytes.
    pub length: u64,
    /// Whether the bytes here are only its head.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The record, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<&'a str>,
    /// The record in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_base64: Option<String>,
}

impl<'a> DeadLetter<'a> {
    /// A letter for `record`.
    pub fn new(record: Record<'a>, reason: String) -> Self {
        let cut = record.bytes.len() > DEAD_LETTER_BYTES;
        let bytes = record.bytes.get(..DEAD_LETTER_BYTES).unwrap_or(record.bytes);
        let text =
            if cut || record.is_cut() { whole_characters(bytes) } else { std::str::from_utf8(bytes).ok() };
        let base64 = || base64::engine::general_purpose::STANDARD.encode(bytes);
        Self {
            source: record.source,
            line: record.at.lines + 1,
            offset: record.at.offset,
            reason,
            length: record.length,
            truncated: cut || record.is_cut(),
            record: text,
            record_base64: text.is_none().then(base64),
        }
    }

    /// Appends the line to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Plain fields written to a vector cannot fail.
        let _ = self.serialize(&mut serde_json::Serializer::new(&mut *out));
        out.push(b'\n');
    }
}

/// UTF-8 whose last character may have been cut through.
fn whole_characters(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Position};

    fn letter(bytes: &[u8], length: u64) -> serde_json::Value {
        let at = Position { lines: 4, offset: 99 };
        let record = Record {
            source: "in.jsonl",
            bytes,
            key: None,
            headers: Headers::default(),
            length,
            at,
            after: at,
        };
        let mut out = Vec::new();
        DeadLetter::new(record, "byte 3: no".to_owned()).write(&mut out);
        assert_eq!(out.last(), Some(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn says_where_and_why_and_keeps_the_bytes() {
        let value = letter(b"{\"a\": tru}", 10);
        let expected = serde_json::json!({"source": "in.jsonl", "line": 5, "offset": 99,
            "reason": "byte 3: no", "length": 10, "record": "{\"a\": tru}"});
        assert_eq!(value, expected);
        assert_eq!(letter(b"\xff\x00", 2)["record_base64"], "/wA=");
    }

    #[test]
    fn long_records_are_cut_at_a_character_and_marked() {
        let long = "é".repeat(DEAD_LETTER_BYTES);
        let value = letter(long.as_bytes(), long.len() as u64);
        assert_eq!(value["truncated"], true);
        let value = letter(&[b"x", long.as_bytes()].concat(), 1 + long.len() as u64);
        assert_eq!(value["record"].as_str().unwrap().len(), DEAD_LETTER_BYTES - 1);
        assert_eq!(letter(b"abc", 1000)["truncated"], true);
    }
}

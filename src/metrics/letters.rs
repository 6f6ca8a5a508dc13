//! The newest bad records, for whoever looks: a bounded number, each with its head.

use super::Bad;
use serde::Serialize;
use std::collections::VecDeque;

/// Letters kept.
const KEPT: usize = 100;
/// Bytes of a record, and of the reason and the source's name, that are kept.
const HEAD_BYTES: usize = 500;

/// A bad record as it is told.
#[derive(Debug, Clone, Copy)]
pub struct BadRecord<'a> {
    /// Why, in a word.
    pub bad: Bad,
    /// What was expected and found.
    pub reason: &'a str,
    /// Name of the source.
    pub source: &'a str,
    /// Line number, from 1.
    pub line: u64,
    /// The record's length in bytes.
    pub length: u64,
    /// The record, or its head.
    pub bytes: &'a [u8],
}

/// What is kept of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Kept {
    /// Letters before it.
    number: u64,
    /// Unix time in seconds.
    time: f64,
    kind: &'static str,
    reason: String,
    source: String,
    line: u64,
    length: u64,
    /// The record's head, whatever is no UTF-8 replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Letters {
    kept: VecDeque<Kept>,
    number: u64,
}

impl Letters {
    pub(super) fn push(&mut self, record: BadRecord<'_>, time: f64) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        let BadRecord { bad, reason, source, line, length, bytes } = record;
        self.kept.push_back(Kept {
            number: self.number,
            time,
            kind: bad.name(),
            reason: head(reason.as_bytes()),
            source: head(source.as_bytes()),
            line,
            length,
            record: Some(head(bytes)),
        });
        self.number += 1;
    }

    /// All that are kept, the newest first; `records`: with their heads.
    pub(super) fn newest(&self, records: bool) -> Vec<Kept> {
        let shown = |kept: &Kept| Kept { record: kept.record.clone().filter(|_| records), ..kept.clone() };
        self.kept.iter().rev().map(shown).collect()
    }
}

/// Letters as a JSON array; made of a copy, so that nobody who adds one waits for it.
pub(super) fn json(letters: &[Kept]) -> String {
    // Plain fields cannot fail.
    serde_json::to_string(letters).unwrap_or_default()
}

/// The first bytes as text; a character that is cut through is left out.
fn head(bytes: &[u8]) -> String {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    let whole = match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() && head.len() < bytes.len() => &head[..error.valid_up_to()],
        _ => head,
    };
    String::from_utf8_lossy(whole).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(line: u64, bytes: &[u8]) -> BadRecord<'_> {
        BadRecord { bad: Bad::Parse, reason: "no", source: "in", line, length: bytes.len() as u64, bytes }
    }

    #[test]
    fn the_newest_come_first_and_their_number_is_bounded() {
        let mut letters = Letters::default();
        (0..250).for_each(|line| letters.push(letter(line, b"<script>"), 1.0));
        let json: serde_json::Value = serde_json::from_str(&super::json(&letters.newest(true))).unwrap();
        let lines: Vec<u64> =
            json.as_array().unwrap().iter().map(|one| one["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, (150..250).rev().collect::<Vec<u64>>());
        assert_eq!((&json[0]["kind"], &json[0]["number"]), (&"parse".into(), &249.into()));
        assert_eq!(json[0]["record"], "<script>");
        let without: serde_json::Value = serde_json::from_str(&super::json(&letters.newest(false))).unwrap();
        assert_eq!((&without[0]["reason"], without[0].get("record")), (&"no".into(), None));
    }

    #[test]
    fn only_the_head_of_a_record_is_kept() {
        let long = "é".repeat(HEAD_BYTES);
        let cut = head(&[b"x", long.as_bytes()].concat());
        assert_eq!(cut.len(), HEAD_BYTES - 1);
        assert_eq!(head(b"\xff\"\xc3"), "\u{fffd}\"\u{fffd}");
        assert_eq!(head(&long.as_bytes()[..HEAD_BYTES]), long[..HEAD_BYTES]);
    }
}

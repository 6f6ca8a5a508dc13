//! Answers to records that somebody asked about: one JSON object each, in their order.

use serde::Serialize;

/// Answers to records that somebody asked about: one JSON object each, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// One line an answer.
    bytes: Vec<u8>,
    /// Where each line ends, and whether it says why the record is bad.
    lines: Vec<(usize, bool)>,
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
}

impl Answers {
    /// Adds the line that `write` appends.
    pub fn good(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.lines.push((self.bytes.len(), false));
    }

    /// Adds `{"error": reason}`.
    pub fn bad(&mut self, reason: &str) {
        // A string written to a vector cannot fail.
        let _ = Failure { error: reason }.serialize(&mut serde_json::Serializer::new(&mut self.bytes));
        self.bytes.push(b'\n');
        self.lines.push((self.bytes.len(), true));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many are of good records.
    pub fn count_good(&self) -> usize {
        self.lines.iter().filter(|(_, bad)| !bad).count()
    }

    /// Whether all of them, one at least, say why a record is bad.
    pub fn all_bad(&self) -> bool {
        !self.lines.is_empty() && self.lines.iter().all(|(_, bad)| *bad)
    }

    /// JSON lines.
    pub fn into_lines(self) -> Vec<u8> {
        self.bytes
    }

    /// A JSON array of all.
    pub fn into_array(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 2);
        out.push(b'[');
        let mut start = 0;
        for (number, &(end, _)) in self.lines.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            out.extend_from_slice(self.bytes.get(start..end.saturating_sub(1)).unwrap_or_default());
            start = end;
        }
        out.extend_from_slice(b"]\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lines_or_an_array() {
        let mut answers = Answers::default();
        assert_eq!(answers.clone().into_array(), b"[]\n");
        answers.bad("no \"key\"\n");
        assert!(answers.all_bad());
        answers.good(|out| out.extend_from_slice(b"{\"id\":1}\n"));
        assert_eq!((answers.len(), answers.count_good(), answers.all_bad()), (2, 1, false));
        let lines = "{\"error\":\"no \\\"key\\\"\\n\"}\n{\"id\":1}\n";
        assert_eq!(answers.clone().into_lines(), lines.as_bytes());
        assert_eq!(answers.into_array(), format!("[{}]\n", lines.trim_end().replace('\n', ",")).as_bytes());
    }
}

//! Records as they arrived: bytes, and where they came from.
//!
//! A [`Source`] fills [`RecordBatch`]es; everything downstream refers to a record by its index in the batch, and
//! a dead letter or a checkpoint can still say which source, line and byte it was. Positions are the *end* of what
//! was consumed, so that "go on after this record" needs no arithmetic: a checkpoint stores [`Positions`], a
//! restarted source is handed the same value back.
//!
//! The `Source` trait lives here, with the words of those who use it; its implementers are in `source`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A place in a source: how many lines and bytes lie before it. For compressed input, bytes are counted after
/// decompression. In a partition of a topic both are the offset of its next message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Lines before this place; the line that starts here is number `lines + 1`.
    pub lines: u64,
    /// Bytes before this place.
    pub offset: u64,
}

/// How far each source of a run has been consumed. Part of every checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions {
    /// Completed passes over seekable input.
    pub pass: u32,
    /// By source name (a path, `-` for standard input, `topic[partition]`): where its next unread byte is.
    pub sources: BTreeMap<String, Position>,
}

impl Positions {
    /// Notes that `source` is consumed up to `after`.
    pub fn advance(&mut self, source: &str, after: Position) {
        match self.sources.get_mut(source) {
            Some(position) => *position = after,
            None => {
                self.sources.insert(source.to_owned(), after);
            }
        }
    }

    /// Lets go of `source`: another member of the group goes on with it.
    pub fn forget(&mut self, source: &str) {
        self.sources.remove(source);
    }

    /// Where the next unread byte of `source` is; the start for a source never seen.
    pub fn of(&self, source: &str) -> Position {
        self.sources.get(source).copied().unwrap_or_default()
    }
}

/// One record of a batch, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// The record's bytes without its line end. Cut at the source's record limit.
    pub bytes: &'a [u8],
    /// What the source itself calls the record: a message's key.
    pub key: Option<&'a [u8]>,
    /// What the source says beside the record: a message's headers, if they were asked for.
    pub headers: Headers<'a>,
    /// The record's full length in bytes; larger than `bytes.len()` if it was cut.
    pub length: u64,
    /// Where it starts.
    pub at: Position,
    /// Where the next record may start.
    pub after: Position,
}

impl Record<'_> {
    /// True if the record exceeded the limit and only its head was kept.
    pub fn is_cut(&self) -> bool {
        self.length > self.bytes.len() as u64
    }
}

/// Names and values beside a record, in order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    places: &'a [(Range<usize>, Range<usize>)],
}

impl<'a> Headers<'a> {
    /// Name and value, one after the other.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let part = move |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.places.iter().map(move |(name, value)| (part(name), part(value)))
    }
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    length: u64,
    at: Position,
    after: Position,
}

/// Consecutive records of one source, in order, in one allocation that is reused.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    source: Arc<str>,
    pass: u32,
    /// Never shrinks, so that its memory is zeroed once; what counts are the first `used` bytes.
    bytes: Vec<u8>,
    used: usize,
    spans: Vec<Span>,
    /// Places of keys in `bytes`, by record; shorter than `spans` if the last records have none.
    keys: Vec<Option<Range<usize>>>,
    /// Places of the names and values of all headers.
    headers: Vec<(Range<usize>, Range<usize>)>,
    /// By record: where its headers end in `headers`; shorter than `spans` if the last records have none.
    header_ends: Vec<usize>,
    record_bytes: usize,
    end: Position,
    leaving: Vec<String>,
}

impl Default for RecordBatch {
    fn default() -> Self {
        Self {
            source: Arc::from(""),
            pass: 0,
            bytes: Vec::new(),
            used: 0,
            spans: Vec::new(),
            keys: Vec::new(),
            headers: Vec::new(),
            header_ends: Vec::new(),
            record_bytes: 0,
            end: Position::default(),
            leaving: Vec::new(),
        }
    }
}

impl RecordBatch {
    /// Empties the batch for records of `source` in pass `pass` (from 0), keeping its memory. `from` is where
    /// reading goes on.
    pub fn reset(&mut self, source: &Arc<str>, pass: u32, from: Position) {
        self.source = Arc::clone(source);
        self.pass = pass;
        self.used = 0;
        self.spans.clear();
        self.keys.clear();
        self.headers.clear();
        self.header_ends.clear();
        self.record_bytes = 0;
        self.end = from;
        self.leaving.clear();
    }

    /// `count` bytes to read a chunk of input into, behind what is there. Say with [`RecordBatch::fill`] how many came
    /// and with [`RecordBatch::push_within`] which of them are records: so a record is not copied once more.
    pub fn space(&mut self, count: usize) -> &mut [u8] {
        let end = self.used + count;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.used..end).unwrap_or_default()
    }

    /// Notes that `count` bytes were read into [`RecordBatch::space`]; returns where they are.
    pub fn fill(&mut self, count: usize) -> Range<usize> {
        let start = self.used;
        self.used = (start + count).min(self.bytes.len());
        start..self.used
    }

    /// The bytes that were read, and those of records pushed since.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// Appends the record at `range` of [`RecordBatch::bytes`]; otherwise as [`RecordBatch::push`].
    pub fn push_within(&mut self, range: Range<usize>, length: u64, at: Position, after: Position) {
        let (start, end) = (range.start.min(self.used), range.end.min(self.used));
        self.record_bytes += end.saturating_sub(start);
        self.spans.push(Span { start, end, length, at, after });
        self.end = after;
    }

    /// Appends a record. `length` is its full length, more than `bytes.len()` if the bytes were cut at the limit.
    pub fn push(&mut self, bytes: &[u8], length: u64, at: Position, after: Position) {
        let range = self.keep(bytes);
        self.push_within(range, length, at, after);
    }

    /// Gives the record pushed last its key.
    pub fn set_key(&mut self, key: &[u8]) {
        let Some(last) = self.spans.len().checked_sub(1) else { return };
        let range = self.keep(key);
        self.keys.resize(last, None);
        self.keys.push(Some(range));
    }

    /// Gives the record pushed last one more header.
    pub fn push_header(&mut self, name: &[u8], value: &[u8]) {
        let count = self.spans.len();
        if count == 0 {
            return;
        }
        self.header_ends.resize(count, self.headers.len());
        let place = (self.keep(name), self.keep(value));
        self.headers.push(place);
        if let Some(end) = self.header_ends.last_mut() {
            *end = self.headers.len();
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        self.space(bytes.len()).copy_from_slice(bytes);
        self.fill(bytes.len())
    }

    fn headers(&self, index: usize) -> Headers<'_> {
        let Some(&end) = self.header_ends.get(index) else { return Headers::default() };
        let start =
            index.checked_sub(1).and_then(|before| self.header_ends.get(before)).copied().unwrap_or(0);
        Headers { bytes: self.bytes(), places: self.headers.get(start..end).unwrap_or_default() }
    }

    /// Names the sources that are to be let go of; belongs to [`Fetch::Drain`].
    pub fn leave(&mut self, sources: Vec<String>) {
        self.leaving = sources;
    }

    /// The sources to be let go of once all before is durable; usually none.
    pub fn leaving(&self) -> &[String] {
        &self.leaving
    }

    /// Notes that the source is consumed up to `end`: blank lines after the last record, for instance.
    pub fn set_end(&mut self, end: Position) {
        self.end = end;
    }

    /// Name of the source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The same, to be kept.
    pub fn source_name(&self) -> Arc<str> {
        Arc::clone(&self.source)
    }

    /// The pass over the input these records belong to, from 0.
    pub fn pass(&self) -> u32 {
        self.pass
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True if there is no record.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all records together.
    pub fn byte_len(&self) -> usize {
        self.record_bytes
    }

    /// Where reading goes on after this batch.
    pub fn end(&self) -> Position {
        self.end
    }

    /// The record at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        let span = self.spans.get(index)?;
        Some(Record {
            source: &self.source,
            bytes: self.bytes.get(span.start..span.end)?,
            key: self.keys.get(index).cloned().flatten().and_then(|range| self.bytes.get(range)),
            headers: self.headers(index),
            length: span.length,
            at: span.at,
            after: span.after,
        })
    }

    /// All records in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// What a call to [`Source::fetch`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// The batch was filled (it may hold no record, only a new end position).
    Records,
    /// Nothing came in for a short while (100 ms at most); ask again.
    Idle,
    /// There is nothing more.
    End,
    /// Sources are wanted elsewhere: all that was handed over is to be learned, made durable and acknowledged, then
    /// [`Source::release`] is called. The batch holds no record but their names, [`RecordBatch::leaving`].
    Drain,
    /// Others go on from the last commit already: what came after it is void. The run ends at once and saves nothing.
    Lost,
}

/// Brings records in. Implement it to feed the engine from anything; see `examples/custom_source.rs`.
pub trait Source: Send {
    /// Goes to where an earlier run stopped. Called once, before the first fetch.
    fn resume(&mut self, positions: &Positions) -> Result<(), SourceError>;

    /// Fills `batch` with the next records of one source. Blocks for 100 ms at most when nothing comes in.
    /// What has arrived is handed over at once rather than held back for a fuller batch.
    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError>;

    /// Called after everything up to `positions` was made durable. A source that must tell a broker does it here.
    fn acknowledge(&mut self, positions: &Positions) -> Result<(), SourceError> {
        let _ = positions;
        Ok(())
    }

    /// Called after [`Fetch::Drain`], when all that was handed over is durable: lets the sources go.
    fn release(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    /// Called about once a second while there is no room for records: a source that must show signs of life does it
    /// here, and keeps what comes in meanwhile.
    fn hold(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    /// Expected bytes of the whole input, if known: for a progress bar.
    fn size_hint(&self) -> Option<u64> {
        None
    }
}

/// A source that cannot be read. Stops the run: nothing after the gap is learned.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {what}")]
pub struct SourceError {
    /// Name of the source.
    pub name: String,
    /// What was being done, and where.
    pub what: String,
    /// The cause, if the system gave one.
    #[source]
    pub cause: Option<std::io::Error>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stay_with_their_record() {
        let mut batch = RecordBatch::default();
        let at = Position::default();
        batch.push_header(b"nobody", b"1");
        for (record, headers) in
            [("a", vec![]), ("b", vec![("x", "1"), ("y", "")]), ("c", vec![]), ("d", vec![("x", "2")])]
        {
            batch.push(record.as_bytes(), 1, at, at);
            headers.iter().for_each(|(name, value)| batch.push_header(name.as_bytes(), value.as_bytes()));
        }
        batch.push(b"e", 1, at, at);
        let found: Vec<Vec<_>> = batch.iter().map(|record| record.headers.iter().collect()).collect();
        let (x, y): (&[u8], &[u8]) = (b"x", b"y");
        assert_eq!(found, [vec![], vec![(x, &b"1"[..]), (y, b"")], vec![], vec![(x, b"2")], vec![]]);
        batch.reset(&Arc::from("t"), 0, at);
        batch.push(b"a", 1, at, at);
        assert_eq!(batch.get(0).unwrap().headers.iter().count(), 0);
    }
}

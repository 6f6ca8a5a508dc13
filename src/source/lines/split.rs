//! Chunks of bytes to records: the line discipline, without I/O.
//!
//! A line ends with `\n`; one `\r` before it goes too. Lines of nothing but JSON's white space are counted and skipped.
//! A byte order mark at the very start is skipped. A chunk is read into the batch, and what lies in it whole stays where it
//! is; only the beginning of a record that goes on in the next chunk is kept here, and never more of it than the record limit.

use crate::record::{Position, RecordBatch};
use std::ops::Range;

/// Bytes of an oversized record that are handed over: enough to recognise it in a dead letter.
pub const CUT_BYTES: usize = 4096;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What may surround a record without being a part of it: a byte order mark and a `\r`.
const SURROUND: usize = BYTE_ORDER_MARK.len() + 1;

/// Splits one stream.
#[derive(Debug)]
pub(super) struct Splitter {
    limit: usize,
    /// Where the current line starts.
    line: Position,
    /// Whether the current line is the first of the stream.
    first: bool,
    /// The current line so far; only its head once it is too long.
    head: Vec<u8>,
    /// Bytes of the current line so far.
    length: u64,
    /// Its last byte so far.
    last: u8,
    /// Lines to be passed over, and where the stream stands after them.
    skip: u64,
    skip_to: Position,
}

impl Splitter {
    /// A splitter at the start of a line that is `at` in the stream; `first` if the stream starts there.
    pub(super) fn new(limit: usize, at: Position, first: bool) -> Self {
        let (head, length, last, skip) = (Vec::new(), 0, 0, 0);
        Self { limit, line: at, first, head, length, last, skip, skip_to: at }
    }

    /// A splitter at the start of a stream that passes over as many lines as lie before `to`.
    pub(super) fn skipping(limit: usize, to: Position) -> Self {
        Self { skip: to.lines, skip_to: to, ..Self::new(limit, Position::default(), true) }
    }

    /// Lines that are yet to be passed over.
    pub(super) fn left_to_skip(&self) -> u64 {
        self.skip
    }

    /// Everything before this place was handed over or skipped.
    pub(super) fn position(&self) -> Position {
        if self.skip > 0 { self.skip_to } else { self.line }
    }

    /// Bytes of the stream that came in, those of an unfinished line too.
    pub(super) fn bytes_in(&self) -> u64 {
        self.line.offset + self.length
    }

    /// Bytes of memory that the unfinished line takes.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.head.capacity()
    }

    /// Appends the records that end in `chunk`, a range of the batch's bytes.
    pub(super) fn split(&mut self, chunk: Range<usize>, batch: &mut RecordBatch) {
        let mut start = chunk.start;
        while let Some(tail) = rest(batch, start..chunk.end)
            && let Some(length) = memchr::memchr(b'\n', tail)
        {
            let end = start + length;
            if self.length == 0 && self.skip == 0 {
                self.end_whole(start..end, batch);
            } else {
                self.keep(tail.get(..length).unwrap_or(tail));
                self.end_kept(1, batch);
            }
            start = end + 1;
        }
        self.keep(rest(batch, start..chunk.end).unwrap_or_default());
        batch.set_end(self.position());
    }

    /// Ends the stream: a last line without a line end counts as one.
    pub(super) fn finish(&mut self, batch: &mut RecordBatch) {
        if self.length > 0 {
            self.end_kept(0, batch);
        }
        batch.set_end(self.position());
    }

    /// Keeps the beginning of a line that is not complete.
    fn keep(&mut self, part: &[u8]) {
        let Some(&last) = part.last() else { return };
        self.last = last;
        self.length += part.len() as u64;
        if self.skip > 0 {
            return;
        }
        if self.length > (self.limit + SURROUND) as u64 {
            let missing = self.cut().saturating_sub(self.head.len());
            self.head.extend_from_slice(part.get(..missing.min(part.len())).unwrap_or(part));
            self.head.truncate(self.cut());
            // The limit's worth of memory goes back; the head is small.
            self.head.shrink_to(self.cut());
        } else {
            self.head.extend_from_slice(part);
        }
    }

    /// Bytes kept of a line that is too long, with what may stand before the record.
    fn cut(&self) -> usize {
        self.limit.min(CUT_BYTES) + SURROUND
    }

    /// A line that lies in the batch ends.
    fn end_whole(&mut self, range: Range<usize>, batch: &mut RecordBatch) {
        let length = range.len() as u64;
        let after = self.after(length, 1);
        let bytes = rest(batch, range.clone()).unwrap_or_default();
        let line = Line { bytes, length, ends_in_cr: bytes.last() == Some(&b'\r') };
        if let Some(record) = self.record(line) {
            let start = range.start + record.skipped;
            batch.push_within(start..start + record.bytes.len(), record.length, record.at, after);
        }
        self.next_line(after);
    }

    /// The line that was kept ends, with a line end of `line_end` bytes.
    fn end_kept(&mut self, line_end: u64, batch: &mut RecordBatch) {
        let after = self.after(self.length, line_end);
        if self.skip > 0 {
            self.skip -= 1;
        } else {
            let line = Line { bytes: &self.head, length: self.length, ends_in_cr: self.last == b'\r' };
            if let Some(record) = self.record(line) {
                batch.push(record.bytes, record.length, record.at, after);
            }
        }
        self.head.clear();
        self.length = 0;
        self.next_line(after);
    }

    fn after(&self, length: u64, line_end: u64) -> Position {
        Position { lines: self.line.lines + 1, offset: self.line.offset + length + line_end }
    }

    fn next_line(&mut self, at: Position) {
        self.first = false;
        self.line = at;
    }

    /// The record on a line; `None` if that is blank.
    fn record<'l>(&self, line: Line<'l>) -> Option<Found<'l>> {
        let Line { mut bytes, mut length, ends_in_cr } = line;
        let (mut at, mut skipped) = (self.line, 0);
        if ends_in_cr {
            length -= 1;
            bytes = bytes.get(..bytes.len().min(length as usize)).unwrap_or(bytes);
        }
        if self.first
            && let Some(rest) = bytes.strip_prefix(BYTE_ORDER_MARK)
        {
            bytes = rest;
            skipped = BYTE_ORDER_MARK.len();
            length -= skipped as u64;
            at.offset += skipped as u64;
        }
        if length > self.limit as u64 {
            bytes = bytes.get(..self.limit.min(CUT_BYTES)).unwrap_or(bytes);
        } else if bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            return None;
        }
        Some(Found { bytes, skipped, length, at })
    }
}

fn rest(batch: &RecordBatch, range: Range<usize>) -> Option<&[u8]> {
    batch.bytes().get(range)
}

/// A complete line without its `\n`.
struct Line<'a> {
    /// All of it, or its head.
    bytes: &'a [u8],
    length: u64,
    ends_in_cr: bool,
}

/// A record on its line.
struct Found<'a> {
    /// All of it, or its head.
    bytes: &'a [u8],
    /// Bytes of the line before it.
    skipped: usize,
    length: u64,
    at: Position,
}

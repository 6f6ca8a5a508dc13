//! Streams from memory, so that no disk is measured: one without end, whose every record has keys that never came before, and the
//! flights, round and round.
#![allow(dead_code, reason = "each bench uses its part")]

use flexihash::record::{Fetch, Position, Positions, RecordBatch, Source, SourceError};
use std::io::{BufRead, BufReader, Write as _};
use std::sync::{Arc, LazyLock};

static NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("endless"));
/// Bytes of a batch, as the engine's own source has them.
const BATCH_BYTES: usize = 64 << 10;

/// Hands out `records` records with `keys` new keys each.
#[derive(Debug)]
pub(crate) struct Endless {
    pub(crate) records: u64,
    pub(crate) keys: u64,
    pub(crate) batch_bytes: usize,
    at: Position,
    line: Vec<u8>,
}

impl Endless {
    pub(crate) fn new(records: u64, keys: u64) -> Self {
        Self { records, keys, batch_bytes: BATCH_BYTES, at: Position::default(), line: Vec::new() }
    }

    /// Record `number`: its label follows from a key of eight values, the others are new.
    fn write(&mut self, number: u64) {
        let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
        self.line.clear();
        let _ =
            write!(self.line, r#"{{"label":{},"features":{{"known":"{bits}","new":["#, u8::from(bits < 3));
        for key in 0..self.keys {
            let comma = if key == 0 { "" } else { "," };
            let _ = write!(self.line, r#"{comma}"{}""#, number * self.keys + key);
        }
        self.line.extend_from_slice(b"]}}");
    }
}

impl Source for Endless {
    fn resume(&mut self, positions: &Positions) -> Result<(), SourceError> {
        self.at = positions.of(&NAME);
        Ok(())
    }

    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        batch.reset(&NAME, 0, self.at);
        if self.at.lines >= self.records {
            return Ok(Fetch::End);
        }
        while self.at.lines < self.records && batch.byte_len() < self.batch_bytes {
            self.write(self.at.lines);
            let length = self.line.len() as u64;
            let after = Position { lines: self.at.lines + 1, offset: self.at.offset + length };
            batch.push(&self.line, length, self.at, after);
            self.at = after;
        }
        Ok(Fetch::Records)
    }
}

/// The first `count` records of the flights stream.
pub(crate) fn flights(count: usize) -> Arc<[Vec<u8>]> {
    let file = std::fs::File::open("fixtures/flights.jsonl.zst").unwrap();
    let lines = BufReader::new(zstd::stream::read::Decoder::new(file).unwrap()).split(b'\n');
    lines.take(count).map(Result::unwrap).collect()
}

/// Records from memory, round and round.
pub(crate) struct Memory {
    lines: Arc<[Vec<u8>]>,
    count: usize,
    at: usize,
}

impl Memory {
    /// `count` records.
    pub(crate) fn new(lines: &Arc<[Vec<u8>]>, count: usize) -> Self {
        Self { lines: Arc::clone(lines), count, at: 0 }
    }
}

impl Source for Memory {
    fn resume(&mut self, _: &Positions) -> Result<(), SourceError> {
        Ok(())
    }

    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        let position = |at: usize| Position { lines: at as u64, offset: at as u64 };
        batch.reset(&"memory".into(), 0, position(self.at));
        while self.at < self.count && batch.byte_len() < BATCH_BYTES {
            let line = &self.lines[self.at % self.lines.len()];
            batch.push(line, line.len() as u64, position(self.at), position(self.at + 1));
            self.at += 1;
        }
        Ok(if batch.is_empty() { Fetch::End } else { Fetch::Records })
    }
}

pub(crate) const MIB: f64 = 1_048_576.0;

/// Bytes of memory that the process holds (`VmRSS`), or held at most (`VmHWM`).
pub(crate) fn memory(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this bench reads Linux' /proc");
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

/// Bytes of a model's table, as it is asked for.
pub(crate) fn table_bytes(model: &flexihash::Model) -> f64 {
    let options = *model.learner().tables().first().unwrap().1.options();
    options.rows as f64 * (options.width + options.side) as f64 * 4.0
}

/// `small` in a test run, else what the environment variable `name` says, else `large`.
pub(crate) fn size(name: &str, small: u64, large: u64) -> u64 {
    let asked = std::env::var(name).ok().and_then(|value| value.parse::<f64>().ok());
    let test = !std::env::args().any(|argument| argument == "--bench");
    asked.map_or(if test { small } else { large }, |value| value as u64)
}

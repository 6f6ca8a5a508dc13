//! Streams of records into a learner, and a look at all it holds: shared by the tests of learning.
#![allow(dead_code, reason = "each test uses a part")]

use flexihash::batch::{Batch, Slot};
use flexihash::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashOptions};
use flexihash::learner::{Learner, LearnerOptions, Mode, Outcome, Outcomes};
use flexihash::parse::{ParseOptions, Parser};
use std::path::PathBuf;

/// A learner with what stands before it.
pub(crate) struct Stream {
    pub(crate) learner: Learner,
    pub(crate) batch: Batch,
    pub(crate) outcomes: Outcomes,
    hasher: FeatureHasher,
    parser: Parser,
    scratch: EncoderScratch,
}

impl Stream {
    pub(crate) fn new(options: LearnerOptions) -> Self {
        Self::of(Learner::new(options).unwrap())
    }

    pub(crate) fn of(learner: Learner) -> Self {
        let options = learner.options();
        let hash = HashOptions { buckets: options.buckets, ..HashOptions::default() };
        let parse = ParseOptions { labels: options.loss.labels(), ..ParseOptions::default() };
        Self {
            learner,
            batch: Batch::default(),
            outcomes: Outcomes::default(),
            hasher: FeatureHasher::new(hash, &HashKey::default()).unwrap(),
            parser: Parser::new(parse),
            scratch: EncoderScratch::default(),
        }
    }

    /// Parses `lines` into the batch, which is emptied first.
    pub(crate) fn read<L: AsRef<[u8]>>(&mut self, lines: &[L]) {
        self.batch.clear();
        for line in lines {
            let mut encoder = Encoder::new(&self.hasher, &mut self.scratch, &mut self.batch);
            let line = line.as_ref();
            let read = self.parser.parse(line, &mut encoder);
            let text = || String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
            read.unwrap_or_else(|error| panic!("{error}: {}", text()));
            encoder.finish().unwrap();
        }
    }

    /// Predicts and learns `lines` in batches of `size`; the predictions of each record, in order.
    pub(crate) fn learn<L: AsRef<[u8]>>(&mut self, lines: &[L], size: usize) -> Vec<Vec<f32>> {
        let mut all = Vec::new();
        for chunk in lines.chunks(size) {
            self.read(chunk);
            self.learner.process(&self.batch, 0..chunk.len(), Mode::Learn, &mut self.outcomes).unwrap();
            for outcome in &self.outcomes.rows {
                let Outcome::Scored { predictions, .. } = outcome else { panic!("{outcome:?}") };
                all.push(self.outcomes.predictions[predictions.clone()].to_vec());
            }
        }
        all
    }

    /// The progressive loss of the first task.
    pub(crate) fn loss(&self) -> f64 {
        self.learner.reports().next().unwrap().0.figures.loss
    }
}

/// A touched row with its side column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) slot: Slot,
    pub(crate) row: Vec<f32>,
    pub(crate) side: Vec<f32>,
}

/// The touched rows of each task, in the order of tasks and slots.
pub(crate) fn held(learner: &Learner) -> Vec<Vec<Held>> {
    let tables = learner.tables().into_iter().map(|(_, table)| {
        let mut rows = Vec::new();
        table.for_each_touched(|slot, row| rows.push(Held { slot, row: row.to_vec(), side: Vec::new() }));
        let mut lease = table.lease_all();
        for held in &mut rows {
            held.side = lease.side(held.slot).to_vec();
        }
        rows
    });
    tables.collect()
}

/// FNV-1a over slot, row and side of all touched rows, all tasks.
pub(crate) fn checksum(learner: &Learner) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |word: u32| {
        for byte in word.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for held in held(learner).iter().flatten() {
        add(held.slot.0);
        held.row.iter().chain(&held.side).for_each(|value| add(value.to_bits()));
    }
    hash
}

/// A file of `fixtures/`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// The first `records` of the flights stream, one line each.
pub(crate) fn flights(records: usize) -> Vec<Vec<u8>> {
    use std::io::BufRead;
    let file = std::fs::File::open(fixture("flights.jsonl.zst")).unwrap();
    let text = std::io::BufReader::new(zstd::Decoder::new(file).unwrap());
    text.split(b'\n').take(records).map(|line| line.unwrap()).collect()
}

//! The flights stream for the benches: 327,346 real records, from `fixtures/flights.jsonl.zst`.
#![allow(dead_code, reason = "each bench uses a part")]

use flexihash::batch::Batch;
use flexihash::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashOptions};
use flexihash::parse::Parser;
use std::io::BufRead;
use std::path::Path;

/// The first `records` lines; a few only where benches are run as tests.
pub(crate) fn lines(records: usize) -> Vec<Vec<u8>> {
    let records = if is_measured() { records } else { records.min(2000) };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/flights.jsonl.zst");
    let file = std::fs::File::open(path).unwrap();
    let text = std::io::BufReader::new(zstd::Decoder::new(file).unwrap());
    text.split(b'\n').take(records).map(|line| line.unwrap()).collect()
}

/// `cargo bench` says `--bench`, `cargo test` does not.
pub(crate) fn is_measured() -> bool {
    let args: Vec<String> = std::env::args().collect();
    args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--test")
}

pub(crate) fn bytes(lines: &[Vec<u8>]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

/// All `lines` as one batch, hashed into 2^22 slots.
pub(crate) fn batch(lines: &[Vec<u8>]) -> Batch {
    let hasher = FeatureHasher::new(HashOptions::default(), &HashKey::default()).unwrap();
    let (parser, mut scratch, mut batch) = (Parser::default(), EncoderScratch::default(), Batch::default());
    for line in lines {
        let mut encoder = Encoder::new(&hasher, &mut scratch, &mut batch);
        parser.parse(line, &mut encoder).unwrap();
        encoder.finish().unwrap();
    }
    batch
}

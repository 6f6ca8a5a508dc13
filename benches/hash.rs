//! Question: what does it cost to turn a categorical feature into a slot of the batch, sorted rows included?
//! Data: 1,000 records of 15 features `c0..c14` with values `v0..v9999`, xorshift seed 1. Rival: the name `key=value`
//! built as a string and hashed by the standard library's hasher, neither injective nor sorted nor keyed.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use divan::Bencher;
use divan::counter::ItemsCount;
use flexihash::batch::Batch;
use flexihash::example::ExampleSink;
use flexihash::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashOptions};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

const RECORDS: usize = 1000;
const FEATURES: usize = 15;

fn main() {
    divan::main();
}

fn data() -> Vec<Vec<(String, String)>> {
    let mut state = 1_u64;
    let mut value = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("v{}", state % 10_000)
    };
    (0..RECORDS).map(|_| (0..FEATURES).map(|i| (format!("c{i}"), value())).collect()).collect()
}

fn encode(
    hasher: &FeatureHasher,
    scratch: &mut EncoderScratch,
    batch: &mut Batch,
    record: &[(String, String)],
) {
    let mut encoder = Encoder::new(hasher, scratch, batch);
    for (key, value) in record {
        encoder.category_at(key, value).unwrap();
    }
    encoder.finish().unwrap();
}

#[divan::bench]
fn native(bencher: Bencher<'_, '_>) {
    let records = data();
    let hasher = FeatureHasher::new(HashOptions::default(), &HashKey::default()).unwrap();
    let (mut scratch, mut batch) = (EncoderScratch::default(), Batch::default());
    encode(&hasher, &mut scratch, &mut batch, &records[0]);
    assert_eq!(batch.features(), FEATURES, "a collision among 15 features in 2^22 slots");
    bencher.counter(ItemsCount::new(RECORDS * FEATURES)).bench_local(|| {
        batch.clear();
        records.iter().for_each(|record| encode(&hasher, &mut scratch, &mut batch, record));
        batch.features()
    });
}

#[divan::bench]
fn rival_string_and_std_hasher(bencher: Bencher<'_, '_>) {
    let records = data();
    let mut slots = Vec::new();
    bencher.counter(ItemsCount::new(RECORDS * FEATURES)).bench_local(|| {
        slots.clear();
        for (key, value) in records.iter().flatten() {
            let mut hasher = DefaultHasher::new();
            format!("{key}={value}").hash(&mut hasher);
            slots.push((hasher.finish() % (1 << 22)) as u32);
        }
        slots.len()
    });
}

//! Question: how many records a second does one thread learn, from JSON bytes to updated rows?
//! Data: the flights stream, 327,346 records, in batches of 512; seed 0. The loss is asserted before anything is timed.
//! Rival: the plain way, a JSON tree, a hash map of weights by name and AdaGrad, which also learns much worse.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

mod flights;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use flexihash::batch::Batch;
use flexihash::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashOptions};
use flexihash::learner::{HeadKind, Learner, LearnerOptions, Mode, Outcomes};
use flexihash::model::Loss;
use flexihash::parse::Parser;
use serde_json::Value;
use std::collections::HashMap;

fn main() {
    divan::main();
}

fn learn(lines: &[Vec<u8>], head: HeadKind) -> f64 {
    let hasher = FeatureHasher::new(HashOptions::default(), &HashKey::default()).unwrap();
    let mut learner = Learner::new(LearnerOptions { head, ..LearnerOptions::default() }).unwrap();
    let (parser, mut scratch) = (Parser::default(), EncoderScratch::default());
    let (mut batch, mut outcomes) = (Batch::default(), Outcomes::default());
    for chunk in lines.chunks(512) {
        batch.clear();
        for line in chunk {
            let mut encoder = Encoder::new(&hasher, &mut scratch, &mut batch);
            parser.parse(line, &mut encoder).unwrap();
            encoder.finish().unwrap();
        }
        learner.process(&batch, 0..batch.len(), Mode::Learn, &mut outcomes).unwrap();
    }
    learner.reports().next().unwrap().0.figures.loss
}

fn plain_way(lines: &[Vec<u8>]) -> f64 {
    let (mut weights, mut total) = (HashMap::<String, (f64, f64)>::new(), 0.0);
    for line in lines {
        let record: Value = serde_json::from_slice(line).unwrap();
        let label = record["label"].as_f64().unwrap();
        let features = record["features"].as_object().unwrap().iter().map(|(key, value)| match value {
            Value::String(category) => (format!("{key}={category}"), 1.0),
            number => (key.clone(), number.as_f64().unwrap()),
        });
        let features: Vec<_> = features.chain([("constant".to_owned(), 1.0)]).collect();
        let score: f64 = features.iter().map(|(name, x)| x * weights.get(name).map_or(0.0, |w| w.0)).sum();
        let p = Loss::Logistic.link(score);
        total += Loss::Logistic.value(p, label);
        for (name, x) in features {
            let (weight, squares) = weights.entry(name).or_default();
            let gradient = (p - label) * x;
            *squares += gradient * gradient;
            *weight -= 0.1 * gradient / (squares.sqrt() + 1e-8);
        }
    }
    total / lines.len() as f64
}

fn bench(bencher: Bencher<'_, '_>, bound: f64, run: impl Fn(&[Vec<u8>]) -> f64) {
    let lines = flights::lines(usize::MAX);
    let loss = run(&lines);
    assert!(loss <= bound || !flights::is_measured(), "progressive log loss {loss}");
    bencher
        .counter(BytesCount::new(flights::bytes(&lines)))
        .counter(ItemsCount::new(lines.len()))
        .bench_local(|| run(divan::black_box(&lines)));
}

#[divan::bench(sample_count = 5)]
fn linear(bencher: Bencher<'_, '_>) {
    bench(bencher, 0.4285, |lines| learn(lines, HeadKind::Linear));
}

#[divan::bench(sample_count = 5)]
fn factorization_machine(bencher: Bencher<'_, '_>) {
    bench(bencher, 0.4242, |lines| learn(lines, HeadKind::Fm));
}

#[divan::bench(sample_count = 5)]
fn rival_tree_and_hash_map(bencher: Bencher<'_, '_>) {
    bench(bencher, 0.5, plain_way);
}

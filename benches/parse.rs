//! Question: what does it cost to read a record, the features told to a sink that only counts them?
//! Data: the first 20,000 flights. Rivals: the same records by the careful walk on serde_json, which tells a sink that
//! cannot restart, and as `serde_json::Value` trees. Seed: none.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

mod flights;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use flexihash::example::{ExampleSink, FeatureError};
use flexihash::parse::Parser;

fn main() {
    divan::main();
}

#[derive(Default)]
struct Count {
    features: usize,
    can_restart: bool,
    before: usize,
}

impl ExampleSink for Count {
    fn enter_key(&mut self, _: &str) {}
    fn enter_index(&mut self, _: usize) {}
    fn leave(&mut self) {}
    fn number(&mut self, _: f32) -> Result<(), FeatureError> {
        self.features += 1;
        Ok(())
    }
    fn category(&mut self, _: &str) -> Result<(), FeatureError> {
        self.features += 1;
        Ok(())
    }
    fn id(&mut self, _: &str) {}
    fn weight(&mut self, _: f32) {}
    fn target(&mut self, _: Option<&str>, _: f32) {}
    fn can_restart(&self) -> bool {
        self.can_restart
    }
    fn restart(&mut self) {
        self.features = self.before;
    }
}

fn count(lines: &[Vec<u8>], can_restart: bool) -> usize {
    let (parser, mut count) = (Parser::default(), Count { can_restart, ..Count::default() });
    for line in lines {
        count.before = count.features;
        parser.parse(line, &mut count).unwrap();
    }
    count.features
}

fn ours(lines: &[Vec<u8>]) -> usize {
    count(lines, true)
}

fn careful(lines: &[Vec<u8>]) -> usize {
    count(lines, false)
}

fn tree(lines: &[Vec<u8>]) -> usize {
    let features = |line: &Vec<u8>| {
        let record: serde_json::Value = serde_json::from_slice(line).unwrap();
        record["features"].as_object().unwrap().values().filter(|value| value.as_f64() != Some(0.0)).count()
    };
    lines.iter().map(features).sum()
}

fn bench(bencher: Bencher<'_, '_>, read: fn(&[Vec<u8>]) -> usize) {
    let lines = flights::lines(20_000);
    assert_eq!(ours(&lines), tree(&lines));
    bencher
        .counter(BytesCount::new(flights::bytes(&lines)))
        .counter(ItemsCount::new(lines.len()))
        .bench(|| read(divan::black_box(&lines)));
}

#[divan::bench]
fn told_to_a_sink(bencher: Bencher<'_, '_>) {
    bench(bencher, ours);
}

#[divan::bench]
fn rival_careful_walk(bencher: Bencher<'_, '_>) {
    bench(bencher, careful);
}

#[divan::bench]
fn rival_value_tree(bencher: Bencher<'_, '_>) {
    bench(bencher, tree);
}

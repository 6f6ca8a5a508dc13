//! Question: how long do the best 10 of many items take, exactly, and how near is that to reading the items once?
//! Data: normal-ish vectors and biases, 20,000 items (in the cache) and `RETRIEVE_ITEMS` of them (200,000 by default), dims 32 and
//! 128; 1 and 16 queries. Seed: 0. One thread. Rivals: a loop that only adds up the items' floats (what the memory allows), and scoring everything
//! one product after the other, then selecting and sorting. `benches/peers/top_n.py` asks numpy the same.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use flexihash::retrieve::ItemVectors;

fn main() {
    divan::main();
}

/// Items in the cache, then the others, by dim and number of queries.
const CASES: [(bool, usize, usize); 6] =
    [(true, 32, 1), (true, 128, 1), (true, 32, 16), (false, 32, 1), (false, 128, 1), (false, 128, 16)];

const BEST: usize = 10;

struct Data {
    dim: usize,
    vectors: Vec<f32>,
    bias: Vec<f32>,
    queries: Vec<f32>,
}

impl Data {
    fn new((small, dim, queries): (bool, usize, usize)) -> Self {
        let asked = std::env::var("RETRIEVE_ITEMS").ok().and_then(|text| text.parse().ok());
        let items = if small { 20_000 } else { asked.unwrap_or(200_000) };
        let mut state = 0_u64;
        // The sum of four uniform numbers, by Weyl's sequence and a multiplication.
        let mut number = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed.to_le_bytes().chunks(2).map(|two| f32::from(two[1]) / 128.0 - 1.0).sum::<f32>()
        };
        let mut numbers = |count| (0..count).map(|_| number()).collect();
        Self { dim, vectors: numbers(items * dim), bias: numbers(items), queries: numbers(queries * dim) }
    }

    fn items(&self) -> ItemVectors {
        let mut items = ItemVectors::new(self.dim).unwrap();
        items.reserve(self.bias.len());
        for (vector, bias) in self.vectors.chunks(self.dim).zip(&self.bias) {
            items.push(vector, *bias).unwrap();
        }
        items
    }

    /// Items scored, whoever does it.
    fn scored(&self) -> ItemsCount {
        ItemsCount::new(self.bias.len() * self.queries.len() / self.dim)
    }

    /// Everything scored, in the order of the floats; the best selected, then sorted.
    fn naive(&self, query: &[f32]) -> Vec<(usize, f32)> {
        let dot = |x: &[f32]| x.iter().zip(query).fold(0.0, |sum, (x, y)| sum + x * y);
        let scores = self.vectors.chunks(self.dim).zip(&self.bias).map(|(x, bias)| dot(x) + bias);
        let mut all: Vec<(usize, f32)> = scores.enumerate().collect();
        let better = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        all.select_nth_unstable_by(BEST, better);
        all.truncate(BEST);
        all.sort_by(better);
        all
    }
}

#[divan::bench(args = CASES.map(Case))]
fn best(bencher: Bencher<'_, '_>, case: &Case) {
    let data = Data::new(case.0);
    let items = data.items();
    let found = items.best(&data.queries, BEST).unwrap();
    for (hits, query) in found.iter().zip(data.queries.chunks(data.dim)) {
        for (hit, (index, score)) in hits.iter().zip(data.naive(query)) {
            assert!(
                (hit.score - score).abs() < 1e-3,
                "{} {index}: rounding orders them, if anything",
                hit.index
            );
        }
    }
    bencher.counter(data.scored()).bench_local(|| items.best(black_box(&data.queries), BEST).unwrap());
}

#[divan::bench(args = CASES.map(Case))]
fn rival_only_reads(bencher: Bencher<'_, '_>, case: &Case) {
    let data = Data::new(case.0);
    let queries = data.queries.len() / data.dim;
    bencher.counter(data.scored()).bench_local(|| {
        for _ in 0..queries {
            let mut lanes = [0.0_f32; 64];
            for block in black_box(&data.vectors).as_chunks::<64>().0 {
                lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane += x);
            }
            black_box(lanes);
        }
    });
}

#[divan::bench(args = CASES.map(Case))]
fn rival_one_after_the_other(bencher: Bencher<'_, '_>, case: &Case) {
    let data = Data::new(case.0);
    bencher.counter(data.scored()).bench_local(|| {
        for query in black_box(&data.queries).chunks(data.dim) {
            black_box(data.naive(query));
        }
    });
}

/// Told in words in the table.
struct Case((bool, usize, usize));

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (small, dim, queries) = self.0;
        write!(f, "{} items, dim {dim}, {queries} queries", if small { "cached" } else { "many" })
    }
}

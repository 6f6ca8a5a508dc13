//! Question: what do the steps of an embedding cost, beside torch's and beside the memory itself?
//! Data: 4,096 dicts, 20,636 features, one batch again and again, so that its rows lie in the last cache; table of 2^20
//! rows. Rivals: a loop that only reads (reads and writes) the same rows, fetched ahead; torch, by `run.sh` beside this.
//!
//! `run.sh` calls it with the dicts' file and reads the JSON it prints: medians, in milliseconds a batch. Alone, or as a
//! test, it makes up dicts of its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use flexihash::batch::{Batch, Slot};
use flexihash::embedding::{EmbeddingOptions, FlexiHashEmbedding};
use flexihash::hash::{HashKind, HashOptions};
use flexihash::kernel::{Features, Isa, RowCells, RowList, gather_sum, prefetch, scatter_add};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

const BUCKETS: u32 = 1 << 20;
const DIMS: [usize; 6] = [8, 16, 32, 64, 128, 256];

type Dict = Vec<(String, f64)>;
type Times = BTreeMap<String, f64>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let measured = args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--test");
    let file = args.iter().find(|arg| arg.ends_with(".jsonl"));
    let dicts = file.map_or_else(|| made_up(if measured { 4096 } else { 64 }), |file| read(file));
    let bench = Bench {
        dicts,
        buckets: if measured { BUCKETS } else { 1 << 10 },
        rounds: if measured { 61 } else { 1 },
    };
    let mut times = Times::new();
    let only = args.iter().find_map(|arg| arg.strip_prefix("only="));
    let has = |part: &str| only.is_none_or(|only| only.contains(part));
    if has("hash") {
        bench.hashing(&mut times);
    }
    if has("embed") {
        DIMS.into_iter().for_each(|dim| bench.embedding(dim, &mut times));
    }
    if has("kernel") {
        bench.kernels::<8>(&mut times);
        bench.kernels::<16>(&mut times);
        bench.kernels::<64>(&mut times);
        bench.kernels::<128>(&mut times);
        bench.kernels::<256>(&mut times);
    }
    times.insert("features".to_owned(), bench.batch(HashKind::Siphash).features() as f64);
    println!("{}", serde_json::to_string_pretty(&times).unwrap());
}

fn read(file: &str) -> Vec<Dict> {
    let text = std::fs::read_to_string(file).unwrap();
    let dict =
        |line: &str| serde_json::from_str::<BTreeMap<String, f64>>(line).unwrap().into_iter().collect();
    text.lines().map(dict).collect()
}

fn made_up(dicts: usize) -> Vec<Dict> {
    let pair =
        |dict: usize, i: usize| (format!("key_{}", (dict * 11 + i * 7) * 7919 % 200_000), 1.0 + i as f64);
    (0..dicts).map(|dict| (0..dict % 11).map(|i| pair(dict, i)).collect()).collect()
}

struct Bench {
    dicts: Vec<Dict>,
    buckets: u32,
    rounds: usize,
}

impl Bench {
    fn new_embedding(&self, kind: HashKind, dim: usize) -> FlexiHashEmbedding {
        let hash = HashOptions { kind, buckets: self.buckets, ..HashOptions::default() };
        FlexiHashEmbedding::new(EmbeddingOptions { dim, seed: 1, hash }).unwrap()
    }

    fn hashed(&self, embedding: &FlexiHashEmbedding) -> Batch {
        embedding.batch(self.dicts.iter().map(|dict| dict.iter().map(|(key, value)| (key, *value)))).unwrap()
    }

    fn batch(&self, kind: HashKind) -> Batch {
        self.hashed(&self.new_embedding(kind, 8))
    }

    /// Median time of `work`, in milliseconds.
    fn time(&self, mut work: impl FnMut()) -> f64 {
        let mut times: Vec<f64> = (0..self.rounds + 3)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed().as_secs_f64() * 1e3
            })
            .skip(3)
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }

    fn hashing(&self, times: &mut Times) {
        for (name, kind) in [("native", HashKind::Siphash), ("sklearn", HashKind::Sklearn)] {
            let embedding = self.new_embedding(kind, 8);
            times.insert(format!("hash {name}"), self.time(|| _ = black_box(self.hashed(&embedding))));
        }
    }

    fn embedding(&self, dim: usize, times: &mut Times) {
        let embedding = self.new_embedding(HashKind::Sklearn, dim);
        let batch = self.hashed(&embedding);
        let expected = embedding.embed(&batch).unwrap();
        let mut vectors = vec![0.0; expected.len()];
        for threads in [1, 2] {
            embedding.embed_into(&batch, threads, &mut vectors).unwrap();
            assert_eq!(vectors, expected, "the number of threads changes no bit");
            let gather = self.time(|| embedding.embed_into(&batch, threads, &mut vectors).unwrap());
            times.insert(format!("embed {dim} threads {threads}"), gather);
            let whole = self.time(|| {
                let batch = self.hashed(&embedding);
                let mut vectors = vec![0.0; expected.len()];
                embedding.embed_into(&batch, threads, &mut vectors).unwrap();
                black_box(vectors);
            });
            times.insert(format!("whole {dim} threads {threads}"), whole);
        }
        let above = vec![1e-6; expected.len()];
        let step = self.time(|| {
            let gradient = embedding.gradient(&batch, &above).unwrap();
            embedding.sgd_step(&gradient, 0.1).unwrap();
        });
        times.insert(format!("gradient and step {dim}"), step);
        let step = self.time(|| embedding.sgd_backward(&batch, &above, 0.1).unwrap());
        times.insert(format!("sgd_backward {dim}"), step);
    }

    /// Medians of several works done in turn, so that all see the same machine.
    fn in_turn(&self, works: usize, mut work: impl FnMut(usize)) -> Vec<f64> {
        let mut times = vec![Vec::new(); works];
        for _ in 0..self.rounds + 3 {
            for (which, times) in times.iter_mut().enumerate() {
                let start = Instant::now();
                work(which);
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        let median = |times: &mut Vec<f64>| {
            times.drain(..3);
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        times.iter_mut().map(median).collect()
    }

    fn kernels<const DIM: usize>(&self, times: &mut Times) {
        let batch = self.batch(HashKind::Sklearn);
        let mut flat = Flat::<DIM>::new(self.buckets as usize, batch.slots());
        let features = Features { offsets: batch.offsets(), values: batch.values() };
        let mut out = vec![0.0; batch.len() * DIM];
        let above = vec![1e-6; out.len()];
        let best = Isa::best();
        let found = self.in_turn(2, |which| match which {
            0 => _ = black_box(best.run(|| flat.read_all())),
            _ => best.run(|| flat.write_all()),
        });
        times.extend(["read", "read and write"].map(|name| format!("{name} {DIM}")).into_iter().zip(found));
        let isas: Vec<Isa> = Isa::available().collect();
        let slots = batch.slots();
        let rows = || RowList::new(DIM, slots.iter().map(|slot| flat.row(*slot))).unwrap();
        let list = rows();
        let found = self.in_turn(isas.len() + 1, |which| match isas.get(which) {
            Some(&isa) => assert!(gather_sum(isa, &list, features, &mut out)),
            None => assert_eq!(black_box(rows()).len(), slots.len()),
        });
        let name = |which: usize| isas.get(which).map_or("list", |isa| isa.name());
        times
            .extend(found.into_iter().enumerate().map(|(i, t)| (format!("gather_sum {DIM} {}", name(i)), t)));
        let cells = Cell::from_mut(flat.rows_mut().as_flattened_mut()).as_slice_of_cells();
        let row = |slot: &Slot| cells.get(slot.0 as usize * DIM..).unwrap_or_default();
        let list = RowCells::new(DIM, slots.iter().map(row)).unwrap();
        let found = self.in_turn(isas.len(), |which| {
            scatter_add(isas[which], &list, features, -0.1, &above).unwrap();
        });
        times.extend(
            found.into_iter().enumerate().map(|(i, t)| (format!("scatter_add {DIM} {}", name(i)), t)),
        );
    }
}

/// The plainest table: one slice of rows, at a cache line.
struct Flat<'a, const DIM: usize> {
    floats: Vec<f32>,
    base: usize,
    slots: &'a [Slot],
}

impl<'a, const DIM: usize> Flat<'a, DIM> {
    fn new(rows: usize, slots: &'a [Slot]) -> Self {
        let floats = vec![0.5; rows * DIM + 16];
        Self { base: floats.as_ptr().align_offset(64), floats, slots }
    }

    #[inline(always)]
    fn rows(&self) -> &[[f32; DIM]] {
        self.floats[self.base..].as_chunks().0
    }

    #[inline(always)]
    fn rows_mut(&mut self) -> &mut [[f32; DIM]] {
        self.floats[self.base..].as_chunks_mut().0
    }

    #[inline(always)]
    fn row(&self, slot: Slot) -> &[f32] {
        self.rows().get(slot.0 as usize).map_or(&[], |row| row)
    }

    #[inline(always)]
    fn fetch(&self, i: usize) {
        let row = self.row(self.slots[i.min(self.slots.len() - 1)]);
        for line in 0..DIM.div_ceil(16) {
            if let Some(first) = row.get(16 * line) {
                prefetch(first);
            }
        }
    }

    /// Reads every row, as fast as the memory gives them.
    #[inline(always)]
    fn read_all(&self) -> [f32; DIM] {
        let mut seen = [0.0; DIM];
        for (i, slot) in self.slots.iter().enumerate() {
            self.fetch(i + 12);
            let row = &self.rows()[slot.0 as usize];
            for column in 0..DIM {
                seen[column] += row[column];
            }
        }
        seen
    }

    /// Reads and writes every row.
    #[inline(always)]
    fn write_all(&mut self) {
        for (i, slot) in self.slots.iter().enumerate() {
            self.fetch(i + 12);
            for value in &mut self.rows_mut()[slot.0 as usize] {
                *value += 1e-7;
            }
        }
    }
}

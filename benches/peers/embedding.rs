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
use flexihash::kernel::{Features, Isa, RowCells, RowList, gather_sum, prefetch, prefetch_far, scatter_add};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

const BUCKETS: u32 = 1 << 20;
const DIMS: [usize; 6] = [8, 16, 32, 64, 128, 256];

/// The loops whose fastest is the memory's limit: how many rows ahead they fetch, and whether into the second-level cache.
const LIMITS: [(usize, bool); 8] =
    [(4, false), (8, false), (16, false), (32, false), (8, true), (16, true), (32, true), (48, true)];

/// Records whose vector the loops fetch ahead.
const VECTORS_AHEAD: usize = 8;

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
        bench.all_kernels::<8>(&mut times);
        bench.all_kernels::<16>(&mut times);
        bench.all_kernels::<64>(&mut times);
        bench.all_kernels::<128>(&mut times);
        bench.all_kernels::<256>(&mut times);
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

    fn hash(&self, embedding: &FlexiHashEmbedding, batch: &mut Batch) {
        let dicts = self.dicts.iter().map(|dict| dict.iter().map(|(key, value)| (key, *value)));
        embedding.batch_into(dicts, batch).unwrap();
    }

    fn hashed(&self, embedding: &FlexiHashEmbedding) -> Batch {
        let mut batch = Batch::default();
        self.hash(embedding, &mut batch);
        batch
    }

    fn batch(&self, kind: HashKind) -> Batch {
        self.hashed(&self.new_embedding(kind, 8))
    }

    /// Median time of `work`, in milliseconds.
    fn time(&self, mut work: impl FnMut()) -> f64 {
        self.in_turn(1, |_| work())[0]
    }

    /// Medians of several works done in turn, so that all see the same machine.
    fn in_turn(&self, works: usize, mut work: impl FnMut(usize)) -> Vec<f64> {
        let mut times = vec![Vec::new(); works];
        for _ in 0..self.rounds + 3 {
            for (which, times) in times.iter_mut().enumerate() {
                let start = Instant::now();
                work(which);
                times.push(milliseconds(start));
            }
        }
        times.into_iter().map(median).collect()
    }

    fn hashing(&self, times: &mut Times) {
        for (name, kind) in [("native", HashKind::Siphash), ("sklearn", HashKind::Sklearn)] {
            let (embedding, mut batch) = (self.new_embedding(kind, 8), Batch::default());
            let hash = self.time(|| self.hash(&embedding, black_box(&mut batch)));
            times.insert(format!("hash {name}"), hash);
        }
    }

    fn embedding(&self, dim: usize, times: &mut Times) {
        let embedding = self.new_embedding(HashKind::Sklearn, dim);
        let (batch, mut again) = (self.hashed(&embedding), Batch::default());
        let expected = embedding.embed(&batch).unwrap();
        let mut vectors = vec![0.0; expected.len()];
        for threads in [1, 2] {
            embedding.embed_into(&batch, threads, &mut vectors).unwrap();
            assert_eq!(vectors, expected, "the number of threads changes no bit");
            let gather = self.time(|| embedding.embed_into(&batch, threads, &mut vectors).unwrap());
            times.insert(format!("embed {dim} threads {threads}"), gather);
            let whole = self.time(|| {
                self.hash(&embedding, &mut again);
                let mut vectors = vec![0.0; expected.len()];
                embedding.embed_into(&again, threads, &mut vectors).unwrap();
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

    fn all_kernels<const DIM: usize>(&self, times: &mut Times) {
        self.kernels::<DIM>(&Uses::cached(&self.batch(HashKind::Sklearn)), times);
        // 128 MiB of lines, four times what a last cache has.
        let (floats, lines) = if self.rounds > 1 { (1 << 27, 1 << 21) } else { (1 << 14, 1 << 10) };
        let features = lines / DIM.div_ceil(16) / 5 * 5;
        let few = Self { dicts: Vec::new(), buckets: self.buckets, rounds: self.rounds.min(5) };
        few.kernels::<DIM>(&Uses::spread(floats, features, DIM), times);
        times.insert(format!("spread features {DIM}"), features as f64);
    }

    /// Kernels and the memory's own limit in turn: the limit is the fastest of [`LIMITS`], over the rows alone and with the vectors
    /// that a kernel cannot do without: a gather writes one for each record, a scatter reads it.
    fn kernels<const DIM: usize>(&self, uses: &Uses, times: &mut Times) {
        let mut flat = Flat::<DIM>::new(uses.rows(self.buckets, DIM), &uses.slots);
        let isas: Vec<Isa> = Isa::available().filter(|isa| uses.floats == 0 || *isa == Isa::best()).collect();
        let mut keep = |kernel: &str, found: Vec<f64>| {
            let limits = &found[isas.len()..];
            let fastest = |limits: &[f64]| limits.iter().copied().fold(f64::INFINITY, f64::min);
            let (rows, vectors) = (fastest(&limits[..LIMITS.len()]), fastest(&limits[LIMITS.len()..]));
            let isas = isas.iter().map(|isa| isa.name()).zip(found.iter().copied());
            let all = isas.chain([("memory", rows), ("memory+vectors", vectors)]);
            times.extend(all.map(|(who, time)| (format!("{kernel} {DIM} {who} {}", uses.name), time)));
        };
        keep("gather_sum", self.gathers(uses, &flat, &isas));
        keep("scatter_add", self.scatters(uses, &mut flat, &isas));
    }

    /// Times of each instruction set's kernel, then of the limits.
    fn gathers<const DIM: usize>(&self, uses: &Uses, flat: &Flat<'_, DIM>, isas: &[Isa]) -> Vec<f64> {
        let list = RowList::new(DIM, uses.slots.iter().map(|slot| flat.row(*slot))).unwrap();
        let mut out = vec![0.0; (uses.offsets.len() - 1) * DIM];
        self.in_turn(isas.len() + 2 * LIMITS.len(), |which| match isas.get(which) {
            Some(&isa) => assert!(gather_sum(isa, &list, uses.features(), &mut out)),
            None => {
                let (ahead, far, vectors) = limit(which - isas.len());
                let (offsets, out) =
                    if vectors { (&uses.offsets[..], &mut out[..]) } else { (&[][..], &mut [][..]) };
                black_box(Isa::best().run(
                    #[inline(always)]
                    || match far {
                        true => flat.read_all::<true>(ahead, offsets, out),
                        false => flat.read_all::<false>(ahead, offsets, out),
                    },
                ));
            }
        })
    }

    /// The same of a scatter. Cells and plain floats cannot both be borrowed, so the list of addresses is made anew, outside the clock.
    fn scatters<const DIM: usize>(&self, uses: &Uses, flat: &mut Flat<'_, DIM>, isas: &[Isa]) -> Vec<f64> {
        let above = vec![1e-6; (uses.offsets.len() - 1) * DIM];
        let mut found = vec![Vec::new(); isas.len() + 2 * LIMITS.len()];
        for _ in 0..self.rounds + 3 {
            for (which, times) in found.iter_mut().enumerate() {
                times.push(match isas.get(which) {
                    Some(&isa) => flat.scatter(isa, uses.features(), &above),
                    None => write_limit(uses, flat, &above, limit(which - isas.len())),
                });
            }
        }
        found.into_iter().map(median).collect()
    }
}

/// How far ahead, into which cache, and whether with the vectors.
type Limit = (usize, bool, bool);

fn limit(which: usize) -> Limit {
    let (ahead, far) = LIMITS[which % LIMITS.len()];
    (ahead, far, which >= LIMITS.len())
}

/// Time of the loop that reads and writes, in milliseconds.
fn write_limit<const DIM: usize>(uses: &Uses, flat: &mut Flat<'_, DIM>, above: &[f32], limit: Limit) -> f64 {
    let (ahead, far, vectors) = limit;
    let (offsets, above) = if vectors { (&uses.offsets[..], above) } else { (&[][..], &[][..]) };
    let start = Instant::now();
    black_box(Isa::best().run(
        #[inline(always)]
        || match far {
            true => flat.write_all::<true>(ahead, offsets, above),
            false => flat.write_all::<false>(ahead, offsets, above),
        },
    ));
    milliseconds(start)
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Of all but the first three.
fn median(mut times: Vec<f64>) -> f64 {
    times.drain(..3);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Which rows the kernels sum, and how often.
struct Uses {
    name: &'static str,
    slots: Vec<Slot>,
    offsets: Vec<usize>,
    values: Vec<f32>,
    /// Floats of the table; 0: as many rows as the bench has buckets.
    floats: usize,
}

impl Uses {
    /// The batch, which a cache holds.
    fn cached(batch: &Batch) -> Self {
        let (slots, offsets) = (batch.slots().to_vec(), batch.offsets().to_vec());
        Self { name: "cached", slots, offsets, values: batch.values().to_vec(), floats: 0 }
    }

    /// Rows from all of a table of so many floats, five a record.
    fn spread(floats: usize, features: usize, dim: usize) -> Self {
        let rows = (floats / dim) as u64;
        let slot = |i: u64| Slot((i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) as u32 % rows as u32);
        Self {
            name: "spread",
            slots: (0..features as u64).map(slot).collect(),
            offsets: (0..=features).step_by(5).collect(),
            values: vec![1.0; features],
            floats,
        }
    }

    fn features(&self) -> Features<'_> {
        Features { offsets: &self.offsets, values: &self.values }
    }

    fn rows(&self, buckets: u32, dim: usize) -> usize {
        if self.floats == 0 { buckets as usize } else { self.floats / dim }
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

    /// Starts fetching every line of the row of use `i`.
    #[inline(always)]
    fn fetch<const FAR: bool>(&self, rows: &[[f32; DIM]], i: usize) {
        let row = &rows[self.slots[i.min(self.slots.len() - 1)].0 as usize];
        for line in 0..DIM.div_ceil(16) {
            if FAR { prefetch_far(&row[16 * line]) } else { prefetch(&row[16 * line]) }
        }
    }

    /// Reads every line of every row, fetched `ahead` rows before, as fast as the memory gives them: into sums of their own
    /// for each four lines, so that no addition waits for another, in wide registers that stay registers. For each of `offsets`
    /// a vector of `out` is written.
    #[inline(always)]
    fn read_all<const FAR: bool>(&self, ahead: usize, offsets: &[usize], out: &mut [f32]) -> [[f32; 16]; 4] {
        let (rows, mut seen) = (self.rows(), [[0.0; 16]; 4]);
        let mut vectors = offsets.iter().skip(1).zip(out.as_chunks_mut::<DIM>().0).peekable();
        for (i, slot) in self.slots.iter().enumerate() {
            self.fetch::<FAR>(rows, i + ahead);
            // All of the row's lines but a part of one, then that: half a line at dim 8.
            let (lines, part) = rows[slot.0 as usize].as_chunks::<16>();
            for (line, number) in lines.iter().zip(0_usize..) {
                for (sum, value) in seen[number % 4].iter_mut().zip(line) {
                    *sum += value;
                }
            }
            for (sum, value) in seen[0].iter_mut().zip(part.as_chunks::<8>().0.as_flattened()) {
                *sum += value;
            }
            while let Some((_, vector)) = vectors.next_if(|(end, _)| **end <= i + 1) {
                vector.fill(1.0);
            }
        }
        seen
    }

    /// Reads and writes every row, fetched `ahead` rows before. For each of `offsets` a vector of `above` is read.
    #[inline(always)]
    fn write_all<const FAR: bool>(&mut self, ahead: usize, offsets: &[usize], above: &[f32]) -> [f32; 16] {
        let (mut seen, mut record, vectors) = ([0.0; 16], 0, above.as_chunks::<DIM>().0);
        let ends = offsets.get(1..).unwrap_or_default();
        for (i, slot) in self.slots.iter().enumerate() {
            self.fetch::<FAR>(self.rows(), i + ahead);
            for value in &mut self.rows_mut()[slot.0 as usize] {
                *value += 1e-7;
            }
            while record < ends.len() && ends[record] <= i + 1 {
                let next = &vectors[(record + VECTORS_AHEAD).min(vectors.len() - 1)];
                next.iter().step_by(16).for_each(prefetch_far);
                for part in vectors[record].as_chunks::<8>().0 {
                    seen.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
                }
                record += 1;
            }
        }
        seen
    }

    /// Time of the kernel, in milliseconds.
    fn scatter(&mut self, isa: Isa, features: Features<'_>, above: &[f32]) -> f64 {
        let slots = self.slots;
        let cells = Cell::from_mut(self.rows_mut().as_flattened_mut()).as_slice_of_cells();
        let row = |slot: &Slot| cells.get(slot.0 as usize * DIM..).unwrap_or_default();
        let list = RowCells::new(DIM, slots.iter().map(row)).unwrap();
        let start = Instant::now();
        scatter_add(isa, &list, features, -0.1, above).unwrap();
        milliseconds(start)
    }
}

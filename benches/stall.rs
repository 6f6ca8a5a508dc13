//! Question: how long does learning stand still while a checkpoint of a large table is taken and written? Data: a table of
//! 1 GiB (`STALL_BUCKETS` rows) of which most rows were learned, then records while it is written again and again. Asserted:
//! generations were written meanwhile. Printed: the longest and the 99.9th percentile of the time between two batches, with
//! and without a checkpoint in flight; the machine's own hiccups are in both.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

mod endless;

use endless::{Endless, size};
use flexihash::checkpoint::Writer;
use flexihash::config::Every;
use flexihash::engine::{EngineOptions, Observer, Outputs, Status};
use flexihash::{Engine, HashKey, Model, ModelFlags};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

const KEYS: u64 = 50;
/// Seven records: so the time between two batches is little more than that without learning.
const BATCH_BYTES: usize = 4 << 10;

/// Times between batches, in seconds.
#[derive(Default)]
struct Gaps {
    last: Option<Instant>,
    gaps: Vec<f64>,
}

impl Observer for Gaps {
    fn observe(&mut self, _: &Status<'_>) {
        let now = Instant::now();
        let gap = self.last.replace(now).map(|last| (now - last).as_secs_f64());
        self.gaps.extend(gap);
    }
}

fn run(model: Model, records: u64, store: Option<(Writer, u64)>) -> (Model, Gaps) {
    let (store, every) = store.map_or((None, Vec::new()), |(w, n)| (Some(w), vec![Every::Records(n)]));
    let options = EngineOptions { checkpoint_every: every, ..EngineOptions::default() };
    let mut gaps = Gaps::default();
    let seen = model.learner().counters().examples;
    let engine = Engine::new(model, options, Outputs::default(), store);
    let mut source = Box::new(Endless::new(seen + records, KEYS));
    source.batch_bytes = BATCH_BYTES;
    let finished = engine.run(source, &AtomicBool::new(false), &mut gaps).unwrap();
    (finished.model, gaps)
}

fn print(name: &str, gaps: &mut Gaps) {
    gaps.gaps.sort_by(f64::total_cmp);
    let at = |share: f64| gaps.gaps[((gaps.gaps.len() - 1) as f64 * share) as usize] * 1e3;
    println!(
        "{name}: {} batches, median {:.2} ms, 99.9 % {:.2} ms, longest {:.2} ms",
        gaps.gaps.len(),
        at(0.5),
        at(0.999),
        at(1.0)
    );
}

fn main() {
    let buckets = size("STALL_BUCKETS", 1 << 16, 1 << 24);
    let records = buckets / KEYS;
    let folder = tempfile::tempdir().unwrap();
    let flags = ModelFlags { buckets: Some(buckets as u32), ..ModelFlags::default() };
    let model = Model::new(&flags, &HashKey::default()).unwrap();
    let (model, _) = run(model, records, None);
    let (model, mut without) = run(model, records, None);
    let writer = Writer::create_or_open(folder.path().join("model"), 2).unwrap();
    let (_, mut with) = run(model, records, Some((writer, records / 4)));
    let generations = std::fs::read_dir(folder.path().join("model")).unwrap().count();
    assert!(generations > 1, "nothing was written");
    print("no checkpoint", &mut without);
    print("checkpoints", &mut with);
}

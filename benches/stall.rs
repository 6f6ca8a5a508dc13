//! Question: how long does learning stand still while a checkpoint of a large table is taken and written? Data: a table of
//! 1 GiB (`STALL_BUCKETS` rows) of which most rows were learned, then records while it is written again and again. Asserted:
//! generations were written meanwhile, and the process never held more than the table, a tenth of it, and 256 MiB. Printed:
//! the longest and the 99.9th percentile of the time between two batches, with and without a checkpoint in flight; then the
//! same less the time in which the learner was ready but had no core, which more threads than cores, other programs and the
//! machine's own hiccups cost in both.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

mod endless;

use endless::{Endless, MIB, memory, size, table_bytes};
use flexihash::checkpoint::Writer;
use flexihash::config::Every;
use flexihash::engine::{EngineOptions, Observer, Outputs, Status};
use flexihash::{Engine, HashKey, Model, ModelFlags};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

const KEYS: u64 = 50;
/// Seven records, if `STALL_BATCH` does not ask for more: so the time between two batches is little more than that without
/// learning.
const BATCH_BYTES: u64 = 4 << 10;

/// Times between batches, in seconds.
#[derive(Default)]
struct Gaps {
    last: Option<(Instant, f64)>,
    /// Whole, and less what the learner waited for a core.
    gaps: [Vec<f64>; 2],
}

impl Observer for Gaps {
    fn observe(&mut self, _: &Status<'_>) {
        let now = (Instant::now(), without_core());
        if let Some(last) = self.last.replace(now) {
            let gap = (now.0 - last.0).as_secs_f64();
            self.gaps[0].push(gap);
            self.gaps[1].push(gap - (now.1 - last.1));
        }
    }
}

/// Seconds that this thread was ready to run but had no core.
fn without_core() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this bench reads Linux' /proc");
    text.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1e-9
}

fn run(model: Model, records: u64, store: Option<(Writer, u64)>) -> (Model, Gaps) {
    let (store, every) = store.map_or((None, Vec::new()), |(w, n)| (Some(w), vec![Every::Records(n)]));
    let options = EngineOptions { checkpoint_every: every, ..EngineOptions::default() };
    let mut gaps = Gaps::default();
    let seen = model.learner().counters().examples;
    let engine = Engine::new(model, options, Outputs::default(), store);
    let mut source = Box::new(Endless::new(seen + records, KEYS));
    source.batch_bytes = size("STALL_BATCH", BATCH_BYTES, BATCH_BYTES) as usize;
    let finished = engine.run(source, &AtomicBool::new(false), &mut gaps).unwrap();
    (finished.model, gaps)
}

fn print(name: &str, gaps: &mut Gaps) {
    for (kind, gaps) in ["", ", cores always there"].into_iter().zip(&mut gaps.gaps) {
        gaps.sort_by(f64::total_cmp);
        let at = |share: f64| gaps[((gaps.len() - 1) as f64 * share) as usize] * 1e3;
        println!(
            "{name}{kind}: {} batches, median {:.2} ms, 99.9 % {:.2} ms, longest {:.2} ms",
            gaps.len(),
            at(0.5),
            at(0.999),
            at(1.0)
        );
    }
}

fn main() {
    let buckets = size("STALL_BUCKETS", 1 << 16, 1 << 24);
    let records = buckets / KEYS;
    let folder = tempfile::tempdir().unwrap();
    let flags = ModelFlags { buckets: Some(buckets as u32), ..ModelFlags::default() };
    let model = Model::new(&flags, &HashKey::default()).unwrap();
    let table = table_bytes(&model);
    let (model, _) = run(model, records, None);
    let (model, mut without) = run(model, records, None);
    let writer = Writer::create_or_open(folder.path().join("model"), 2).unwrap();
    let (_, mut with) = run(model, records, Some((writer, records / 4)));
    let generations = std::fs::read_dir(folder.path().join("model")).unwrap().count();
    assert!(generations > 1, "nothing was written");
    print("no checkpoint", &mut without);
    print("checkpoints", &mut with);
    let most = memory("VmHWM:");
    println!("MiB: table {:.1}, held at most {:.1}", table / MIB, most / MIB);
    assert!(most < 1.1 * table + 256.0 * MIB, "{most} bytes for a table of {table}");
}

//! Question: does memory stay where it is, whatever comes? Data: records with three keys each that never came before, 10^8 of
//! them (`SOAK_RECORDS`), through the whole engine with checkpoints. Asserted: once every row of the table has been touched,
//! the process grows by less than 2 % of it, and the most it ever holds is the table, a tenth of it, and 256 MiB of buffers.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

mod endless;

use endless::{Endless, MIB, memory, size, table_bytes};
use flexihash::checkpoint::Writer;
use flexihash::config::Every;
use flexihash::engine::{EngineOptions, Observer, Outputs, Status};
use flexihash::{Engine, HashKey, Model, ModelFlags};
use std::sync::atomic::AtomicBool;

const KEYS: u64 = 3;

/// Memory after each tenth of the run.
struct Tenths {
    every: u64,
    seen: Vec<f64>,
}

impl Observer for Tenths {
    fn observe(&mut self, status: &Status<'_>) {
        if status.run_examples >= self.every * (self.seen.len() as u64 + 1) {
            let (now, seconds) = (memory("VmRSS:"), status.elapsed.as_secs_f64());
            println!("{:>12} records {:>8.1} MiB {seconds:>8.1} s", status.run_examples, now / MIB);
            self.seen.push(now);
        }
    }
}

fn main() {
    let records = size("SOAK_RECORDS", 1_000_000, 100_000_000);
    // Every row is touched for sure within the first fifth of the run.
    let buckets = (records * KEYS / 5 / 20).next_power_of_two().min(1 << 22) as u32;
    let folder = tempfile::tempdir().unwrap();
    let flags = ModelFlags { buckets: Some(buckets), ..ModelFlags::default() };
    let model = Model::new(&flags, &HashKey::default()).unwrap();
    let table = table_bytes(&model);
    let every = vec![Every::Records(records / 20)];
    let options = EngineOptions { checkpoint_every: every, ..EngineOptions::default() };
    let writer = Writer::create_or_open(folder.path().join("model"), 2).unwrap();
    let mut tenths = Tenths { every: records / 10, seen: Vec::new() };
    let engine = Engine::new(model, options, Outputs::default(), Some(writer));
    let stop = AtomicBool::new(false);
    let finished = engine.run(Box::new(Endless::new(records, KEYS)), &stop, &mut tenths).unwrap();
    assert_eq!(finished.summary.examples, records);
    let (full, last) = (tenths.seen[2], *tenths.seen.last().unwrap());
    let most = memory("VmHWM:");
    let held = [table, full, last, most].map(|bytes| bytes / MIB);
    println!(
        "MiB: table {:.1}; held when full {:.1}, at the end {:.1}, at most {:.1}",
        held[0], held[1], held[2], held[3]
    );
    assert!(last - full < 0.02 * table + 16.0 * MIB, "memory grows: {full} to {last} bytes");
    assert!(most < 1.1 * table + 256.0 * MIB, "{most} bytes for a table of {table}");
}

//! Question: how near to its memory's speed does a GPU sum and move rows, beside torch, and from which dim and batch does it beat
//! the CPU for a whole stream?
//! Data: 2^20 rows; 2^14 … 2^20 features, 16 a record, slots uniform or by Zipf's law with exponent 1, all by SplitMix64. Seed: 1.
//! Rivals: torch's `EmbeddingBag` on the same numbers (`torch_bag.py`, its times in the file `FLEXIHASH_TORCH`), and the CPU path on two
//! threads. Run by `benches/cuda.sh` on a machine with a driver; without one it says so and ends with exit code 1.
#![allow(clippy::disallowed_methods, reason = "a stream to be read once need not be durable")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a bench")]

mod data;
mod network;
mod stream;

use data::{Keys, RECORD, Work};
use flexihash::kernel::cuda::{
    CudaError, Device, DeviceBatch, DeviceRows, DeviceVectors, Move, Normal, RowsShape, Weights,
};
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

const ROWS: u64 = 1 << 20;
/// Runs of which the median is told.
const RUNS: usize = 21;

fn main() -> ExitCode {
    // Without `--bench`, which `cargo bench` and benches/cuda.sh pass, the data is checked and nothing is timed.
    if !std::env::args().any(|arg| arg == "--bench") {
        data::check();
        network::check();
        return ExitCode::SUCCESS;
    }
    let index = std::env::var("FLEXIHASH_CUDA_DEVICE").map_or(0, |index| index.parse().unwrap());
    match Device::open(index).and_then(|device| all(&Arc::new(device))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn all(device: &Arc<Device>) -> Result<(), CudaError> {
    let peak = device.bandwidth();
    println!("## {}\n", device.name());
    println!("Peak of its memory by clock and bus: {:.0} GB/s. Medians of {RUNS}.\n", peak / 1e9);
    println!(
        "*must* counts each row once, *asked* once a use; % of the peak. `x torch`: its time by ours.\n"
    );
    println!("| kernel | dim | keys | features | µs | must move | asked for | x torch |");
    println!("|---|---|---|---|---|---|---|---|");
    let torch = torch_times();
    for dim in [64, 128] {
        for keys in [Keys::Uniform, Keys::Zipf] {
            for features in [1 << 14, 1 << 16, 1 << 18, 1 << 20] {
                measure(device, &Work::new(keys, features), dim, (peak, &torch))?;
            }
        }
    }
    stream::all(device)?;
    network::all(device)
        .map_err(|reason| CudaError::Driver { doing: "learning a stream by a network", reason })
}

/// Microseconds of torch by (kernel, dim, keys, features); empty where it has not run.
fn torch_times() -> HashMap<(String, usize, String, usize), f64> {
    let path = std::env::var("FLEXIHASH_TORCH").unwrap_or_default();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split(',');
        let mut next = || fields.next().map(str::trim);
        let (kernel, dim, keys) = (next()?.to_owned(), next()?.parse().ok()?, next()?.to_owned());
        Some(((kernel, dim, keys, next()?.parse().ok()?), next()?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

type Torch = HashMap<(String, usize, String, usize), f64>;

fn measure(
    device: &Arc<Device>,
    work: &Work,
    dim: usize,
    (peak, torch): (f64, &Torch),
) -> Result<(), CudaError> {
    let normal = Some(Normal { mean: 0.0, scale: 0.01, seed: 1 });
    let shape = RowsShape { rows: ROWS, dim, floats: 1 };
    let mut rows = DeviceRows::new(device.clone(), shape, normal)?;
    let mut batch = DeviceBatch::new(device.clone())?;
    let (mut sums, mut above) =
        (DeviceVectors::new(device.clone(), dim)?, DeviceVectors::new(device.clone(), dim)?);
    above.set(&vec![1e-3; work.records() * dim])?;
    batch.fill(&work.offsets, &work.slots, &work.values)?;
    let (used, all, once) = (work.distinct() * dim * 4, work.slots.len() * dim * 4, work.records() * dim * 4);
    let lists = 8 * work.slots.len() + 4 * work.offsets.len();
    let (gathered, moved) = ((lists + once, 1), (lists + once, 2));
    let tell = |name: &str, seconds: f64, (fixed, times): (usize, usize)| {
        let share = |rows: usize| 100.0 * (fixed + times * rows) as f64 / seconds / peak.max(1.0);
        let which = if times == 1 { "gather-sum" } else { "scatter + SGD" };
        let key = (which.to_owned(), dim, work.keys.name().to_owned(), work.slots.len());
        let beside = torch.get(&key).map_or("-".to_owned(), |other| format!("{:.2}", other / 1e6 / seconds));
        let (keys, features) = (work.keys.name(), work.slots.len());
        println!(
            "| {name} | {dim} | {keys} | {features} | {:.1} | {:.0} % | {:.0} % | {beside} |",
            seconds * 1e6,
            share(used),
            share(all)
        );
    };
    let gather = median(|| device.time(|| rows.gather(&batch, Weights::First, &mut sums)))?;
    tell("gather-sum", gather, gathered);
    // Sorted once, then moved; and both together, each time anew.
    let (in_order, in_parts) = (Move::Add { rate: -1e-3 }, Move::AddInParts { rate: -1e-3 });
    for (name, add) in [("scatter + SGD in order", in_order), ("scatter + SGD in parts", in_parts)] {
        tell(name, median(|| device.time(|| rows.step(&mut batch, add, &above)))?, moved);
    }
    let sorting = median(|| {
        batch.fill(&work.offsets, &work.slots, &work.values)?;
        device.wait()?;
        device.time(|| rows.step(&mut batch, in_parts, &above))
    })?;
    tell("sort, scatter + SGD in parts", sorting, moved);
    check(&rows, work)
}

/// The rows that were used have moved, and nothing was dropped.
fn check(rows: &DeviceRows<Device>, work: &Work) -> Result<(), CudaError> {
    assert_eq!(rows.touched()?.len(), work.distinct());
    assert_eq!(rows.dropped()?, 0);
    let slot = work.slots[0];
    assert!(rows.rows(&[slot])?.iter().all(|weight| weight.is_finite()));
    Ok(())
}

/// The median of [`RUNS`] times, after one that is not counted.
fn median(mut time: impl FnMut() -> Result<f64, CudaError>) -> Result<f64, CudaError> {
    time()?;
    let mut times = (0..RUNS).map(|_| time()).collect::<Result<Vec<f64>, _>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

/// Records in a batch of so many features.
fn records(features: usize) -> usize {
    features / RECORD
}

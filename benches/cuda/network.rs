//! A whole stream by a network that learns online, on the CPU, with its rows on the device, and wholly there: read, hashed,
//! predicted, learned.

use super::data::{Keys, words};
use flexihash::config::ModelFlags;
use flexihash::engine::{Engine, EngineOptions, Model, Outputs};
use flexihash::hash::HashKey;
use flexihash::kernel::cuda::Device;
use flexihash::source::{LinesOptions, LinesSource};
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Records of the stream; features of a record, half of them in each of two sums.
const RECORDS: usize = 1 << 15;
const FEATURES: usize = 32;
const BUCKETS: u32 = 1 << 20;

/// What is learned by, and where.
#[derive(Clone, Copy)]
enum System {
    /// Two sums and their product.
    Dot,
    /// A sum, then layers of 256 and 128 units.
    Mlp,
}

#[derive(Clone, Copy)]
enum Place<'d> {
    Cpu,
    Rows(&'d Arc<Device>),
    #[cfg(feature = "candle-cuda")]
    All(&'d Arc<Device>),
}

pub(super) fn all(device: &Arc<Device>) -> Result<(), String> {
    println!(
        "\nA whole stream by a network on two threads, from JSON lines, AdaGrad: {FEATURES} features a record, Zipf. `dot`: two sums and their"
    );
    println!(
        "product; `mlp`: a sum, then 256 and 128 units. On the CPU; with rows on the device; all there (candle-cuda). Thousand records a second."
    );
    println!("From where on one of the last columns is above 1 a GPU pays.\n");
    println!(
        "| network | dim | records a batch | CPU | rows there | all there | rows there / CPU | all there / CPU |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("stream");
    std::fs::write(&path, stream(RECORDS)).map_err(|error| error.to_string())?;
    for (name, system) in [("dot", System::Dot), ("mlp", System::Mlp)] {
        for dim in [8, 32, 64, 128, 256, 512] {
            for batch in [16, 128, 1024, 8192] {
                let speed = |place| speed(&path, place, system, (dim, batch));
                let (cpu, rows) = (speed(Place::Cpu)?, speed(Place::Rows(device))?);
                let all = all_there(device).map(speed).transpose()?;
                let cell = |all: Option<f64>| all.map_or("–".to_owned(), |all| format!("{all:.2}"));
                let (ratio, all) = (cell(all.map(|all| all / cpu)), cell(all));
                println!(
                    "| {name} | {dim} | {batch} | {cpu:.2} | {rows:.2} | {all} | {:.2} | {ratio} |",
                    rows / cpu
                );
            }
        }
    }
    Ok(())
}

#[cfg(feature = "candle-cuda")]
fn all_there(device: &Arc<Device>) -> Option<Place<'_>> {
    Some(Place::All(device))
}

#[cfg(not(feature = "candle-cuda"))]
fn all_there(_: &Arc<Device>) -> Option<Place<'_>> {
    None
}

/// That the stream is one, and is learned.
pub(super) fn check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    std::fs::write(&path, stream(200)).unwrap();
    for system in [System::Dot, System::Mlp] {
        assert!(speed(&path, Place::Cpu, system, (8, 16)).unwrap() > 0.0);
    }
}

fn stream(records: usize) -> String {
    let mut keys = words().map(|word| Keys::Zipf.slot(word).to_string());
    let mut out = String::new();
    for _ in 0..records {
        let mut side = || {
            (0..FEATURES / 2)
                .zip(&mut keys)
                .map(|(i, key)| (format!("f{i}"), key))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        let features = json!({"user": side(), "item": side()});
        let label = features.to_string().len() % 5;
        writeln!(out, "{}", json!({"label": label, "features": features})).unwrap();
    }
    out
}

/// Thousand records a second.
fn speed(path: &Path, place: Place<'_>, system: System, (dim, batch): (usize, usize)) -> Result<f64, String> {
    let field =
        |name: &str, path: &str| json!({"name": name, "kind": "sum", "path": path, "buckets": BUCKETS});
    let (network, fields) = match system {
        System::Dot => {
            (json!({"kind": "dot", "dim": dim}), json!([field("user_id", "user"), field("item_id", "item")]))
        }
        System::Mlp => (
            json!({"kind": "mlp", "dim": dim, "hidden": [256, 128], "objective": {"loss": "squared"}}),
            json!([field("features", "")]),
        ),
    };
    let flags = json!({
        "optimizer": "adagrad", "learning-rate": 0.01, "batch": batch, "network": network, "fields": fields,
    });
    let flags: ModelFlags = serde_json::from_value(flags).map_err(|error| error.to_string())?;
    let mut model = Model::new(&flags, &HashKey::default()).map_err(|error| error.to_string())?;
    let moved = match place {
        Place::Cpu => Ok(()),
        Place::Rows(device) => model.move_to_device(Arc::clone(device)),
        #[cfg(feature = "candle-cuda")]
        Place::All(device) => model.move_network_to_device(Arc::clone(device)),
    };
    moved.map_err(|error| error.to_string())?;
    let source = LinesSource::open(&[path.to_owned()], LinesOptions::default());
    let source = Box::new(source.map_err(|error| error.to_string())?);
    let engine = Engine::new(model, EngineOptions::default(), Outputs::default(), None);
    let start = Instant::now();
    let finished = engine.run(source, &AtomicBool::new(false), &mut ()).map_err(|error| error.to_string())?;
    let (seconds, records) = (start.elapsed().as_secs_f64(), finished.summary.examples);
    assert!(records > 0 && finished.summary.skipped == 0);
    Ok(records as f64 / seconds / 1e3)
}

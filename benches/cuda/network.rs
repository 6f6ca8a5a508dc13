//! A whole stream by a network that learns online, its rows on the CPU and on the device: read, hashed, predicted, learned.

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

pub(super) fn all(device: &Arc<Device>) -> Result<(), String> {
    println!(
        "\nA whole stream by a network (`dot`, AdaGrad) on two threads, from JSON lines: {FEATURES} features a record, Zipf, in two sums."
    );
    println!(
        "Its rows on the CPU, then on the device; thousand records a second. From where on the last column is above 1 a GPU pays.\n"
    );
    println!("| dim | records a batch | CPU | device | device / CPU |");
    println!("|---|---|---|---|---|");
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("stream");
    std::fs::write(&path, stream(RECORDS)).map_err(|error| error.to_string())?;
    for dim in [8, 32, 64, 128, 256, 512] {
        for batch in [16, 128, 1024, 8192] {
            let (cpu, there) = (speed(&path, None, dim, batch)?, speed(&path, Some(device), dim, batch)?);
            println!("| {dim} | {batch} | {cpu:.1} | {there:.1} | {:.2} |", there / cpu);
        }
    }
    Ok(())
}

/// That the stream is one, and is learned.
pub(super) fn check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    std::fs::write(&path, stream(200)).unwrap();
    assert!(speed(&path, None, 8, 16).unwrap() > 0.0);
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
fn speed(path: &Path, device: Option<&Arc<Device>>, dim: usize, batch: usize) -> Result<f64, String> {
    let field =
        |name: &str, path: &str| json!({"name": name, "kind": "sum", "path": path, "buckets": BUCKETS});
    let flags = json!({
        "optimizer": "adagrad", "learning-rate": 0.01, "batch": batch,
        "network": {"kind": "dot", "dim": dim},
        "fields": [field("user_id", "user"), field("item_id", "item")],
    });
    let flags: ModelFlags = serde_json::from_value(flags).map_err(|error| error.to_string())?;
    let mut model = Model::new(&flags, &HashKey::default()).map_err(|error| error.to_string())?;
    if let Some(device) = device {
        model.move_to_device(Arc::clone(device)).map_err(|error| error.to_string())?;
    }
    let source = LinesSource::open(&[path.to_owned()], LinesOptions::default());
    let source = Box::new(source.map_err(|error| error.to_string())?);
    let engine = Engine::new(model, EngineOptions::default(), Outputs::default(), None);
    let start = Instant::now();
    let finished = engine.run(source, &AtomicBool::new(false), &mut ()).map_err(|error| error.to_string())?;
    let (seconds, records) = (start.elapsed().as_secs_f64(), finished.summary.examples);
    assert!(records > 0 && finished.summary.skipped == 0);
    Ok(records as f64 / seconds / 1e3)
}

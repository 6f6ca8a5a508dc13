//! Networks trained online by the command, from the files of `examples/models`: what they learn, and that batches neither
//! lose nor repeat a record, wherever a run is cut into pieces.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod batches;
mod cuts;
mod gradients;
mod learns;
mod recommends;
mod refused;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use support::*;

/// A file of `examples/models`.
pub(crate) fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/models/{name}.toml"))
}

/// Runs `train` on `in` with a model of `examples/models`; it must succeed.
pub(crate) fn train(scene: &Scene, name: &str, args: &str) {
    let config = model(name);
    let all = ["train", "in", "-q", "--config"].map(Into::into).into_iter().chain([config.into_os_string()]);
    let all = all.chain(args.split_whitespace().map(Into::into));
    let output = scene.flexihash(all).env("RAYON_NUM_THREADS", "1").output().unwrap();
    assert!(output.status.success(), "{name} {args}: {}", stderr(&output));
}

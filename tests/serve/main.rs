//! The HTTP API of the real binary, over loopback: what it answers, while it learns and while generations come; what it learns; whom
//! it lets in, and what it bears.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod answers;
mod bounds;
mod explain;
mod follow;
mod http;
mod learn;
mod live;
#[path = "../support/mod.rs"]
mod support;
mod who;

use std::thread::sleep;
use std::time::{Duration, Instant};
use support::metrics::Served;
use support::*;

/// The address in what a server says when it listens.
pub(crate) const SERVING: &str = "serving /predict";

/// `serve` of the model in `model`, ready.
pub(crate) fn serve(scene: &Scene, args: &str) -> Served {
    let mut served = Served::start_at(
        scene.flexihash(words("serve", "-m model --listen 0").chain(args.split_whitespace())),
        SERVING,
    );
    served.until_said("answering");
    served
}

/// `train ARGS --listen 0` with a small table, ready.
pub(crate) fn train(scene: &Scene, args: &str) -> Served {
    let args = words("train", args).chain(["--listen", "0"]).chain(SMALL);
    ready(Served::start_at(scene.flexihash(args), SERVING))
}

/// Waits until the model is loaded and the source open: a run listens before.
fn ready(run: Served) -> Served {
    let began = Instant::now();
    while http::Client::connect(&run.address).get("/readyz").status != 200 {
        assert!(began.elapsed() < Duration::from_secs(30), "not ready: {}", run.said());
        sleep(Duration::from_millis(10));
    }
    run
}

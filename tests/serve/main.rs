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

/// `train ARGS --listen 0` with a small table.
pub(crate) fn train(scene: &Scene, args: &str) -> Served {
    let args = words("train", args).chain(["--listen", "0"]).chain(SMALL);
    Served::start_at(scene.flexihash(args), SERVING)
}

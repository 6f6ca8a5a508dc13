//! Dying between two steps of a commit, on purpose: only where debug assertions are on, and only if the environment's
//! `FLEXIHASH_DIE_AT` says so: `sent:3` ends the process, as `kill -9` would, when the step `sent` is passed for the
//! third time. Random kills seldom hit a step of a millisecond; the tests want each of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Steps of a commit that have been passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The generation is durable, the transaction not begun.
    Durable,
    /// Results and control record are handed to the client.
    Sent,
    /// So are the offsets.
    Offsets,
    /// It is committed, and nobody here knows it yet.
    Committed,
}

pub(super) fn pass(step: Step) {
    if !cfg!(debug_assertions) {
        return;
    }
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Ok(wish) = std::env::var("FLEXIHASH_DIE_AT") else { return };
    let name = format!("{step:?}").to_lowercase();
    let Some(times) = wish.strip_prefix(&name).and_then(|rest| rest.strip_prefix(':')) else { return };
    let passed = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    if times.parse() == Ok(passed) {
        std::process::abort();
    }
}

//! The networks against the reference systems: outputs, losses, every gradient, and parameters after SGD.
//!
//! Tolerances are those of `fixtures/oracle/README.md`; rows, masks, hashes and encodings are exact, and a gradient that is
//! zero everywhere is zero here too. Table rows are looked up in the oracle's tables by index and given as leaves; the
//! gradients that come back are scattered to the rows and compared with the oracle's dense ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod blocks;
mod estimator;
mod flexi;
#[path = "../oracle/mod.rs"]
mod oracle;
mod pipeline;
mod recommenders;
mod training;

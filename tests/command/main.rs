//! The commands end to end, on the real binary and the real flights stream.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod bad_input;
mod collisions;
mod config;
mod device;
mod embed;
mod explain;
mod input;
mod key;
mod models;
mod report;
mod results;
#[path = "../support/mod.rs"]
mod support;

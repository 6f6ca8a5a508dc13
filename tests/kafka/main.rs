//! `--kafka` end to end, against a real broker: see `fixtures/kafka` and `tests/support/kafka.rs`. One of them looks with
//! a real browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

#[path = "../page/driver.rs"]
#[allow(dead_code, reason = "not all of a browser is needed here")]
mod driver;
#[path = "../serve/http.rs"]
#[allow(dead_code, reason = "not all of a client is needed here")]
mod http;
#[path = "../support/mod.rs"]
mod support;

mod commit;
mod gaps;
mod group;
mod networks;
mod page;
mod records;
mod seen;
mod taught;
mod trouble;

use std::sync::OnceLock;
use support::kafka::Broker;
use support::*;

/// One broker for all tests of this binary.
fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(Broker::start)
}

/// `train --kafka …` of a small model, reading `topic` as `group`.
fn train(topic: &str, group: &str, args: &str) -> String {
    let address = &broker().address;
    format!("train --kafka {address} --topic {topic} --group {group} --buckets 65536 -q {args}")
}

/// Runs a command line that must succeed.
fn ok(scene: &Scene, line: &str) -> std::process::Output {
    scene.ok(line)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// Prediction lines as the topic has them, in the order of the partition.
fn values(topic: &str) -> String {
    broker().read(topic).iter().map(|message| message.text() + "\n").collect()
}

//! A run seen from outside: metrics, probes and log lines.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

#[path = "support/mod.rs"]
mod support;

use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use support::metrics::{Served, get, scrape, until};
use support::*;

#[test]
fn a_run_on_a_pipe_is_counted_while_it_goes_and_probed() {
    let scene = Scene::new();
    let args = "- -m model --checkpoint-every 100 --metrics-listen 0 -p out --dead-letters dead";
    let mut run = Served::start(scene.flexihash(words("train", args).chain(SMALL)));
    let address = run.address.clone();
    let before = scrape(&address);
    assert_eq!(before.get("records_total"), Some(0.0));
    assert_eq!(before.get("last_checkpoint_timestamp_seconds"), None);
    let records = flights_with_faults(300, 100);
    let (good, bytes) = (300.0, records.len() - records.iter().filter(|byte| **byte == b'\n').count());
    let mut stdin = run.child.stdin.take().unwrap();
    stdin.write_all(&records).unwrap();
    let now = until(&address, "all is counted", |now| now.get("records_total") == Some(good + 3.0));
    assert_eq!(now.get("record_bytes_total"), Some(bytes as f64));
    assert_eq!(now.get("examples_total"), Some(good));
    assert_eq!(now.get("model_examples"), Some(good));
    assert_eq!(now.get("dead_letters_total{reason=\"parse\"}"), Some(3.0));
    assert_eq!(now.get("dead_letters_total{reason=\"length\"}"), Some(0.0));
    assert_eq!(now.get("lag_records"), None);
    // One is saved at a time, so what fell due meanwhile is one.
    let saved = until(&address, "checkpoints", |now| {
        let count = now.get("checkpoints_total");
        count >= Some(1.0)
            && now.get("generation") == count
            && now.get("checkpoint_duration_seconds_count") == count
            && now.get("last_checkpoint_timestamp_seconds").is_some()
    });
    let age = saved.get("last_checkpoint_age_seconds").unwrap();
    let unix = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let stamp = saved.get("last_checkpoint_timestamp_seconds").unwrap();
    assert!((0.0..30.0).contains(&age) && (unix - stamp - age).abs() < 5.0, "{age} {stamp} {unix}");
    let told = until(&address, "losses", |now| now.get("loss{over=\"window\"}").is_some());
    assert!(told.get("loss{over=\"life\"}").unwrap() > 0.0);
    assert_eq!(get(&address, "/healthz"), Some((200, "ok\n".to_owned())));
    assert_eq!(get(&address, "/readyz"), Some((200, "ready\n".to_owned())));
    drop(stdin);
    assert!(run.wait().success(), "{}", run.said());
    assert_eq!(get(&address, "/healthz"), None, "it ends with the run");
    assert!(scene.text("out").lines().count() == 300 && scene.text("dead").lines().count() == 3);
}

#[test]
fn the_reasons_of_bad_records_are_told_apart_and_a_resumed_model_knows_its_age() {
    let scene = Scene::new();
    scene.file("in", flights(200));
    scene.train("in -q -m model");
    let args = "- -m model --resume --no-skip --metrics-listen 127.0.0.1:0 --record-limit 2000";
    let mut run = Served::start(scene.flexihash(words("train", args)));
    let mut stdin = run.child.stdin.take().unwrap();
    let long = format!("{{\"label\":1,\"x\":\"{}\"}}\n", "y".repeat(3000));
    let several = b"{\"label\":{\"a\":1},\"features\":{\"a\":1}}\n";
    for record in [long.as_bytes(), b"nonsense\n", b"{\"label\":7}\n", several, &flights(1)] {
        stdin.write_all(record).unwrap();
    }
    let now = until(&run.address, "all is counted", |now| now.get("records_total") == Some(5.0));
    let reason = |name: &str| now.get(&format!("dead_letters_total{{reason=\"{name}\"}}"));
    assert_eq!((reason("length"), reason("parse")), (Some(1.0), Some(2.0)));
    assert_eq!((reason("feature"), reason("learner")), (Some(0.0), Some(1.0)));
    assert_eq!((now.get("examples_total"), now.get("model_examples")), (Some(1.0), Some(201.0)));
    assert_eq!((now.get("generation"), now.get("checkpoints_total")), (Some(1.0), Some(0.0)));
    assert!(now.get("last_checkpoint_age_seconds") < Some(30.0));
    assert_eq!(now.get("last_checkpoint_timestamp_seconds"), None);
    drop(stdin);
    assert!(run.wait().success());
}

#[test]
fn several_learners_count_as_one_does() {
    let scene = Scene::new();
    let mut run =
        Served::start(scene.flexihash(words("train", "- --learners 2 --metrics-listen 0").chain(SMALL)));
    let mut stdin = run.child.stdin.take().unwrap();
    stdin.write_all(&flights_with_faults(2000, 500)).unwrap();
    let now = until(&run.address, "all is counted", |now| now.get("records_total") == Some(2004.0));
    assert_eq!(now.get("examples_total"), Some(2000.0));
    assert_eq!(now.get("dead_letters_total{reason=\"parse\"}"), Some(4.0));
    drop(stdin);
    assert!(run.wait().success());
}

#[test]
fn predict_is_counted_too_and_a_signal_makes_it_not_ready() {
    let scene = Scene::new();
    scene.file("in", flights(200));
    scene.train("in -q -m model");
    let command = scene.flexihash("predict - -m model -p out --metrics-listen 0".split_whitespace());
    let mut run = Served::start(command);
    let mut stdin = run.child.stdin.take().unwrap();
    stdin.write_all(&flights(150)).unwrap();
    let now = until(&run.address, "all is counted", |now| now.get("records_total") == Some(150.0));
    assert_eq!((now.get("examples_total"), now.get("generation")), (Some(0.0), None));
    signal(&run.child, "TERM");
    assert!(run.wait().success());
    assert!(run.said().contains("stopping: what was read is learned and saved"), "{}", run.said());
    assert_eq!(scene.text("out").lines().count(), 150);
}

#[test]
fn a_port_that_is_taken_or_no_address_ends_the_run_before_it_begins() {
    let scene = Scene::new();
    scene.file("in", flights(5));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let line = scene.fails(&format!("train in -m model --metrics-listen {}", address.port()));
    assert!(line.contains(&format!("--metrics-listen: {address}: cannot be listened on: ")), "{line}");
    assert!(!scene.path("model").exists());
    let line = scene.fails("train in -m model --metrics-listen here");
    assert!(line.contains("expected PORT, or HOST:PORT"), "{line}");
    scene.file("run.toml", "metrics-listen = \"nowhere\"\n");
    assert!(scene.fails("train in --config run.toml").contains("\"nowhere\": expected PORT"));
}

/// All lines of standard error as objects.
fn objects(text: &str) -> Vec<Value> {
    let object = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(object).collect()
}

fn run(mut command: Command) -> String {
    String::from_utf8(command.output().unwrap().stderr).unwrap()
}

#[test]
fn as_json_standard_error_is_objects_and_nothing_else() {
    let scene = Scene::new();
    scene.file("in", flights_with_faults(300, 100));
    let args = "in -m model --log debug --log-format json --checkpoint-every 100";
    let lines = objects(&run(scene.flexihash(words("train", args).chain(SMALL))));
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    let said: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert!(said.contains(&"training") && said.last() == Some(&"ended"), "{said:?}");
    assert_eq!(lines.last().unwrap()["examples"], 300);
    let saved = lines.iter().filter(|line| line["message"] == "checkpoint");
    let generations: Vec<_> = saved.map(|line| line["generation"].as_u64().unwrap()).collect();
    assert!(generations.len() > 1 && generations.iter().eq(&Vec::from_iter(1..=generations.len() as u64)));
    // What went wrong is an object too.
    let lines = objects(&run(scene.flexihash(words("train", "in -m model --log-format json"))));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["level"], "ERROR");
    assert!(lines[0]["message"].as_str().unwrap().contains("--resume goes on with it"), "{}", lines[0]);
}

#[test]
fn levels_come_from_the_flag_or_the_environment() {
    let scene = Scene::new();
    scene.file("in", flights(50));
    let said = |flag: &str, environment: &[(&str, &str)]| {
        let mut command =
            scene.flexihash(words("train", "in -q").chain(SMALL).chain(flag.split_whitespace()));
        command.env_remove("RUST_LOG").envs(environment.iter().copied());
        run(command)
    };
    assert_eq!(said("", &[]), "");
    assert!(said("--log info", &[]).contains("training"));
    assert!(said("", &[("RUST_LOG", "info")]).contains("training"));
    assert!(said("", &[("FLEXIHASH_LOG", "info"), ("RUST_LOG", "error")]).contains("training"));
    assert_eq!(said("--log warn", &[("FLEXIHASH_LOG", "info")]), "");
    let wrong = scene.flexihash(["train", "in", "--log", "a=b=c"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("--log <FILTER>"), "{}", stderr(&wrong));
}

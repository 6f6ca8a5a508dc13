//! Records that are learned because somebody sent them.

use crate::http::{Client, LINES};
use crate::support::metrics::{Served, until};
use crate::support::*;
use crate::{SERVING, train};
use serde_json::Value;
use std::io::Write;

/// `count` records of flights from number `from` on.
fn part(from: usize, count: usize) -> Vec<u8> {
    flights(from + count).split_off(flights(from).len())
}

/// Feeds `records` and waits until so many of all kinds have been learned.
fn feed(run: &Served, stdin: &mut impl Write, records: &[u8], total: usize) {
    stdin.write_all(records).unwrap();
    until(&run.address, "what came is learned", |now| now.get("records_total") == Some(total as f64));
}

fn predictions(lines: &str) -> Vec<&str> {
    lines.lines().map(|line| line.split_once("\"prediction\":").unwrap().1).collect()
}

/// What is sent between two parts of a stream is learned, and looked at, as if it had stood there, whatever the model.
fn compare(options: &str) {
    let scene = Scene::new();
    scene.file("in", flights(1000));
    scene.train(&format!("in -q -m whole -p whole.out {options}"));
    let mut run = train(&scene, &format!("- -q -m model -p out {options}"));
    let mut stdin = run.child.stdin.take().unwrap();
    feed(&run, &mut stdin, &part(0, 500), 500);
    let mut client = Client::connect(&run.address);
    let first = client.post("/learn", part(500, 1));
    assert_eq!(first.status, 200, "{first:?}");
    let rest = client.post_lines("/learn", part(501, 99));
    feed(&run, &mut stdin, &part(600, 400), 1000);
    drop(stdin);
    assert!(run.wait().success(), "{}", run.said());
    assert_same(options, &learned(&scene.path("whole")), &learned(&scene.path("model")));
    let (whole, out) = (scene.text("whole.out"), scene.text("out"));
    let taught = first.body + &rest.body;
    assert_eq!(predictions(&taught), predictions(&whole)[500..600], "{options}");
    assert!(
        out.lines().count() == 900 && out.lines().eq(whole.lines().take(500).chain(whole.lines().skip(600)))
    );
}

#[test]
fn what_is_sent_is_learned_where_it_came() {
    compare("");
    compare("--head fm --threads 2");
    // Of so few records all are looked at, in the input and beside it.
    compare("--names 100");
}

/// Sends `range` of the flights in pieces of `size`, and ends.
fn teach(scene: &Scene, args: &str, range: std::ops::Range<usize>, size: usize) {
    let mut run = train(scene, &format!("- -q --names 100 {args}"));
    let stdin = run.child.stdin.take().unwrap();
    let mut client = Client::connect(&run.address);
    for from in range.clone().step_by(size) {
        let answer = client.post_lines("/learn", part(from, size.min(range.end - from)));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let seen = std::cell::RefCell::new(Value::Null);
    until(&run.address, "all is seen", |_| {
        *seen.borrow_mut() = Client::connect(&run.address).get("/insight").json();
        seen.borrow()["records"] == range.end
    });
    let seen = seen.into_inner();
    let lookups = seen["collisions"]["fields"].as_array().unwrap().iter();
    let carrier = lookups.filter(|field| field["field"] == "carrier").map(|field| field["lookups"].as_f64());
    let carrier = carrier.flatten().next().unwrap();
    assert!((carrier / range.end as f64 - 1.0).abs() < 0.2, "{carrier} of {}", range.end);
    assert!(seen["names"]["top"].as_array().unwrap().len() > 20, "{seen}");
    assert!(seen["schema"]["keys"].as_array().unwrap().len() > 5, "{seen}");
    drop(stdin);
    assert!(run.wait().success(), "{}", run.said());
}

/// Beyond the first ones a sample is looked at: which, is a matter of the order in which they are learned.
#[test]
fn what_is_seen_of_what_is_sent_depends_on_its_order_alone() {
    let scene = Scene::new();
    teach(&scene, "-m whole", 0..4000, 4000);
    teach(&scene, "-m parts --threads 2", 0..2500, 7);
    teach(&scene, "-m parts --resume", 2500..4000, 333);
    assert_same("parts", &learned(&scene.path("whole")), &learned(&scene.path("parts")));
}

#[cfg(feature = "network")]
#[test]
fn a_network_learns_what_is_sent_as_a_batch_of_its_own() {
    let scene = Scene::new();
    let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models/dot.toml");
    let record = |i: usize| {
        format!(
            "{{\"id\":{i},\"label\":{},\"features\":{{\"user\":{{\"id\":\"{}\"}},\"item\":{{\"id\":\"{}\"}}}}}}\n",
            i % 5 + 1,
            i % 17,
            i % 23
        )
    };
    let records = |range: std::ops::Range<usize>| range.map(record).collect::<String>();
    scene.file("in", records(0..300));
    let args =
        |input: &str, model: &str| format!("{input} -q -m {model} --batch 4 --config {}", config.display());
    let whole = scene.flexihash(words("train", &args("in", "whole"))).output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));
    let mut run = Served::start_at(
        scene.flexihash(words("train", &args("-", "model")).chain(["--listen", "0"])),
        SERVING,
    );
    let mut stdin = run.child.stdin.take().unwrap();
    // Two more of the stream wait for their batch meanwhile.
    feed(&run, &mut stdin, records(0..100).as_bytes(), 100);
    let mut client = Client::connect(&run.address);
    let answer = client.post_lines("/learn", records(100..108));
    assert_eq!((answer.status, answer.body.lines().count()), (200, 8), "{answer:?}");
    let predicted = client.post_lines("/predict", records(0..9));
    assert!(predicted.status == 200 && predicted.body.lines().all(|line| line.contains("prediction")));
    let about = client.get("/model").json();
    assert_eq!(about["summary"]["examples"], 108);
    feed(&run, &mut stdin, records(108..300).as_bytes(), 300);
    drop(stdin);
    assert!(run.wait().success(), "{}", run.said());
    assert_same("network", &learned(&scene.path("whole")), &learned(&scene.path("model")));
}

#[test]
fn a_killed_run_goes_on_with_what_was_durable_and_loses_nothing_of_its_stream() {
    let scene = Scene::new();
    scene.file("in", flights(1100));
    scene.train("in -q -m whole");
    let args = "- -q -m model -p out --checkpoint-every 100";
    let mut run = train(&scene, args);
    let mut stdin = run.child.stdin.take().unwrap();
    feed(&run, &mut stdin, &part(0, 500), 500);
    let mut client = Client::connect(&run.address);
    assert_eq!(client.post_lines("/learn", part(500, 100)).status, 200);
    let total = |folder: &str| {
        let folder = flexihash::checkpoint::ModelDir::open(scene.path(folder)).unwrap();
        let generation = folder.latest().unwrap();
        generation.map(|g| g.manifest().progress.counters["learner"]["counters"]["examples"].clone())
    };
    until(&run.address, "what was sent is durable", |_| total("model") == Some(600.into()));
    run.child.kill().unwrap();
    run.child.wait().unwrap();
    let mut again = train(&scene, &format!("{args} --resume"));
    let mut stdin = again.child.stdin.take().unwrap();
    stdin.write_all(&part(0, 500)).unwrap();
    feed(&again, &mut stdin, &part(600, 500), 500);
    drop(stdin);
    assert!(again.wait().success(), "{}", again.said());
    assert_same("resumed", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    assert_eq!(scene.text("out").lines().count(), 1000);
}

#[test]
fn several_learners_learn_what_is_sent_once() {
    let scene = Scene::new();
    let mut run = train(&scene, "- -q --learners 2 --summary summary --checkpoint-every 300 -m model");
    let mut stdin = run.child.stdin.take().unwrap();
    let address = run.address.clone();
    let sender = std::thread::spawn(move || {
        let mut client = Client::connect(&address);
        for _ in 0..50 {
            assert_eq!(client.post_lines("/learn", flights(10)).status, 200);
        }
    });
    for _ in 0..10 {
        stdin.write_all(&flights(1000)).unwrap();
    }
    sender.join().unwrap();
    drop(stdin);
    assert!(run.wait().success(), "{}", run.said());
    assert_eq!(scene.json("summary")["examples"], 10_500);
}

#[test]
fn bad_records_that_are_sent_are_counted_and_kept_and_end_no_run() {
    let scene = Scene::new();
    let mut run = train(&scene, "- -q -m model --dead-letters dead --max-errors 0");
    let mut stdin = run.child.stdin.take().unwrap();
    feed(&run, &mut stdin, &flights(10), 10);
    let mut client = Client::connect(&run.address);
    let alone = client.post("/learn", "{\"label\":7,\"features\":{}}");
    assert_eq!(alone.status, 400, "{alone:?}");
    let among = client.post_with("/learn", LINES, "{\"label\":1}\nnonsense\n{\"label\":{\"a\":1}}\n");
    assert_eq!(among.status, 200);
    let answers: Vec<Value> = among.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(answers[0]["prediction"].is_f64(), "{among:?}");
    let reasons = [alone.json()["error"].clone(), answers[1]["error"].clone(), answers[2]["error"].clone()];
    let now = until(&run.address, "they are counted", |now| now.get("records_total") == Some(14.0));
    let dead = |reason: &str| now.get(&format!("dead_letters_total{{reason=\"{reason}\"}}"));
    assert_eq!((dead("parse"), dead("learner")), (Some(2.0), Some(1.0)));
    assert_eq!(now.get("http_records_total{path=\"/learn\"}"), Some(1.0));
    feed(&run, &mut stdin, &part(10, 10), 24);
    drop(stdin);
    assert!(run.wait().success(), "{}", run.said());
    let letters: Vec<Value> =
        scene.text("dead").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 3);
    for (letter, reason) in letters.iter().zip(&reasons) {
        assert_eq!((&letter["source"], &letter["reason"]), (&"http".into(), reason));
    }
    assert_eq!(letters[1]["record"], "nonsense");
}

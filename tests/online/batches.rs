//! Batches: their borders depend on the stream alone, what is behind the last one is not learned, and nothing is lost.

use crate::streams::{asked, rated, shown};
use crate::support::*;
use crate::{model, train};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

const OUTPUTS: &str = "-m model -p out --dead-letters dead --summary summary.json";

/// What a run leaves: all that was learned, predictions, dead letters, the summary.
#[derive(PartialEq, Debug)]
struct Left(String, String, String, String);

fn left(scene: &Scene) -> Left {
    let summary = timeless(scene.json("summary.json")).to_string();
    Left(state(&scene.path("model")), scene.text("out"), scene.text("dead"), summary)
}

fn whole(records: &str, name: &str, args: &str) -> (Scene, Left) {
    let scene = Scene::new();
    scene.file("in", records);
    train(&scene, name, &format!("{OUTPUTS} {args}"));
    let left = left(&scene);
    (scene, left)
}

fn same(what: &str, expected: &Left, got: &Left) {
    assert_same(what, &expected.0, &got.0);
    assert!(expected == got, "{what}: predictions, dead letters or figures differ");
}

/// `records` with something wrong after every few.
fn with_faults(records: &str, every: usize) -> String {
    let faults = [
        "{\"label\":1,",
        "[]",
        "{\"label\":{\"unknown\":1},\"features\":{}}",
        "{\"label\":\"x\",\"features\":{}}",
    ];
    let mut out = String::new();
    for (index, line) in records.lines().enumerate() {
        writeln!(out, "{line}").unwrap();
        if index % every == every - 1 {
            writeln!(out, "{}", faults[index / every % faults.len()]).unwrap();
        }
    }
    out
}

#[test]
fn threads_and_pieces_of_the_input_change_nothing() {
    let records = with_faults(&asked(3000), 7);
    let (scene, expected) = whole(&records, "multitask-mixture", "--batch 64");
    for args in ["--threads 0", "--threads 3", "--checkpoint-every 100", "--checkpoint-every 1ms"] {
        let (_, got) = whole(&records, "multitask-mixture", &format!("--batch 64 {args}"));
        same(args, &expected, &got);
    }
    // The same records by a pipe, in pieces of any size.
    let piped = Scene::new();
    let config = model("multitask-mixture");
    let args = format!("train - -q --batch 64 {OUTPUTS} --config {}", config.display());
    let mut command = piped.flexihash(args.split_whitespace());
    let mut child = command.env("RAYON_NUM_THREADS", "1").stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut dice, mut rest) = (child.stdin.take().unwrap(), Dice(5), records.as_bytes());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(1 + dice.roll(20_000) as usize));
        stdin.write_all(piece).unwrap();
        stdin.flush().unwrap();
        rest = behind;
        std::thread::sleep(Duration::from_micros(300));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_same("a pipe", &learned(&scene.path("model")), &learned(&piped.path("model")));
    assert_eq!(scene.text("out"), piped.text("out"));
    assert_eq!(scene.text("dead").lines().count(), piped.text("dead").lines().count());
}

#[test]
fn bad_records_leave_no_trace_in_a_model() {
    let clean = asked(2000);
    let (without, left_without) = whole(&clean, "multitask-id", "--batch 32");
    let (with, left_with) = whole(&with_faults(&clean, 3), "multitask-id", "--batch 32");
    assert_same("bad records", &learned(&without.path("model")), &learned(&with.path("model")));
    assert_eq!(left_without.1, left_with.1);
    assert_eq!(left_with.2.lines().count(), 2000 / 3);
    assert!(
        left_with.2.contains("expected labels of liked, loved, disliked, got one of \\\"unknown\\\""),
        "{}",
        left_with.2
    );
}

/// Killed at random moments, and stopped by signals, a run goes on as if it had never stopped.
#[test]
fn a_run_that_is_killed_goes_on_as_if_it_had_not_been() {
    let streams = [
        ("dot-bias", rated(12_000), "--batch 5 --checkpoint-every 1000"),
        ("multitask-mixture", with_faults(&asked(4000), 11), "--batch 48 --checkpoint-every 500"),
        ("ranker", shown(3000), "--batch 7 --checkpoint-every 300"),
        ("multitask-dhe", asked(3000), "--batch 100 --passes 2 --checkpoint-every 20ms"),
    ];
    let (mut dice, mut ended_early) = (Dice(17), 0);
    for (name, records, args) in &streams {
        let (scene, expected) = whole(records, name, args);
        std::fs::remove_dir_all(scene.path("model")).unwrap();
        ["out", "dead", "summary.json"]
            .into_iter()
            .for_each(|file| std::fs::remove_file(scene.path(file)).unwrap());
        let config = model(name).display().to_string();
        for round in 0_u64.. {
            let words = format!("train in -q --resume --config {config} {OUTPUTS} {args}");
            let mut command = scene.flexihash(words.split_whitespace());
            let mut child = command.env("RAYON_NUM_THREADS", "1").stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(20 + dice.roll(60 + 10 * round)));
            if child.try_wait().unwrap().is_some_and(|status| status.success()) {
                break;
            }
            signal(&child, if round % 2 == 0 { "KILL" } else { "TERM" });
            wait(&mut child, Duration::from_secs(60));
            ended_early += 1;
            assert!(round < 500, "{name} never ends");
        }
        same(name, &expected, &left(&scene));
    }
    assert!(ended_early >= 8, "only {ended_early} runs were stopped");
}

/// What does not fill a batch is learned at the end of the input, and only there.
#[test]
fn the_rest_is_learned_at_the_end_of_the_input() {
    let records = rated(1003);
    let (scene, _) = whole(&records, "dot", "--batch 100");
    assert_eq!(scene.json("summary.json")["examples"], 1003);
    assert_eq!(scene.text("out").lines().count(), 1003);
    // The first batch is predicted with what a model knows at first.
    let fresh: Vec<String> = scene.text("out").lines().take(100).map(str::to_owned).collect();
    let (other, _) = whole(&rated(100), "dot", "--batch 100");
    assert_eq!(fresh, other.text("out").lines().collect::<Vec<_>>());
}

#[test]
fn records_that_wait_for_their_batch_are_not_saved_and_not_lost() {
    let (records, scene) = (rated(250), Scene::new());
    let config = model("dot").display().to_string();
    let args = format!("train - -q --batch 100 {OUTPUTS} --config {config}");
    let mut child = scene.flexihash(args.split_whitespace()).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(records.as_bytes()).unwrap();
    stdin.flush().unwrap();
    let start = std::time::Instant::now();
    let lines = || std::fs::read_to_string(scene.path("out")).map_or(0, |out| out.lines().count());
    while lines() < 200 {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "TERM");
    assert!(wait(&mut child, Duration::from_secs(60)).success());
    drop(stdin);
    assert_eq!(scene.json("summary.json")["examples"], 200);
    // The same stream again, from its start: what was learned is passed over, the rest is learned.
    let again = format!("{args} --resume");
    let output = piped(scene.flexihash(again.split_whitespace()), records.as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    let got = left(&scene);
    let (_, expected) = whole(&records, "dot", "--batch 100");
    assert_eq!(expected.1, got.1);
    assert_eq!(expected.3, got.3);
}

//! Every kind of bad record: counted and buried, and the model is, bit for bit, the one that never saw them.

use crate::support::*;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Bad records that fit on a line of ordinary length.
fn bad_records() -> Vec<Vec<u8>> {
    let text = [
        "{\"label\":1,\"features\":{\"carrier\":\"UA\"",
        "{\"label\":1,\"features\":{\"carrier\":\"UA\"}}}",
        "{\"label\":1,\"features\":[1,2",
        "{\"label\":\"yes\",\"features\":{\"carrier\":\"UA\"}}",
        "{\"label\":2,\"features\":{\"carrier\":\"UA\"}}",
        "{\"label\":1,\"weight\":-1,\"features\":{\"carrier\":\"UA\"}}",
        "{\"label\":1,\"weight\":\"1\",\"features\":{\"carrier\":\"UA\"}}",
        "{\"label\":1,\"features\":\"carrier\"}",
        "{\"label\":1,\"features\":{\"carrier\":\"\\ud800\"}}",
        "{\"label\":1,\"features\":{\"carrier\":\"\\udc00\\ud800\"}}",
        "{\"label\":1,\"features\":{\"distance\":NaN}}",
        "{\"label\":1,\"features\":{\"distance\":1e999}}",
        "{\"label\":1,\"features\":{\"distance\":-1e39}}",
        "{\"label\":1e999,\"features\":{\"carrier\":\"UA\"}}",
        "{\"label\":1,\"features\":{\"carrier\":Infinity}}",
        "{\"label\":{\"click\":1},\"features\":{\"carrier\":\"UA\"}}",
        "[]",
        "17",
        "null",
        "\"text\"",
        "{",
        "}",
        "{}{}",
        "nul",
        "{'label':1}",
    ];
    let mut bad: Vec<Vec<u8>> = text.into_iter().map(|text| text.as_bytes().to_vec()).collect();
    bad.push(b"{\"label\":1,\"features\":{\"carrier\":\"U\xffA\"}}".to_vec());
    bad.push(b"{\"label\":1,\"features\":{\"carrier\":\"\xed\xa0\x80\"}}".to_vec());
    bad.push(b"{\"label\":1,\"features\":{\"car\0rier\":\"UA\"}}".to_vec());
    bad.push(vec![0; 100]);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        bad.push(format!("{{\"label\":1,\"features\":{{\"a\":{open}1{close}}}}}").into_bytes());
        bad.push(open.into_bytes());
    }
    bad
}

#[test]
fn the_model_is_the_one_trained_without_the_bad_records() {
    let scene = Scene::new();
    let (clean, bad) = (flights(1500), bad_records());
    let mut dirty = Vec::new();
    for (index, line) in clean.split_inclusive(|&byte| byte == b'\n').enumerate() {
        dirty.extend_from_slice(line);
        if let Some(record) = bad.get(index / 20).filter(|_| index % 20 == 7) {
            dirty.extend_from_slice(record);
            dirty.push(b'\n');
        }
    }
    scene.file("clean", &clean);
    scene.file("dirty", &dirty);
    for options in ["", "--head fm", "--optimizer adam --hashes 2"] {
        for name in ["clean", "dirty"] {
            let outputs = format!("-p {name}.out --dead-letters {name}.dead --summary {name}.json");
            scene.train(&format!("{name} -m {name}{} {outputs} {options}", options.len()));
        }
        let folder = |name: &str| scene.path(&format!("{name}{}", options.len()));
        assert_same(options, &learned(&folder("clean")), &learned(&folder("dirty")));
        assert_same(options, &scene.text("clean.out"), &scene.text("dirty.out"));
        let (mut clean, mut dirty) = (timeless(scene.json("clean.json")), timeless(scene.json("dirty.json")));
        assert_eq!(clean["skipped"].take(), 0);
        assert_eq!(dirty["skipped"].take(), bad.len());
        assert_eq!(clean, dirty);
        let letters = scene.text("dirty.dead");
        assert_eq!(letters.lines().count(), bad.len());
        assert!(letters.lines().all(|line| line.len() < 200_000), "dead letters must be bounded");
    }
}

#[test]
fn a_key_that_occurs_twice_adds_up_and_is_no_error() {
    let scene = Scene::new();
    scene.file("twice", "{\"label\":1,\"features\":{\"a\":1,\"b\":\"x\",\"a\":2}}\n".repeat(50));
    scene.file("once", "{\"label\":1,\"features\":{\"a\":3,\"b\":\"x\"}}\n".repeat(50));
    let given = "--optimizer sgd -l 0.1";
    scene.train(&format!("twice -m twice.model -p twice.out --dead-letters dead {given}"));
    scene.train(&format!("once -m once.model -p once.out {given}"));
    assert_eq!(scene.text("dead"), "");
    assert_eq!(scene.text("once.out"), scene.text("twice.out"));
}

/// Runs `train` on standard input that `feed` writes, and returns the child's peak memory in KiB.
fn peak_memory(mut command: Command, feed: impl FnOnce(&mut dyn Write)) -> u64 {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    feed(&mut stdin);
    // The last record was read once its prediction is out; the command then waits for more and can be measured.
    std::thread::sleep(Duration::from_millis(700));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    drop(stdin);
    assert!(wait(&mut child, Duration::from_secs(60)).success());
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_line_of_100_mb_is_a_bad_record_in_bounded_memory() {
    let scene = Scene::new();
    let good = flights(200);
    scene.file("clean", &good);
    scene.train("clean -m clean.model -p clean.out");
    let args = "- -q -m long.model -p long.out --dead-letters dead --threads 1";
    let command = scene.flexihash(words("train", args).chain(SMALL));
    let half = good.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(99).unwrap().0 + 1;
    let peak = peak_memory(command, |stdin| {
        stdin.write_all(&good[..half]).unwrap();
        for (megabytes, close) in [(20, &b"\":1}}\n"[..]), (100, b"\n")] {
            stdin.write_all(b"{\"label\":1,\"features\":{\"").unwrap();
            let megabyte = vec![b'x'; 1 << 20];
            (0..megabytes).for_each(|_| stdin.write_all(&megabyte).unwrap());
            stdin.write_all(close).unwrap();
        }
        stdin.write_all(&good[half..]).unwrap();
    });
    assert!(peak < 200 << 10, "{peak} KiB");
    assert_same("model", &learned(&scene.path("clean.model")), &learned(&scene.path("long.model")));
    assert_eq!(scene.text("clean.out"), scene.text("long.out"));
    let letters = scene.text("dead");
    let lengths: Vec<u64> = letters
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|letter| {
            assert_eq!(letter["truncated"], true);
            assert!(letter["reason"].as_str().unwrap().contains("limit"), "{letter}");
            letter["length"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(lengths, [(20 << 20) + 29, (100 << 20) + 24]);
}

#[test]
fn the_record_limit_is_an_option() {
    let scene = Scene::new();
    let long = format!("{{\"label\":1,\"features\":{{\"{}\":1}}}}\n", "x".repeat(1000));
    scene.file("in", [flights(10), long.into_bytes()].concat());
    scene.train("in --record-limit 900 --summary cut.json");
    scene.train("in --record-limit 2000 --summary whole.json");
    assert_eq!(scene.json("cut.json")["skipped"], 1);
    assert_eq!(scene.json("whole.json")["skipped"], 0);
}

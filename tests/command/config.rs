//! Options: from flags, from a file, and refused where they are mistakes.

use crate::support::*;
use serde_json::Value;

fn config_of(scene: &Scene, model: &str) -> Value {
    let json: Value = serde_json::from_slice(&scene.ok(&format!("inspect {model} --json")).stdout).unwrap();
    json["config"].clone()
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let scene = Scene::new();
    scene.file("in", flights(200));
    let config = "loss = \"squared\"\nseed = 5\nbuckets = 1024\nlearning-rate = 0.25\noptimizer = \"sgd\"\n\
                  input = [\"in\"]\npredictions = \"out\"\nquiet = true\ncheckpoint-every = [100, \"1h\"]\n";
    scene.file("run.toml", config);
    let output = scene.ok("train --config run.toml --seed 6 -m model");
    assert_eq!(stderr(&output), "");
    let stored = config_of(&scene, "model");
    assert_eq!((&stored["seed"], &stored["buckets"]), (&6.into(), &1024.into()));
    assert_eq!((&stored["loss"], &stored["optimizer"]), (&"squared".into(), &"sgd".into()));
    assert_eq!(scene.text("out").lines().count(), 200);
    scene.ok("train in -q -m flags --loss squared --seed 6 --buckets 1024 -l 0.25 --optimizer sgd");
    assert_same("model", &learned(&scene.path("flags")), &learned(&scene.path("model")));
}

#[test]
fn mistakes_in_the_file_are_named() {
    let scene = Scene::new();
    scene.file("in", flights(5));
    for (text, expected) in [
        ("sead = 1", "unknown option `sead`"),
        ("[learning]\nseed = 1", "unknown option `learning`"),
        ("seed = \"one\"", "seed"),
        ("passes = 0", "--passes"),
        ("hash-key = \"00\"", "unknown option `hash-key`"),
        ("= 3", "line 1"),
    ] {
        scene.file("run.toml", text);
        let line = scene.fails("train in --config run.toml");
        assert!(line.contains(expected), "{text}: {line}");
    }
    assert!(scene.fails("train in --config missing.toml").contains("missing.toml"));
}

#[test]
fn contradictory_options_are_refused_before_anything_is_written() {
    let scene = Scene::new();
    scene.file("in", flights(5));
    for (args, expected) in [
        ("--optimizer sgd --learning-rate auto", "--learning-rate"),
        ("--l1 0.1", "--l1"),
        ("--loss quantile --quantile 1.5", "--quantile"),
        ("--label-field id", "--id-field"),
        ("--buckets 0", "--buckets"),
        ("--passes 0", "--passes"),
        ("--keep 0", "--keep"),
        ("-p same --dead-letters same", "same"),
        ("-p in", "in"),
        ("--dead-letters ./in", "in"),
    ] {
        let line = scene.fails(&format!("train in -m model {args}"));
        assert!(line.contains(expected), "{args}: {line}");
        assert!(!scene.path("model").exists(), "{args}");
    }
    assert_eq!(scene.read("in"), flights(5), "an input must never be overwritten");
    for option in ["--resume", "--checkpoint-every 10", "--keep 3"] {
        assert!(scene.fails(&format!("train in {option}")).contains("--model"));
    }
}

#[test]
fn unknown_flags_and_values_exit_with_usage() {
    let scene = Scene::new();
    scene.file("in", flights(5));
    for args in
        ["train in --no-such-flag", "train in --loss hing", "train in --passes two", "nothing", "predict in"]
    {
        let output = scene.flexihash(args.split_whitespace()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(stderr(&output).starts_with("error: "), "{args}: {}", stderr(&output));
    }
    assert!(scene.ok("--version").stdout.starts_with(b"flexihash "));
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf_8_does_not_lose_the_other_options() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    scene.file("in", flights(50));
    let name = OsStr::from_bytes(b"m\xff");
    let args = ["train", "in", "-q", "-p", "out", "-m"].map(OsStr::new).into_iter().chain([name]);
    let output = scene.flexihash(args).output().unwrap();
    let line = failure("a path that is not UTF-8", &output);
    assert!(line.contains("UTF-8"), "{line}");
}

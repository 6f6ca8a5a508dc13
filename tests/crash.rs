//! kill -9 at random moments, then `--resume`, until the run gets to its end: nothing is lost and nothing is doubled.
//!
//! A kill counts only if the process died of it. The moments are drawn from a seeded generator: the same in every run,
//! as far as a clock can be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::*;

const SIGKILL: i32 = 9;
const ENOUGH: usize = 50;

/// Runs until the end is reached, killing on the way, later from round to round so that a slow machine gets there too.
/// Returns how many runs died of it.
fn run_killed(scene: &Scene, inputs: &str, args: &str, dice: &mut Dice) -> usize {
    let mut kills = 0;
    for round in 0..1000 {
        let mut command = scene.flexihash(words("train", args).chain(SMALL));
        if inputs == "-" {
            command.stdin(std::fs::File::open(scene.path("in")).unwrap());
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1 + dice.roll(60 + 2 * round)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.signal() == Some(SIGKILL) {
            kills += 1;
            continue;
        }
        let errors = drain(child.stderr.take().unwrap());
        assert!(status.success(), "{args}: {errors}");
        return kills;
    }
    panic!("{args}: no end after 1000 runs");
}

#[test]
fn a_run_killed_again_and_again_ends_as_the_one_that_never_was() {
    let start = Instant::now();
    let records = flights_with_faults(15_000, 50);
    let mut dice = Dice(20_261_122);
    let mut kills = 0;
    let scenes = [
        ("in", "--checkpoint-every 400"),
        ("in.zst", "--checkpoint-every 250 --threads 2 --keep 1"),
        ("-", "--checkpoint-every 5ms --head fm"),
        ("in", "--passes 2 --checkpoint-every 700 --threads 0"),
        ("in.gz", "--checkpoint-every 300 --checkpoint-every 10ms"),
    ];
    let mut round = 0;
    while round < scenes.len() || kills < ENOUGH {
        assert!(start.elapsed() < Duration::from_secs(300), "only {kills} kills in five minutes");
        let (inputs, options) = scenes[round % scenes.len()];
        let scene = Scene::new();
        scene.file("in", &records);
        scene.file("in.gz", gzip(&records));
        scene.file("in.zst", zst(&records));
        let whole = format!("{inputs} -q -m whole -p out --dead-letters dead --summary whole.json {options}");
        let mut command = scene.flexihash(words("train", &whole).chain(SMALL));
        if inputs == "-" {
            command.stdin(std::fs::File::open(scene.path("in")).unwrap());
        }
        assert!(command.status().unwrap().success());
        let files = ["out", "dead"].map(|name| scene.read(name));
        let args = whole.replace("whole", "model") + " --resume";
        let died = run_killed(&scene, inputs, &args, &mut dice);
        assert_same(&args, &state(&scene.path("whole")), &state(&scene.path("model")));
        assert!(files == ["out", "dead"].map(|name| scene.read(name)), "{args}: lines differ");
        assert_eq!(timeless(scene.json("whole.json")), timeless(scene.json("model.json")), "{args}");
        println!("{options} on {inputs}: {died} kills");
        kills += died;
        round += 1;
    }
    println!("kill -9: {kills} runs died and were resumed, in {:.1} s", start.elapsed().as_secs_f64());
}

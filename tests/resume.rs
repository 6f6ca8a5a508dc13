//! Stopping and going on: anywhere, any number of times, in any form of input, it is as if the run had never stopped.
//!
//! What is compared: every bit learned, counters, the place in the input, prediction and dead-letter files, and the
//! summary without its times.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]
#![allow(clippy::print_stdout, reason = "how often it was stopped")]

mod support;

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::*;

const OUTPUTS: &str = "-p out --dead-letters dead --summary summary.json";
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with one stream, and a run of it that nothing disturbed.
struct Story {
    scene: Scene,
    inputs: &'static str,
    options: &'static str,
}

/// What a run leaves: the model's state, and its files.
#[derive(PartialEq)]
struct Left {
    state: String,
    files: [Vec<u8>; 2],
    summary: serde_json::Value,
}

impl Story {
    fn new(records: &[u8], inputs: &'static str, options: &'static str) -> Self {
        let scene = Scene::new();
        let half =
            records.len() / 2 + records[records.len() / 2..].iter().position(|&b| b == b'\n').unwrap() + 1;
        scene.file("in", records);
        scene.file("in.gz", gzip(records));
        scene.file("in.zst", zst(records));
        scene.file("first", &records[..half]);
        scene.file("second.zst", zst(&records[half..]));
        Self { scene, inputs, options }
    }

    fn args(&self) -> String {
        format!("{} -q -m model {OUTPUTS} {}", self.inputs, self.options)
    }

    /// Starts the run again, on a pipe if that is the input.
    fn start(&self, more: &str) -> Child {
        let args = format!("{} {more}", self.args());
        let mut command = self.scene.flexihash(words("train", &args).chain(SMALL));
        if self.inputs == "-" {
            command.stdin(std::fs::File::open(self.scene.path("in")).unwrap());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn run(&self, more: &str) {
        let output = self.start(more).wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", self.args(), stderr(&output));
    }

    fn left(&self) -> Left {
        Left {
            state: state(&self.scene.path("model")),
            files: ["out", "dead"].map(|name| self.scene.read(name)),
            summary: timeless(self.scene.json("summary.json")),
        }
    }

    /// Forgets all that was learned and written.
    fn forget(&self) {
        std::fs::remove_dir_all(self.scene.path("model")).unwrap();
        for name in ["out", "dead", "summary.json"] {
            // A run that was killed early has written none.
            let _ = std::fs::remove_file(self.scene.path(name));
        }
    }

    fn undisturbed(&self) -> Left {
        self.run("");
        let left = self.left();
        self.forget();
        left
    }

    fn compare(&self, expected: &Left) {
        let got = self.left();
        assert_same(&self.args(), &expected.state, &got.state);
        assert!(expected.files == got.files, "{}: predictions or dead letters differ", self.args());
        assert_eq!(expected.summary, got.summary, "{}", self.args());
    }

    /// Stops the run again and again, by `names` of signals in turn, until it gets to its end. Returns how often. The
    /// moments come later from round to round, so that a slow machine gets to the end too.
    fn stop_and_go(&self, names: &[&str], dice: &mut Dice, more: &str) -> usize {
        let mut stops = 0;
        for round in 0.. {
            let mut child = self.start(&format!("--resume {more}"));
            std::thread::sleep(Duration::from_millis(5 + dice.roll(40 + round as u64)));
            let ended = child.try_wait().unwrap().is_some();
            signal(&child, names[round % names.len()]);
            let status = wait(&mut child, PATIENCE);
            let errors = drain(child.stderr.take().unwrap());
            if ended {
                assert!(status.success(), "{errors}");
                return stops;
            }
            // A signal before the handlers stand, or while the process leaves, may still end it the system's way.
            assert!(status.success() || status.code().is_none(), "{status:?} {errors}");
            stops += usize::from(status.success());
            assert!(round < 2000, "{} never ends", self.args());
        }
        stops
    }
}

#[test]
fn a_signal_at_any_moment_is_as_if_it_had_never_come() {
    let records = flights_with_faults(12_000, 50);
    let scenes = [
        ("in", "--checkpoint-every 1000 --threads 2"),
        ("in.gz", "--checkpoint-every 777 --checkpoint-every 20ms --threads 0"),
        ("in.zst", "--head fm --keep 1"),
        ("first second.zst", "--checkpoint-every 3000 --threads 3"),
        ("-", "--checkpoint-every 2500"),
    ];
    stop_in_each(&scenes, &records, &["TERM", "INT"], 10);
}

/// Stops a run of each scene; on a fast machine, whose runs end early, again until `enough` signals came in time.
#[allow(clippy::print_stdout, reason = "how many is a matter of timing")]
fn stop_in_each(scenes: &[(&'static str, &'static str)], records: &[u8], signals: &[&str], enough: usize) {
    let (mut dice, mut stops) = (Dice(7), 0);
    for (scene, (inputs, options)) in scenes.iter().cycle().take(50 * scenes.len()).enumerate() {
        if scene >= scenes.len() && stops >= enough {
            break;
        }
        let story = Story::new(records, inputs, options);
        let expected = story.undisturbed();
        stops += story.stop_and_go(signals, &mut dice, "");
        story.compare(&expected);
    }
    assert!(stops >= enough, "only {stops} runs were stopped");
}

#[test]
fn checkpoints_change_nothing_wherever_they_fall() {
    let records = flights_with_faults(3000, 40);
    let plain = Story::new(&records, "in", "");
    let expected = plain.undisturbed();
    for options in ["--checkpoint-every 1", "--checkpoint-every 333", "--checkpoint-every 1ms", "--keep 5"] {
        let few = if options.ends_with(" 1") { &records[..records.len() / 10] } else { &records[..] };
        let story = Story::new(few, "in", options);
        story.run("");
        if few.len() == records.len() {
            story.compare(&expected);
        } else {
            let few = Story::new(few, "in", "").undisturbed();
            story.compare(&few);
        }
    }
}

#[test]
fn a_stop_in_a_later_pass_goes_on_in_that_pass() {
    let records = flights_with_faults(4000, 100);
    let options = "--passes 6 --checkpoint-every 1500";
    stop_in_each(&[("in", options), ("first second.zst", options)], &records, &["TERM"], 4);
}

#[test]
fn checkpoints_by_number_go_on_falling_due_in_later_passes() {
    let story = Story::new(&flights(1000), "in", "--checkpoint-every 1500 --passes 3");
    story.run("");
    let json = story.scene.ok("inspect model --json").stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    // The first pass has too few records for one; the end of the run makes the last.
    assert!(json["generation"].as_u64() >= Some(2), "{}", json["generation"]);
}

#[test]
fn a_signal_on_an_idle_pipe_ends_the_run_with_a_summary_and_a_checkpoint() {
    for name in ["TERM", "INT"] {
        let scene = Scene::new();
        let args = "- -m model -p out --summary summary.json";
        let mut command = scene.flexihash(words("train", args).chain(SMALL));
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&flights(100)).unwrap();
        stdin.write_all(b"{\"label\":1,\"featu").unwrap();
        let start = Instant::now();
        let lines = || std::fs::read(scene.path("out")).map_or(0, |out| out.split(|&b| b == b'\n').count());
        while lines() <= 100 {
            assert!(start.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(&child, name);
        let status = wait(&mut child, Duration::from_secs(10));
        let text = drain(child.stderr.take().unwrap());
        assert_eq!(status.code(), Some(0), "{text}");
        assert!(text.contains("100 examples learned, 0 bad records"), "{text}");
        assert_eq!(scene.json("summary.json")["examples"], 100);
        drop(stdin);
        scene.file("in", flights(100));
        scene.train("in -m whole");
        assert_same("model", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    }
}

#[test]
fn a_second_signal_leaves_at_once() {
    let scene = Scene::new();
    // A reader that never reads: once its pipe is full the run cannot end in order.
    let mut command = scene.flexihash(words("train", "in -q -p - -m model").chain(SMALL));
    scene.file("in", flights(20_000));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    signal(&child, "TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the first signal waits for what was read");
    signal(&child, "TERM");
    let status = wait(&mut child, Duration::from_secs(5));
    assert_eq!(status.code(), Some(128 + 15));
}

#[test]
fn a_pipe_is_skipped_to_where_it_was_left_or_read_on_with_no_skip() {
    let scene = Scene::new();
    let records = flights(1000);
    let half = records.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(399).unwrap().0 + 1;
    scene.file("in", &records);
    scene.train("in -m whole -p whole.out");
    let train = |args: &str, input: &[u8]| {
        let output = piped(scene.flexihash(words("train", args).chain(SMALL)), input);
        assert!(output.status.success(), "{args}: {}", stderr(&output));
    };
    train("- -m skipping -p skipping.out", &records[..half]);
    train("- -m skipping -p skipping.out --resume", &records);
    train("- -m reading -p reading.out", &records[..half]);
    train("- -m reading -p reading.out --resume --no-skip", &records[half..]);
    let expected = learned(&scene.path("whole"));
    for name in ["skipping", "reading"] {
        assert_same(name, &expected, &learned(&scene.path(name)));
        assert_eq!(scene.text("whole.out"), scene.text(&format!("{name}.out")), "{name}");
    }
    let short =
        piped(scene.flexihash(words("train", "- -m skipping --resume").chain(SMALL)), &records[..half]);
    assert!(failure("a shorter pipe", &short).contains("expects the whole stream again"));
}

#[test]
fn a_growing_file_and_a_new_file_are_picked_up() {
    let scene = Scene::new();
    let records = flights(900);
    let mut ends = records.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(i, _)| i + 1);
    let (first, second) = (ends.nth(299).unwrap(), ends.nth(299).unwrap());
    scene.file("in", &records);
    scene.train("in -m whole -p whole.out --summary whole.json");
    scene.file("log", &records[..first]);
    scene.file("next", &records[second..]);
    scene.train("log -m grown -p grown.out");
    scene.file("log", &records[..second]);
    scene.train("log -m grown -p grown.out --resume");
    scene.train("log -m grown -p grown.out --resume");
    scene.train("next -m grown -p grown.out --resume --summary grown.json");
    assert_same("model", &learned(&scene.path("whole")), &learned(&scene.path("grown")));
    assert_eq!(scene.text("whole.out"), scene.text("grown.out"));
    assert_eq!(timeless(scene.json("whole.json")), timeless(scene.json("grown.json")));
    scene.file("log", &records[..first]);
    assert!(scene.fails("train log -m grown --resume").contains("is it another file?"));
}

#[test]
fn a_new_file_after_several_passes_is_a_stream_of_its_own() {
    let scene = Scene::new();
    scene.file("old", flights(300));
    scene.file("new", flights(500));
    scene.train("old -m model --passes 3");
    scene.train("new -m model --resume -p out --summary summary.json");
    assert_eq!(scene.text("out").lines().count(), 500, "a new stream must be predicted");
    assert!(scene.json("summary.json")["records"] == 800, "{}", scene.json("summary.json"));
}

#[test]
fn an_empty_folder_starts_afresh_and_a_full_one_wants_resume() {
    let scene = Scene::new();
    scene.file("in", flights(200));
    std::fs::create_dir(scene.path("empty")).unwrap();
    scene.train("in -m empty --resume -p out");
    scene.train("in -m fresh --resume");
    assert_same("model", &learned(&scene.path("empty")), &learned(&scene.path("fresh")));
    let before = state(&scene.path("fresh"));
    let line = scene.fails("train in -m fresh -p out");
    assert!(line.contains("--resume"), "{line}");
    assert_eq!(scene.text("out").lines().count(), 200, "a refused run must not touch its outputs");
    assert_same("model", &before, &state(&scene.path("fresh")));
}

#[test]
fn what_contradicts_the_stored_model_is_refused_and_what_concerns_the_run_may_change() {
    let scene = Scene::new();
    scene.file("in", flights(200));
    scene.train("in -m model --seed 3");
    for (option, value) in [
        ("--loss", "squared"),
        ("--seed", "4"),
        ("--head", "fm"),
        ("--dim", "4"),
        ("--hash", "sklearn"),
        ("--hashes", "2"),
        ("--buckets", "1000"),
        ("--optimizer", "sgd"),
        ("--learning-rate", "0.5"),
        ("--label-field", "y"),
        ("--flat=true", ""),
    ] {
        let line = scene.fails(&format!("train in -m model --resume {option} {value}"));
        let name = option.split('=').next().unwrap();
        assert!(line.contains(name), "{option}: {line}");
    }
    // The same again is no contradiction, nor is anything about the run.
    scene.train("in -m model --resume --seed 3 --loss logistic --flat=false --learning-rate auto");
    scene.train("in -m model --resume --threads 3 --keep 4 --checkpoint-every 10 -q --max-errors 3 --record-limit 99999");
}

#[test]
fn options_that_only_make_sense_with_the_stored_ones_are_no_mistake() {
    let scene = Scene::new();
    scene.file("in", flights(200));
    scene.train("in -m model --optimizer ftrl --l1 0.5");
    scene.train("in -m model --resume --l1 0.5");
}

#[test]
fn another_process_on_the_same_folder_is_refused() {
    let scene = Scene::new();
    scene.file("in", flights(10));
    let mut command = scene.flexihash(words("train", "- -q -m model -p out").chain(SMALL));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&flights(50)).unwrap();
    let start = Instant::now();
    while std::fs::metadata(scene.path("out")).map_or(0, |out| out.len()) < 1000 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let line = scene.fails("train in -m model --resume -p out");
    assert!(line.contains(&format!("in use by pid {}", child.id())), "{line}");
    drop(stdin);
    assert!(wait(&mut child, PATIENCE).success());
    assert_eq!(scene.text("out").lines().count(), 50, "the refused run must not touch the other's outputs");
    scene.train("in -m model --resume");
}

#[test]
fn outputs_may_lie_in_the_model_folder() {
    let scene = Scene::new();
    let outputs = "-p model/out --dead-letters model/dead --summary model/summary.json";
    scene.file("in", flights_with_faults(300, 100));
    scene.train(&format!("in -m model {outputs}"));
    let before = scene.text("model/out");
    let first = scene.json("model/summary.json");
    scene.fails(&format!("train in -m model {outputs}"));
    scene.train(&format!("in -m model --resume {outputs}"));
    assert_eq!((before.lines().count(), &before), (300, &scene.text("model/out")));
    assert_eq!(scene.text("model/dead").lines().count(), 3);
    let second = scene.json("model/summary.json");
    let seconds = |summary: &serde_json::Value| summary["seconds"].as_f64().unwrap();
    assert!(seconds(&second) > seconds(&first), "times add up over a model's life");
    assert_eq!(timeless(first), timeless(second));
}

#[test]
fn outputs_named_in_another_way_are_still_gone_on_with() {
    let scene = Scene::new();
    let records = flights(400);
    scene.file("in", &records);
    scene.train("in -m whole -p whole.out");
    let half = records.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(199).unwrap().0 + 1;
    scene.file("in", &records[..half]);
    scene.train("in -m model -p out");
    scene.file("in", &records);
    scene.train("in -m model -p ./out --resume");
    assert_eq!(scene.text("whole.out"), scene.text("out"));
}

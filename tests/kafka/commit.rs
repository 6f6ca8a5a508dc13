//! The commit point: a record's gradient, its prediction and its offset stand or fall together.

use super::support::kafka::fresh;
use super::support::*;
use super::{broker, lines, ok, train, values};
use flexihash::checkpoint::ModelDir;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A scene with the model and the lines of a run over a file with the same records.
fn from_file(records: &[u8], args: &str) -> Scene {
    let scene = Scene::new();
    scene.file("in", records);
    scene.train(&format!("in -q -m whole -p whole.jsonl {args}"));
    scene
}

#[test]
fn a_topic_trains_the_model_that_a_file_does_and_publishes_the_same_lines() {
    let records = flights(5000);
    let (topic, out) = (fresh("same"), fresh("same-out"));
    broker().topic(&topic, 1);
    broker().send(&topic, 0, lines(&records));
    let scene = from_file(&records, "");
    ok(&scene, &train(&topic, &topic, &format!("-m model --until-end -p kafka:{out} --summary s.json")));
    assert_same("weights", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    assert_same("lines", &scene.text("whole.jsonl"), &values(&out));
    assert_eq!(scene.json("s.json")["examples"], 5000);
    let inspected: serde_json::Value =
        serde_json::from_slice(&ok(&scene, "inspect model --json").stdout).unwrap();
    assert_eq!(inspected["positions"]["sources"][format!("{topic}[0]")]["offset"], 5000);
    // Nothing is left to read, and a start says so by ending at once, with the same model.
    ok(&scene, &train(&topic, &topic, &format!("-m model --until-end -p kafka:{out}")));
    assert_same("weights", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    assert_eq!(broker().committed(&topic, &topic, 1), [5000]);
}

#[test]
fn a_member_that_dies_between_any_two_steps_of_a_commit_counts_every_record_once() {
    let records = flights(3000);
    let scene = from_file(&records, "");
    for step in ["durable", "sent", "offsets", "committed"] {
        let (topic, out) = (fresh(step), fresh("died-out"));
        broker().topic(&topic, 1);
        broker().send(&topic, 0, lines(&records));
        let model = format!("model-{step}");
        let args =
            format!("-m {model} --until-end -p kafka:{out} --checkpoint-every 400 -X group.instance.id=one");
        let line = train(&topic, &topic, &args);
        // At its first commit, at the last one of a second life, and at the first of a third.
        for times in ["1", "2", "1"] {
            let mut command = scene.flexihash(line.split_whitespace());
            let status = command.env("FLEXIHASH_DIE_AT", format!("{step}:{times}")).status().unwrap();
            assert!(status.signal().is_some(), "{step}:{times}: {status}");
        }
        ok(&scene, &line);
        assert_same(step, &learned(&scene.path("whole")), &learned(&scene.path(&model)));
        assert_same(step, &scene.text("whole.jsonl"), &values(&out));
    }
}

#[test]
fn kill_9_again_and_again_leaves_no_trace() {
    let records = flights_with_faults(20_000, 100);
    let (topic, out, dead) = (fresh("kill"), fresh("kill-out"), fresh("kill-dead"));
    broker().topic(&topic, 1);
    let scene = from_file(&records, "--dead-letters dead");
    let args = format!("-m model -p kafka:{out} --dead-letters kafka:{dead} --checkpoint-every 20ms");
    // A static member is known again after a kill; any other would wait for the session of the dead one to end.
    let line = train(&topic, &topic, &format!("{args} -X group.instance.id=one"));
    let (mut dice, mut kills) = (Dice(99), 0);
    std::thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            for part in lines(&records).collect::<Vec<_>>().chunks(100) {
                broker().send(&topic, 0, part.iter().copied());
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        while !feeder.is_finished() || kills < 10 {
            let mut child = scene.flexihash(line.split_whitespace()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(800 + dice.roll(1000)));
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(9));
            kills += 1;
        }
    });
    ok(&scene, &(line + " --until-end"));
    println!("{kills} kills");
    assert_same("weights", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    assert_same("lines", &scene.text("whole.jsonl"), &values(&out));
    assert_eq!(broker().read(&dead).len(), scene.text("dead").lines().count());
}

#[test]
fn a_signal_commits_what_was_read_and_leaves_the_group() {
    let records = flights(2000);
    let (topic, out) = (fresh("term"), fresh("term-out"));
    broker().topic(&topic, 1);
    broker().send(&topic, 0, lines(&records));
    let scene = from_file(&records, "");
    // No commit falls due before the signal's.
    let line = train(&topic, &topic, &format!("-m model -p kafka:{out} --checkpoint-every 1h"));
    let mut child = scene.flexihash(line.split_whitespace()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(values(&out).is_empty());
    let began = Instant::now();
    signal(&child, "TERM");
    let status = wait(&mut child, Duration::from_secs(20));
    println!("left within {:?}", began.elapsed());
    assert!(status.success(), "{}", drain(child.stderr.take().unwrap()));
    assert_same("weights", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    assert_same("lines", &scene.text("whole.jsonl"), &values(&out));
    assert_eq!(broker().committed(&topic, &topic, 1), [2000]);
}

#[test]
fn a_copy_of_a_model_folder_and_its_original_do_not_both_run() {
    let records = flights(500);
    let topic = fresh("copy");
    broker().topic(&topic, 1);
    let scene = Scene::new();
    let line = train(&topic, &topic, "-m model --checkpoint-every 100ms");
    let mut first = scene.flexihash(line.split_whitespace()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    // While nothing happens, so that the copy is whole.
    let mut copy = std::process::Command::new("cp");
    assert!(copy.args(["-r", "model", "copy"]).current_dir(scene.dir.path()).status().unwrap().success());
    // On the same folder: the lock says so at once.
    let again = scene.fails(&line);
    assert!(again.contains("in use by pid"), "{again}");
    // On the copy: the broker fences the first, which then says so.
    let line = train(&topic, &topic, "-m copy --checkpoint-every 100ms");
    let mut second = scene.flexihash(line.split_whitespace()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    for part in records.split_inclusive(|&byte| byte == b'\n').collect::<Vec<_>>().chunks(100) {
        broker().send(&topic, 0, lines(&part.concat()));
        std::thread::sleep(Duration::from_millis(300));
    }
    let status = super::support::wait(&mut first, Duration::from_secs(30));
    let said = drain(first.stderr.take().unwrap());
    assert!(!status.success() && said.contains("another process runs under this id"), "{status}: {said}");
    signal(&second, "TERM");
    assert!(super::support::wait(&mut second, Duration::from_secs(30)).success());
}

#[test]
fn results_sent_at_once_are_there_before_their_generation_and_none_is_missing_after_kill_9() {
    let records = flights_with_faults(2000, 100);
    let (topic, out, dead) = (fresh("once"), fresh("once-out"), fresh("once-dead"));
    broker().topic(&topic, 1);
    broker().send(&topic, 0, lines(&records));
    let scene = from_file(&records, "--dead-letters dead");
    let args = format!("-m model -p kafka:{out} --dead-letters kafka:{dead} --delivery at-least-once");
    let line = train(&topic, &topic, &format!("{args} -X group.instance.id=one"));
    let mut child =
        scene.flexihash((line.clone() + " --checkpoint-every 1h").split_whitespace()).spawn().unwrap();
    let began = Instant::now();
    while lines_of(&out) < 2000 || lines_of(&dead) < 20 {
        assert!(began.elapsed() < Duration::from_secs(30), "{} {}", lines_of(&out), lines_of(&dead));
        std::thread::sleep(Duration::from_millis(100));
    }
    // All is to be seen, and nothing of it was committed.
    assert_eq!(broker().committed(&topic, &topic, 1), [-1]);
    assert!(ModelDir::open(scene.path("model")).unwrap().latest().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    // Dies again between the results of a generation and its transaction.
    let often = line.clone() + " --checkpoint-every 400 --until-end";
    let mut command = scene.flexihash(often.split_whitespace());
    assert!(command.env("FLEXIHASH_DIE_AT", "durable:1").status().unwrap().signal().is_some());
    ok(&scene, &(line + " --until-end"));
    assert_same("weights", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    assert_eq!(broker().committed(&topic, &topic, 1), [2020]);
    let expected = scene.text("whole.jsonl");
    let (mut found, sent) = (Vec::new(), values(&out));
    sent.lines().for_each(|line| {
        if !found.contains(&line) {
            found.push(line)
        }
    });
    assert_same("lines, doubles left out", &expected, &(found.join("\n") + "\n"));
    assert!(sent.lines().count() > 4000, "three lives, of which two came to nothing");
    let mut letters: Vec<_> =
        broker().read(&dead).into_iter().map(|letter| letter.headers["flexihash.offset"].clone()).collect();
    letters.sort();
    letters.dedup();
    assert_eq!(letters.len(), 20);
}

/// Messages that a reader of committed records sees; 0 where there is no such topic yet.
fn lines_of(topic: &str) -> usize {
    if broker().has_topic(topic) { broker().read(topic).len() } else { 0 }
}

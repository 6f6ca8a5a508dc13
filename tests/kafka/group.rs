//! Several members: partitions go from one to another, and every record is learned by one of them.

use super::support::kafka::fresh;
use super::support::*;
use super::{broker, lines, ok, train, values};
use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Prediction lines by id: how often each record was answered.
pub(super) fn answers(topic: &str) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for message in broker().read(topic) {
        *count.entry(message.key.unwrap()).or_default() += 1;
    }
    count
}

fn record(partition: i32, n: usize) -> String {
    format!(
        "{{\"id\":\"{partition}/{n}\",\"label\":{},\"features\":{{\"p\":\"{partition}\",\"n\":\"{}\"}}}}",
        n % 2,
        n % 50
    )
}

pub(super) fn send(topic: &str, range: std::ops::Range<usize>) {
    for partition in 0..4 {
        let lines: Vec<String> = range.clone().map(|n| record(partition, n)).collect();
        broker().send(topic, partition, lines.iter().map(String::as_bytes));
    }
}

pub(super) fn start(scene: &Scene, line: &str, log: &str) -> Child {
    let log = std::fs::File::create(scene.path(log)).unwrap();
    let mut command = scene.flexihash(line.split_whitespace());
    command.env("FLEXIHASH_LOG", "info").stderr(Stdio::from(log)).spawn().unwrap()
}

/// Waits until the group's committed offsets are `expected` everywhere.
fn committed(group: &str, topic: &str, expected: i64) {
    let began = Instant::now();
    while broker().committed(group, topic, 4) != [expected; 4] {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", broker().committed(group, topic, 4));
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(super) fn stop(child: &mut Child, scene: &Scene, log: &str) {
    signal(child, "TERM");
    let status = wait(child, Duration::from_secs(30));
    let said = scene.text(log);
    assert!(status.success() && !said.contains("ERROR"), "{said}");
}

/// Two members, of which the second comes later, leaves and comes again.
fn share(protocol: &str, properties: &str) {
    let (topic, out) = (fresh(protocol), fresh("share-out"));
    broker().topic(&topic, 4);
    let scene = Scene::new();
    let line = |model: &str| {
        let args =
            format!("-m {model} -p kafka:{out} --checkpoint-every 100ms {properties} --summary {model}.json");
        train(&topic, &topic, &args)
    };
    send(&topic, 0..500);
    let mut one = start(&scene, &line("one"), "one.log");
    std::thread::sleep(Duration::from_secs(2));
    let mut two = start(&scene, &line("two"), "two.log");
    for round in 1..10 {
        send(&topic, round * 500..(round + 1) * 500);
        if round == 4 {
            stop(&mut two, &scene, "two.log");
            two = start(&scene, &line("two"), "two2.log");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    committed(&topic, &topic, 5000);
    stop(&mut one, &scene, "one.log");
    stop(&mut two, &scene, "two2.log");
    let answers = answers(&out);
    assert_eq!(answers.len(), 20_000, "{protocol}");
    assert!(answers.values().all(|&times| times == 1), "{protocol}");
    let learned: Vec<u64> =
        ["one.json", "two.json"].iter().map(|name| scene.json(name)["examples"].as_u64().unwrap()).collect();
    assert_eq!(learned.iter().sum::<u64>(), 20_000, "{protocol}: {learned:?}");
    assert!(learned.iter().all(|&examples| examples > 500), "{protocol}: both had partitions: {learned:?}");
}

#[test]
fn members_share_the_records_cooperatively() {
    share("cooperative", "");
}

#[test]
fn members_share_the_records_under_the_eager_protocol() {
    share("eager", "-X partition.assignment.strategy=range");
}

#[test]
fn members_share_the_records_under_the_new_protocol() {
    share("kip848", "-X group.protocol=consumer");
}

#[test]
fn members_of_several_learners_share_the_records() {
    share("learners", "--learners 2");
}

/// The group may still be at work on what it will be given when it has stopped asking.
#[test]
fn a_member_told_to_stop_while_it_joins_ends() {
    let topic = fresh("joining");
    broker().topic(&topic, 4);
    send(&topic, 0..500);
    let scene = Scene::new();
    let line = |model: &str| train(&topic, &topic, &format!("-m {model} --checkpoint-every 100ms"));
    let mut one = start(&scene, &line("one"), "one.log");
    committed(&topic, &topic, 500);
    for milliseconds in [0, 100, 200, 400] {
        signal(&one, "STOP"); // nobody is given anything before it answers
        let mut two = start(&scene, &line("two"), "two.log");
        std::thread::sleep(Duration::from_secs(2));
        signal(&one, "CONT");
        std::thread::sleep(Duration::from_millis(milliseconds));
        stop(&mut two, &scene, "two.log");
    }
    stop(&mut one, &scene, "one.log");
}

/// A member that is soon taken for dead.
fn hasty(topic: &str, args: &str) -> String {
    train(topic, topic, &format!("{args} -X session.timeout.ms=1500 -X heartbeat.interval.ms=300"))
}

#[test]
fn a_member_that_was_thought_dead_goes_back_to_its_last_commit() {
    let (topic, out) = (fresh("lost"), fresh("lost-out"));
    broker().topic(&topic, 4);
    let scene = Scene::new();
    let line = |model: &str, every: &str| {
        hasty(&topic, &format!("-m {model} -p kafka:{out} --checkpoint-every {every} --summary {model}.json"))
    };
    send(&topic, 0..500);
    // It has read everything and committed nothing when it stops breathing.
    let mut one = start(&scene, &line("one", "6s"), "one.log");
    std::thread::sleep(Duration::from_secs(3));
    signal(&one, "STOP");
    let mut two = start(&scene, &line("two", "100ms"), "two.log");
    committed(&topic, &topic, 500);
    signal(&one, "CONT");
    std::thread::sleep(Duration::from_secs(2));
    send(&topic, 500..1000);
    committed(&topic, &topic, 1000);
    assert!(scene.text("one.log").contains("going back to the last commit"), "{}", scene.text("one.log"));
    stop(&mut one, &scene, "one.log");
    stop(&mut two, &scene, "two.log");
    let answers = answers(&out);
    assert_eq!(answers.len(), 4000);
    assert!(answers.values().all(|&times| times == 1));
    let learned = |name: &str| scene.json(name)["examples"].as_u64().unwrap();
    assert_eq!(learned("one.json") + learned("two.json"), 4000);
}

#[test]
fn a_member_that_was_thought_dead_and_told_to_stop_leaves_what_was_committed() {
    let topic = fresh("left");
    broker().topic(&topic, 4);
    let scene = Scene::new();
    let line = |model: &str, every: &str| {
        hasty(&topic, &format!("-m {model} -p {model}.jsonl --checkpoint-every {every}"))
    };
    send(&topic, 0..100);
    let mut one = start(&scene, &line("one", "400"), "one.log");
    committed(&topic, &topic, 100);
    send(&topic, 100..150);
    std::thread::sleep(Duration::from_secs(1));
    signal(&one, "STOP");
    let mut two = start(&scene, &line("two", "100ms"), "two.log");
    committed(&topic, &topic, 150);
    // Whether it hears first that others have its partitions or that it is to stop: it may save what it has learned.
    signal(&one, "TERM");
    signal(&one, "CONT");
    assert!(wait(&mut one, Duration::from_secs(30)).success(), "{}", scene.text("one.log"));
    stop(&mut two, &scene, "two.log");
    let kept = |name: &str| {
        let shown = ok(&scene, &format!("inspect {name} --json")).stdout;
        let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        let lines = scene.text(&format!("{name}.jsonl")).lines().count();
        (shown["summary"]["examples"].as_u64().unwrap(), lines)
    };
    assert_eq!((kept("one"), kept("two")), ((400, 400), (200, 200)));
}

#[test]
fn predict_answers_each_record_once_and_learns_nothing() {
    let records = flights(2000);
    let (topic, out) = (fresh("predict"), fresh("predict-out"));
    broker().topic(&topic, 1);
    broker().send(&topic, 0, lines(&records));
    let scene = Scene::new();
    scene.file("in", &records);
    scene.train("in -q -m m");
    let expected = ok(&scene, "predict -m m in").stdout;
    let before = learned(&scene.path("m"));
    let address = &broker().address;
    let line = format!(
        "predict -m m --kafka {address} --topic {topic} --group {topic} -p kafka:{out} --checkpoint-every 300 \
         -X group.instance.id=one"
    );
    for step in ["durable:2", "sent:2", "offsets:1", "committed:1"] {
        let mut command = scene.flexihash(line.split_whitespace());
        // A transaction of a process that died ends with its timeout.
        command.args(["-X", "transaction.timeout.ms=2000"]);
        assert!(!command.env("FLEXIHASH_DIE_AT", step).status().unwrap().success());
    }
    ok(&scene, &(line + " --until-end"));
    // A record's number depends on which life it was read in; these have ids of their own or none.
    let numbers = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once(',').unwrap().1.to_owned()).collect()
    };
    assert_eq!(numbers(&values(&out)), numbers(&String::from_utf8(expected).unwrap()));
    assert_same("weights", &before, &learned(&scene.path("m")));
    assert_eq!(broker().committed(&topic, &topic, 1), [2000]);
}

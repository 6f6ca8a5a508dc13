//! Brokers that are away and readers that are slow: it takes longer, and nothing is lost or doubled.

use super::support::kafka::{Broker, fresh};
use super::support::*;
use super::{broker, lines, train};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A member of its own group on its own broker, with where its results go.
struct Member {
    name: &'static str,
    out: String,
    child: Child,
}

fn start(scene: &Scene, broker: &Broker, topic: &str, name: &'static str) -> Member {
    let (address, out) = (&broker.address, fresh(name));
    let line = format!(
        "train --kafka {address} --topic {topic} --group {name} -m {name} -p kafka:{out} --delivery {name} -q \
         --buckets 65536 --checkpoint-every 200ms"
    );
    let log = std::fs::File::create(scene.path(&format!("{name}.log"))).unwrap();
    let child = scene.flexihash(line.split_whitespace()).stderr(Stdio::from(log)).spawn().unwrap();
    Member { name, out, child }
}

fn committed(broker: &Broker, topic: &str, members: &mut [Member], expected: i64) {
    let began = Instant::now();
    for member in members {
        while broker.committed(member.name, topic, 1) != [expected] {
            let ended = member.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}: {ended:?}", member.name);
            assert!(began.elapsed() < Duration::from_secs(60), "{}: {expected} not committed", member.name);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_broker_that_is_away_at_the_start_in_the_middle_and_at_the_end_costs_time_only() {
    let (broker, scene, topic) = (Broker::start(), Scene::new(), fresh("away"));
    broker.topic(&topic, 1);
    let records = flights(3000);
    let (first, rest) = records.split_at(lines(&records).take(1500).map(|line| line.len() + 1).sum());
    broker.send(&topic, 0, lines(first));
    scene.file("in", &records);
    scene.train("in -q -m whole -p whole.jsonl");
    broker.kill();
    let mut members = ["exactly-once", "at-least-once"].map(|name| start(&scene, &broker, &topic, name));
    std::thread::sleep(Duration::from_secs(4));
    broker.restart();
    committed(&broker, &topic, &mut members, 1500);
    broker.kill();
    std::thread::sleep(Duration::from_secs(6));
    broker.restart();
    broker.send(&topic, 0, lines(rest));
    committed(&broker, &topic, &mut members, 3000);
    for Member { name, out, .. } in &members {
        assert_same(name, &learned(&scene.path("whole")), &learned(&scene.path(name)));
        let answers: String = broker.read(out).iter().map(|message| message.text() + "\n").collect();
        assert_same(name, &scene.text("whole.jsonl"), &answers);
    }
    // Told to stop while nobody answers: it ends all the same, soon, and says what it could not do.
    broker.kill();
    for Member { child, .. } in &members {
        signal(child, "TERM");
    }
    for Member { name, mut child, .. } in members {
        let status = wait(&mut child, Duration::from_secs(60));
        let said = scene.text(&format!("{name}.log"));
        assert!(status.code() == Some(1) && said.contains("not committed in time"), "{status}: {said}");
    }
}

#[test]
fn a_slow_broker_costs_time_only() {
    let (broker, scene, topic) = (Broker::start(), Scene::new(), fresh("sluggish"));
    broker.topic(&topic, 1);
    let records = flights(20_000);
    scene.file("in", &records);
    scene.train("in -q -m whole -p whole.jsonl");
    broker.send(&topic, 0, lines(&records));
    let mut members = ["exactly-once", "at-least-once"].map(|name| start(&scene, &broker, &topic, name));
    broker.slow(Duration::from_secs(15));
    committed(&broker, &topic, &mut members, 20_000);
    for Member { name, out, mut child } in members {
        signal(&child, "TERM");
        assert!(
            wait(&mut child, Duration::from_secs(60)).success(),
            "{}",
            scene.text(&format!("{name}.log"))
        );
        assert_same(name, &learned(&scene.path("whole")), &learned(&scene.path(name)));
        let answers: String = broker.read(&out).iter().map(|message| message.text() + "\n").collect();
        assert_same(name, &scene.text("whole.jsonl"), &answers);
    }
}

/// Most memory the process ever had, in MiB.
fn peak(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Its standard output is a pipe that nobody reads, for longer than the group waits for a member that does not poll.
#[test]
fn a_member_that_cannot_go_on_pauses_keeps_its_partitions_and_holds_little() {
    const RECORDS: usize = 300_000;
    let topic = fresh("slow");
    broker().topic(&topic, 2);
    let filler = "y".repeat(1000);
    for partition in 0..2 {
        let record = |n| format!("{{\"id\":\"{partition}/{n}\",\"label\":{},\"x\":\"{filler}\"}}", n % 2);
        let records: Vec<String> = (0..RECORDS / 2).map(record).collect();
        broker().send(&topic, partition, records.iter().map(String::as_bytes));
    }
    let scene = Scene::new();
    let limits =
        "-X queued.max.messages.kbytes=16384 -X max.poll.interval.ms=6000 -X session.timeout.ms=6000";
    let line = train(&topic, &topic, &format!("-m m -p - --until-end --summary s.json {limits}"));
    let mut command = scene.flexihash(line.split_whitespace());
    let log = std::fs::File::create(scene.path("log")).unwrap();
    command.env("FLEXIHASH_LOG", "info").stdout(Stdio::piped()).stderr(Stdio::from(log));
    let mut child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(12));
    let held = peak(&child);
    println!("{held} MiB");
    let mut ids: Vec<String> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| line.unwrap().split('"').nth(3).unwrap().to_owned())
        .collect();
    let status = wait(&mut child, Duration::from_secs(60));
    let log = scene.text("log");
    assert!(status.success(), "{log}");
    assert!(held < 120, "{held} MiB held of 300 MiB");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), RECORDS);
    assert_eq!(scene.json("s.json")["examples"], RECORDS);
    assert_eq!(log.matches("assigned").count(), 1, "the group never took its partitions away: {log}");
}

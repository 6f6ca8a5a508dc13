//! Everything dies, again and again: members, the broker, the group's peace. At the end every record was learned exactly
//! once and answered exactly once.
//!
//! **The proof is in the models.** With quantile loss at 0.5, labels out of reach and plain SGD at rate 2, each occurrence of
//! a feature moves its weight by exactly 1. So the weights of all members together must be the counts of the stream, and the
//! constant feature's that of its records: one record lost or doubled anywhere shows.
//!
//! `FLEXIHASH_CHAOS` is the number of faults, 12 by default (two minutes); by hand 100 and more (eight minutes, a third in each
//! test; 200,000 records and more).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]
#![allow(clippy::print_stdout, reason = "a long run says what happened")]

mod support;

use flexihash::checkpoint::ModelDir;
use flexihash::{HashKey, Model};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::kafka::{Broker, Read, fresh, push};
use support::*;

const FEATURES: usize = 499;
/// A broker that comes back after kill -9 takes some seconds; members must not be given up for dead by then.
const TIMEOUTS: &str =
    "-X session.timeout.ms=3000 -X heartbeat.interval.ms=300 -X transaction.timeout.ms=5000";

fn faults() -> usize {
    std::env::var("FLEXIHASH_CHAOS").map_or(12, |text| text.parse().expect("FLEXIHASH_CHAOS: a number"))
}

/// One broker at a time: it is killed, and there are two cores.
static TURN: Mutex<()> = Mutex::new(());

/// What may happen to a member.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// kill -9.
    Kill,
    /// Told to stop, and started again: two rebalances.
    Leave,
    /// Stopped until the group has given it up, then let go on.
    Sleep,
    /// kill -9 of the broker.
    Broker,
}

struct Chaos<'a> {
    broker: &'a Broker,
    scene: &'a Scene,
    lines: Vec<String>,
    members: Vec<Child>,
    starts: usize,
    dice: Dice,
    happened: BTreeMap<String, usize>,
}

impl<'a> Chaos<'a> {
    fn new(broker: &'a Broker, scene: &'a Scene, lines: Vec<String>, seed: u64) -> Self {
        let mut chaos = Self {
            broker,
            scene,
            lines,
            members: Vec::new(),
            starts: 0,
            dice: Dice(seed),
            happened: BTreeMap::new(),
        };
        chaos.members = (0..chaos.lines.len()).map(|n| chaos.start(n)).collect();
        chaos
    }

    fn start(&mut self, member: usize) -> Child {
        self.starts += 1;
        let log = std::fs::File::create(self.scene.path(&format!("log-{member}-{}", self.starts))).unwrap();
        let mut command = self.scene.flexihash(self.lines[member].split_whitespace());
        command.env("FLEXIHASH_LOG", "info").stderr(Stdio::from(log)).spawn().unwrap()
    }

    /// The last words of all members that ever were.
    fn logs(&self) -> String {
        let mut logs: Vec<_> =
            std::fs::read_dir(self.scene.dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        logs.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("log-"));
        logs.sort();
        logs.iter().map(|path| format!("{}:\n{}", path.display(), tail(path))).collect()
    }

    fn alive(&mut self) {
        for n in 0..self.members.len() {
            if let Some(status) = self.members[n].try_wait().unwrap() {
                panic!("member {n} ended by itself, {status}:\n{}", self.logs());
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.alive();
        *self.happened.entry(format!("{fault:?}")).or_default() += 1;
        let member = self.dice.roll(self.members.len() as u64) as usize;
        match fault {
            Fault::Kill => {
                self.members[member].kill().unwrap();
                self.members[member].wait().unwrap();
                self.members[member] = self.start(member);
            }
            Fault::Leave => {
                self.leave(member);
                self.members[member] = self.start(member);
            }
            Fault::Sleep => {
                signal(&self.members[member], "STOP");
                std::thread::sleep(Duration::from_millis(4500));
                signal(&self.members[member], "CONT");
            }
            Fault::Broker => {
                self.broker.kill();
                std::thread::sleep(Duration::from_millis(self.dice.roll(2000)));
                self.broker.restart();
            }
        }
        std::thread::sleep(Duration::from_millis(300 + self.dice.roll(1700)));
    }

    fn leave(&mut self, member: usize) {
        signal(&self.members[member], "TERM");
        let status = wait(&mut self.members[member], Duration::from_secs(60));
        assert!(status.success(), "member {member}, told to stop: {status}\n{}", self.logs());
    }

    /// Waits until all was committed, then lets everybody go.
    fn end(&mut self, topic: &str, ends: &[i64]) {
        let began = Instant::now();
        loop {
            self.alive();
            let committed = self.broker.committed(topic, topic, ends.len() as i32);
            if committed == ends {
                break;
            }
            let waited = began.elapsed() < Duration::from_secs(120);
            assert!(waited, "committed {committed:?} of {ends:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
        for member in 0..self.members.len() {
            self.leave(member);
        }
        println!("{:?}, {} starts", self.happened, self.starts);
    }
}

impl Drop for Chaos<'_> {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
        }
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n") + "\n"
}

/// A run that fails leaves what the broker and the members have on disk in the folder `FLEXIHASH_KEEP`, if that is set.
struct Keep<'a>(&'a Broker, &'a Scene);

impl Drop for Keep<'_> {
    fn drop(&mut self) {
        let Some(to) = std::env::var_os("FLEXIHASH_KEEP").filter(|_| std::thread::panicking()) else {
            return;
        };
        for from in [self.0.folder(), self.1.dir.path()] {
            let _ = std::process::Command::new("cp").arg("-r").arg(from).arg(&to).status();
        }
    }
}

/// Ends the feeding, also where a test fails: a scope waits for its threads.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends records of all partitions until `stop` is set and there are enough. Returns how many each partition has.
fn feed(
    broker: &Broker,
    topic: &str,
    partitions: i32,
    record: impl Fn(i32, usize) -> String,
    stop: &AtomicBool,
) -> usize {
    // A long run has 200,000 records at least.
    let least = if faults() < 100 { 20_000 } else { 200_000 } / partitions as usize;
    let producer = broker.producer();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) || sent < least {
        for _ in 0..50 {
            for partition in 0..partitions {
                let line = record(partition, sent);
                push(&producer, BaseRecord::to(topic).partition(partition).payload(line.as_bytes()));
            }
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    sent
}

fn feature(partition: i32, n: usize) -> usize {
    (n * 7 + partition as usize * 31) % FEATURES
}

/// Sum over the models of the weight that a feature has beyond the constant one's, and of the constant one's.
fn weights(folders: &[std::path::PathBuf]) -> (Vec<f64>, f64) {
    let (mut sums, mut constant) = (vec![0.0; FEATURES], 0.0);
    for folder in folders {
        let mut generation = ModelDir::open(folder).unwrap().latest().unwrap().unwrap();
        let mut model = Model::load(&mut generation, &HashKey::default()).unwrap();
        let base = f64::from(model.predict_json(b"{\"features\":{}}").unwrap().predictions[0]);
        constant += base;
        for (n, sum) in sums.iter_mut().enumerate() {
            let record = format!("{{\"features\":{{\"f\":\"{n}\"}}}}");
            *sum += f64::from(model.predict_json(record.as_bytes()).unwrap().predictions[0]) - base;
        }
    }
    (sums, constant)
}

#[test]
fn two_members_learn_every_record_once_whatever_dies() {
    two_members("", 20_261_122);
}

#[test]
fn two_members_of_the_eager_protocol_learn_every_record_once_whatever_dies() {
    two_members("-X partition.assignment.strategy=range", 20_261_123);
}

fn two_members(protocol: &str, seed: u64) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    const PARTITIONS: i32 = 4;
    let (broker, scene) = (Broker::start(), Scene::new());
    let _keep = Keep(&broker, &scene);
    let (topic, out) = (fresh("chaos"), fresh("chaos-out"));
    broker.topic(&topic, PARTITIONS);
    let folders = ["a", "b"].map(|name| scene.path(name));
    let line = |folder: &Path| {
        format!(
            "train --kafka {} --topic {topic} --group {topic} -m {} -p kafka:{out} -q --checkpoint-every 200ms \
             --loss quantile --optimizer sgd --learning-rate 2 --buckets 4194304 {TIMEOUTS} {protocol}",
            broker.address,
            folder.display()
        )
    };
    let lines = folders.iter().map(|folder| line(folder)).collect();
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let record = |partition: i32, n: usize| {
                let f = feature(partition, n);
                let id = format!("{partition}/{n}");
                format!("{{\"id\":\"{id}\",\"label\":1e9,\"features\":{{\"f\":\"{f}\"}}}}")
            };
            feed(&broker, &topic, PARTITIONS, record, &stop)
        });
        let ending = Stop(&stop);
        let mut chaos = Chaos::new(&broker, &scene, lines, seed);
        std::thread::sleep(Duration::from_secs(3));
        for n in 0..faults().div_ceil(3) {
            let any = [Fault::Kill, Fault::Leave, Fault::Kill, Fault::Sleep, Fault::Broker];
            // Each kind at least once, then at random.
            let pick = if n < 4 { [0, 1, 3, 4][n] } else { chaos.dice.roll(5) as usize };
            chaos.fault(any[pick]);
        }
        drop(ending);
        let sent = feeder.join().unwrap();
        chaos.end(&topic, &[sent as i64; PARTITIONS as usize]);
        sent
    });
    let mut expected = vec![0.0; FEATURES];
    for partition in 0..PARTITIONS {
        (0..sent).for_each(|n| expected[feature(partition, n)] += 1.0);
    }
    let (found, constant) = weights(&folders);
    assert_eq!(constant, (sent * PARTITIONS as usize) as f64, "records learned, of those sent");
    assert_eq!(found, expected, "occurrences learned, by feature");
    let mut answers = BTreeMap::new();
    let all = broker.read(&out);
    let standing = standing(&broker, &out, &all, PARTITIONS);
    for (index, message) in all.into_iter().enumerate() {
        let id = message.key.unwrap();
        assert!(
            id.starts_with(&format!("{}/", message.partition)),
            "{id} in partition {}",
            message.partition
        );
        assert_eq!(answers.insert(id.clone(), index), None, "{id} was answered twice");
    }
    assert_eq!(answers.len(), sent * PARTITIONS as usize, "answers, of those sent\n{standing}");
    println!("{protocol} {} records, each learned and answered once", answers.len());
}

/// What was read of each partition, and up to where its transactions are decided: an answer that is missing was never
/// committed, or stands behind one that is not.
fn standing(broker: &Broker, topic: &str, all: &[Read], partitions: i32) -> String {
    let line = |partition: i32| {
        let found = all.iter().filter(|message| message.partition == partition);
        let (count, last) = found.fold((0, -1), |(count, _), message| (count + 1, message.offset));
        let end = |level: &str| {
            let reader: BaseConsumer = broker.client().set("isolation.level", level).create().unwrap();
            reader.fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap().1
        };
        let (decided, end) = (end("read_committed"), end("read_uncommitted"));
        format!("{topic}[{partition}]: {count} read, the last at {last}; decided to {decided} of {end}\n")
    };
    (0..partitions).map(line).collect()
}

#[test]
fn a_member_alone_ends_with_the_bits_of_a_run_that_nothing_ever_happened_to() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (broker, scene) = (&Broker::start(), Scene::new());
    let _keep = Keep(broker, &scene);
    let (topic, out) = (fresh("alone"), fresh("alone-out"));
    broker.topic(&topic, 1);
    let records = flights(100_000);
    let all: Vec<&str> = std::str::from_utf8(&records).unwrap().lines().collect();
    let line = format!(
        "train --kafka {} --topic {topic} --group {topic} -m model -p kafka:{out} -q --checkpoint-every 100ms \
         --buckets 65536 {TIMEOUTS}",
        broker.address
    );
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let record = |_, n: usize| all[n % all.len()].to_owned();
        let (topic, stop) = (&topic, &stop);
        let feeder = scope.spawn(move || feed(broker, topic, 1, record, stop));
        let ending = Stop(stop);
        let mut chaos = Chaos::new(broker, &scene, vec![line], 7);
        std::thread::sleep(Duration::from_secs(2));
        for n in 0..faults().div_ceil(3) {
            let any = [Fault::Kill, Fault::Broker, Fault::Sleep, Fault::Leave];
            let pick = if n < 4 { n } else { chaos.dice.roll(4) as usize };
            chaos.fault(any[pick]);
        }
        drop(ending);
        let sent = feeder.join().unwrap();
        chaos.end(topic, &[sent as i64]);
        sent
    });
    scene.file("in", all.iter().cycle().take(sent).copied().collect::<Vec<_>>().join("\n"));
    scene.train("in -q -m whole -p whole.jsonl");
    assert_same("weights", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    let values: String = broker.read(&out).iter().map(|message| message.text() + "\n").collect();
    assert_same("lines", &scene.text("whole.jsonl"), &values);
    println!("{sent} records, bit for bit");
}

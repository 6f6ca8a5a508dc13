//! Question: how fast is training from a topic, beside a bare rdkafka `BaseConsumer` that throws its messages away; how old is a
//! record when the weights have it; how soon does a large model go on? Data: records of 200 bytes with ten features in one
//! partition of a real broker on this machine (`fixtures/kafka`); for the restart a table of 1 GiB of which every row is used.
//! Asserted: every record was learned, once. Printed: medians of five rounds in turn; latency at half that rate.
//!
//! The client's settings are the same for both. A rate counts from the first record that comes to the last, so that
//! joining a group is not in it; it is with the restart.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a bench")]
#![allow(clippy::disallowed_methods, reason = "what a bench writes need not be durable")]

mod endless;
#[path = "../tests/support/mod.rs"]
mod support;

use endless::{Endless, size};
use flexihash::checkpoint::Writer;
use flexihash::config::Every;
use flexihash::engine::{EngineOptions, Observer, Outputs, Status};
use flexihash::sink::{KafkaCommits, KafkaOutputs};
use flexihash::source::{KafkaOptions, KafkaSource};
use flexihash::{Engine, HashKey, Model, ModelFlags};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::kafka::{Broker, fresh, push};
use support::{Scene, signal};

const ROUNDS: usize = 5;

/// Record `n`, 200 bytes.
fn record(n: u64) -> String {
    let dice = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let of = |shift: u32, many: u64| (dice >> shift) % many;
    let text = format!(
        "{{\"label\":{},\"features\":{{\"user\":\"u{}\",\"item\":\"i{}\",\"site\":\"s{}\",\"country\":\"c{}\",\"device\":\"d{}\",\
         \"ad\":\"a{}\",\"hour\":{},\"price\":{}.{},\"age\":{},\"ref\":\"",
        of(61, 2),
        of(3, 100_000),
        of(9, 20_000),
        of(17, 500),
        of(23, 60),
        of(29, 5),
        of(31, 3000),
        of(37, 24),
        of(41, 90),
        of(43, 10),
        18 + of(47, 60)
    );
    let room = 200 - text.len() - 3;
    format!("{text}{:0room$}\"}}}}", of(51, 50))
}

/// What both readers say to the client.
const CLIENT: [(&str, &str); 4] = [
    ("fetch.queue.backoff.ms", "10"),
    ("queued.min.messages", "1000000"),
    ("fetch.message.max.bytes", "10485760"),
    ("isolation.level", "read_committed"),
];

/// Seconds that the processors have worked for this process.
fn work() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Records a second of a client that throws them away.
fn bare(broker: &Broker, topic: &str, records: u64) -> f64 {
    let mut config = broker.client();
    CLIENT.iter().for_each(|(name, value)| _ = config.set(*name, *value));
    let consumer: BaseConsumer = config.set("group.id", "bare").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let (mut seen, mut first) = (0, None);
    while seen < records {
        if let Some(message) = consumer.poll(Duration::from_secs(10)) {
            message.unwrap();
            seen += 1;
            first.get_or_insert_with(Instant::now);
        }
    }
    records as f64 / first.unwrap().elapsed().as_secs_f64()
}

/// Sees when records are learned.
#[derive(Default)]
struct Watch {
    /// When and how many the first were.
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
    /// When each was sent, in nanoseconds since `began`.
    sent: Option<(Arc<Vec<AtomicU64>>, Instant)>,
    /// Seconds from there to the weights.
    ages: Vec<f64>,
    stop: Option<(u64, Arc<AtomicBool>)>,
}

impl Observer for Watch {
    fn observe(&mut self, status: &Status<'_>) {
        let (now, learned) = (Instant::now(), status.run_examples);
        let before = self.last.map_or(0, |(_, learned)| learned);
        if learned == before {
            return;
        }
        self.first.get_or_insert((now, learned));
        self.last = Some((now, learned));
        if let Some((sent, began)) = &self.sent {
            let now = (now - *began).as_nanos() as u64;
            let sent = &sent[before as usize..learned as usize];
            let ages = sent.iter().map(|sent| now.saturating_sub(sent.load(Ordering::Acquire)) as f64 * 1e-9);
            self.ages.extend(ages);
        }
        if let Some((enough, stop)) = &self.stop
            && learned >= *enough
        {
            stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Trains a fresh model on `topic`, as `flexihash train --kafka` does.
fn train(broker: &Broker, topic: &str, predictions: bool, until_end: bool, watch: &mut Watch) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let group = fresh("bench");
    let stop = watch.stop.as_ref().map_or_else(Arc::default, |(_, stop)| Arc::clone(stop));
    let mut options = KafkaOptions::new(&broker.address, &[topic], &group);
    options.until_end = until_end;
    let outputs =
        KafkaOutputs { predictions: predictions.then(|| format!("{group}-out")), ..KafkaOutputs::default() };
    let store = Writer::create_or_open(folder.path().join("m"), 2).unwrap();
    let (id, _) = store.member_id().unwrap();
    let (mut commits, _) = KafkaCommits::open(&options, &outputs, Some(&id), &stop).unwrap();
    commits.claim(0).unwrap();
    let source = KafkaSource::open(options, &stop).unwrap();
    let outputs =
        Outputs { publisher: Some(Box::new(commits.publisher(&source).unwrap())), ..Outputs::default() };
    let every = vec![Every::Time(Duration::from_secs(1))];
    let engine = EngineOptions { checkpoint_every: every, ..EngineOptions::default() };
    let model = Model::new(&ModelFlags::default(), &HashKey::default()).unwrap();
    let engine = Engine::new(model, engine, outputs, Some(store));
    let finished = engine.run(Box::new(source), &stop, watch).unwrap();
    finished.summary.examples
}

fn trained(broker: &Broker, topic: &str, records: u64, predictions: bool) -> f64 {
    let mut watch = Watch::default();
    assert_eq!(train(broker, topic, predictions, true, &mut watch), records);
    let ((from, first), (to, last)) = (watch.first.unwrap(), watch.last.unwrap());
    (last - first) as f64 / (to - from).as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the rate of training.
fn rates(broker: &Broker) -> f64 {
    let records = size("KAFKA_RECORDS", 3000, 1_000_000);
    let topic = fresh("rate");
    broker.topic(&topic, 1);
    let producer = broker.producer();
    for n in 0..records {
        push(&producer, BaseRecord::to(&topic).partition(0).payload(record(n).as_bytes()));
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    let (mut bares, mut plain, mut answering) = (Vec::new(), Vec::new(), Vec::new());
    let (mut worked, mut each) = (work(), [0.0; 3]);
    let mut add = |to: usize| {
        let now = work();
        each[to] += (now - std::mem::replace(&mut worked, now)) / (ROUNDS as u64 * records) as f64 * 1e6;
    };
    for _ in 0..ROUNDS {
        bares.push(bare(broker, &topic, records));
        add(0);
        plain.push(trained(broker, &topic, records, false));
        add(1);
        answering.push(trained(broker, &topic, records, true));
        add(2);
    }
    println!("processor time a record, without the broker's: {each:.2?} µs");
    let ratio = median(plain.iter().zip(&bares).map(|(train, bare)| train / bare).collect());
    println!("bare consumer {bares:.0?}\ntraining {plain:.0?}\nwith predictions {answering:.0?}");
    let (bare, plain, answering) = (median(bares), median(plain), median(answering));
    println!(
        "rate, records/s: bare consumer {bare:.0}, training {plain:.0} ({:.0} %), with predictions to a topic {answering:.0}",
        ratio * 100.0
    );
    plain
}

/// From the call that hands a record to a producer to the weights that it has changed, at `rate`; returns the rate at which
/// records were learned. The producer is on the same machine and has its share of it.
fn latency(broker: &Broker, rate: f64, records: u64) -> f64 {
    let topic = fresh("latency");
    broker.topic(&topic, 1);
    let (began, stop) = (Instant::now(), Arc::default());
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..records).map(|_| AtomicU64::new(0)).collect());
    let mut watch = Watch {
        sent: Some((Arc::clone(&sent), began)),
        stop: Some((records, Arc::clone(&stop))),
        ..Watch::default()
    };
    let learned = std::thread::scope(|scope| {
        let topic = &topic;
        scope.spawn(move || {
            let mut config = broker.client();
            config.set("linger.ms", "1").set("queue.buffering.max.messages", "1000000");
            let producer = config.create().unwrap();
            std::thread::sleep(Duration::from_secs(3)); // until the member has joined
            let start = Instant::now();
            for n in 0..records {
                let due = start + Duration::from_secs_f64(n as f64 / rate);
                if let Some(early) = due.checked_duration_since(Instant::now())
                    && early > Duration::from_millis(1)
                {
                    std::thread::sleep(early);
                }
                sent[n as usize].store(began.elapsed().as_nanos() as u64, Ordering::Release);
                push(&producer, BaseRecord::to(topic).partition(0).payload(record(n).as_bytes()));
            }
            producer.flush(Duration::from_secs(60)).unwrap();
        });
        train(broker, topic, false, false, &mut watch)
    });
    assert_eq!((learned, watch.ages.len() as u64), (records, records));
    let mut ages = watch.ages.split_off(records as usize / 10); // when everything is warm
    ages.sort_by(f64::total_cmp);
    let at = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize] * 1e3;
    let ((from, first), (to, last)) = (watch.first.unwrap(), watch.last.unwrap());
    let carried = (last - first) as f64 / (to - from).as_secs_f64();
    println!(
        "latency at {rate:.0} records/s sent, {carried:.0} learned: median {:.1} ms, 99 % {:.1} ms, 99.9 % {:.1} ms, longest {:.1} ms",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    carried
}

/// From the start of the process to the first record's prediction, which is written when it is learned.
fn restart(broker: &Broker) {
    const KEYS: u64 = 50;
    let buckets = size("KAFKA_BUCKETS", 1 << 12, 1 << 24);
    let (scene, topic) = (Scene::new(), fresh("restart"));
    let flags = ModelFlags { buckets: Some(buckets as u32), ..ModelFlags::default() };
    let model = Model::new(&flags, &HashKey::default()).unwrap();
    let store = Writer::create_or_open(scene.path("m"), 2).unwrap();
    let engine = Engine::new(model, EngineOptions::default(), Outputs::default(), Some(store));
    // So many new keys that few rows are left.
    let fill = Box::new(Endless::new(3 * buckets / KEYS, KEYS));
    let stored = engine.run(fill, &AtomicBool::new(false), &mut ()).unwrap();
    drop(stored);
    broker.topic(&topic, 1);
    let line = |resume: &str| {
        format!("train --kafka {} --topic {topic} --group {topic} -m m -p - -q {resume}", broker.address)
    };
    scene.ok(&(line("--resume") + " --until-end"));
    let mut times = Vec::new();
    for n in 0..ROUNDS as u64 {
        broker.send(&topic, 0, [record(n).as_bytes()]);
        let began = Instant::now();
        let mut command = scene.flexihash(line("").split_whitespace());
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        times.push(began.elapsed().as_secs_f64());
        assert!(answer.contains("\"prediction\":"), "{answer}");
        signal(&child, "TERM");
        assert!(child.wait().unwrap().success());
    }
    let bytes: u64 =
        std::fs::read_dir(scene.path("m")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    println!("{times:.2?}");
    println!("restart to the first record, {} MiB on disk: {:.2} s", bytes >> 20, median(times));
}

fn main() {
    // By name, as with the other benches: rate, latency, restart.
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let wanted = |part: &str| names.is_empty() || names.iter().any(|name| part.contains(name.as_str()));
    let broker = Broker::start();
    let rate = if wanted("rate") { rates(&broker) } else { 800_000.0 };
    if wanted("latency") {
        // What is carried with the producer beside it is less; half of that is half load.
        let carried = latency(&broker, rate, size("KAFKA_RECORDS", 3000, 2_000_000));
        for rate in [rate / 2.0, carried / 2.0] {
            latency(&broker, rate, size("KAFKA_LATENCY_RECORDS", 3000, (rate * 8.0) as u64));
        }
    }
    if wanted("restart") {
        restart(&broker);
    }
}

//! What a message means: keys, tombstones, poison, transactions of those who wrote it.

use super::support::kafka::{fresh, push};
use super::support::*;
use super::{broker, ok, train, values};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

const CALL: Duration = Duration::from_secs(20);

#[test]
fn the_key_is_the_id_of_a_record_without_one_and_a_tombstone_is_nothing() {
    let (topic, out, dead) = (fresh("keys"), fresh("keys-out"), fresh("keys-dead"));
    broker().topic(&topic, 2);
    let producer = broker().producer();
    let send = |key: Option<&[u8]>, value: Option<&[u8]>| {
        let mut record = BaseRecord::<[u8], [u8]>::to(&topic).partition(1);
        (record.key, record.payload) = (key, value);
        push(&producer, record);
    };
    send(Some(b"k\"1"), Some(b"{\"features\":{\"a\":1}}"));
    send(Some(b"k2"), Some(b"{\"id\":7,\"features\":{\"a\":1}}"));
    send(Some(b"k3"), None);
    send(Some(b"\xff\x00"), Some(b"{}"));
    send(None, Some(b"{}"));
    send(Some(b"bad"), Some(b"{\"label\":"));
    send(None, Some(b""));
    producer.flush(CALL).unwrap();
    let scene = Scene::new();
    ok(
        &scene,
        &train(&topic, &topic, &format!("-m m --until-end -p kafka:{out} --dead-letters kafka:{dead}")),
    );
    let found = broker().read(&out);
    let keys: Vec<_> =
        found.iter().map(|message| (message.partition, message.key.as_deref().unwrap())).collect();
    assert_eq!(keys, [(1, "k\"1"), (1, "7"), (1, "ff00"), (1, "3")]);
    assert!(found[0].text().starts_with("{\"id\":\"k\\\"1\",\"prediction\":"), "{}", found[0].text());
    assert!(found[3].text().starts_with("{\"id\":3,"), "{}", found[3].text());
    let letters = broker().read(&dead);
    assert_eq!(letters.len(), 2);
    assert_eq!((letters[0].key.as_deref(), &letters[0].value[..]), (Some("bad"), &b"{\"label\":"[..]));
    let header = |name: &str| letters[0].headers.get(&format!("flexihash.{name}")).map(String::as_str);
    assert_eq!(
        (header("topic"), header("partition"), header("offset")),
        (Some(&*topic), Some("1"), Some("5"))
    );
    assert!(header("reason").unwrap().contains("byte 9"), "{:?}", header("reason"));
    assert_eq!(header("truncated"), None);
    // The tombstone and the bad ones count as read.
    assert_eq!(broker().committed(&topic, &topic, 2), [0, 7]);
}

#[test]
fn a_long_record_is_learned_and_one_over_the_limit_goes_to_the_dead_letters_marked() {
    let (topic, dead) = (fresh("long"), fresh("long-dead"));
    broker().topic(&topic, 1);
    let long = format!("{{\"label\":1,\"x\":\"{}\"}}", "y".repeat(10 << 20));
    let longer = format!("{{\"label\":1,\"x\":\"{}\"}}", "y".repeat(12 << 20));
    let bad = format!("{{\"label\":nope,\"x\":\"{}\"}}", "y".repeat(2 << 20));
    broker().send(&topic, 0, [long.as_bytes(), longer.as_bytes(), bad.as_bytes(), b"{\"label\":0}"]);
    let scene = Scene::new();
    let args =
        format!("-m m --until-end --dead-letters kafka:{dead} --record-limit 11000000 --summary s.json");
    ok(&scene, &train(&topic, &topic, &args));
    let summary = scene.json("s.json");
    assert_eq!((summary["examples"].as_u64(), summary["skipped"].as_u64()), (Some(2), Some(2)));
    let letters = broker().read(&dead);
    let cut = |n: usize| letters[n].headers["flexihash.truncated"].parse::<usize>().unwrap();
    assert_eq!((cut(0), cut(1)), (longer.len(), bad.len()));
    assert!(letters[0].headers["flexihash.reason"].contains("within the limit"));
    assert!(
        longer.as_bytes().starts_with(&letters[0].value) && bad.as_bytes().starts_with(&letters[1].value)
    );
    assert!(letters[1].value.len() >= 800_000, "as much as every broker takes");
}

#[test]
fn what_a_writer_took_back_is_not_learned_and_its_marks_do_not_hold_up_the_end() {
    let topic = fresh("aborted");
    broker().topic(&topic, 1);
    let mut config = broker().client();
    config.set("transactional.id", &topic);
    let producer: ThreadedProducer<_> = config.create().unwrap();
    producer.init_transactions(CALL).unwrap();
    for (n, commit) in [(0, true), (1, false), (2, true), (3, false)] {
        producer.begin_transaction().unwrap();
        for i in 0..10 {
            let value = format!("{{\"id\":\"{n}.{i}\",\"label\":1,\"features\":{{\"a\":1}}}}");
            push(&producer, BaseRecord::to(&topic).partition(0).payload(value.as_bytes()));
        }
        producer.flush(CALL).unwrap();
        if commit {
            producer.commit_transaction(CALL).unwrap()
        } else {
            producer.abort_transaction(CALL).unwrap()
        }
    }
    let (scene, out) = (Scene::new(), fresh("aborted-out"));
    ok(&scene, &train(&topic, &topic, &format!("-m m --until-end -p kafka:{out}")));
    let ids: Vec<String> = broker().read(&out).into_iter().map(|message| message.key.unwrap()).collect();
    let expected: Vec<String> =
        ["0", "2"].iter().flat_map(|n| (0..10).map(move |i| format!("{n}.{i}"))).collect();
    assert_eq!(ids, expected);
}

#[test]
fn headers_are_features_where_that_is_asked_for_and_stay_so() {
    let topic = fresh("headers");
    broker().topic(&topic, 1);
    let producer = broker().producer();
    let send = |n: usize, name: &str, value: &[u8]| {
        let headers = OwnedHeaders::new().insert(Header { key: name, value: Some(value) });
        let headers = headers.insert(Header { key: "none", value: None::<&[u8]> });
        let record = format!("{{\"label\":{},\"features\":{{\"n\":{}}}}}", n % 2, n % 5);
        push(&producer, BaseRecord::to(&topic).partition(0).headers(headers).payload(record.as_bytes()));
    };
    let (scene, mut whole) = (Scene::new(), String::new());
    for n in 0..400 {
        send(n, "shop", format!("s{}", n % 7).as_bytes());
        let features = format!("\"n\":{},\"from\":{{\"shop\":\"s{}\"}}", n % 5, n % 7);
        writeln!(whole, "{{\"label\":{},\"features\":{{{features}}}}}", n % 2).unwrap();
    }
    producer.flush(CALL).unwrap();
    scene.file("in", whole);
    scene.train("in -q -m whole");
    let line = |args: &str| train(&topic, &topic, &format!("-m m --until-end {args}"));
    ok(&scene, &line("--headers-as from"));
    assert_same("weights", &learned(&scene.path("whole")), &learned(&scene.path("m")));
    let said = scene.fails(&line("--headers-as others"));
    assert!(said.contains("--headers-as: this model was made with \"from\""), "{said}");
    // The model remembers: said or not, they stay features.
    (0..400).for_each(|n| send(n, "shop", format!("s{}", n % 7).as_bytes()));
    producer.flush(CALL).unwrap();
    ok(&scene, &line(""));
    scene.file("in2", scene.text("in"));
    scene.train("in in2 -q -m twice");
    assert_same("weights", &learned(&scene.path("twice")), &learned(&scene.path("m")));
}

#[test]
fn several_topics_are_read_and_a_reader_of_another_make_sees_the_predictions() {
    let (one, two, out) = (fresh("one"), fresh("two"), fresh("both-out"));
    for topic in [&one, &two] {
        broker().topic(topic, 2);
        for partition in 0..2 {
            let lines: Vec<String> = (0..50)
                .map(|i| {
                    format!("{{\"id\":\"{topic}/{partition}/{i}\",\"label\":1,\"features\":{{\"a\":1}}}}")
                })
                .collect();
            broker().send(topic, partition, lines.iter().map(String::as_bytes));
        }
    }
    let scene = Scene::new();
    ok(&scene, &train(&one, &one, &format!("--topic {two} -m m --until-end -p kafka:{out}")));
    // Kafka's own console consumer: Java, not librdkafka.
    let cache =
        std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| std::env::var("HOME").unwrap() + "/.cache");
    let output = Command::new("java")
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &format!("{cache}/flexihash/kafka-4.3.1/*")])
        .arg("org.apache.kafka.tools.consumer.ConsoleConsumer")
        .args(["--bootstrap-server", &broker().address, "--topic", &out, "--from-beginning"])
        .args(["--isolation-level", "read_committed", "--timeout-ms", "5000"])
        .args(["--formatter-property", "print.partition=true", "--formatter-property", "print.key=true"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.lines().filter(|line| line.contains("\"prediction\":")).count(),
        200,
        "{}",
        stderr_of(&output.stderr)
    );
    for line in text.lines().filter(|line| line.starts_with("Partition:")) {
        let fields: Vec<&str> = line.split('\t').collect();
        let partition = fields[0].strip_prefix("Partition:").unwrap();
        assert!(fields[1].contains(&format!("/{partition}/")), "{line}");
    }
    assert_eq!(values(&out).lines().count(), 200);
}

fn stderr_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

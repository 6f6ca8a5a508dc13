//! What is missing: topics, offsets, records, brokers.

use super::support::kafka::{fresh, wait};
use super::support::*;
use super::{broker, lines, ok, train};
use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::process::Stdio;
use std::time::Duration;

fn examples(scene: &Scene) -> u64 {
    scene.json("s.json")["examples"].as_u64().unwrap()
}

fn delete_records(topic: &str, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(before)).unwrap();
    wait(broker().admin().delete_records(&list, &AdminOptions::new())).unwrap();
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let (topic, out) = (fresh("start"), fresh("narrow"));
    broker().topic(&topic, 3);
    broker().topic(&out, 2);
    let scene = Scene::new();
    let fails = |line: &str, expected: &str| {
        let said = scene.fails(line);
        assert!(said.contains(expected), "{line}: {said}");
    };
    fails(&train("no-such-topic", "g", "-m m"), "topic \"no-such-topic\" does not exist");
    fails(&train(&topic, "g", &format!("-m m -p kafka:{out}")), "has 2 partitions and the input");
    fails(&train(&topic, "g", ""), "needs --model");
    fails(&train(&topic, "g", "-m m -X no.such.property=1"), "no.such.property");
    fails(&train(&topic, "g", "-m m in.jsonl"), "reads topics, not files");
    let away = "train --kafka 127.0.0.1:1 --topic t --group g -m m2 --kafka-wait 1s";
    fails(away, "kafka 127.0.0.1:1: ");
}

#[test]
fn deleted_records_stop_the_run_unless_told_otherwise() {
    let topic = fresh("deleted");
    broker().topic(&topic, 1);
    let records = flights(300);
    broker().send(&topic, 0, lines(&records));
    let scene = Scene::new();
    ok(&scene, &train(&topic, &topic, "-m m --until-end --summary s.json"));
    broker().send(&topic, 0, lines(&records));
    delete_records(&topic, 400);
    let said = scene.fails(&train(&topic, &topic, "-m m --until-end"));
    assert!(said.contains("records 300 to 399 were deleted before they were read"), "{said}");
    ok(&scene, &train(&topic, &topic, "-m m --until-end --on-gap earliest --summary s.json"));
    assert_eq!(examples(&scene), 300 + 200);
    assert_eq!(broker().committed(&topic, &topic, 1), [600]);
}

#[test]
fn a_topic_made_anew_stops_the_run_unless_told_otherwise() {
    let topic = fresh("anew");
    broker().topic(&topic, 1);
    let records = flights(300);
    broker().send(&topic, 0, lines(&records));
    let scene = Scene::new();
    ok(&scene, &train(&topic, &topic, "-m m --until-end --summary s.json"));
    wait(broker().admin().delete_topics(&[&topic], &AdminOptions::new())).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    broker().topic(&topic, 1);
    broker().send(&topic, 0, lines(&flights(100)));
    // Whether the group's offset went with the topic is the broker's affair: the model knows its own.
    let said = scene.fails(&train(&topic, &topic, "-m m --until-end"));
    assert!(said.contains("stands at 300, but the partition ends at 100"), "{said}");
    ok(&scene, &train(&topic, &topic, "-m m --until-end --on-gap earliest --summary s.json"));
    assert_eq!(examples(&scene), 300 + 100);
}

#[test]
fn expired_offsets_of_the_group_are_replaced_by_the_models_own() {
    let topic = fresh("expired");
    broker().topic(&topic, 1);
    let records = flights(200);
    broker().send(&topic, 0, lines(&records));
    let scene = Scene::new();
    ok(&scene, &train(&topic, &topic, "-m m --until-end"));
    wait(broker().admin().delete_groups(&[&topic], &AdminOptions::new())).unwrap();
    assert_eq!(broker().committed(&topic, &topic, 1), [-1]);
    broker().send(&topic, 0, lines(&records));
    let output = ok(&scene, &train(&topic, &topic, "-m m --until-end --summary s.json"));
    assert!(stderr(&output).contains("goes on at the model's own, 200"), "{}", stderr(&output));
    assert_eq!(examples(&scene), 400);
}

#[test]
fn a_new_partition_is_taken_up_from_its_beginning() {
    let topic = fresh("grown");
    broker().topic(&topic, 1);
    let records = flights(100);
    broker().send(&topic, 0, lines(&records));
    let scene = Scene::new();
    let latest = "-m m -X auto.offset.reset=latest --summary s.json";
    ok(&scene, &train(&topic, &topic, &format!("{latest} --until-end")));
    assert_eq!(examples(&scene), 0, "latest: what was there before is not read");
    broker().send(&topic, 0, lines(&records));
    let line = train(&topic, &topic, &format!("{latest} -X topic.metadata.refresh.interval.ms=500"));
    let mut child = scene.flexihash(line.split_whitespace()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let more = [NewPartitions::new(&topic, 2)];
    wait(broker().admin().create_partitions(&more, &AdminOptions::new())).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    broker().send(&topic, 1, lines(&records));
    std::thread::sleep(Duration::from_secs(4));
    signal(&child, "TERM");
    let status = super::support::wait(&mut child, Duration::from_secs(20));
    assert!(status.success(), "{}", drain(child.stderr.take().unwrap()));
    assert_eq!(examples(&scene), 200);
}

#[test]
fn a_model_whose_control_record_is_gone_is_not_trusted_unasked() {
    let (topic, control) = (fresh("adopt"), fresh("commits"));
    broker().topic(&topic, 1);
    broker().send(&topic, 0, lines(&flights(100)));
    let scene = Scene::new();
    let args = format!("-m m --until-end --summary s.json --control-topic {control}");
    ok(&scene, &train(&topic, &topic, &args));
    let other = fresh("commits");
    let args = args.replace(&control, &other);
    let said = scene.fails(&train(&topic, &topic, &args));
    assert!(said.contains("has no control record of it"), "{said}");
    ok(&scene, &train(&topic, &topic, &format!("{args} --adopt")));
    assert_eq!(examples(&scene), 100);
}

//! A member seen from outside: lag, commits, rebalances, readiness, log lines; and what must never be seen.

use super::support::kafka::{Broker, fresh};
use super::support::metrics::{Samples, Served, get, until};
use super::support::*;
use super::{broker, lines, train};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;
use std::time::Duration;

fn lag(samples: &Samples, topic: &str, partition: i32) -> Option<f64> {
    samples.get(&format!("lag_records{{topic=\"{topic}\",partition=\"{partition}\"}}"))
}

fn member(scene: &Scene, line: &str) -> Served {
    Served::start(scene.flexihash(format!("{line} --metrics-listen 0").split_whitespace()))
}

fn stop(run: &mut Served) {
    signal(&run.child, "TERM");
    assert!(run.wait().success(), "{}", run.said());
}

#[test]
fn lag_is_what_the_broker_says_and_goes_with_each_commit() {
    let topic = fresh("lag");
    broker().topic(&topic, 2);
    let records = flights(100);
    broker().send(&topic, 0, lines(&records));
    broker().send(&topic, 1, lines(&records).take(40));
    let scene = Scene::new();
    // The offsets that the group has not committed, as the broker has them.
    let reader: BaseConsumer = broker().client().create().unwrap();
    let of_broker = |partition: usize| {
        let committed = broker().committed(&topic, &topic, 2)[partition].max(0);
        let (_, end) = reader.fetch_watermarks(&topic, partition as i32, Duration::from_secs(10)).unwrap();
        (end - committed) as f64
    };
    // Nothing is committed for an hour: what was learned is still to come, as far as anybody outside can tell.
    let mut run = member(&scene, &train(&topic, &topic, "-m model --checkpoint-every 1h"));
    let now = until(&run.address, "all is learned", |now| {
        now.get("records_total") == Some(140.0) && lag(now, &topic, 1).is_some()
    });
    assert_eq!((lag(&now, &topic, 0), lag(&now, &topic, 1)), (Some(of_broker(0)), Some(of_broker(1))));
    assert_eq!((of_broker(0), of_broker(1)), (100.0, 40.0));
    assert_eq!((now.get("partitions"), now.get("brokers_up")), (Some(2.0), Some(1.0)));
    assert_eq!((now.get("commits_total"), now.get("checkpoints_total")), (None, Some(0.0)));
    assert_eq!(now.get("rebalances_total{event=\"assigned\"}"), Some(1.0));
    assert_eq!(now.get("rebalances_total{event=\"lost\"}"), Some(0.0));
    stop(&mut run);
    let mut run = member(&scene, &train(&topic, &topic, "-m model --checkpoint-every 100ms"));
    until(&run.address, "nothing is left", |now| {
        lag(now, &topic, 0) == Some(0.0) && lag(now, &topic, 1) == Some(0.0)
    });
    broker().send(&topic, 1, lines(&records));
    let now = until(&run.address, "a commit", |now| {
        now.get("commits_total") >= Some(1.0) && now.get("records_total") == Some(100.0)
    });
    assert_eq!(now.get("model_examples"), Some(240.0));
    let now = until(&run.address, "nothing is left", |now| lag(now, &topic, 1) == Some(0.0));
    assert_eq!((of_broker(0), of_broker(1)), (0.0, 0.0));
    assert_eq!(now.get("commit_duration_seconds_count"), now.get("commits_total"));
    assert_eq!(now.get("commits_total"), now.get("checkpoints_total"));
    assert!(now.get("generation") > now.get("checkpoints_total"), "the first run's came before");
    stop(&mut run);
}

#[test]
fn a_topic_that_ends_with_marks_of_transactions_has_no_lag_when_all_is_read() {
    let (topic, scored) = (fresh("marks"), fresh("marks-out"));
    broker().topic(&topic, 1);
    broker().send(&topic, 0, lines(&flights(50)));
    let scene = Scene::new();
    // Its predictions were written in transactions: the marks of their commits take offsets.
    scene.ok(&train(&topic, &topic, &format!("-m one --until-end -p kafka:{scored} --checkpoint-every 10")));
    let mut run = member(&scene, &train(&scored, &scored, "-m two --flat --label-field prediction"));
    let now = until(&run.address, "nothing is left", |now| {
        now.get("records_total") == Some(50.0) && lag(now, &scored, 0) == Some(0.0)
    });
    assert_eq!(now.get("examples_total"), Some(50.0));
    stop(&mut run);
}

#[test]
fn partitions_that_go_elsewhere_take_their_lag_with_them() {
    let topic = fresh("moves");
    broker().topic(&topic, 2);
    let scene = Scene::new();
    let mut one = member(&scene, &train(&topic, &topic, "-m one"));
    let both = |now: &Samples| lag(now, &topic, 0).is_some() && lag(now, &topic, 1).is_some();
    until(&one.address, "both partitions", both);
    let mut two = member(&scene, &train(&topic, &topic, "-m two"));
    let now = until(&one.address, "one partition", |now| now.get("partitions") == Some(1.0));
    assert!(lag(&now, &topic, 0).is_some() != lag(&now, &topic, 1).is_some());
    assert_eq!(now.get("rebalances_total{event=\"revoked\"}"), Some(1.0));
    until(&two.address, "the other partition", |now| now.get("partitions") == Some(1.0));
    stop(&mut two);
    until(&one.address, "both partitions", both);
    assert!(one.said().contains("revoked") && one.said().contains("assigned"), "{}", one.said());
    stop(&mut one);
}

#[test]
fn a_member_without_a_cluster_lives_and_is_not_ready() {
    let scene = Scene::new();
    let line = "train --kafka 127.0.0.1:1 --topic t --group g -m model";
    let mut run = member(&scene, line);
    assert_eq!(get(&run.address, "/healthz").unwrap().0, 200);
    assert_eq!(get(&run.address, "/readyz").unwrap().0, 503);
    signal(&run.child, "TERM");
    assert!(run.wait().success(), "{}", run.said());
}

#[test]
fn each_change_of_state_is_one_object() {
    let topic = fresh("said");
    broker().topic(&topic, 1);
    broker().send(&topic, 0, lines(&flights(100)));
    let scene = Scene::new();
    let line = train(&topic, &topic, "-m model --log-format json").replace(" -q ", " ");
    let mut run = member(&scene, &line);
    until(&run.address, "a commit", |now| now.get("commits_total") >= Some(1.0));
    assert_eq!(get(&run.address, "/readyz").unwrap().0, 200);
    stop(&mut run);
    let said = run.said();
    let objects: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let mut rest = objects.iter();
    for expected in ["serving", "started", "assigned", "stopping", "ended"] {
        let found = rest.find(|line| line["message"].as_str().unwrap().starts_with(expected));
        let found = found.unwrap_or_else(|| panic!("{expected} is not said, or not in its place: {said}"));
        match expected {
            "started" => assert!(found["group"] == *topic && found["brokers"] == *broker().address),
            "assigned" => assert_eq!(found["partitions"], format!("{topic}[0]")),
            "ended" => assert_eq!(found["examples"], 100),
            _ => {}
        }
    }
    let commits = objects.iter().filter(|line| line["message"] == "committed").count();
    assert_eq!(commits, 0, "once a second is no change of state");
}

#[test]
fn a_broker_that_goes_and_comes_back_is_said_once_each() {
    let broker = Broker::start();
    broker.topic("away", 1);
    let scene = Scene::new();
    let line = format!("train --kafka {} --topic away --group g -m model --buckets 65536", broker.address);
    let mut run = member(&scene, &line);
    until(&run.address, "a connection", |now| now.get("brokers_up") == Some(1.0));
    broker.kill();
    run.until_said("no broker answers");
    until(&run.address, "no connection", |now| now.get("brokers_up") == Some(0.0));
    broker.restart();
    run.until_said("brokers are back");
    broker.send("away", 0, lines(&flights(10)));
    until(&run.address, "all is learned", |now| now.get("records_total") == Some(10.0));
    let said = run.said();
    assert_eq!(said.matches("no broker answers").count(), 1, "{said}");
    stop(&mut run);
}

#[test]
fn a_password_is_never_seen() {
    const SECRET: &str = "hunter2-is-no-password";
    let topic = fresh("secret");
    broker().topic(&topic, 1);
    let scene = Scene::new();
    let sasl = "security.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\nsasl.username=u\ndebug=all\n";
    scene.file("client", format!("{sasl}sasl.password={SECRET}\n"));
    scene.file("typo", format!("{sasl}sasl.pasword={SECRET}\n"));
    scene.file("value", format!("{sasl}security.protocol={SECRET}\n"));
    scene.file("number", format!("{sasl}session.timeout.ms={SECRET}\n"));
    scene.file("form", format!("sasl.password {SECRET}\n"));
    let address = &broker().address;
    for file in ["client", "typo", "value", "number", "form"] {
        for command in ["train", "predict"] {
            if command == "train" && file == "client" {
                scene.file("in", flights(5));
                scene.train("in -q -m other");
            }
            let model = if command == "train" { file } else { "other" };
            let line = format!(
                "{command} --kafka {address} --topic {topic} --group {topic} -m {model} --kafka-config {file} \
                 --kafka-wait 1s --log trace --log-format json"
            );
            let output = scene.flexihash(line.split_whitespace()).output().unwrap();
            let shown = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
            assert!(!output.status.success() && shown.len() > 100, "{file}: {shown}");
            assert!(!shown.contains(SECRET), "{command} with {file}: {shown}");
        }
    }
}

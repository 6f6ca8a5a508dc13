//! Records sent to `/learn` of a member: the bad ones belong to the dead letters like those of the topic, in the same transactions.

use super::http::Client;
use super::support::kafka::{Read, fresh};
use super::support::metrics::{Served, until};
use super::support::*;
use super::{broker, lines, train};

const SENT: [&str; 5] = [
    "nonsense",
    "{\"label\":1,\"features\":{\"a\":1}}",
    "{\"label\":{\"a\":1}}",
    "{\"label\":7}",
    "{\"label\":0,\"features\":{\"a\":2}}",
];

fn member(scene: &Scene, topic: &str, args: &str) -> Served {
    let line = format!("{} --listen 0", train(topic, topic, args));
    Served::start_at(scene.flexihash(line.split_whitespace()), "serving /predict")
}

/// A topic of 20 records and a bad one, and one for dead letters.
fn topics(name: &str) -> (String, String) {
    let (topic, dead) = (fresh(name), fresh(&format!("{name}-dead")));
    broker().topic(&topic, 2);
    broker().send(&topic, 0, lines(&flights(20)));
    broker().send(&topic, 1, [&b"{\"label\":"[..]]);
    (topic, dead)
}

fn header<'a>(letter: &'a Read, name: &str) -> Option<&'a str> {
    letter.headers.get(&format!("flexihash.{name}")).map(String::as_str)
}

fn send(run: &Served) {
    let answer = Client::connect(&run.address).post_lines("/learn", SENT.join("\n"));
    assert_eq!((answer.status, answer.body.matches("\"error\"").count()), (200, 3), "{answer:?}");
}

/// All of what is not learned of the topic and of what was sent, each once: as it came, from where, and why.
fn assert_dead(dead: &str, topic: &str) {
    let letters = broker().read(dead);
    let of_topic: Vec<_> = letters.iter().filter(|one| header(one, "topic").is_some()).collect();
    assert_eq!(of_topic.len(), 1);
    assert_eq!((header(of_topic[0], "topic"), header(of_topic[0], "source")), (Some(topic), None));
    let mut sent: Vec<_> = letters.iter().filter(|one| header(one, "source") == Some("http")).collect();
    sent.sort_by_key(|one| header(one, "offset").unwrap().parse::<usize>().unwrap());
    let told = sent.iter().map(|one| (one.text(), header(one, "offset").unwrap()));
    let expected = [(SENT[0], "0"), (SENT[2], "2"), (SENT[3], "3")];
    assert_eq!(told.collect::<Vec<_>>(), expected.map(|(text, at)| (text.to_owned(), at)), "{letters:?}");
    assert!(sent.iter().all(|one| header(one, "reason").is_some() && header(one, "partition").is_none()));
    assert_eq!(sent.iter().map(|one| one.partition).collect::<Vec<_>>(), [0, 0, 1], "to all in turn");
    assert_eq!(letters.len(), 4);
}

#[test]
fn what_was_sent_and_is_bad_is_in_the_dead_letters_with_the_next_commit() {
    let (topic, dead) = topics("taught");
    let scene = Scene::new();
    let args = format!("-m model --dead-letters kafka:{dead} --max-errors 1 -X session.timeout.ms=6000");
    // No generation for an hour: what is not committed is not there.
    let mut run = member(&scene, &topic, &format!("{args} --checkpoint-every 1h"));
    until(&run.address, "the topic is read", |now| now.get("records_total") == Some(21.0));
    send(&run);
    let now = until(&run.address, "all are counted", |now| now.get("records_total") == Some(26.0));
    let of = |reason: &str| now.get(&format!("dead_letters_total{{reason=\"{reason}\"}}"));
    assert_eq!((of("parse"), of("learner"), now.get("commits_total")), (Some(3.0), Some(1.0), None));
    assert_eq!(broker().read(&dead).len(), 0, "nothing is committed");
    run.child.kill().unwrap();
    run.child.wait().unwrap();
    // What was not durable is gone, whole: sent again it is there once.
    let mut run = member(&scene, &topic, &format!("{args} --checkpoint-every 100ms"));
    until(&run.address, "the topic is committed", |now| {
        now.get("records_total") == Some(21.0) && now.get("commits_total") >= Some(1.0)
    });
    let commits = until(&run.address, "a commit", |_| true).get("commits_total");
    send(&run);
    until(&run.address, "theirs is committed", |now| now.get("commits_total") > commits);
    assert_dead(&dead, &topic);
    signal(&run.child, "TERM");
    assert!(run.wait().success(), "{}", run.said());
    assert_dead(&dead, &topic);
}

#[test]
fn at_once_where_results_go_at_once() {
    let (topic, dead) = topics("once");
    let scene = Scene::new();
    let args = format!("-m model --delivery at-least-once --checkpoint-every 1h --dead-letters kafka:{dead}");
    let mut run = member(&scene, &topic, &args);
    until(&run.address, "the topic is read", |now| now.get("records_total") == Some(21.0));
    send(&run);
    until(&run.address, "they are there before any commit", |now| {
        assert_eq!(now.get("commits_total"), None);
        broker().read(&dead).len() == 4
    });
    signal(&run.child, "TERM");
    assert!(run.wait().success(), "{}", run.said());
    assert_dead(&dead, &topic);
}

//! Networks from topics: batches that wait are neither committed nor lost, through kills and partitions that change hands.

use super::group::{answers, send, start, stop};
use super::support::kafka::fresh;
use super::support::*;
use super::{broker, lines, ok, values};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Layers on the sum of all features, learned seven records at a time.
const NETWORK: &str = r#"
optimizer = "adagrad"
batch = 7
[network]
kind = "mlp"
dim = 4
hidden = [4]
[[fields]]
name = "features"
kind = "sum"
path = ""
buckets = 65536
"#;

fn train(topic: &str, args: &str) -> String {
    let address = &broker().address;
    format!("train --kafka {address} --topic {topic} --group {topic} --config network.toml -q {args}")
}

#[test]
fn a_network_from_a_topic_is_that_from_a_file_whenever_it_is_killed() {
    let records = flights_with_faults(6000, 90);
    let (topic, out) = (fresh("network"), fresh("network-out"));
    broker().topic(&topic, 1);
    let scene = Scene::new();
    scene.file("network.toml", NETWORK);
    scene.file("in", &records);
    scene.ok("train in -q -m whole -p whole.jsonl --config network.toml");
    let args = format!("-m model -p kafka:{out} --checkpoint-every 20ms -X group.instance.id=one");
    let line = train(&topic, &args);
    let (mut dice, mut kills) = (Dice(3), 0);
    std::thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            for part in lines(&records).collect::<Vec<_>>().chunks(50) {
                broker().send(&topic, 0, part.iter().copied());
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        while !feeder.is_finished() || kills < 4 {
            let mut child = scene.flexihash(line.split_whitespace()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(800 + dice.roll(1000)));
            signal(&child, if kills % 2 == 0 { "KILL" } else { "TERM" });
            // 20 s for a last commit, a call's time, and 10 s to leave, where the broker is slow.
            wait(&mut child, Duration::from_secs(60));
            kills += 1;
        }
    });
    ok(&scene, &(line + " --until-end"));
    assert_same("weights", &learned(&scene.path("whole")), &learned(&scene.path("model")));
    assert_same("lines", &scene.text("whole.jsonl"), &values(&out));
}

/// What a member holds of a partition that goes elsewhere is dropped, and learned by whoever has it next.
#[test]
fn members_with_networks_share_the_records() {
    for (protocol, properties) in [("cooperative", ""), ("eager", "-X partition.assignment.strategy=range")] {
        let (topic, out) = (fresh("network-share"), fresh("network-share-out"));
        broker().topic(&topic, 4);
        let scene = Scene::new();
        scene.file("network.toml", NETWORK);
        let line = |model: &str| {
            let args = format!(
                "-m {model} -p kafka:{out} --checkpoint-every 100ms {properties} --summary {model}.json"
            );
            train(&topic, &args)
        };
        send(&topic, 0..500);
        let mut one = start(&scene, &line("one"), "one.log");
        std::thread::sleep(Duration::from_secs(2));
        let mut two = start(&scene, &line("two"), "two.log");
        for round in 1..8 {
            send(&topic, round * 500..(round + 1) * 500);
            if round == 4 {
                stop(&mut two, &scene, "two.log");
                two = start(&scene, &line("two"), "two2.log");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        // All but what waits for a batch to fill: fewer than seven records a member.
        let began = Instant::now();
        while broker().committed(&topic, &topic, 4).iter().sum::<i64>() < 16_000 - 2 * 6 {
            assert!(began.elapsed() < Duration::from_secs(60), "{protocol}: never committed");
            std::thread::sleep(Duration::from_millis(200));
        }
        stop(&mut one, &scene, "one.log");
        stop(&mut two, &scene, "two2.log");
        ok(&scene, &(line("one") + " --until-end"));
        let answers = answers(&out);
        assert_eq!(answers.len(), 16_000, "{protocol}");
        assert!(answers.values().all(|&times| times == 1), "{protocol}");
        let examples = |name: &str| scene.json(name)["examples"].as_u64().unwrap();
        assert_eq!(examples("one.json") + examples("two.json"), 16_000, "{protocol}");
    }
}

//! Generations that come while somebody asks.

use crate::http::Client;
use crate::serve;
use crate::support::metrics::{scrape, until};
use crate::support::*;
use flexihash::checkpoint::Writer;
use flexihash::config::LossName;
use flexihash::optim::{LearningRate, OptimizerKind};
use flexihash::{HashKey, Model, ModelFlags};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// With the median loss, labels out of reach and plain SGD at rate 2 each time a feature occurs its weight grows by 1: after n records a
/// model predicts 2n, one for the feature and one for the constant. So a prediction says which generation it is of.
fn counting() -> Model {
    let flags = ModelFlags {
        loss: Some(LossName::Quantile),
        optimizer: Some(OptimizerKind::Sgd),
        learning_rate: Some(LearningRate::Rate(2.0)),
        buckets: Some(1 << 16),
        ..ModelFlags::default()
    };
    Model::new(&flags, &HashKey::default()).unwrap()
}

fn learn(model: &mut Model) {
    model.learn_json(br#"{"label":1e30,"features":{"all":"x"}}"#).unwrap();
}

/// The one prediction of a request for many records.
fn one(client: &mut Client, records: &str) -> f64 {
    let answer = client.post("/predict", records);
    assert_eq!(answer.status, 200, "{answer:?}");
    let answers = answer.json();
    let predictions: Vec<f64> =
        answers.as_array().unwrap().iter().map(|answer| answer["prediction"].as_f64().unwrap()).collect();
    assert!(
        predictions.iter().all(|prediction| *prediction == predictions[0]),
        "two generations in one answer: {predictions:?}"
    );
    predictions[0]
}

#[test]
fn no_request_fails_or_sees_two_generations() {
    let scene = Scene::new();
    let (mut model, mut writer) = (counting(), Writer::create_or_open(scene.path("model"), 1).unwrap());
    learn(&mut model);
    model.save(&mut writer).unwrap();
    let mut served = serve(&scene, "");
    let ended = AtomicBool::new(false);
    let requests = AtomicUsize::new(0);
    let (address, records) =
        (served.address.clone(), format!("[{}{{}}]", r#"{"features":{"all":"x"}},"#.repeat(700)));
    let records = records.replace(",{}]", "]");
    let seen: BTreeSet<u64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut seen) = (Client::connect(&address), BTreeSet::new());
                    while !ended.load(Ordering::Relaxed) {
                        seen.insert(one(&mut client, &records) as u64);
                        requests.fetch_add(1, Ordering::Relaxed);
                    }
                    seen
                })
            })
            .collect();
        for _ in 0..25 {
            learn(&mut model);
            model.save(&mut writer).unwrap();
            thread::sleep(Duration::from_millis(120));
        }
        until(&address, "the last generation answers", |now| now.get("serving_generation") == Some(26.0));
        ended.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let requests = requests.into_inner();
    assert!(seen.len() > 5 && requests > 30, "{seen:?} in {requests}");
    assert!(seen.iter().all(|prediction| prediction % 2 == 0 && (2..=52).contains(prediction)), "{seen:?}");
    assert_eq!(one(&mut Client::connect(&address), &records), 52.0);
    signal(&served.child, "TERM");
    assert!(served.wait().success(), "{}", served.said());
}

#[test]
fn a_generation_that_cannot_be_read_leaves_the_one_before_answering() {
    let scene = Scene::new();
    let (mut model, mut writer) = (counting(), Writer::create_or_open(scene.path("model"), 2).unwrap());
    learn(&mut model);
    model.save(&mut writer).unwrap();
    let mut served = serve(&scene, "");
    let mut client = Client::connect(&served.address);
    let record = r#"[{"features":{"all":"x"}}]"#;
    assert_eq!(one(&mut client, record), 2.0);
    let broken = scene.file("model/g0000000009.manifest.json", "{\"format\":1,");
    served.until_said("cannot be loaded");
    thread::sleep(Duration::from_millis(600));
    let now = scrape(&served.address);
    assert_eq!(
        (now.get("model_loads_total{result=\"failed\"}"), now.get("serving_generation")),
        (Some(1.0), Some(1.0))
    );
    assert_eq!(one(&mut client, record), 2.0);
    assert_eq!(client.get("/readyz").status, 200);
    std::fs::remove_file(broken).unwrap();
    learn(&mut model);
    model.save(&mut writer).unwrap();
    until(&served.address, "the next one answers", |now| now.get("serving_generation") == Some(2.0));
    assert_eq!(one(&mut client, record), 4.0);
    assert_eq!(scrape(&served.address).get("model_loads_total{result=\"ok\"}"), Some(2.0));
}

#[test]
fn a_folder_without_a_generation_is_waited_for_and_a_broken_one_is_not() {
    let scene = Scene::new();
    drop(Writer::create_or_open(scene.path("model"), 2).unwrap());
    let mut served = crate::support::metrics::Served::start_at(
        scene.flexihash(words("serve", "-m model --listen 0")),
        crate::SERVING,
    );
    served.until_said("waiting for the first");
    let mut client = Client::connect(&served.address);
    assert_eq!((client.get("/healthz").status, client.get("/readyz").status), (200, 503));
    let early = client.post("/predict", "{}");
    assert!(early.status == 503 && early.head.contains("retry-after: "), "{early:?}");
    assert_eq!(client.get("/model").status, 503);
    let mut model = counting();
    learn(&mut model);
    model.save(&mut Writer::create_or_open(scene.path("model"), 2).unwrap()).unwrap();
    served.until_said("answering");
    assert_eq!((client.get("/readyz").status, client.post("/predict", "{}").status), (200, 200));
    drop(served);
    assert!(scene.fails("serve -m nowhere").contains("nowhere"));
    scene.file("model/g0000000009.manifest.json", "{\"format\":1,");
    assert!(scene.fails("serve -m model --listen 0").contains("g0000000009.manifest.json"));
}

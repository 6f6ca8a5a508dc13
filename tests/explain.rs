//! What features contributed: of every head, of networks, of hostile records; and that asking leaves no trace.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use flexihash::config::LossName;
use flexihash::engine::{Explained, MAX_EXPLAINED, ScoreUnit};
use flexihash::learner::HeadKind;
use flexihash::optim::{LearningRate, OptimizerKind};
use flexihash::{HashKey, Model, ModelFlags};

/// Learns 400 records in which `city=a` and a large `x` mean 1.
fn learned(flags: ModelFlags) -> Model {
    let flags = ModelFlags { buckets: Some(1 << 14), ..flags };
    let mut model = Model::new(&flags, &HashKey::default()).unwrap();
    for i in 0..400_u32 {
        let (city, x) = (["a", "b", "c"][i as usize % 3], f64::from(i % 10) / 10.0);
        let label = u32::from(city == "a" || x > 0.6);
        let record = format!(
            r#"{{"label":{label},"features":{{"city":"{city}","x":{x},"deep":{{"n":[1,{i}],"tags":["t{}","u"]}}}}}}"#,
            i % 5
        );
        model.learn_json(record.as_bytes()).unwrap();
    }
    model
}

const RECORD: &[u8] =
    br#"{"id":"r 1","label":"odd","features":{"city":"a","x":0.9,"deep":{"n":[1,7],"tags":["t1","u"]}}}"#;
const NAMES: [&str; 6] = ["city=a", "x", "deep.n.0", "deep.n.1", "deep.tags=t1", "deep.tags=u"];

fn contribution(explained: &Explained, feature: &str) -> f64 {
    let parts = &explained.outputs[0].contributions;
    parts.iter().find(|part| part.feature == feature).unwrap().contribution
}

fn fixed() -> ModelFlags {
    let learning_rate = Some(LearningRate::Rate(0.1));
    ModelFlags { optimizer: Some(OptimizerKind::Adagrad), learning_rate, ..ModelFlags::default() }
}

#[test]
fn of_a_plain_linear_head_it_is_weight_times_value() {
    let mut model = learned(fixed());
    let explained = model.explain(RECORD, 10).unwrap();
    assert_eq!(explained.unit, ScoreUnit::LogOdds);
    assert_eq!((explained.features, explained.explained, explained.id.unwrap().get()), (6, 6, "\"r 1\""));
    // The weight of a feature: the score of a record with it alone, less that of an empty record.
    let log_odds = |model: &mut Model, record: &str| {
        let record = format!(r#"{{"features":{record}}}"#);
        model.explain(record.as_bytes(), 1).unwrap().outputs[0].score
    };
    let bias = log_odds(&mut model, "{}");
    let alone = [
        r#"{"city":"a"}"#,
        r#"{"x":1}"#,
        r#"{"deep":{"n":[1]}}"#,
        r#"{"deep":{"n":[null,1]}}"#,
        r#"{"deep":{"tags":"t1"}}"#,
        r#"{"deep":{"tags":"u"}}"#,
    ];
    let explained = model.explain(RECORD, 10).unwrap();
    let mut sum = bias;
    for ((name, alone), value) in NAMES.iter().zip(alone).zip([1.0, 0.9_f32, 1.0, 7.0, 1.0, 1.0]) {
        let weight = log_odds(&mut model, alone) - bias;
        let part = explained.outputs[0].contributions.iter().find(|part| part.feature == *name).unwrap();
        assert_eq!(part.value, value, "{name}");
        let expected = weight * f64::from(value);
        assert!((part.contribution - expected).abs() < 1e-6, "{name}: {} and {expected}", part.contribution);
        assert!(part.contribution.abs() > 1e-4, "{name} was learned");
        sum += part.contribution;
    }
    assert!((sum - explained.outputs[0].score).abs() < 1e-6, "contributions add up");
}

#[test]
fn of_every_head_and_loss_the_features_that_matter_come_first() {
    let fm = |flags: ModelFlags| ModelFlags { head: Some(HeadKind::Fm), ..flags };
    let loss = |loss| ModelFlags { loss: Some(loss), ..ModelFlags::default() };
    for (flags, unit) in [
        (ModelFlags::default(), ScoreUnit::LogOdds),
        (fm(ModelFlags::default()), ScoreUnit::LogOdds),
        (fm(fixed()), ScoreUnit::LogOdds),
        (loss(LossName::Squared), ScoreUnit::Prediction),
        (loss(LossName::Poisson), ScoreUnit::LogMean),
        (ModelFlags { hashes: Some(3), ..ModelFlags::default() }, ScoreUnit::LogOdds),
    ] {
        let mut model = learned(flags.clone());
        let explained = model.explain(RECORD, 3).unwrap();
        assert_eq!((explained.unit, explained.outputs[0].contributions.len()), (unit, 3), "{flags:?}");
        let all = model.explain(RECORD, 10).unwrap();
        assert!(contribution(&all, "city=a") > 3.0 * contribution(&all, "deep.tags=u").abs(), "{all:?}");
        let magnitudes: Vec<f64> =
            all.outputs[0].contributions.iter().map(|part| part.contribution.abs()).collect();
        assert!(magnitudes.is_sorted_by(|a, b| a >= b), "{magnitudes:?}");
        assert!(model.predict_json(RECORD).is_err(), "its label is bad, and explain did not mind");
    }
}

#[test]
fn asking_leaves_no_trace() {
    let (mut asked, mut other) = (learned(ModelFlags::default()), learned(ModelFlags::default()));
    for _ in 0..3 {
        asked.explain(RECORD, 10).unwrap();
    }
    assert!(asked.explain(b"{\"features\":[]}", 10).is_err());
    assert_eq!(asked.learner().state(), other.learner().state());
    assert_eq!(asked.learner().vectors(), other.learner().vectors());
    let record = br#"{"label":1,"features":{"city":"b"}}"#;
    assert_eq!(asked.learn_json(record).unwrap(), other.learn_json(record).unwrap());
}

#[test]
fn tasks_are_explained_each() {
    let flags = ModelFlags { buckets: Some(1 << 10), ..ModelFlags::default() };
    let mut model = Model::new(&flags, &HashKey::default()).unwrap();
    for i in 0..200 {
        let record =
            format!(r#"{{"label":{{"up":{},"down":{}}},"features":{{"k":"{}"}}}}"#, i % 2, 1 - i % 2, i % 2);
        model.learn_json(record.as_bytes()).unwrap();
    }
    let explained = model.explain(br#"{"features":{"k":"1"}}"#, 5).unwrap();
    let tasks: Vec<_> = explained.outputs.iter().map(|output| output.task.as_deref().unwrap()).collect();
    assert_eq!(tasks, ["up", "down"]);
    let parts: Vec<f64> = explained.outputs.iter().map(|o| o.contributions[0].contribution).collect();
    assert!(parts[0] > 0.5 && parts[1] < -0.5, "{parts:?}");
}

#[test]
fn long_records_are_explained_in_part_and_say_so() {
    let mut model = learned(ModelFlags::default());
    let features: Vec<String> = (0..3000).map(|i| format!("\"{i}\":\"v\"")).collect();
    let record = format!(r#"{{"features":{{{}}}}}"#, features.join(","));
    let explained = model.explain(record.as_bytes(), 5).unwrap();
    assert_eq!(explained.features, 3000);
    assert!(explained.explained < MAX_EXPLAINED && explained.explained > 100, "{}", explained.explained);
    let name = "n".repeat(5000) + "é";
    let record = format!(r#"{{"features":{{"{name}":{{"{name}":"{name}\u001b[2J"}}}}}}"#);
    let explained = model.explain(record.as_bytes(), 5).unwrap();
    let shown = &explained.outputs[0].contributions[0].feature;
    assert!(shown.len() <= 200 + '…'.len_utf8() && shown.ends_with('…'), "{shown}");
}

/// Two huge values that cancel: without one of them there is no record, and the other features are explained all the same.
#[test]
fn a_feature_without_which_there_is_no_record_is_left_in() {
    let mut model = learned(ModelFlags::default());
    let record = br#"{"features":{"h":3e38,"h":3e38,"h":-3e38,"city":"a"}}"#;
    let explained = model.explain(record, 10).unwrap();
    assert_eq!((explained.features, explained.explained), (4, 3));
    assert!(contribution(&explained, "city=a").abs() > 0.01);
}

/// Dot: user and item are all there is. Mlp: every feature, in one sum.
#[cfg(feature = "network")]
#[test]
fn of_networks_with_declared_fields() {
    use serde_json::json;
    let id = |name: &str| json!({"name": format!("{name}_id"), "kind": "id", "path": name, "buckets": 1024});
    let dot = json!({
        "optimizer": "adagrad", "learning-rate": 0.3,
        "network": {"kind": "dot", "dim": 4, "objective": {"loss": "logistic"}},
        "fields": [id("user"), id("item")],
    });
    let mlp = json!({
        "optimizer": "adagrad", "learning-rate": 0.1,
        "network": {"kind": "mlp", "dim": 4, "hidden": [4], "tasks": ["y"]},
        "fields": [{"name": "features", "kind": "sum", "path": "", "buckets": 1024}],
    });
    for flags in [dot, mlp] {
        let flags: ModelFlags = serde_json::from_value(flags).unwrap();
        let mut model = Model::new(&flags, &HashKey::default()).unwrap();
        for i in 0..600 {
            let (user, item) = (i % 2, i / 2 % 3);
            let record = format!(
                r#"{{"label":{},"features":{{"user":"u{user}","item":"i{item}"}}}}"#,
                u32::from(user == 1)
            );
            model.learn_json(record.as_bytes()).unwrap();
        }
        let before = model.learner().vectors();
        let record = br#"{"features":{"user":"u1","elsewhere":"z","item":"i0"}}"#;
        let explained = model.explain(record, 10).unwrap();
        assert_eq!((explained.unit, explained.features), (ScoreUnit::LogOdds, 3));
        assert!(contribution(&explained, "user=u1").abs() > 0.2, "{explained:?}");
        let user = contribution(&explained, "user=u1").abs();
        assert!(contribution(&explained, "elsewhere=z").abs() < user / 2.0, "{explained:?}");
        let prediction = explained.outputs[0].prediction;
        let predicted = f64::from(model.predict_json(record).unwrap().predictions[0]);
        assert!((prediction - predicted).abs() < 1e-6);
        assert_eq!(model.learner().vectors(), before);
    }
}

//! Each file of `examples/models` trains from JSON lines, better than what one would say without looking.

use crate::streams::{asked, rated, shown};
use crate::support::Scene;
use crate::train;
use serde_json::Value;

fn predictions(scene: &Scene) -> Vec<Value> {
    scene.text("out").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn trained(name: &str, records: &str, args: &str) -> (Scene, Value) {
    let scene = Scene::new();
    scene.file("in", records);
    train(&scene, name, &format!("-p out --summary summary.json -m model {args}"));
    let summary = scene.json("summary.json");
    assert_eq!(summary["skipped"], 0, "{name}");
    assert_eq!(summary["dropped_steps"], 0, "{name}");
    assert_eq!(summary["records"], records.lines().count(), "{name}");
    (scene, summary)
}

#[test]
fn recommenders_learn_who_likes_what() {
    let records = rated(6000);
    let labels =
        records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["label"].as_f64().unwrap());
    let labels: Vec<f64> = labels.collect();
    let mean = labels.iter().sum::<f64>() / labels.len() as f64;
    let deviation =
        (labels.iter().map(|label| (label - mean).powi(2)).sum::<f64>() / labels.len() as f64).sqrt();
    for (name, share) in [("dot", 0.8), ("dot-bias", 0.7), ("modulo", 0.8), ("murmur", 0.85), ("flexi", 0.9)]
    {
        let (scene, summary) = trained(name, &records, "");
        let rmse = summary["window"]["rmse"].as_f64().unwrap();
        assert!(rmse < share * deviation, "{name}: {rmse} of {deviation}");
        let out = predictions(&scene);
        assert_eq!(out.len(), 6000);
        assert!(
            out.iter()
                .enumerate()
                .all(|(id, line)| line["id"].as_str().is_some_and(|found| found.parse() == Ok(id))
                    && line["prediction"].is_f64())
        );
    }
}

#[test]
fn multi_task_estimators_answer_each_question_and_say_what_it_is_worth() {
    let records = asked(6000);
    for name in ["multitask-id", "multitask-dhe", "multitask-cohort", "multitask-mixture"] {
        let (scene, summary) = trained(name, &records, "");
        for (task, examples) in [("liked", 6000), ("loved", 6000), ("disliked", 4000)] {
            let figures = &summary["tasks"][task];
            assert_eq!(figures["examples"], examples, "{name}, {task}");
            let entropy = figures["window"]["normalized_entropy"].as_f64().unwrap();
            assert!(entropy < 0.98, "{name}, {task}: {entropy}");
        }
        for line in predictions(&scene) {
            let of = |task: &str| line["prediction"][task].as_f64().unwrap() as f32;
            let worth = 0.0 + of("liked") + of("loved") - of("disliked");
            assert!((line["value"].as_f64().unwrap() as f32 - worth).abs() < 1e-5, "{line}");
        }
    }
}

#[test]
fn a_ranker_puts_what_will_be_taken_first() {
    let records = shown(4000);
    let (scene, summary) = trained("ranker", &records, "");
    assert!(summary["window"]["auc"].as_f64().unwrap() > 0.9, "{summary}");
    for (record, line) in records.lines().zip(predictions(&scene)) {
        let record: Value = serde_json::from_str(record).unwrap();
        let candidates = record["features"]["candidates"].as_array().unwrap();
        assert_eq!(line["prediction"].as_array().unwrap().len(), candidates.len());
    }
}

#[test]
fn what_was_trained_predicts() {
    let (scene, _) = trained("multitask-mixture", &asked(2000), "");
    scene.ok("predict in -m model -p first");
    scene.ok("predict in -m model -p second --threads 3");
    let first = scene.text("first");
    assert_eq!(first, scene.text("second"));
    assert_eq!(first.lines().count(), 2000);
    // Labels are not looked at: neither of another shape nor of another range.
    let odd = scene.text("in").replace("\"liked\":1", "\"other\":7");
    scene.file("odd", odd);
    scene.ok("predict odd -m model -p odd.out");
    assert_eq!(first, scene.text("odd.out"));
    let shown = String::from_utf8(scene.ok("inspect model").stdout).unwrap();
    for name in ["table user_id", "table user_features", "table item_id", "table cross_features"] {
        assert!(shown.contains(name), "{shown}");
    }
}

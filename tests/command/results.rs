//! What comes out: prediction lines, the summary, dead letters, progress.

use crate::support::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Parses lines as JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

#[test]
fn ids_of_any_type_are_echoed_as_they_came_and_missing_ones_are_numbered() {
    let scene = Scene::new();
    let ids =
        ["\"a\\u00e9 \\\"b\"", "17", "1e40", "-0.50", "null", "true", "{\"x\": [1,  2]}", "[ ]", "\"\""];
    let mut input = String::new();
    for id in ids {
        input.push_str(&format!("{{\"id\":{id},\"label\":1,\"features\":{{\"a\":1}}}}\n\n"));
        input.push_str("{\"label\":0,\"features\":{\"a\":1}}\nbad\n");
    }
    scene.file("in", input);
    scene.train("in -p out");
    let out = scene.text("out");
    let got: Vec<&str> = out.lines().collect();
    assert_eq!(got.len(), 2 * ids.len());
    for (index, id) in ids.into_iter().enumerate() {
        let number = 2 * index + 1;
        for (line, id) in [(got[2 * index], id), (got[number], &number.to_string())] {
            let rest = line.strip_prefix(&format!("{{\"id\":{id},\"prediction\":")).expect(line);
            let prediction: f32 = rest.strip_suffix('}').expect(line).parse().expect(line);
            assert!((0.0..=1.0).contains(&prediction), "{line}");
        }
    }
}

#[test]
fn predictions_are_on_the_scale_of_the_loss() {
    let scene = Scene::new();
    let mut input = String::new();
    for i in 0..400 {
        input.push_str(&format!("{{\"label\":{},\"features\":{{\"a\":\"{}\"}}}}\n", 5 + i % 2, i % 2));
    }
    scene.file("counts", &input);
    scene
        .file("clicks", input.replace("\"label\":5", "\"label\":0").replace("\"label\":6", "\"label\":true"));
    for (loss, file) in [("logistic", "clicks"), ("hinge", "clicks"), ("squared", "counts")] {
        scene.train(&format!("{file} --loss {loss} -p {loss}.out --summary {loss}.json"));
    }
    scene.train("counts --loss poisson -p poisson.out --summary poisson.json");
    scene.train("counts --loss quantile --quantile 0.9 -p quantile.out --summary quantile.json");
    let last = |loss: &str| {
        lines(&scene.text(&format!("{loss}.out"))).pop().unwrap()["prediction"].as_f64().unwrap()
    };
    assert!((0.9..=1.0).contains(&last("logistic")), "{}", last("logistic"));
    assert!(last("hinge") > 0.5, "{}", last("hinge"));
    for loss in ["squared", "poisson"] {
        assert!((last(loss) - 6.0).abs() < 0.5, "{loss}: {}", last(loss));
    }
    for (loss, own) in [("logistic", "logloss"), ("squared", "rmse")] {
        let summary = scene.json(&format!("{loss}.json"));
        for key in ["logloss", "rmse", "auc", "normalized_entropy"] {
            let applies = key == own || (loss == "logistic" && key != "rmse");
            assert_eq!(summary.get(key).is_some(), applies, "{loss}: {key}");
        }
    }
}

#[test]
fn several_tasks_make_objects_and_a_masked_task_is_predicted_all_the_same() {
    let scene = Scene::new();
    let mut input = String::new();
    for i in 0..200 {
        let like = if i % 3 == 0 { "null".to_owned() } else { (i % 2).to_string() };
        let label = format!("{{\"click\":{},\"like\":{like}}}", i % 2 == 0);
        input.push_str(&format!("{{\"label\":{label},\"features\":{{\"a\":\"{}\"}}}}\n", i % 2));
    }
    input.push_str("{\"features\":{\"a\":\"0\"}}\n{\"label\":1,\"features\":{}}\n");
    scene.file("in", input);
    scene.train("in -m model -p out --summary summary.json --dead-letters dead");
    let predictions = lines(&scene.text("out"));
    assert_eq!(predictions.len(), 201);
    // A task is known from the first record on that has a label for it.
    assert_eq!(predictions[0]["prediction"].as_object().unwrap().len(), 1);
    for line in &predictions[1..] {
        let tasks: Vec<&str> = line["prediction"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(tasks, ["click", "like"], "{line}");
    }
    let last = &predictions[200]["prediction"];
    assert!(last["click"].as_f64() > Some(0.8) && last["like"].as_f64() < Some(0.2), "{last}");
    let summary = scene.json("summary.json");
    assert_eq!(summary["tasks"]["click"]["examples"], 200);
    assert_eq!(summary["tasks"]["like"]["examples"], 133);
    assert_eq!((&summary["examples"], &summary["skipped"]), (&json!(200), &json!(1)));
    assert_eq!(lines(&scene.text("dead"))[0]["line"], 202);
    let given = scene.ok("predict -m model in").stdout;
    assert_eq!(lines(&String::from_utf8(given).unwrap()).len(), 202, "labels are not looked at");
}

#[test]
fn the_summary_has_the_keys_of_its_loss() {
    let scene = Scene::new();
    scene.file("in", flights_with_faults(1000, 100));
    scene.train("in --summary summary.json -p out");
    let summary = scene.json("summary.json");
    let keys: BTreeSet<&str> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["examples", "skipped", "features", "seconds", "examples_per_second", "loss", "logloss", "auc"]
    {
        assert!(keys.contains(key), "{key}: {summary}");
    }
    for key in ["calibration", "normalized_entropy"] {
        assert!(keys.contains(key), "{key}: {summary}");
    }
    assert!(!keys.contains("rmse") && !keys.contains("tasks"), "{summary}");
    assert_eq!((&summary["examples"], &summary["skipped"]), (&json!(1000), &json!(10)));
    assert_eq!(summary["loss"], summary["logloss"]);
    // The loss is the mean over the very predictions that came out.
    let predictions = lines(&scene.text("out"));
    let clean = String::from_utf8(flights(1000)).unwrap();
    let losses = lines(&clean).into_iter().zip(predictions).map(|(record, line)| {
        let p = line["prediction"].as_f64().unwrap();
        if record["label"] == 1 { -p.ln() } else { -(1.0 - p).ln() }
    });
    let mean = losses.sum::<f64>() / 1000.0;
    assert!((summary["loss"].as_f64().unwrap() - mean).abs() < 1e-5, "{mean} {summary}");
}

#[test]
fn quiet_prints_nothing_and_predictions_go_to_stdout_beside_progress() {
    let scene = Scene::new();
    scene.file("in", flights_with_faults(600, 100));
    let quiet = scene.train("in -q -m model");
    assert_eq!((stderr(&quiet).as_str(), quiet.stdout.len()), ("", 0));
    let both = scene.train("in -p -");
    assert_eq!(lines(&String::from_utf8(both.stdout.clone()).unwrap()).len(), 600);
    let progress = stderr(&both);
    for word in
        ["examples/s", "600 examples learned, 6 bad records", "progressive loss", "AUC", "calibration"]
    {
        assert!(progress.contains(word), "{word}: {progress}");
    }
    let summary = scene.train("in -q --summary -");
    assert_eq!(serde_json::from_slice::<Value>(&summary.stdout).unwrap()["examples"], 600);
}

#[test]
fn dead_letters_say_what_where_and_why() {
    let scene = Scene::new();
    let input = b"{\"label\":1,\"features\":{\"a\":1}}\r\n\n{\"label\":\n\"\xff\"\n{\"label\":\"x\"}\n";
    scene.file("in", input);
    scene.train("in --dead-letters dead");
    let letters = lines(&scene.text("dead"));
    let places: Vec<_> =
        letters.iter().map(|letter| (&letter["source"], &letter["line"], &letter["offset"])).collect();
    let source = json!("in");
    assert_eq!(
        places,
        [
            (&source, &json!(3), &json!(33)),
            (&source, &json!(4), &json!(43)),
            (&source, &json!(5), &json!(47)),
        ]
    );
    assert_eq!(
        (&letters[0]["record"], &letters[1]["record_base64"]),
        (&json!("{\"label\":"), &json!("Iv8i"))
    );
    assert!(letters.iter().all(|letter| !letter["reason"].as_str().unwrap().is_empty()));
    assert!(letters[2]["reason"].as_str().unwrap().contains("label"), "{}", letters[2]);
}

#[test]
fn bad_records_alone_are_no_failure_but_max_errors_is() {
    let scene = Scene::new();
    let records = flights_with_faults(500, 50);
    scene.file("in", &records);
    scene.train("in -m ten --max-errors 10");
    let line = scene.fails("train in -m nine --max-errors 9 --buckets 65536 --dead-letters dead");
    assert!(line.contains("--max-errors 9") && line.contains("line 510"), "{line}");
    assert_eq!(scene.text("dead").lines().count(), 10);
    // What came before is saved, and a run that allows more goes on from there.
    scene.train("in -m nine --resume --dead-letters dead");
    assert_same("model", &learned(&scene.path("ten")), &learned(&scene.path("nine")));
    scene.fails("train in --max-errors 0");
}

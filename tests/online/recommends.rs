//! `flexihash recommend`: the best items of a list are those with the largest predictions, exactly.

use crate::streams::rated;
use crate::support::Scene;
use crate::train;
use serde_json::{Value, json};
use std::fmt::Write as _;

#[test]
fn the_best_items_are_those_with_the_largest_predictions() {
    for name in ["dot", "dot-bias", "murmur"] {
        let scene = Scene::new();
        scene.file("in", rated(3000));
        train(&scene, name, "-m model");
        let items: Vec<String> = (0..70).map(|item| item.to_string()).collect(); // ten that nobody has rated
        scene.file("items", items.join("\n"));
        let users = ["3", "17", "999"];
        let (mut asking, mut pairs) = (String::new(), String::new());
        for user in users {
            writeln!(asking, "{}", json!({"id": user, "features": {"user": {"id": user}}})).unwrap();
            for item in &items {
                let features = json!({"user": {"id": user}, "item": {"id": item}});
                writeln!(pairs, "{}", json!({"id": [user, item], "features": features})).unwrap();
            }
        }
        scene.file("asking", asking);
        scene.file("pairs", pairs);
        scene.ok("predict pairs -m model -p scores");
        scene.ok("recommend asking -m model --items items --top 5 -o best");
        let scores: Vec<Value> =
            scene.text("scores").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let lines: Vec<Value> =
            scene.text("best").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), users.len());
        for (user, line) in users.iter().zip(lines) {
            assert_eq!(line["id"], *user);
            let prediction = |item: &str| {
                let own = scores.iter().find(|score| score["id"] == json!([user, item])).unwrap();
                own["prediction"].as_f64().unwrap()
            };
            let best = line["items"].as_array().unwrap();
            assert_eq!(best.len(), 5, "{name}");
            let mut last = f64::MAX;
            for one in best {
                let (item, got) = (one["item"].as_str().unwrap(), one["prediction"].as_f64().unwrap());
                assert!(
                    (got - prediction(item)).abs() < 1e-5,
                    "{name}, {item}: {got} beside {}",
                    prediction(item)
                );
                assert!(got <= last);
                last = got;
            }
            let shown: Vec<&str> = best.iter().map(|one| one["item"].as_str().unwrap()).collect();
            let rest = items.iter().filter(|item| !shown.contains(&item.as_str()));
            assert!(
                rest.into_iter().all(|item| prediction(item) <= last + 1e-5),
                "{name}: one was passed over"
            );
        }
    }
}

#[test]
fn what_cannot_be_recommended_is_said() {
    let scene = Scene::new();
    scene.file("in", rated(50));
    train(&scene, "modulo", "-m model");
    train(&scene, "flexi", "-m other");
    scene.file("items", "1\n2\n");
    scene.file("none", "\n");
    scene.file("text", "1\nabc\n");
    for (args, expected) in [
        ("-m other --items items", "this model does not rank items by vectors"),
        ("-m model --items none", "expected the ids of items, one a line, found none"),
        ("-m model --items text", "item 2: expected an integer id for this hash, found \"abc\""),
        ("-m model --items absent", "absent: "),
        ("-m model --items items --top 0", "--top: expected at least 1"),
    ] {
        let line = scene.fails(&format!("recommend in {args}"));
        assert!(line.contains(expected), "{args}: {line}");
    }
    // Bad records are warned of, and the others answered.
    scene.file("asking", "{\"features\":{\"user\":{\"id\":4}}}\nnonsense\n{\"features\":{}}\n");
    scene.ok("recommend asking -m model --items items -o best");
    assert_eq!(scene.text("best").lines().count(), 2);
}

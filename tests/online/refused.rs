//! Configurations that cannot work are refused with a line that says what to change; bad values make bad records.

use crate::streams::{asked, rated, shown};
use crate::support::Scene;
use crate::{model, train};

const DOT: &str = r#"
optimizer = "sgd"
[network]
kind = "dot"
dim = 4
[[fields]]
name = "user_id"
kind = "id"
path = "user.id"
[[fields]]
name = "item_id"
kind = "id"
path = "item.id"
"#;

#[test]
fn mistakes_in_a_network_s_file_are_named() {
    let scene = Scene::new();
    scene.file("in", rated(10));
    for (from, to, expected) in [
        ("kind = \"dot\"", "kind = \"dott\"", "--network: unknown variant `dott`"),
        ("dim = 4", "dimm = 4", "--network: unknown field `dimm`"),
        ("dim = 4", "hashes = 0", "hashes: expected at least 1, got 0"),
        (
            "name = \"item_id\"",
            "name = \"item\"",
            "the network takes a field \"item_id\" of kind \"id\" or \"sum\" with dim 4",
        ),
        (
            "path = \"item.id\"",
            "path = \"item.id\"\ndim = 5",
            "field \"item_id\": expected kind \"id\" or \"sum\" with dim 4, got an id of dim 5",
        ),
        (
            "path = \"item.id\"",
            "path = \"item.id\"\n[[fields]]\nname = \"more\"\nkind = \"id\"",
            "field \"more\": the network takes no field of that name",
        ),
        ("path = \"item.id\"", "path = \"item..id\"", "item..id"),
        (
            "path = \"item.id\"",
            "path = \"item.id\"\nbucket = 7",
            "fields: number 2 (item_id): unknown field `bucket`",
        ),
        (
            "path = \"item.id\"",
            "path = \"item.id\"\ninit-scale = -1.0",
            "expected a finite number of at least 0, got -1",
        ),
        ("optimizer = \"sgd\"", "learning-rate = \"auto\"", "--learning-rate: a network has no auto"),
        ("optimizer = \"sgd\"", "head = \"fm\"", "--head: has no effect on a network"),
        ("optimizer = \"sgd\"", "buckets = 7", "--buckets: has no effect on a network"),
        ("optimizer = \"sgd\"", "loss = \"logistic\"", "--loss: this network minimizes \"squared\""),
        ("optimizer = \"sgd\"", "batch = 0", "--batch: expected 1 to 65536, got 0"),
        ("[network]\nkind = \"dot\"\ndim = 4\n", "", "--fields: are what a network takes"),
    ] {
        assert!(DOT.contains(from), "{from}");
        scene.file("bad.toml", DOT.replace(from, to));
        let line = scene.fails("train in -q --config bad.toml");
        assert!(line.contains(expected), "{to}: {line}");
    }
    let line = scene.fails("train in -q --dense-optimizer sgd");
    assert!(line.contains("--dense-optimizer: has an effect on a network only"), "{line}");
    let line = scene.fails("train in -q --batch 4");
    assert!(line.contains("--batch: has an effect on a network only"), "{line}");
    scene.file("dot.toml", DOT);
    let line = scene.fails("train in -q --config dot.toml --learners 2");
    assert!(line.contains("a network has one learner, got 2"), "{line}");
}

#[test]
fn a_model_goes_on_with_its_own_network_only() {
    let scene = Scene::new();
    scene.file("in", rated(100));
    scene.file("dot.toml", DOT);
    scene.file("other.toml", DOT.replace("dim = 4", "dim = 8"));
    scene.ok("train in -q --config dot.toml -m model");
    // Nothing said, the same said, and what is left out the same: it goes on.
    scene.ok("train in -q -m model --resume");
    scene.ok("train in -q -m model --resume --config dot.toml");
    let line = scene.fails("train in -q -m model --resume --config other.toml");
    assert!(line.contains("this model was made with"), "{line}");
    let line = scene.fails("train in -q -m model --resume --batch 3");
    assert!(line.contains("--batch: this model was made with 1"), "{line}");
    let line = scene.fails("embed in -m model");
    assert!(line.contains("this model has no embeddings"), "{line}");
}

#[test]
fn values_that_a_field_cannot_take_make_bad_records() {
    let scene = Scene::new();
    let rest = r#""item":{"id":"1"}"#;
    let bad = [
        (r#"{"label":1,"features":{"user":{"id":["a","b"]},"#, "user_id"),
        (r#"{"label":1,"features":{"user":{"id":1.5},"#, "user_id"),
        (r#"{"label":{"score":1},"features":{"user":{"id":1},"#, "expected a single label"),
    ];
    let lines: Vec<String> = bad.iter().map(|(start, _)| format!("{start}{rest}}}}}\n")).collect();
    scene.file("in", lines.concat() + &rated(50));
    train(&scene, "dot", "--dead-letters dead --summary summary.json");
    let summary = scene.json("summary.json");
    assert_eq!((&summary["skipped"], &summary["examples"]), (&3.into(), &50.into()));
    for (letter, (_, reason)) in scene.text("dead").lines().zip(bad) {
        assert!(letter.contains(reason), "{letter}");
    }
    assert_eq!(scene.text("dead").lines().count(), 3);
}

/// A label of the record where candidates have them, and of no task of the model.
#[test]
fn labels_in_the_wrong_place_make_bad_records() {
    let scene = Scene::new();
    let with_label = shown(20).replacen("{\"", "{\"label\":1,\"", 1);
    scene.file("in", with_label);
    train(&scene, "ranker", "--dead-letters dead");
    assert!(
        scene.text("dead").contains("in the items of the list \\\"candidates\\\""),
        "{}",
        scene.text("dead")
    );
    scene.file("in", asked(20).replacen("{\"disliked", "{\"hated", 1));
    train(&scene, "multitask-id", "--dead-letters dead");
    assert!(scene.text("dead").contains("got one of \\\"hated\\\""), "{}", scene.text("dead"));
}

/// A task that no record has, a path that leads nowhere: said as soon as it is clear, and nothing is saved.
#[test]
fn what_never_occurs_is_an_error() {
    let scene = Scene::new();
    let config = model("multitask-id").display().to_string();
    scene.file("in", asked(3000).lines().map(without_disliked).collect::<String>());
    let line = scene.fails(&format!("train in -q --config {config} -m model"));
    assert!(line.contains("labelled records: no record has a label of the task \"disliked\""), "{line}");
    let line = scene.fails("inspect model");
    assert!(line.contains("holds no model"), "{line}");
    scene.ok(&format!("train in -q --config {config} --allow-unseen"));

    // At the end of a shorter stream too.
    scene.file("in", rated(30));
    scene.file("bad.toml", DOT.replace("\"user.id\"", "\"user.name\""));
    let line = scene.fails("train in -q --config bad.toml");
    assert!(
        line.contains("after 30 labelled records: no record has anything for the field \"user_id\""),
        "{line}"
    );
}

fn without_disliked(line: &str) -> String {
    let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
    record["label"].as_object_mut().unwrap().remove("disliked");
    format!("{record}\n")
}

/// Numbers beyond all reason are predicted and learned, or dropped, but never stored.
#[test]
fn no_finite_input_stores_what_is_not_finite() {
    let scene = Scene::new();
    let mut records = asked(200);
    for value in ["3e38", "-3e38", "1e-40"] {
        let line = format!(
            "{{\"weight\":1e30,\"label\":{{\"liked\":1,\"disliked\":0}},\"features\":{{\"user\":{{\"id\":\"1\",\"x\":{value},\"y\":{value}}},\"item\":{{\"id\":\"2\",\"x\":{value}}}}}}}\n"
        );
        records.push_str(&line);
    }
    records.push_str(&asked(200));
    scene.file("in", &records);
    for name in ["multitask-id", "multitask-cohort", "multitask-mixture", "flexi"] {
        let folder = format!("model-{name}");
        let records = if name == "flexi" { rated(100) + &huge() } else { records.clone() };
        scene.file("in", records);
        train(&scene, name, &format!("-m {folder} -p out --summary summary.json"));
        let learned = crate::support::learned(&scene.path(&folder));
        let bad = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN].map(|value| value.to_bits().to_string());
        for line in learned.lines().filter(|line| line.contains('[')) {
            let numbers = line.split(|c: char| !c.is_ascii_digit());
            let words: Vec<&str> = numbers.collect();
            assert!(!words.iter().any(|word| bad.iter().any(|bad| bad == word)), "{name}: {line}");
        }
        for line in scene.text("out").lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert!(model(name).exists());
    }
}

fn huge() -> String {
    let record = r#"{"label":1,"weight":1e30,"features":{"a":3e38,"b":-3e38,"c":3e38}}"#;
    format!("{record}\n").repeat(20)
}

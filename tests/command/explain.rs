//! Why a record was predicted so, and which features weigh most, by name.

use crate::support::*;

#[test]
fn contributions_as_lines_and_as_a_table() {
    let scene = Scene::new();
    scene.file("in", flights(3000));
    scene.train("in -q -m model");
    let records = r#"{"id":"\u001b[2J","features":{"hour":"6","x\u001b[31m":"y"}}"#.to_owned() + "\n{}\n";
    scene.file("new", records);
    let lines = scene.ok("explain -m model new --top 1");
    let lines = String::from_utf8(lines.stdout).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["id"], &lines[0]["unit"]), (&"\u{1b}[2J".into(), &"log-odds".into()));
    let output = &lines[0]["outputs"][0];
    assert_eq!(output["contributions"].as_array().unwrap().len(), 1);
    let part = &output["contributions"][0];
    assert_eq!((&part["feature"], &part["value"]), (&"hour=6".into(), &1.0.into()));
    assert_eq!(lines[1]["features"], 0);
    assert!(output["score"].as_f64().unwrap() < 0.0 && part["contribution"].as_f64().unwrap() < 0.0);
    let table = String::from_utf8(scene.ok("explain -m model new --table").stdout).unwrap();
    assert!(
        table.contains("hour=6 = 1") && table.contains("log-odds") && !table.contains('\u{1b}'),
        "{table}"
    );
    scene.file("bad", "{\"features\":[]}\n");
    assert!(scene.fails("explain -m model bad").contains("1 bad records are not explained"));
}

#[test]
fn the_largest_weights_by_name() {
    let scene = Scene::new();
    scene.file("in", flights(6000));
    scene.train("in -q -m model --names 300");
    scene.train("in -q -m plain");
    let text = String::from_utf8(scene.ok("inspect model --features --top 5").stdout).unwrap();
    for part in ["distinct features", "with twice the rows", "names kept", "features by weight (named: "] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&scene.ok("inspect model --features --json").stdout).unwrap();
    assert_eq!(json["features"]["top"].as_array().unwrap().len(), 20);
    assert_eq!(json["insight"]["records"], 6000);
    assert_eq!(json["insight"]["names"]["kept"], 300);
    assert!(json["features"]["named_share"].as_f64().unwrap() > 0.02);
    assert!(scene.fails("inspect plain --features").contains("trained without --names"));
    let plain: serde_json::Value = serde_json::from_slice(&scene.ok("inspect plain --json").stdout).unwrap();
    assert!(plain.get("insight").is_none() && plain.get("features").is_none());
    // Resting: what was seen stays, and the model goes on being saved.
    scene.file("in", flights(7000));
    scene.train("in -q -m model --resume --insight=false");
    let json: serde_json::Value = serde_json::from_slice(&scene.ok("inspect model --json").stdout).unwrap();
    assert_eq!((&json["insight"]["records"], &json["summary"]["records"]), (&6000.into(), &7000.into()));
    assert!(scene.fails("train in -q --names 5 --insight=false").contains("--names"));
}

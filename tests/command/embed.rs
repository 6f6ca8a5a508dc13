//! `predict` and `embed`: what a saved model, or none, makes of records.

use crate::support::*;
use serde_json::Value;

/// Reads a `.npy` file by the letter of its format: shape and values.
fn read_npy(bytes: &[u8]) -> (Vec<usize>, Vec<f32>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + length) % 64, 0, "the data must be aligned");
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    assert!(header.ends_with('\n') && header.contains("'descr': '<f4'"), "{header}");
    assert!(header.contains("'fortran_order': False"), "{header}");
    let (_, shape) = header.split_once("'shape': (").unwrap();
    let (shape, _) = shape.split_once(')').unwrap();
    let shape: Vec<usize> = shape.split(", ").map(|n| n.parse().unwrap()).collect();
    let data = bytes[10 + length..].chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
    (shape, data.collect())
}

/// Vectors of JSON lines.
fn read_lines(text: &str) -> Vec<Vec<f32>> {
    let vector = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        serde_json::from_value(value["embedding"].clone()).unwrap()
    };
    text.lines().map(vector).collect()
}

#[test]
fn predict_ignores_labels_learns_nothing_and_keeps_the_order() {
    let scene = Scene::new();
    let records = String::from_utf8(flights(1000)).unwrap();
    scene.file("in", &records);
    scene.file("odd", records.replace("\"label\":0", "\"label\":\"no number\"").replace("\"label\":1,", ""));
    scene.train("in -m model");
    let before = state(&scene.path("model"));
    let predicted = scene.ok("predict -m model in");
    assert_eq!(stderr(&predicted), "");
    assert_eq!(predicted.stdout, scene.ok("predict -m model odd --threads 3").stdout);
    assert_eq!(
        predicted.stdout,
        piped(scene.flexihash(["predict", "-m", "model"]), records.as_bytes()).stdout
    );
    scene.ok("predict -m model in -p out");
    let text = String::from_utf8(predicted.stdout).unwrap();
    assert_eq!(text, scene.text("out"));
    assert_eq!(text.lines().count(), 1000);
    for (line, record) in text.lines().zip(records.lines()) {
        let id = record.split(',').next().unwrap();
        assert!(line.starts_with(&format!("{id},\"prediction\":0.")), "{line}");
    }
    assert_same("predict must not learn", &before, &state(&scene.path("model")));
}

#[test]
fn predict_numbers_records_from_zero_and_buries_the_bad_ones() {
    let scene = Scene::new();
    scene.file("in", flights(100));
    scene.train("in -m model");
    scene.file("new", "{\"features\":{\"a\":1}}\nbad\n\n{\"features\":{}}\n");
    let output = scene.ok("predict -m model new --dead-letters dead");
    let text = String::from_utf8(output.stdout).unwrap();
    let ids: Vec<&str> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(ids, ["{\"id\":0", "{\"id\":1"]);
    assert!(scene.text("dead").starts_with("{\"source\":\"new\",\"line\":2,"));
    assert!(scene.fails("predict -m model new --max-errors 0").contains("--max-errors 0"));
}

#[test]
fn initial_rows_depend_on_seed_and_dim_alone() {
    let scene = Scene::new();
    scene.file("in", flights(50));
    scene.ok("embed in -o a.npy --dim 24 --seed 3 --buckets 5000");
    scene.ok("embed in -o b.npy --dim 24 --seed 3 --buckets 5000");
    scene.ok("embed in -o c.npy --dim 24 --seed 4 --buckets 5000");
    scene.ok("embed in -o d.npy");
    let (shape, values) = read_npy(&scene.read("a.npy"));
    assert_eq!((shape, values.len()), (vec![50, 24], 50 * 24));
    assert!(values.iter().all(|value| value.is_finite()) && values.iter().any(|value| *value != 0.0));
    assert_eq!(scene.read("a.npy"), scene.read("b.npy"));
    assert_ne!(scene.read("a.npy"), scene.read("c.npy"));
    assert_eq!(read_npy(&scene.read("d.npy")).0, [50, 128]);
    let lines = scene.ok("embed in --dim 24 --seed 3 --buckets 5000").stdout;
    let text = String::from_utf8(lines).unwrap();
    assert!(text.starts_with("{\"id\":\"0\",\"embedding\":["), "{text}");
    assert_eq!(read_lines(&text).concat(), values);
}

#[test]
fn learned_rows_of_a_factorization_machine_are_its_embeddings() {
    let scene = Scene::new();
    scene.file("in", flights(2000));
    scene.file("few", b"{\"features\":{}}\nbad\n{\"id\":[1],\"features\":{\"carrier\":\"UA\"}}\n");
    scene.train("in -m fm --head fm --dim 8");
    scene.ok("embed -m fm few -o out.npy");
    let (shape, values) = read_npy(&scene.read("out.npy"));
    assert_eq!(shape, [2, 8], "a bad record has no row");
    assert!(values[..8].iter().all(|value| *value == 0.0) && values[8..].iter().any(|value| *value != 0.0));
    let output = scene.ok("embed -m fm few");
    assert_eq!(read_lines(&String::from_utf8(output.stdout).unwrap()).concat(), values);
}

#[test]
fn a_model_without_embeddings_says_so() {
    let scene = Scene::new();
    scene.file("in", flights(20));
    scene.train("in -m linear");
    assert!(scene.fails("embed -m linear in").contains("has no embeddings"));
}

#[test]
fn inspect_shows_options_counters_rows_and_norms() {
    let scene = Scene::new();
    scene.file("in", flights_with_faults(500, 100));
    scene.train("in -m model --seed 7");
    let json: Value = serde_json::from_slice(&scene.ok("inspect model --json").stdout).unwrap();
    assert_eq!((&json["config"]["buckets"], &json["config"]["seed"]), (&65536.into(), &7.into()));
    assert_eq!((&json["summary"]["examples"], &json["summary"]["skipped"]), (&500.into(), &5.into()));
    let table = &json["tables"][0];
    let touched = table["rows_touched"].as_u64().unwrap();
    let lines =
        learned(&scene.path("model")).lines().filter(|line| line.starts_with(char::is_numeric)).count();
    assert_eq!(touched, lines as u64);
    assert_eq!(table["load_factor"].as_f64().unwrap(), touched as f64 / table["rows"].as_f64().unwrap());
    assert!(table["norm_l1"].as_f64().unwrap() > table["norm_l2"].as_f64().unwrap());
    let text = String::from_utf8(scene.ok("inspect model").stdout).unwrap();
    for word in ["generation", "500", "rows touched", "norm of weights", "buckets", "logistic"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

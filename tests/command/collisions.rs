//! `collisions`: the table, the JSON, the chart, and what is refused.

use crate::support::*;
use flexihash::HashKey;
use flexihash::collision::{Scheme, Tables, measure};
use flexihash::hash::HashKind;
use serde_json::Value;

fn rows(scene: &Scene, args: &str) -> Vec<Value> {
    let json: Value = serde_json::from_slice(&scene.ok(&format!("collisions {args} --json")).stdout).unwrap();
    json["rows"].as_array().unwrap().clone()
}

#[test]
fn theory_and_measurement_stand_side_by_side() {
    let scene = Scene::new();
    let rows = rows(&scene, "--ids 2e4 --buckets 1e3 --hashes 1..3");
    assert_eq!(rows.len(), 3);
    for (row, hashes) in rows.iter().zip(1..) {
        let scheme = Scheme::new(1000, hashes, Tables::Shared).unwrap();
        assert_eq!((&row["buckets"], &row["hashes"]), (&1000.into(), &hashes.into()));
        assert_eq!(row["pair"].as_f64().unwrap(), scheme.pair_probability());
        let expected = row["expected_share"].as_f64().unwrap();
        assert_eq!(expected, scheme.expected_share(20_000));
        let shared = measure(20_000, &scheme, HashKind::Siphash, &HashKey::default()).unwrap();
        assert_eq!(row["measured_ids"], shared);
        let (expected, shared) = (20_000.0 * expected, shared as f64);
        assert_eq!(row["measured_share"].as_f64().unwrap(), shared / 20_000.0);
        assert!((shared - expected).abs() < 5.0 * (3.0 * expected).sqrt(), "{row}");
    }
    let table = String::from_utf8(scene.ok("collisions --ids 20000 --buckets 1000 --hashes 3,1,2").stdout);
    let table = table.unwrap();
    assert!(table.starts_with("20,000 ids by siphash, one table for all hashes"), "{table}");
    let shared = rows[1]["measured_ids"].as_u64().unwrap().to_string();
    assert!(
        table.lines().any(|line| line.trim_start().starts_with("1,000 ") && line.ends_with(&shared)),
        "{table}"
    );
}

#[test]
fn the_key_the_hash_and_separate_tables_matter() {
    let scene = Scene::new();
    let args = "--ids 3000 --buckets 500 --hashes 2";
    let own = rows(&scene, args);
    let keyed = scene
        .flexihash(format!("collisions {args} --json").split(' '))
        .env("FLEXIHASH_HASH_KEY", "00112233445566778899aabbccddeeff")
        .output()
        .unwrap();
    let keyed: Value = serde_json::from_slice(&keyed.stdout).unwrap();
    assert_eq!(keyed["rows"][0]["pair"], own[0]["pair"]);
    let mmh3 = rows(&scene, &format!("{args} --hash mmh3"));
    let separate = rows(&scene, &format!("{args} --separate"));
    let measured = [&own[0], &keyed["rows"][0], &mmh3[0], &separate[0]].map(|row| &row["measured_ids"]);
    for (i, one) in measured.iter().enumerate() {
        assert!(measured[..i].iter().all(|other| other != one), "{measured:?}");
    }
    assert!(separate[0]["pair"].as_f64().unwrap() < 0.6 * own[0]["pair"].as_f64().unwrap());
    let theory = rows(&scene, "--ids 1e12 --buckets 500 --hashes 2 --theory");
    assert_eq!(theory[0].get("measured_ids"), None);
    assert_eq!(theory[0]["expected_share"], 1.0);
}

/// Tags of an SVG by name; fails if they do not close.
fn tags(svg: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for tag in svg.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let name = tag.split([' ', '/']).next().unwrap().to_owned();
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None if tag.ends_with('/') => all.push(name),
            None => {
                open.push(name.clone());
                all.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

#[test]
fn a_chart_has_theory_as_lines_and_what_was_measured_as_points() {
    let scene = Scene::new();
    scene.ok("collisions --ids 1e4 --buckets 1e3 --hashes 1..3 --svg hashes.svg");
    scene.ok("collisions --ids 1e4 --buckets 1e3,1e4 --hashes 1..3 --svg buckets.svg");
    scene.ok("collisions --ids 1e4 --buckets 1e3 --hashes 2 --theory --svg theory.svg");
    for (name, lines, texts) in [
        ("hashes.svg", 1, ["hashes of an id", "expected share", "measured share"]),
        ("buckets.svg", 3, ["buckets", "expected, hashes: 3", "measured: none (drawn at 2 ids)"]),
        ("theory.svg", 1, ["hashes of an id", "expected share", "one given pair"]),
    ] {
        let svg = scene.text(name);
        let tags = tags(&svg);
        let count = |name: &str| tags.iter().filter(|tag| *tag == name).count();
        assert!(count("polyline") > 2 * lines, "{name}: the dashes of pairs, too");
        assert_eq!(count("circle") > 0, name != "theory.svg", "{name}");
        assert!(svg.contains("prefers-color-scheme: dark"), "{name}");
        for text in texts {
            assert!(svg.lines().any(|line| line.trim() == text), "{name}: {text}");
        }
    }
    let on_output = scene.ok("collisions --ids 1e4 --buckets 1e3 --hashes 1..3 --svg -").stdout;
    assert_eq!(on_output, scene.read("hashes.svg"), "the same bytes each time, and nothing else");
}

#[test]
fn what_cannot_be_is_refused() {
    let scene = Scene::new();
    for (args, words) in [
        ("--ids 1", "--ids: expected 2 or more, got 1"),
        ("--buckets 0", "--buckets: expected 1 to 2147483648, got 0"),
        ("--buckets 1e10", "--buckets: expected 1 to 2147483648, got"),
        ("--hashes 16,17", "--hashes: expected 1 to 16, got 17"),
        ("--ids 1e12", "expected at most 134217728, 16 bytes each, got 1000000000000; --theory"),
        ("--hash modulo --hashes 2", "modulo is one hash"),
        ("--svg nowhere/a.svg", "its folder is missing"),
    ] {
        let error = scene.fails(&format!("collisions {args}"));
        assert!(error.contains(words), "{args}: {error}");
    }
    for args in ["--ids 1.5", "--hashes 5..1", "--hash md5", "--buckets 1,,2"] {
        let output = scene.flexihash(words("collisions", args)).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args}: {}", stderr(&output));
    }
}

//! What is seen beside learning: against exact counts, for any number of threads, and on hostile streams.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod stream;

use flexihash::checkpoint::Writer;
use flexihash::engine::{
    Change, Engine, EngineOptions, Insight, InsightOptions, InsightReport, Outputs, SchemaReport,
};
use flexihash::hash::{
    FeatureHasher, HashKind, HashOptions, NativeValue, PathSegment, encode_native, sklearn_column,
};
use flexihash::source::{LinesOptions, LinesSource};
use flexihash::{HashKey, Model, ModelFlags};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

/// A new model that looks at these lines while it learns them.
fn seen(flags: &ModelFlags, lines: &[u8], names: usize, threads: usize, learners: usize) -> Model {
    let mut model = Model::new(flags, &HashKey::default()).unwrap();
    model.observe(InsightOptions { names, ..InsightOptions::default() }).unwrap();
    run(model, lines, threads, learners)
}

fn run(model: Model, lines: &[u8], threads: usize, learners: usize) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    std::fs::write(&path, lines).unwrap();
    let source = LinesSource::open(&[path], LinesOptions::default()).unwrap();
    let options = EngineOptions { threads, learners, allow_unseen: true, ..EngineOptions::default() };
    let insight = Insight::new();
    let engine = Engine::new(model, options, Outputs::default(), None).with_insight(&insight);
    let finished = engine.run(Box::new(source), &AtomicBool::new(false), &mut ()).unwrap();
    let report = finished.model.insight().unwrap();
    assert_eq!(*insight.report(), report, "the handle has what is there at the end");
    finished.model
}

fn report(flags: &ModelFlags, lines: &[u8]) -> InsightReport {
    seen(flags, lines, 20, 2, 1).insight().unwrap()
}

fn flags(buckets: u32, hashes: u32, kind: HashKind) -> ModelFlags {
    ModelFlags { buckets: Some(buckets), hashes: Some(hashes), hash: Some(kind), ..ModelFlags::default() }
}

/// Lookups and collisions by field, and how many different features there are: by remembering all of them.
#[derive(Default)]
struct Truth {
    owners: HashMap<u32, Vec<u8>>,
    features: HashSet<Vec<u8>>,
    fields: BTreeMap<String, [u64; 2]>,
}

impl Truth {
    fn of(lines: &[u8], flags: &ModelFlags) -> Self {
        let (buckets, hashes, kind) = (flags.buckets.unwrap(), flags.hashes.unwrap(), flags.hash.unwrap());
        let options = HashOptions { kind, buckets, hashes, ..HashOptions::default() };
        let hasher = FeatureHasher::new(options, &HashKey::default()).unwrap();
        let mut truth = Self::default();
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let record: Value = serde_json::from_slice(line).unwrap();
            for (key, value) in record["features"].as_object().unwrap() {
                let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                for value in values {
                    truth.look_up(&hasher, key, &value);
                }
            }
        }
        truth
    }

    fn look_up(&mut self, hasher: &FeatureHasher, key: &str, value: &Value) {
        let mut bytes = Vec::new();
        let native = match value {
            Value::String(text) => NativeValue::Category(text),
            number if number.as_f64() == Some(0.0) => return,
            _ => NativeValue::Number,
        };
        encode_native(&[PathSegment::Key(key)], native, &mut bytes);
        let text = match value {
            Value::String(text) => format!("{key}={text}"),
            _ => key.to_owned(),
        };
        self.features.insert(bytes.clone());
        for index in 0..hasher.options().hashes {
            let slot = match hasher.options().kind {
                HashKind::Siphash => hasher.native_slot(&bytes, index).unwrap().slot,
                _ => sklearn_column(text.as_bytes(), index, hasher.options().buckets).0,
            };
            let owner = self.owners.entry(slot.0).or_insert_with(|| bytes.clone());
            let counts = self.fields.entry(key.to_owned()).or_default();
            counts[0] += 1;
            counts[1] += u64::from(*owner != bytes);
        }
    }

    fn rate(&self) -> f64 {
        let sum = self.fields.values().fold([0; 2], |sum, [l, c]| [sum[0] + l, sum[1] + c]);
        sum[1] as f64 / sum[0] as f64
    }
}

fn flights(records: usize) -> Vec<u8> {
    stream::flights(records).join(&b'\n')
}

/// Ids of all frequencies, most of them rare; tags in a list; a number.
fn heavy_tailed(records: u64) -> Vec<u8> {
    let mut out = String::new();
    let mut state = 1_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    for i in 0..records {
        // The n-th id about as often as 1/n.
        let mut zipf = |ids: f64| (ids.ln() * uniform()).exp() as u64;
        let (user, item, tags) = (zipf(1e6), zipf(2e5), [zipf(1000.0), zipf(1000.0), zipf(1000.0)]);
        let [a, b, c] = tags;
        let label = u64::from(user % 3 == 0);
        let _ = writeln!(
            out,
            r#"{{"id":{i},"label":{label},"features":{{"user":"u{user}","item":"i{item}","tags":["{a}","{b}","{c}"],"x":{}}}}}"#,
            i % 7
        );
    }
    out.into_bytes()
}

fn assert_near(what: &str, got: f64, truth: f64, tolerance: f64) {
    assert!((got / truth - 1.0).abs() <= tolerance, "{what}: measured {got}, the truth is {truth}");
}

/// Within a tenth for every field with so many collisions that the sample of lookups cannot be far off, and for all together.
fn assert_measured(lines: &[u8], flags: &ModelFlags) {
    let truth = Truth::of(lines, flags);
    let found = report(flags, lines).collisions.unwrap();
    let what = format!("{flags:?}");
    assert_near(&what, found.rate, truth.rate(), 0.1);
    assert_near("distinct keys", found.distinct_keys as f64, truth.features.len() as f64, 0.05);
    assert_eq!(found.tables[0].owned, truth.owners.len() as u64);
    let mut compared = 0;
    for (field, [lookups, collisions]) in &truth.fields {
        let measured = found.fields.iter().find(|found| found.field == *field).unwrap();
        assert_near(&format!("lookups of {field}"), measured.lookups as f64, *lookups as f64, 0.1);
        if *collisions >= 800 {
            assert_near(field, measured.rate, *collisions as f64 / *lookups as f64, 0.1);
            compared += 1;
        }
    }
    assert!(compared >= 3, "{truth:?}", truth = truth.fields);
}

#[test]
fn collision_rates_are_within_a_tenth_of_the_truth_on_flights() {
    let lines = flights(100_000);
    assert_measured(&lines, &flags(1 << 13, 1, HashKind::Siphash));
    assert_measured(&lines, &flags(50_000, 1, HashKind::Siphash));
}

#[test]
fn and_on_a_stream_with_heavy_tails() {
    let lines = heavy_tailed(60_000);
    assert_measured(&lines, &flags(1 << 17, 1, HashKind::Siphash));
    assert_measured(&lines, &flags(1 << 15, 2, HashKind::Siphash));
    assert_measured(&lines, &flags(1 << 16, 1, HashKind::Sklearn));
}

#[test]
fn what_twice_the_rows_would_change_is_about_what_they_do() {
    for lines in [flights(60_000), heavy_tailed(60_000)] {
        let rates = [1 << 15, 1 << 16].map(|buckets| {
            let found = report(&flags(buckets, 1, HashKind::Siphash), &lines).collisions.unwrap();
            (found.rate, found.rate_doubled)
        });
        // On flights a few popular features decide: it is an expectation over hashes, not of these.
        assert!((rates[0].1 / rates[1].0).ln().abs() < 0.5, "{rates:?}");
        assert!(rates[0].1 < 0.75 * rates[0].0, "{rates:?}");
    }
}

#[test]
fn what_is_seen_does_not_depend_on_threads_or_learners() {
    let lines = heavy_tailed(30_000);
    let flags = flags(1 << 14, 1, HashKind::Siphash);
    let one = seen(&flags, &lines, 100, 1, 1);
    for threads in [0, 2, 5] {
        assert_eq!(seen(&flags, &lines, 100, threads, 1).insight(), one.insight(), "{threads}");
    }
    // Weights differ there, and so does the order by them.
    let (two, one) = (seen(&flags, &lines, 100, 1, 2).insight().unwrap(), one.insight().unwrap());
    assert_eq!((two.collisions, two.schema, two.records), (one.collisions, one.schema, one.records));
}

#[test]
fn looking_does_not_change_what_is_learned() {
    let lines = heavy_tailed(3000);
    let flags = flags(1 << 12, 1, HashKind::Siphash);
    let looked = seen(&flags, &lines, 100, 2, 1);
    let mut plain = Model::new(&flags, &HashKey::default()).unwrap();
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        plain.learn_json(line).unwrap();
    }
    assert_eq!(stream::checksum(looked.learner()), stream::checksum(plain.learner()));
    assert_eq!(looked.learner().vectors(), plain.learner().vectors());
    assert!(plain.insight().is_none() && plain.heaviest(3).is_empty() && plain.named_share().is_none());
}

/// 20 features are in every record; thousands of others once: the sketch keeps the former, with their weights.
#[test]
fn names_are_those_of_the_features_that_come_often() {
    let mut lines = String::new();
    for i in 0..4000 {
        let often: Vec<String> = (0..20).map(|k| format!(r#""often{k}":"{}""#, (i >> (k % 4)) & 1)).collect();
        let _ = writeln!(
            lines,
            r#"{{"label":{},"features":{{{},"deep":{{"n":[3,{{"q":"r"}}]}},"rare":"{i}"}}}}"#,
            i & 1,
            often.join(",")
        );
    }
    let model = seen(&flags(1 << 18, 1, HashKind::Siphash), lines.as_bytes(), 60, 2, 1);
    let top = model.heaviest(100);
    assert_eq!(top.len(), 60);
    for name in ["often0=0", "often0=1", "often19=1", "deep.n.0", "deep.n.q=r"] {
        let kept =
            top.iter().find(|kept| kept.feature == name).unwrap_or_else(|| panic!("{name} of {top:?}"));
        let truth = if name.starts_with("often") { 2000.0 } else { 4000.0 };
        assert!((kept.count as f64 / truth - 1.0).abs() < 0.35, "{kept:?}");
    }
    assert!(top[0].feature.starts_with("often") && top[0].weight.abs() > 0.2, "{:?}", top[0]);
    assert!(top.is_sorted_by(|a, b| a.weight.abs() >= b.weight.abs()));
    let share = model.named_share().unwrap();
    assert!(share > 0.0 && share < 1.0, "{share}");
    // All names kept: all of the weight but the constant feature's is named.
    let all = seen(&flags(1 << 18, 1, HashKind::Siphash), &lines.as_bytes()[..60_000], 5000, 1, 1);
    assert!(all.named_share().unwrap() > 0.9, "{:?}", all.named_share());
}

fn event(schema: &SchemaReport, change: Change, key: &str) -> u64 {
    let found = schema.latest.iter().find(|event| event.change == change && event.key == key);
    found.unwrap_or_else(|| panic!("{change:?} {key}: {:?}", schema.latest)).at_record
}

#[test]
fn an_upstream_break_is_seen_soon() {
    const BREAK: u64 = 40_000;
    let mut lines = String::new();
    for i in 0..80_000_u64 {
        let part = if i < BREAK { r#""price":3.5,"old":true"# } else { r#""price":"3.50","new":{"deep":1}"# };
        let null = if i % 4 == 0 { "null" } else { "false" };
        let _ = writeln!(lines, r#"{{"ts":{i},"label":0,"features":{{"city":{null},{part}}}}}"#);
    }
    let schema = report(&flags(1 << 12, 1, HashKind::Siphash), lines.as_bytes()).schema.unwrap();
    assert_eq!((schema.changes.new, schema.changes.vanished, schema.changes.r#type), (2, 1, 1));
    for (change, key, within) in [
        (Change::New, "features.new", 1000),
        (Change::New, "features.new.deep", 1000),
        (Change::Type, "features.price", 1000),
        (Change::Vanished, "features.old", 2 * 128 * schema.window + 2000),
    ] {
        let at = event(&schema, change, key);
        assert!((BREAK..BREAK + within).contains(&at), "{key}: {at}");
    }
    let price = schema.latest.iter().find(|event| event.key == "features.price").unwrap();
    assert_eq!((price.was.as_str(), price.is.as_str()), ("number", "string"));
    let city = schema.keys.iter().find(|key| key.key == "features.city").unwrap();
    let before = city.before.as_ref().unwrap();
    assert!(before.present == 1.0 && (before.null - 0.25).abs() < 0.1, "{before:?}");
    assert_eq!(before.kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), ["bool"]);
    let keys: Vec<&str> = schema.keys.iter().map(|key| key.key.as_str()).collect();
    assert_eq!(&keys[..3], ["ts", "label", "features"]);
}

/// A steady stream, one key of it in every hundredth record: nothing has changed, and nothing is told but that key.
#[test]
fn keys_can_be_left_alone() {
    let (flags, lines) = (flags(1 << 12, 1, HashKind::Siphash), flights(5000));
    let mut model = Model::new(&flags, &HashKey::default()).unwrap();
    model.observe(InsightOptions { without_keys: true, ..InsightOptions::default() }).unwrap();
    let mut model = run(model, &lines, 2, 1);
    let report = model.insight().unwrap();
    assert_eq!(report.collisions, seen(&flags, &lines, 0, 2, 1).insight().unwrap().collisions);
    assert_eq!(report.schema.unwrap().sampled, 0);
    // The model stays so.
    let folder = tempfile::tempdir().unwrap();
    let mut store = Writer::create_or_open(folder.path(), 1).unwrap();
    model.save(&mut store).unwrap();
    let stored = Model::load(&mut store.latest().unwrap().unwrap(), &HashKey::default()).unwrap();
    let report = run(stored, &lines, 2, 1).insight().unwrap();
    assert_eq!((report.records, report.schema.unwrap().sampled), (10_000, 0));
}

#[test]
fn a_steady_stream_has_no_changes() {
    let mut lines = String::new();
    for i in 0..100_000 {
        let rare = if i % 100 == 0 { r#","rare":1"# } else { "" };
        let _ = writeln!(lines, r#"{{"label":0,"features":{{"a":{},"b":"x"{rare}}}}}"#, i % 5);
    }
    let schema = report(&flags(1 << 12, 1, HashKind::Siphash), lines.as_bytes()).schema.unwrap();
    assert_eq!((schema.changes.new, schema.changes.vanished, schema.changes.r#type), (0, 0, 0), "{schema:?}");
    assert!(schema.sampled > 1500, "{}", schema.sampled);
}

/// Names and lookups are known by ever fewer records, one in 512 at last; keys are looked at in one of 128 all the same.
#[test]
fn of_a_long_stream_a_sample_suffices() {
    let mut lines = String::new();
    for i in 0..700_000 {
        let rare = if i % 10 == 0 { r#","rare":"y""# } else { "" };
        let _ = writeln!(lines, r#"{{"label":0,"features":{{"a":"x{}"{rare}}}}}"#, i % 2);
    }
    let model = seen(&flags(1 << 12, 1, HashKind::Siphash), lines.as_bytes(), 10, 2, 1);
    let report = model.insight().unwrap();
    let found = report.collisions.unwrap();
    let lookups = |name: &str| found.fields.iter().find(|field| field.field == name).unwrap().lookups as f64;
    assert_near("lookups of a", lookups("a"), 7e5, 0.05);
    assert_near("lookups of rare", lookups("rare"), 7e4, 0.2);
    assert_eq!(model.heaviest(10).len(), 3);
    for kept in model.heaviest(10).iter().filter(|kept| kept.feature != "rare=y") {
        assert_near(&kept.feature, kept.count as f64, 3.5e5, 0.1);
    }
    assert_near(
        "records whose keys are looked at",
        report.schema.unwrap().sampled as f64,
        1024.0 + 7e5 / 128.0,
        0.1,
    );
}

/// Long and strange names, ids as keys, deep records, bad records: everything stays small.
#[test]
fn hostile_streams_stay_bounded() {
    let mut lines = Vec::new();
    let long = "k".repeat(3000);
    for i in 0..3000 {
        let keys: Vec<String> =
            (0..40).map(|k| format!(r#""id{}":"\u001b[2J{long}{i}""#, i * 40 + k)).collect();
        let deep = "{\"d\":".repeat(60) + "1" + &"}".repeat(60);
        let record = format!(
            r#"{{"label":1,"features":{{"{long}":{i},"deep":{deep},"bag":{{{}}},"\u0000{i}":2}}}}"#,
            keys.join(",")
        );
        lines.extend_from_slice(record.as_bytes());
        lines.extend_from_slice(b"\n{\"label\":7,\"features\":{\"bad\":1}}\n\xff\n{\"label\"\n");
    }
    let model = seen(&flags(1 << 12, 3, HashKind::Siphash), &lines, 30, 3, 1);
    let report = model.insight().unwrap();
    assert_eq!(report.records, 12_000);
    let found = report.collisions.as_ref().unwrap();
    assert!(found.fields.len() <= 257 && found.fields.iter().all(|field| field.field.len() <= 64));
    assert!(found.fields.iter().all(|field| field.field != "bad"), "bad records are no lookups");
    assert!(found.fields.iter().any(|field| field.field.is_empty()), "the others together");
    assert!(found.rate > 0.5 && found.rate <= 1.0, "{}", found.rate);
    let names = report.names.as_ref().unwrap();
    assert!(names.kept == 30 && names.top.iter().all(|named| named.feature.len() <= 120 + '…'.len_utf8()));
    let schema = report.schema.as_ref().unwrap();
    assert!(schema.keys.len() <= 1000 && schema.untracked > 0 && schema.latest.len() <= 64);
    assert!(schema.keys.iter().all(|key| key.key.len() < 64 * 4 + 4));
    assert!(serde_json::to_vec(&report).unwrap().len() < 1 << 19);
    assert!(
        Model::new(&ModelFlags::default(), &HashKey::default())
            .unwrap()
            .observe(InsightOptions { names: 1_000_000, ..InsightOptions::default() })
            .is_err()
    );
}

/// Of every touched row of the first table, which has vectors of `dim` floats.
#[cfg(feature = "network")]
fn assert_norms_are_those_of_vectors(model: &Model, dim: usize) {
    let (learner, mut weights, mut norms) = (model.learner(), Vec::new(), Vec::new());
    learner.for_each_weight(0, |weight| weights.push(f64::from(weight)));
    for stripe in 0..learner.tables()[0].1.stripes() {
        learner.sample_norms(0, (stripe, 7), usize::MAX, |norm| norms.push(norm));
    }
    let length = |row: &[f64]| row.iter().map(|weight| weight * weight).sum::<f64>().sqrt() as f32;
    let mut expected: Vec<f32> = weights.chunks(dim).map(length).collect();
    assert_eq!(expected.len(), learner.tables()[0].1.touched() as usize);
    expected.sort_by(f32::total_cmp);
    norms.sort_by(f32::total_cmp);
    assert_eq!(norms, expected);
}

#[cfg(feature = "network")]
#[test]
fn networks_are_seen_by_their_fields() {
    let flags: ModelFlags = serde_json::from_value(serde_json::json!({
        "optimizer": "adagrad", "learning-rate": 0.3,
        "network": {"kind": "dot", "dim": 4, "objective": {"loss": "logistic"}},
        "fields": [
            {"name": "user_id", "kind": "id", "path": "user", "buckets": 256},
            {"name": "item_id", "kind": "id", "path": "item", "buckets": 65536},
        ],
    }))
    .unwrap();
    let mut lines = String::new();
    for i in 0..20_000_u64 {
        let (user, item) = (i * 7919 % 300, i % 50);
        let _ = writeln!(
            lines,
            r#"{{"label":{},"features":{{"user":{user},"item":"i{item}","other":[{i}]}}}}"#,
            (user + item) % 2
        );
    }
    let model = seen(&flags, lines.as_bytes(), 400, 2, 1);
    let report = model.insight().unwrap();
    let found = report.collisions.unwrap();
    assert_near("distinct", found.distinct_keys as f64, 350.0, 0.05);
    assert_eq!(found.tables.iter().map(|table| table.rows).collect::<Vec<_>>(), [256, 65536]);
    let rate = |name: &str| found.fields.iter().find(|field| field.field == name).unwrap().rate;
    // 300 ids in 256 rows: so many have a row that another had first.
    let expected = 1.0 - found.tables[0].owned as f64 / 300.0;
    assert_near("users", rate("user_id"), expected, 0.1);
    assert!(rate("item_id") < 0.1);
    assert_norms_are_those_of_vectors(&model, 4);
    let top = model.heaviest(400);
    assert!(top.iter().any(|named| named.feature == "user_id=17" && named.weight > 0.0), "{top:?}");
    assert!(top.iter().any(|named| named.feature == "item_id=i3"), "{top:?}");
    assert!(model.named_share().unwrap() > 0.99);
}

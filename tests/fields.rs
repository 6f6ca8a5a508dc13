//! Records to fields: the buckets of the published recommenders, and what must hold for any record.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/careful.rs"]
mod careful;
mod oracle;

use careful::Careful;
use flexihash::batch::{Batch, Slot};
use flexihash::example::LabelRange;
use flexihash::field::*;
use flexihash::hash::{Encoder, EncoderScratch, HashKey};
use flexihash::parse::Parser;
use oracle::Kind;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn hasher(options: Value) -> FieldHasher {
    let fields = Fields::new(serde_json::from_value(options).unwrap()).unwrap();
    FieldHasher::new(Arc::new(fields), &HashKey::default(), LabelRange::Binary).unwrap()
}

/// Adds a record to the batch, or says why not.
fn add(hasher: &FieldHasher, record: &str, batch: &mut FieldBatch) -> Result<(), String> {
    let mut scratch = FieldScratch::default();
    let mut encoder = FieldEncoder::new(hasher, &mut scratch, batch);
    match Parser::default().parse(record.as_bytes(), &mut encoder) {
        Ok(()) => encoder.finish().map_err(|error| error.to_string()),
        Err(error) => {
            encoder.abandon();
            Err(error.to_string())
        }
    }
}

fn column<'b>(hasher: &FieldHasher, batch: &'b FieldBatch, name: &str) -> Column<'b> {
    batch.column(hasher.fields().find(name).unwrap()).unwrap()
}

fn slots(hasher: &FieldHasher, batch: &FieldBatch, name: &str) -> Vec<u32> {
    let Column::Ids(ids) = column(hasher, batch, name) else { panic!("{name} is no id") };
    ids.slots.iter().map(|slot| slot.0).collect()
}

// --- the published recommenders ---

#[derive(Deserialize)]
struct Recommenders {
    cases: Vec<Recommender>,
}

#[derive(Deserialize)]
struct Recommender {
    kind: String,
    num_users_or_buckets: u32,
    num_items_or_buckets: u32,
    user_id: Ids,
    item_id: Ids,
    user_row: Vec<u32>,
    item_row: Vec<u32>,
}

#[derive(Deserialize)]
struct Ids {
    data: Vec<i64>,
}

#[test]
fn oracle_recommenders_find_their_rows_from_records() {
    oracle::run(Kind::Recommenders, |file: Recommenders| {
        file.cases.iter().for_each(check_recommender);
        file.cases.len()
    });
}

/// Ids as numbers and as strings, on the layout of MovieLens.
fn check_recommender(case: &Recommender) {
    let hash = if case.kind == "murmur" { "mmh3" } else { "modulo" };
    let field = |name: &str, path: &str, buckets: u32, kind: &str| json!({"name": name, "path": path, "kind": kind, "hash": hash, "buckets": buckets});
    let hasher = hasher(json!([
        field("user", "user.id", case.num_users_or_buckets, "id"),
        field("item", "item.id", case.num_items_or_buckets, "id"),
        {"name": "user_sum", "path": "user.id", "kind": "sum", "table": "user"}
    ]));
    let mut batch = FieldBatch::default();
    for (user, item) in case.user_id.data.iter().zip(&case.item_id.data) {
        for (user, item) in [(json!(user), json!(item)), (json!(user.to_string()), json!(item.to_string()))] {
            let record = json!({"features": {"user": {"id": user, "age": "3"}, "item": {"id": item, "genre": ["a", "b"]}}});
            add(&hasher, &record.to_string(), &mut batch).unwrap();
        }
    }
    let twice = |rows: &[u32]| rows.iter().flat_map(|row| [*row; 2]).collect::<Vec<_>>();
    assert_eq!(slots(&hasher, &batch, "user"), twice(&case.user_row), "{}", case.kind);
    assert_eq!(slots(&hasher, &batch, "item"), twice(&case.item_row), "{}", case.kind);
    let Column::Sum(sum) = column(&hasher, &batch, "user_sum") else { panic!("no sum") };
    assert_eq!(sum.slots().iter().map(|slot| slot.0).collect::<Vec<_>>(), twice(&case.user_row));
    assert!(sum.values().iter().all(|value| *value == 1.0));
}

#[derive(Deserialize)]
struct Mmh3File {
    n_buckets: Vec<u32>,
    strings: Vec<Mmh3String>,
}

#[derive(Deserialize)]
struct Mmh3String {
    #[serde(rename = "str")]
    text: String,
    by_seed: Vec<Mmh3Seeded>,
}

#[derive(Deserialize)]
struct Mmh3Seeded {
    seed: u32,
    signed: i32,
}

#[test]
fn oracle_mmh3_gives_each_hash_a_seed() {
    oracle::run(Kind::Mmh3, |file: Mmh3File| {
        for &buckets in &file.n_buckets {
            let hasher = hasher(
                json!([{"name": "a", "kind": "id", "hash": "mmh3", "hashes": 16, "buckets": buckets}]),
            );
            for string in &file.strings {
                let mut batch = FieldBatch::default();
                add(&hasher, &json!({"features": {"a": string.text}}).to_string(), &mut batch).unwrap();
                let slots = slots(&hasher, &batch, "a");
                for seeded in string.by_seed.iter().filter(|seeded| seeded.seed < 16) {
                    let expected = i64::from(seeded.signed).rem_euclid(i64::from(buckets));
                    assert_eq!(i64::from(slots[seeded.seed as usize]), expected, "{:?}", string.text);
                }
            }
        }
        file.strings.len()
    });
}

// --- any record ---

/// A few keys, so that records meet the declared paths often.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["user", "id", "history", "post", "tags", "acts", "like", "c", "x"])
        .prop_map(str::to_owned)
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..20).prop_map(Value::from),
        Just(json!(0.5)),
        prop::sample::select(vec!["like", "7", "x", "é\\n\"\n"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn features() -> impl Strategy<Value = Value> {
    prop::collection::vec((key(), any_json()), 0..6)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
}

/// Records of which most can be taken.
fn sane() -> impl Strategy<Value = Value> {
    let id = || {
        prop_oneof![(0_i64..99).prop_map(Value::from), "[a-z]{1,3}".prop_map(Value::from), Just(Value::Null)]
    };
    let item =
        (id(), prop::collection::vec("[a-c]", 0..3), prop::sample::subsequence(vec!["like", "c"], 0..=2))
            .prop_map(|(post, tags, acts)| json!({"post": post, "tags": tags, "acts": acts}));
    let history = prop::collection::vec(prop_oneof![4 => item, 1 => Just(Value::Null)], 0..8);
    (id(), history, any_json())
        .prop_map(|(id, history, x)| json!({"user": {"id": id, "x": x}, "history": history}))
}

fn every_kind() -> FieldHasher {
    hasher(json!([
        {"name": "all", "kind": "sum", "path": "", "buckets": 97, "hashes": 2, "alternate-sign": true},
        {"name": "user", "kind": "sum", "except": ["user.id"], "buckets": 31},
        {"name": "uid", "kind": "id", "path": "user.id", "hashes": 3, "buckets": 31, "separate": true},
        {"name": "raw", "kind": "raw", "path": "user.id"},
        {"name": "history", "kind": "list", "max-items": 3},
        {"name": "posts", "kind": "id", "path": "history.post", "table": "posts", "buckets": 31},
        {"name": "tags", "kind": "sum", "path": "history.tags", "buckets": 31},
        {"name": "acts", "kind": "numbers", "path": "history.acts", "names": ["like", "c"]},
        {"name": "labels", "kind": "labels", "path": "c", "names": ["like", "x"]},
        {"name": "category", "kind": "category", "path": "x", "width": 10}
    ]))
}

/// All that a batch shows.
fn content(hasher: &FieldHasher, batch: &FieldBatch) -> String {
    let columns = (0..hasher.fields().fields().len()).map(|index| match batch.column(index).unwrap() {
        Column::Sum(sum) => format!("{:?}", (sum.offsets(), sum.slots(), sum.values(), sum.len())),
        other => format!("{other:?}"),
    });
    let records = batch.records();
    let ids = (0..records.len()).map(|row| (records.id(row), records.weight(row), records.targets(row)));
    let ids = format!("{:?} {:?}", ids.collect::<Vec<_>>(), records.task_names());
    format!("{:?} {:?} {} {ids}", columns.collect::<Vec<_>>(), batch.items(0), batch.cut_items())
}

/// Every column has a cell for every item, and every slot a row.
fn check_shapes(hasher: &FieldHasher, batch: &FieldBatch) {
    let fields = hasher.fields();
    for (index, field) in fields.fields().iter().enumerate() {
        let items = field.list.map_or(batch.len(), |list| *batch.items(list).last().unwrap());
        let rows = fields.table_of(index).map_or(0, TableShape::rows);
        let below = |slots: &[Slot]| slots.iter().all(|slot| (slot.0 as usize) < rows);
        match batch.column(index).unwrap() {
            Column::Sum(sum) => assert!(sum.len() == items && below(sum.slots())),
            Column::Ids(ids) => {
                assert!(ids.offsets.len() == items + 1 && below(ids.slots));
                assert!((0..items).all(|item| [0, ids.hashes].contains(&ids.item(item).len())));
            }
            Column::Numbers(numbers) => {
                assert_eq!(numbers.values.len(), items * numbers.width);
                let labels = field.kind == FieldKind::Labels;
                assert_eq!(numbers.known.len(), if labels { numbers.values.len() } else { 0 });
                assert!(numbers.values.iter().all(|value| value.is_finite()));
            }
            Column::Categories(all) => {
                assert!(all.len() == items && all.iter().all(|one| (*one as usize) < field.width));
            }
            Column::Raw(all) => assert_eq!(all.len(), items),
        }
    }
}

/// The keys of every object backwards.
fn reversed(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members =
                members.iter().rev().map(|(key, value)| format!("{}:{}", json!(key), reversed(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(reversed).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn add_carefully(hasher: &FieldHasher, record: &str, batch: &mut FieldBatch) -> Result<(), String> {
    let mut scratch = FieldScratch::default();
    let mut encoder = FieldEncoder::new(hasher, &mut scratch, batch);
    match Parser::default().parse(record.as_bytes(), &mut Careful(&mut encoder)) {
        Ok(()) => encoder.finish().map_err(|error| error.to_string()),
        Err(error) => {
            encoder.abandon();
            Err(error.to_string())
        }
    }
}

fn record(features: &str) -> String {
    format!(r#"{{"id":1,"label":{{"t":1}},"features":{features}}}"#)
}

proptest! {
    #[test]
    fn a_record_is_encoded_alike_whenever_and_by_whichever_reader(all in prop::collection::vec(prop_oneof![sane(), features()], 1..6)) {
        let hasher = every_kind();
        let (mut batch, mut careful) = (FieldBatch::default(), FieldBatch::default());
        for features in &all {
            let record = record(&features.to_string());
            let before = content(&hasher, &batch_or_new(&hasher, &batch));
            let added = add(&hasher, &record, &mut batch);
            prop_assert_eq!(&add_carefully(&hasher, &record, &mut careful), &added);
            if added.is_err() {
                prop_assert_eq!(content(&hasher, &batch), before, "a refused record left a trace");
            }
            prop_assert_eq!(content(&hasher, &batch), content(&hasher, &careful));
            let mut alone = [FieldBatch::default(), FieldBatch::default()];
            for batch in &mut alone {
                prop_assert_eq!(&add(&hasher, &record, batch), &added);
            }
            prop_assert_eq!(content(&hasher, &alone[0]), content(&hasher, &alone[1]));
        }
        check_shapes(&hasher, &batch);
        let again = content(&hasher, &batch);
        batch.clear();
        for features in &all {
            let _ = add(&hasher, &record(&features.to_string()), &mut batch);
        }
        prop_assert_eq!(content(&hasher, &batch), again, "a batch that was cleared is a new one");
    }

    #[test]
    fn the_order_of_keys_changes_nothing(features in sane()) {
        let hasher = every_kind();
        let (mut one, mut other) = (FieldBatch::default(), FieldBatch::default());
        let first = add(&hasher, &record(&features.to_string()), &mut one);
        prop_assert_eq!(add(&hasher, &record(&reversed(&features)), &mut other).is_ok(), first.is_ok());
        if first.is_ok() {
            prop_assert_eq!(content(&hasher, &one), content(&hasher, &other));
        }
    }

    #[test]
    fn a_sum_of_everything_is_the_row_without_fields(features in features()) {
        let hasher = hasher(json!([{"name": "all", "kind": "sum", "path": "", "buckets": 97, "hashes": 2, "alternate-sign": true}]));
        let mut batch = FieldBatch::default();
        let added = add(&hasher, &record(&features.to_string()), &mut batch);
        let (mut scratch, mut plain) = (EncoderScratch::default(), Batch::default());
        let mut encoder = Encoder::new(hasher.hasher(0).unwrap(), &mut scratch, &mut plain);
        let parsed = Parser::default().parse(record(&features.to_string()).as_bytes(), &mut encoder);
        prop_assert_eq!(added.is_ok(), parsed.is_ok() && encoder.finish().is_ok());
        let Column::Sum(sum) = column(&hasher, &batch, "all") else { panic!("no sum") };
        prop_assert_eq!((sum.slots(), sum.values()), (plain.slots(), plain.values()));
    }
}

/// The batch, or an empty one if it has not been written to.
fn batch_or_new(hasher: &FieldHasher, batch: &FieldBatch) -> FieldBatch {
    if batch.column(0).is_some() { batch.clone() } else { FieldBatch::new(hasher.fields()) }
}

#[test]
fn any_depth_is_an_error_or_taken() {
    let hasher = every_kind();
    for (open, close) in [("[", "]"), ("{\"history\":", "}"), ("{\"post\":[", "]}")] {
        for depth in [1, 30, 60, 126, 5_000] {
            let nested = format!("{}null{}", open.repeat(depth), close.repeat(depth));
            let features = format!(r#"{{"history":{nested},"c":{nested}}}"#);
            let mut batch = FieldBatch::default();
            let added = add(&hasher, &record(&features), &mut batch);
            assert_eq!(
                added.is_ok(),
                depth * (1 + usize::from(open.ends_with(":["))) < 126,
                "{open} {depth}: {added:?}"
            );
            assert_eq!(batch.len(), usize::from(added.is_ok()));
        }
    }
}

#[test]
fn a_hostile_list_is_cut() {
    let hasher = every_kind();
    let mut batch = FieldBatch::default();
    let history = vec!["{\"acts\":[\"like\"]}"; 100_000].join(",");
    add(&hasher, &record(&format!(r#"{{"history":[{history}]}}"#)), &mut batch).unwrap();
    assert_eq!((batch.items(0), batch.cut_items()), (&[0, 3][..], 99_997));
    check_shapes(&hasher, &batch);
}

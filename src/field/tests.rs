//! Each kind of field by hand, and what declarations are refused.

use super::*;
use crate::batch::Slot;
use crate::example::{ExampleSink, FeatureError, LabelRange};
use crate::hash::{Encoder, EncoderScratch, HashKey, HashKind};
use std::sync::Arc;

/// Fields as a config file has them, here in JSON.
fn options(json: &str) -> Vec<FieldOptions> {
    serde_json::from_str(json).unwrap()
}

fn fields(json: &str) -> Arc<Fields> {
    Arc::new(Fields::new(options(json)).unwrap())
}

fn refused(json: &str) -> String {
    Fields::new(options(json)).unwrap_err().to_string()
}

struct Run {
    hasher: FieldHasher,
    scratch: FieldScratch,
    batch: FieldBatch,
}

impl Run {
    fn new(json: &str) -> Self {
        let hasher = FieldHasher::new(fields(json), &HashKey::default(), LabelRange::Binary).unwrap();
        Self { hasher, scratch: FieldScratch::default(), batch: FieldBatch::default() }
    }

    /// The features of one record, by both readers, into a batch that is kept.
    fn add(&mut self, features: &str) -> Result<(), String> {
        let parser = crate::parse::Parser::default();
        let mut encoder = FieldEncoder::new(&self.hasher, &mut self.scratch, &mut self.batch);
        let record = format!("{{\"features\":{features}}}");
        match parser.parse(record.as_bytes(), &mut encoder) {
            Ok(()) => encoder.finish().map_err(|error| error.to_string()),
            Err(error) => {
                encoder.abandon();
                Err(error.to_string())
            }
        }
    }

    fn column(&self, name: &str) -> Column<'_> {
        self.batch.column(self.hasher.fields().find(name).unwrap()).unwrap()
    }

    fn slots(&self, name: &str) -> Vec<Vec<u32>> {
        let Column::Ids(ids) = self.column(name) else { panic!("{name} is no id") };
        let items = (0..ids.offsets.len() - 1).map(|item| ids.item(item));
        items.map(|slots| slots.iter().map(|slot| slot.0).collect()).collect()
    }

    fn numbers(&self, name: &str) -> (Vec<f32>, Vec<bool>) {
        let Column::Numbers(numbers) = self.column(name) else { panic!("{name} is no numbers") };
        (numbers.values.to_vec(), numbers.known.to_vec())
    }
}

/// What the whole record would have without fields.
fn plain(run: &Run, field: &str, features: &str) -> Vec<(Slot, f32)> {
    let hasher = run.hasher.hasher(run.hasher.fields().find(field).unwrap()).unwrap();
    let (mut scratch, mut batch) = (EncoderScratch::default(), crate::batch::Batch::default());
    let mut encoder = Encoder::new(hasher, &mut scratch, &mut batch);
    crate::parse::Parser::default().parse_features(features.as_bytes(), &mut encoder).unwrap();
    encoder.finish().unwrap();
    row(&batch, 0)
}

fn row(batch: &crate::batch::Batch, index: usize) -> Vec<(Slot, f32)> {
    let row = batch.row(index);
    row.slots.iter().copied().zip(row.values.iter().copied()).collect()
}

const MODULO: &str = r#""hash":"modulo","buckets":10"#;

#[test]
fn ids_are_stacked_in_the_order_of_their_hashes() {
    let mut run = Run::new(
        r#"[{"name":"u","kind":"id","hashes":3,"buckets":1000},
            {"name":"v","kind":"id","path":"u","hashes":3,"buckets":1000,"separate":true}]"#,
    );
    run.add(r#"{"u":"7"}"#).unwrap();
    run.add(r#"{"u":7}"#).unwrap();
    run.add(r#"{"u":["7"]}"#).unwrap();
    run.add("{}").unwrap();
    let (mixed, separate) = (run.slots("u"), run.slots("v"));
    let hasher = run.hasher.hasher(0).unwrap();
    // The bare id as a string at the empty path.
    let expected: Vec<u32> = (0..3).map(|hash| hasher.native_slot(b"\x047", hash).unwrap().slot.0).collect();
    assert_eq!(mixed, [expected.clone(), expected.clone(), expected.clone(), vec![]]);
    assert_ne!(expected[0], expected[1]);
    let moved: Vec<u32> = expected.iter().zip([0, 1000, 2000]).map(|(slot, start)| slot + start).collect();
    assert_eq!(separate, [moved.clone(), moved.clone(), moved, vec![]]);
    assert_eq!(run.hasher.fields().tables()[1].rows(), 3000);
}

#[test]
fn a_scope_keeps_ids_of_a_shared_table_apart() {
    for hash in ["siphash", "sklearn"] {
        let mut run = Run::new(&format!(
            r#"[{{"name":"a","kind":"id","table":"t","hash":"{hash}"}},{{"name":"b","kind":"id","table":"t"}},
                {{"name":"c","kind":"id","table":"t","scope":"c"}}]"#
        ));
        run.add(r#"{"a":"x","b":"x","c":"x"}"#).unwrap();
        assert_eq!(run.slots("a"), run.slots("b"));
        assert_ne!(run.slots("a"), run.slots("c"));
        let expected = plain(&run, "c", r#"{"c":"x"}"#);
        assert_eq!(run.slots("c"), [[expected[0].0.0]], "as the same path without fields");
    }
}

#[test]
fn a_sum_has_the_slots_of_the_record_without_fields() {
    for hash in ["siphash", "sklearn"] {
        let mut run = Run::new(&format!(
            r#"[{{"name":"all","kind":"sum","path":"","hashes":2,"alternate-sign":true,"hash":"{hash}"}},
                {{"name":"user","kind":"sum","except":["user.id","user.deep.b"],"hash":"{hash}"}}]"#
        ));
        let record = r#"{"user":{"id":"u1","age":30,"tags":["x","y",{"z":2.5}],"deep":{"a":[1,[2]],"b":{"c":1}}},"more":true}"#;
        run.add(record).unwrap();
        let (Column::Sum(all), Column::Sum(user)) = (run.column("all"), run.column("user")) else {
            panic!("no sums")
        };
        assert_eq!(row(all, 0), plain(&run, "all", record));
        let kept = r#"{"user":{"age":30,"tags":["x","y",{"z":2.5}],"deep":{"a":[1,[2]]}}}"#;
        assert_eq!(row(user, 0), plain(&run, "user", kept));
        assert_eq!(row(user, 0).len(), 6);
    }
}

#[test]
fn the_fields_of_a_list_have_the_same_items() {
    let mut run = Run::new(&format!(
        r#"[{{"name":"history","kind":"list"}},
            {{"name":"posts","kind":"id","path":"history.post",{MODULO}}},
            {{"name":"surfaces","kind":"category","path":"history.surface","names":["home","search"]}},
            {{"name":"actions","kind":"numbers","path":"history.actions","names":["like","reply","share"]}},
            {{"name":"tags","kind":"sum","path":"history.tags"}},
            {{"name":"whole","kind":"sum","path":""}}]"#
    ));
    let record = r#"{"history":[
        {"post":3,"surface":"search","actions":["share","like","like"],"tags":["a","b"]}, null, {},
        {"other":{"post":1,"history":[{"post":5}]}, "actions":{"reply":0.5}, "post":"14"},
        {"post":-1,"surface":1,"actions":[0,2,true]}]}"#;
    run.add("{}").unwrap();
    run.add(record).unwrap();
    run.add(r#"{"history":{"post":8}}"#).unwrap();
    assert_eq!(run.batch.items(0), [0, 0, 5, 6]);
    assert_eq!(run.slots("posts"), [vec![3], vec![], vec![], vec![4], vec![9], vec![8]]);
    let Column::Categories(surfaces) = run.column("surfaces") else { panic!("no categories") };
    assert_eq!(surfaces, [1, 0, 0, 0, 1, 0]);
    let (actions, known) = run.numbers("actions");
    let expected = [[1.0, 0.0, 1.0], [0.0; 3], [0.0; 3], [0.0, 0.5, 0.0], [0.0, 2.0, 1.0], [0.0; 3]];
    assert_eq!((actions.as_slice(), known.len()), (expected.as_flattened(), 0));
    let Column::Sum(tags) = run.column("tags") else { panic!("no sum") };
    assert_eq!(tags.len(), 6);
    assert_eq!(
        row(tags, 0),
        plain(&run, "tags", r#"{"history":{"tags":["a","b"]}}"#),
        "no index of the item"
    );
    let Column::Sum(whole) = run.column("whole") else { panic!("no sum") };
    assert_eq!(row(whole, 1), plain(&run, "whole", record), "the list is a bag to what lies above");
}

#[test]
fn elements_that_are_no_objects_are_items_too() {
    let mut run = Run::new(&format!(
        r#"[{{"name":"list","kind":"list","path":"a.b"}},{{"name":"ids","kind":"id","path":"a.b",{MODULO}}},
            {{"name":"sum","kind":"sum","path":"a.b","hash":"modulo","buckets":10}},
            {{"name":"above","kind":"sum","path":"a"}}]"#
    ));
    run.add(r#"{"a":{"b":[1,"2",null,[3],[],false,14]}}"#).unwrap();
    run.add(r#"{"a":{"b":5}}"#).unwrap();
    run.add(r#"{"a":{"b":null}}"#).unwrap();
    run.add(r#"{"a":[{"b":[6]},{"b":"7"},{"c":1}]}"#).unwrap();
    assert_eq!(run.batch.items(0), [0, 7, 8, 8, 10]);
    let expected = [vec![1], vec![2], vec![], vec![3], vec![], vec![], vec![4], vec![5], vec![6], vec![7]];
    assert_eq!(run.slots("ids"), expected);
    let (Column::Sum(sum), Column::Sum(above)) = (run.column("sum"), run.column("above")) else { panic!() };
    let slots = |item| row(sum, item).iter().map(|(slot, _)| slot.0).collect::<Vec<_>>();
    assert_eq!((0..10).map(slots).collect::<Vec<_>>(), expected);
    assert_eq!(row(above, 0), plain(&run, "above", r#"{"a":{"b":[1,"2",null,[3],[],false,14]}}"#));
    assert_eq!(row(above, 3), plain(&run, "above", r#"{"a":[{"b":[6]},{"b":"7"},{"c":1}]}"#));
}

#[test]
fn a_list_keeps_its_first_items_and_counts_the_others() {
    let mut run = Run::new(&format!(
        r#"[{{"name":"l","kind":"list","max-items":2}},{{"name":"id","kind":"id","path":"l.id",{MODULO}}},
            {{"name":"tags","kind":"sum","path":"l.tags"}},{{"name":"all","kind":"sum","path":"l"}}]"#
    ));
    run.add(r#"{"l":[{"id":1},{"id":2},{"id":3,"tags":["x"]},{"id":0.5}]}"#).unwrap();
    assert_eq!((run.slots("id"), run.batch.cut_items()), (vec![vec![1], vec![2]], 2));
    // A record that is refused has cut nothing; two arrays at one path are one list.
    assert!(run.add(r#"{"l":[{"id":1},{"id":0.5},1]}"#).is_err());
    run.add(r#"{"l":[{"id":4}],"l":[{"id":5},{"id":6}]}"#).unwrap();
    assert_eq!((run.batch.items(0), run.batch.cut_items()), (&[0, 2, 4][..], 3));
    assert_eq!(run.slots("id"), [[1], [2], [4], [5]]);
}

#[test]
fn labels_are_known_where_their_path_leads() {
    let mut run = Run::new(
        r#"[{"name":"c","kind":"list"},{"name":"y","kind":"labels","path":"c.y","names":["like","reply"]},
            {"name":"z","kind":"labels","path":"z","width":2}]"#,
    );
    let record = r#"{"c":[{"y":["reply"]},{"y":[]},{},{"y":null},{"y":{"like":null,"reply":true}},{"y":[-1,0.25]}],
                     "z":[null,1]}"#;
    run.add(record).unwrap();
    run.add("{}").unwrap();
    let (values, known) = run.numbers("y");
    assert_eq!(values, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.25]);
    let (t, f) = (true, false);
    assert_eq!(known, [t, t, t, t, f, f, f, f, f, t, t, t]);
    assert_eq!(run.numbers("z"), (vec![0.0, 1.0, 0.0, 0.0], vec![f, t, f, f]));
    let refusals = [
        (r#"{"z":[2]}"#, "a number from 0 to 1, found 2"),
        (r#"{"z":[1],"z":[0]}"#, "one label, found a second one, 0"),
        (r#"{"z":[0,0,1]}"#, "2 labels at most, found an element at place 2"),
        (r#"{"c":{"y":["other"]}}"#, "2 labels at most, or its names, found \"other\""),
    ];
    for (record, expected) in refusals {
        let error = run.add(record).unwrap_err();
        assert!(error.contains(expected), "{record}: {error}");
    }
}

#[test]
fn labels_are_not_looked_at_where_none_are_wanted() {
    let fields = fields(r#"[{"name":"y","kind":"labels","width":1}]"#);
    let hasher = FieldHasher::new(fields, &HashKey::default(), LabelRange::Ignored).unwrap();
    let mut run = Run { hasher, scratch: FieldScratch::default(), batch: FieldBatch::default() };
    run.add(r#"{"y":[3,"x"]}"#).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(run.numbers("y"), (vec![0.0], vec![false]));
}

#[test]
fn raw_ids_are_integers_or_hashes() {
    let mut run = Run::new(r#"[{"name":"r","kind":"raw"}]"#);
    let records = [
        r#"{"r":5}"#,
        r#"{"r":"5"}"#,
        r#"{"r":-9223372036854775808}"#,
        r#"{"r":"18446744073709551615"}"#,
        "{}",
        r#"{"r":"u5"}"#,
        r#"{"r":"05"}"#,
        r#"{"r":"+5"}"#,
        r#"{"r":"-0"}"#,
        r#"{"r":0}"#,
    ];
    records.iter().for_each(|record| run.add(record).unwrap());
    let Column::Raw(raw) = run.column("r") else { panic!("not raw") };
    assert_eq!(raw[..5], [5, 5, i64::MIN, -1, 0]);
    assert_eq!(raw[9], 0);
    let hash = |message: &[u8]| run.hasher.hasher(0).unwrap().native_hash(message, 0).unwrap() as i64;
    assert_eq!(raw[5..9], [hash(b"\x04u5"), hash(b"\x0405"), hash(b"\x04+5"), hash(b"\x04-0")]);
}

#[test]
fn values_a_field_cannot_take_say_which_field_and_where() {
    let mut run = Run::new(&format!(
        r#"[{{"name":"i","kind":"id"}},{{"name":"m","kind":"id",{MODULO}}},{{"name":"n","kind":"numbers","width":2}},
            {{"name":"w","kind":"numbers","names":["a"]}},{{"name":"c","kind":"category","width":3}},
            {{"name":"s","kind":"sum",{MODULO}}},{{"name":"r","kind":"raw"}}]"#
    ));
    for (record, expected) in [
        (r#"{"i":1.5}"#, r#"field "i": expected one id, a string or an integer, found 1.5"#),
        (r#"{"i":true}"#, "found 1"),
        (r#"{"i":[1,2]}"#, "found another one, 2"),
        (r#"{"i":{"a":"x"}}"#, r#"found "x" further below"#),
        (r#"{"i":[["x"]]}"#, "further below"),
        (r#"{"m":"x"}"#, "expected an integer id for this hash, found \"x\""),
        (r#"{"m":3.5}"#, "found 3.5"),
        (r#"{"n":"x"}"#, "expected 2 numbers at most, found \"x\""),
        (r#"{"n":[1,2,3]}"#, "an element at place 2"),
        (r#"{"n":[[1]]}"#, "further below"),
        (r#"{"n":[3e38],"n":[3e38]}"#, "add up beyond the range of f32"),
        (r#"{"n":{"a":1}}"#, "further below"),
        (r#"{"w":{"a":"x"}}"#, "expected 1 numbers at most, or its names, found \"x\""),
        (r#"{"w":{"b":1}}"#, "further below"),
        (r#"{"c":3}"#, "expected a category, an integer below 3, found 3"),
        (r#"{"c":-1}"#, "found -1"),
        (r#"{"c":"x"}"#, "found \"x\""),
        (r#"{"c":[0,1]}"#, "expected one category, found another one, 1"),
        (r#"{"s":{"t":2.5}}"#, "expected an integer id for this hash, found 2.5"),
        (r#"{"r":1e30}"#, "expected one id"),
    ] {
        let error = run.add(record).unwrap_err();
        assert!(error.contains(expected) && error.starts_with("byte "), "{record}: {error}");
        assert!(run.batch.is_empty() && run.batch.records().is_empty());
    }
    let long = format!(r#"{{"m":"{}"}}"#, "é".repeat(100_000));
    assert!(run.add(&long).unwrap_err().len() < 300, "an error does not repeat the record");
}

#[test]
fn a_sum_of_an_item_that_overflows_is_found_at_the_end() {
    let mut run = Run::new(r#"[{"name":"l","kind":"list"},{"name":"s","kind":"sum","path":"l"}]"#);
    run.add(r#"{"l":[{"a":1}]}"#).unwrap();
    let error = run.add(r#"{"l":[{"a":3e38,"a":3e38},{"a":1}]}"#).unwrap_err();
    assert_eq!(error, FeatureError::SumNotFinite.to_string());
    run.add(r#"{"l":[{"a":2}]}"#).unwrap();
    let Column::Sum(sum) = run.column("s") else { panic!("no sum") };
    assert_eq!((run.batch.items(0), sum.len(), row(sum, 1)[0].1), (&[0, 1, 2][..], 2, 2.0));
}

#[test]
fn one_value_may_be_of_several_fields() {
    let mut run = Run::new(&format!(
        r#"[{{"name":"user","kind":"id","path":"user.id","dim":8,{MODULO}}},
            {{"name":"bias","kind":"id","path":"user.id","dim":1,{MODULO}}},
            {{"name":"key","kind":"raw","path":"user.id"}},{{"name":"features","kind":"sum","path":"user"}}]"#
    ));
    run.add(r#"{"user":{"id":"13"}}"#).unwrap();
    assert_eq!((run.slots("user"), run.slots("bias")), (vec![vec![3]], vec![vec![3]]));
    let Column::Sum(sum) = run.column("features") else { panic!("no sum") };
    assert_eq!(row(sum, 0), plain(&run, "features", r#"{"user":{"id":"13"}}"#));
    let shapes: Vec<_> = run.hasher.fields().tables().iter().map(|table| (table.rows(), table.dim)).collect();
    assert_eq!(shapes, [(10, 8), (10, 1), (1 << 20, 32)]);
}

#[test]
fn what_is_beside_the_fields_is_kept_by_record() {
    let mut run = Run::new(r#"[{"name":"a","kind":"sum"}]"#);
    let parser = crate::parse::Parser::default();
    for record in [
        r#"{"id":"x","weight":0.5,"label":{"t":1,"u":null},"features":{"a":1}}"#,
        r#"{"id":"bad","label":{"v":1},"features":{"a":1e99}}"#,
        r#"{"label":0}"#,
    ] {
        let mut encoder = FieldEncoder::new(&run.hasher, &mut run.scratch, &mut run.batch);
        match parser.parse(record.as_bytes(), &mut encoder) {
            Ok(()) => encoder.finish().unwrap(),
            Err(_) => encoder.abandon(),
        }
    }
    let records = run.batch.records();
    assert_eq!((records.len(), records.features(), records.task_names()), (2, 0, &["t".to_owned()][..]));
    assert_eq!((records.id(0), records.id(1)), (Some(&b"\"x\""[..]), None));
    assert_eq!((records.weight(0), records.targets(1)[0].value), (0.5, 0.0));
    run.batch.clear();
    assert!(run.batch.is_empty());
    run.add(r#"{"a":2}"#).unwrap();
    let Column::Sum(sum) = run.column("a") else { panic!("no sum") };
    assert_eq!(row(sum, 0)[0].1, 2.0);
}

#[test]
fn declarations_that_cannot_be_are_refused_with_one_error() {
    let list = r#"{"name":"l","kind":"list"}"#;
    for (json, expected) in [
        ("[]".to_owned(), "fields: expected 1 to 256, got 0"),
        (r#"[{"name":"","kind":"sum"}]"#.into(), "field number 1: expected a name"),
        (r#"[{"name":"a","kind":"sum"},{"name":"a","kind":"raw"}]"#.into(), r#"field "a": expected a name of its own"#),
        (r#"[{"name":"a","kind":"sum","path":"a..b"}]"#.into(), r#"path: expected keys joined by dots, got "a..b""#),
        (r#"[{"name":"a","kind":"sum","dim":0}]"#.into(), "dim: expected 1 to 65536, got 0"),
        (r#"[{"name":"a","kind":"sum","buckets":0}]"#.into(), "buckets: expected 1 to 2147483648, got 0"),
        (r#"[{"name":"a","kind":"id","hashes":17}]"#.into(), "hashes: expected 1 to 16, got 17"),
        (r#"[{"name":"a","kind":"id","hash":"modulo","hashes":2}]"#.into(), "hashes: expected 1: modulo is one hash"),
        (r#"[{"name":"a","kind":"id","hashes":2,"buckets":1073741825,"separate":true}]"#.into(), "at most 2147483648"),
        (r#"[{"name":"a","kind":"id","alternate-sign":true}]"#.into(), "alternate-sign: expected a field of kind sum"),
        (r#"[{"name":"a","kind":"raw","dim":3}]"#.into(), "dim: expected a field of kind sum or id, got kind raw"),
        (r#"[{"name":"a","kind":"numbers"}]"#.into(), "width: expected a width, or names"),
        (r#"[{"name":"a","kind":"numbers","width":0}]"#.into(), "width: expected 1 to 65536, got 0"),
        (r#"[{"name":"a","kind":"labels","width":3,"names":["x"]}]"#.into(), "width: expected 1, as many as"),
        (r#"[{"name":"a","kind":"labels","names":["x","y","x"]}]"#.into(), r#"names that differ, got "x" twice"#),
        (r#"[{"name":"a","kind":"list","max-items":0}]"#.into(), "max-items: expected 1 to 65536, got 0"),
        (r#"[{"name":"a","kind":"list","path":""}]"#.into(), "path: expected the path of an array"),
        (r#"[{"name":"a","kind":"sum","except":["b"]}]"#.into(), r#"except: expected paths below "a", got "b""#),
        (format!(r#"[{list},{{"name":"m","kind":"list","path":"l.m"}}]"#), "lists do not nest"),
        (format!(r#"[{list},{{"name":"m","kind":"list","path":"l"}}]"#), "lists do not nest"),
        (r#"[{"name":"a","kind":"id"},{"name":"b","kind":"sum","path":"a.b"}]"#.into(), "a single value of kind id"),
        (format!(r#"[{{"name":"a","kind":"raw","path":"l"}},{list},{{"name":"b","kind":"id","path":"l.b"}}]"#), "kind raw"),
        (
            r#"[{"name":"a","kind":"numbers","names":["x"]},{"name":"b","path":"a","kind":"labels","names":["y"]}]"#.into(),
            "a field with other names",
        ),
        (
            r#"[{"name":"a","kind":"id","table":"t","dim":4},{"name":"b","kind":"id","table":"t","dim":5}]"#.into(),
            r#"field "b": dim: expected 4 as field "a" of the same table "t", got 5"#,
        ),
        (
            r#"[{"name":"a","kind":"id","table":"t"},{"name":"b","kind":"sum","table":"t","hash":"sklearn"}]"#.into(),
            "hash: expected siphash as field",
        ),
        (
            r#"[{"name":"a","kind":"id","table":"t","hashes":2,"separate":true},{"name":"b","kind":"sum","table":"t"}]"#.into(),
            "separate: expected true",
        ),
    ] {
        let error = refused(&json);
        assert!(error.contains(expected), "{json}\n  {error}");
    }
    let unknown = serde_json::from_str::<FieldOptions>(r#"{"name":"a","kind":"sum","dims":3}"#);
    assert!(unknown.unwrap_err().to_string().contains("unknown field `dims`"));
    let error = fields(r#"[{"name":"a","kind":"sum"},{"name":"b","kind":"raw"}]"#).find("c").unwrap_err();
    assert!(error.to_string().contains(r#"field "c": expected one of the declared fields (a, b)"#));
}

#[test]
fn declarations_are_stored_with_every_option_filled_in() {
    let json = r#"[{"name":"l","kind":"list"},{"name":"p","kind":"id","path":"l.p","table":"t","hashes":2,"separate":true},
        {"name":"q","kind":"id","table":"t"},{"name":"s","kind":"sum","alternate-sign":true},
        {"name":"n","kind":"numbers","names":["x","y"]},{"name":"r","kind":"raw"}]"#;
    let first = fields(json);
    let stored = serde_json::to_string(first.options()).unwrap();
    let again = fields(&stored);
    assert_eq!(
        (again.options(), again.fields(), again.tables()),
        (first.options(), first.fields(), first.tables())
    );
    let q = &first.options()[2];
    assert_eq!(
        (q.hashes, q.separate, q.buckets),
        (Some(2), Some(true), Some(DEFAULT_BUCKETS)),
        "of the same table"
    );
    assert_eq!(
        (q.scope.as_deref(), q.hash, q.path.as_deref()),
        (Some(""), Some(HashKind::Siphash), Some("q"))
    );
    assert_eq!((first.options()[3].scope.as_deref(), first.options()[4].width), (Some("s"), Some(2)));
    assert_eq!(first.options()[0].max_items, Some(DEFAULT_MAX_ITEMS));
}

#[test]
fn what_no_field_takes_costs_no_memory() {
    let mut run = Run::new(r#"[{"name":"u","kind":"id","path":"user.id"}]"#);
    let fields = run.hasher.fields().clone();
    run.batch = FieldBatch::new(&fields);
    let mut encoder = FieldEncoder::new(&run.hasher, &mut run.scratch, &mut run.batch);
    for _ in 0..100_000 {
        encoder.enter_key("x");
        encoder.enter_index(7);
        encoder.enter_element(0);
    }
    assert!(encoder.scratch.frames.capacity() < 16);
    for _ in 0..100_000 {
        encoder.leave_element();
        encoder.leave();
        encoder.leave();
    }
    encoder.enter_key("user");
    encoder.category_at("id", "x").unwrap();
    encoder.leave();
    encoder.finish().unwrap();
    assert_eq!(run.slots("u")[0].len(), 1);
}

//! The cases of fixtures/parse, a naive walker over `serde_json::Value` as rival, and hostile bytes.

use super::*;
use crate::example::FeatureError;
use proptest::prelude::*;
use serde_json::Value;

/// Writes down what it is told, features as `key>key>#index: kind value`.
#[derive(Debug, Default)]
struct Recorder {
    path: Vec<String>,
    events: Vec<String>,
    refuse_integers: bool,
    can_restart: bool,
    /// Whether elements and nulls are written down too.
    elements: bool,
}

impl Recorder {
    fn feature(&mut self, what: String) {
        self.events.push(format!("{}: {what}", self.path.join(">")));
    }
}

/// The shortest text that reads back as `value`, 0 and 1 without a point.
fn short(value: f32) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) { format!("{value}") } else { format!("{value:e}") }
}

impl ExampleSink for Recorder {
    fn enter_key(&mut self, key: &str) {
        self.path.push(key.to_owned());
    }
    fn enter_index(&mut self, index: usize) {
        self.path.push(format!("#{index}"));
    }
    fn leave(&mut self) {
        self.path.pop().expect("a key or index was entered");
    }
    fn enter_element(&mut self, index: usize) {
        if self.elements {
            self.events.push(format!("{}: element {index}", self.path.join(">")));
        }
    }
    fn leave_element(&mut self) {
        if self.elements {
            self.events.push(format!("{}: end", self.path.join(">")));
        }
    }
    fn null(&mut self) {
        if self.elements {
            self.feature("null".to_owned());
        }
    }
    fn number(&mut self, value: f32) -> Result<(), FeatureError> {
        assert!(value.is_finite() && value != 0.0);
        self.feature(format!("number {}", short(value)));
        Ok(())
    }
    fn integer(&mut self, value: i128, as_number: f32) -> Result<(), FeatureError> {
        if self.refuse_integers {
            return Err(FeatureError::NotAnId { found: value.to_string() });
        }
        self.feature(format!("integer {value} as {}", short(as_number)));
        Ok(())
    }
    fn category(&mut self, value: &str) -> Result<(), FeatureError> {
        self.feature(format!("category {value:?}"));
        Ok(())
    }
    fn id(&mut self, json: &str) {
        self.events.push(format!("id {json}"));
    }
    fn weight(&mut self, weight: f32) {
        self.events.push(format!("weight {}", short(weight)));
    }
    fn target(&mut self, task: Option<&str>, value: f32) {
        let task = task.map(|task| format!(" {task}")).unwrap_or_default();
        self.events.push(format!("target{task}: {}", short(value)));
    }
    fn can_restart(&self) -> bool {
        self.can_restart
    }
    fn restart(&mut self) {
        self.path.clear();
        self.events.clear();
    }
}

/// What the careful walk tells of a record; that the fast reader, where it takes it, tells the same is asserted.
fn events(parser: &Parser, record: &[u8]) -> Result<Vec<String>, ParseError> {
    let read = |can_restart, elements| {
        let mut recorder = Recorder { can_restart, elements, ..Recorder::default() };
        parser.parse(record, &mut recorder)?;
        assert!(recorder.path.is_empty(), "keys were entered and not left");
        Ok(recorder.events)
    };
    for elements in [true, false] {
        assert_eq!(read(false, elements), read(true, elements), "{}", String::from_utf8_lossy(record));
    }
    read(false, false)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    record: Option<String>,
    hex: Option<String>,
    #[serde(default)]
    options: ParseOptions,
    events: Option<Vec<String>>,
    byte: Option<usize>,
    error: Option<String>,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let digits = |hex: &String| {
            let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
        };
        let text = self.record.as_ref().map(|text| text.clone().into_bytes());
        text.unwrap_or_else(|| digits(self.hex.as_ref().expect("record or hex")))
    }
}

/// Every case of one file, all failures at once.
fn run(file: &str) {
    let path = format!("{}/fixtures/parse/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut failures = Vec::new();
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let got = events(&Parser::new(case.options.clone()), &case.bytes());
        let as_expected = match &got {
            Ok(events) => case.events.as_ref() == Some(events),
            Err(error) => {
                Some(error.byte) == case.byte
                    && case.error.as_ref().is_some_and(|part| error.to_string().contains(part.as_str()))
            }
        };
        if !as_expected {
            let got = got.map_err(|error| error.to_string());
            failures.push(format!("{}: {:?} {:?}\n  got {got:?}", case.name, case.record, case.error));
        }
    }
    assert!(failures.is_empty(), "{file}: {} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn feature_values_follow_the_frozen_table() {
    run("features.jsonl");
}

#[test]
fn labels_weights_and_ids_are_checked_and_told() {
    run("labels.jsonl");
}

#[test]
fn flat_records_take_every_other_key_as_a_feature() {
    run("flat.jsonl");
}

#[test]
fn elements_and_nulls_are_told_where_they_are() {
    let record = br#"{"features":{"a":[{"b":1},null,[2,null],"x"],"c":null,"d":false}}"#;
    let mut recorder = Recorder { elements: true, ..Recorder::default() };
    Parser::default().parse(record, &mut recorder).unwrap();
    let expected = [
        "a: element 0",
        "a>b: integer 1 as 1",
        "a: end",
        "a: element 1",
        "a: null",
        "a: end",
        "a: element 2",
        "a>#2: element 0",
        "a>#2>#0: integer 2 as 2",
        "a>#2: end",
        "a>#2: element 1",
        "a>#2: null",
        "a>#2: end",
        "a: end",
        "a: element 3",
        "a: category \"x\"",
        "a: end",
        "c: null",
    ];
    assert_eq!(recorder.events, expected);
    events(&Parser::default(), record).unwrap();
    let mut recorder = Recorder { elements: true, ..Recorder::default() };
    Parser::default().parse(br#"{"features":null}"#, &mut recorder).unwrap();
    assert!(recorder.events.is_empty(), "no null where the features are missing");
}

#[test]
fn a_feature_object_by_itself_has_no_special_key() {
    let features = r#"{"id":1,"label":"x","weight":-1.5,"features":{"a":[true,null]},"":0.0}"#;
    let (mut alone, mut inside) = (Recorder::default(), Recorder::default());
    Parser::default().parse_features(features.as_bytes(), &mut alone).unwrap();
    Parser::default().parse(format!("{{\"features\":{features}}}").as_bytes(), &mut inside).unwrap();
    assert_eq!(alone.events, inside.events);
    assert_eq!(alone.events.len(), 4, "{:?}", alone.events);
    for (bad, byte) in
        [("{},\"a\":1", 2), ("[]", 0), ("{\"a\":", 5), (r#"{"a": 1e39}"#, 6), (r#"{"id":1}}"#, 8)]
    {
        let error = Parser::default().parse_features(bad.as_bytes(), &mut Recorder::default()).unwrap_err();
        assert_eq!(error.byte, byte, "{bad}: {error}");
    }
}

#[test]
fn hostile_records_are_refused_at_the_byte_at_fault() {
    run("hostile.jsonl");
}

#[test]
fn depth_is_limited_in_features_ids_labels_and_ignored_keys() {
    let parser = Parser::default();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for field in ["features", "id", "label", "weight", "other"] {
            for unclosed in [true, false] {
                let end = if unclosed { String::new() } else { format!("1{}}}", close.repeat(100_000)) };
                let record = format!("{{\"{field}\":{}{end}", open.repeat(100_000));
                let error = events(&parser, record.as_bytes()).unwrap_err();
                assert!(error.byte <= record.len(), "{field}: {error}");
                assert!(error.to_string().len() < 300, "{error}");
            }
        }
    }
}

#[test]
fn the_deepest_record_that_any_reader_takes_is_taken() {
    let parser = Parser::default();
    for (field, shell) in [("features", 1), ("id", 0), ("other", 0)] {
        let record = |levels: usize| {
            let inner = levels - shell;
            let (open, close) = if shell == 1 { ("{\"a\":", "}") } else { ("", "") };
            format!("{{\"{field}\":{open}{}1{}{close}}}", "[".repeat(inner), "]".repeat(inner))
        };
        assert!(events(&parser, record(126).as_bytes()).is_ok(), "{field}");
        assert!(serde_json::from_str::<Value>(&record(126)).is_ok());
        assert!(events(&parser, record(127).as_bytes()).is_err(), "{field}");
        assert!(serde_json::from_str::<Value>(&record(127)).is_err());
    }
}

#[test]
fn a_feature_the_hash_refuses_is_an_error_at_its_byte() {
    let mut recorder = Recorder { refuse_integers: true, ..Recorder::default() };
    let error = Parser::default().parse(br#"{"features":{"a":"x","b":[-12 ]}}"#, &mut recorder).unwrap_err();
    assert_eq!(error.byte, 26);
    assert_eq!(error.to_string(), "byte 26: expected an integer id for this hash, found -12");
}

#[test]
fn options_read_from_data_refuse_unknown_keys_and_fill_in_defaults() {
    let options: ParseOptions = serde_json::from_str(r#"{"flat":true}"#).unwrap();
    assert_eq!(options, ParseOptions { flat: true, ..ParseOptions::default() });
    assert!(serde_json::from_str::<ParseOptions>(r#"{"falt":true}"#).is_err());
}

/// The rules once more, over a tree, as plainly as can be.
fn naive(value: &Value, path: &str, told: &mut Vec<String>) -> Result<(), ()> {
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Bool(true) => told.push(format!("{path}: number 1")),
        Value::String(text) => told.push(format!("{path}: category {text:?}")),
        Value::Number(number) => match (number.as_i64().map(i128::from), number.as_u64().map(i128::from)) {
            (Some(n), _) | (_, Some(n)) => told.push(format!("{path}: integer {n} as {}", short(n as f32))),
            _ => {
                let value = number.as_f64().unwrap() as f32;
                if !value.is_finite() {
                    return Err(());
                }
                if value != 0.0 {
                    told.push(format!("{path}: number {}", short(value)));
                }
            }
        },
        Value::Object(map) => {
            for (key, value) in map {
                let below = if path.is_empty() { key.clone() } else { format!("{path}>{key}") };
                naive(value, &below, told)?;
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let indexed = !matches!(element, Value::String(_) | Value::Object(_));
                naive(element, &if indexed { format!("{path}>#{index}") } else { path.to_owned() }, told)?;
            }
        }
    }
    Ok(())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-1e3..1e3).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((".{1,4}", inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_as_a_naive_walker_reads_its_tree(features in json()) {
        let features = serde_json::json!({ "root": features });
        let record = serde_json::json!({ "features": features, "other": features }).to_string();
        let mut expected = Vec::new();
        let walked = naive(&features, "", &mut expected);
        match events(&Parser::default(), record.as_bytes()) {
            Ok(mut told) => {
                walked.unwrap();
                told.sort();
                expected.sort();
                prop_assert_eq!(told, expected);
            }
            Err(error) => {
                prop_assert!(walked.is_err());
                prop_assert!(matches!(error.fault, Fault::Number { .. }), "{}", error);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = events(&Parser::default(), &bytes) {
            prop_assert!(error.byte <= bytes.len());
        }
    }

    #[test]
    fn a_mutated_record_is_refused_at_a_byte_of_it_or_read_the_same_twice(
        features in json(),
        at in any::<prop::sample::Index>(),
        new in any::<u8>(),
        remove in any::<bool>(),
    ) {
        let mut record =
            serde_json::json!({ "id": 1, "label": {"a": 1}, "features": {"x": features} }).to_string().into_bytes();
        let at = at.index(record.len());
        if remove {
            record.truncate(at);
        } else {
            record[at] = new;
        }
        let (first, second) = (events(&Parser::default(), &record), events(&Parser::default(), &record));
        prop_assert_eq!(&first, &second);
        match first {
            Ok(_) => prop_assert!(serde_json::from_slice::<Value>(&record).is_ok()),
            Err(error) => prop_assert!(error.byte <= record.len()),
        }
    }
}

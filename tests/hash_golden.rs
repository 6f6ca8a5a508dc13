//! The native hash is frozen: `fixtures/hash/native.json`, computed without the crate, holds its values.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use flexihash::batch::Batch;
use flexihash::example::ExampleSink;
use flexihash::hash::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    keys_hex: Vec<String>,
    buckets: Vec<u32>,
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    path: Vec<Segment>,
    #[serde(rename = "type")]
    kind: String,
    value: Option<String>,
    encoded_hex: String,
    by_key: Vec<Vec<Outcome>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Segment {
    Key(String),
    Index(usize),
}

#[derive(Deserialize)]
struct Outcome {
    hash64_hex: String,
    slots: Vec<u32>,
    alternate_sign: f32,
}

impl Feature {
    fn path(&self) -> Vec<PathSegment<'_>> {
        let segment = |segment| match segment {
            &Segment::Index(index) => PathSegment::Index(index),
            Segment::Key(key) => PathSegment::Key(key),
        };
        self.path.iter().map(segment).collect()
    }

    fn native_value(&self) -> NativeValue<'_> {
        match (self.kind.as_str(), &self.value) {
            ("number", None) => NativeValue::Number,
            ("category", Some(value)) => NativeValue::Category(value),
            other => panic!("not a feature: {other:?}"),
        }
    }

    fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_native(&self.path(), self.native_value(), &mut bytes);
        bytes
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../fixtures/hash/native.json")).unwrap()
}

/// Calls `check` with every feature, a hasher for every key and bucket count, the index of the bucket count and what
/// the hash functions should give.
fn for_each_hasher(check: impl Fn(&Feature, &FeatureHasher, usize, &[Outcome])) {
    let golden = golden();
    assert!(golden.features.len() >= 36 && golden.keys_hex.len() == 2 && golden.buckets.len() == 3);
    for (key, key_hex) in golden.keys_hex.iter().enumerate() {
        let key_bytes = HashKey::from_hex(key_hex).unwrap();
        for (at, &buckets) in golden.buckets.iter().enumerate() {
            for feature in &golden.features {
                let outcomes = &feature.by_key[key];
                let hashes = outcomes.len() as u32;
                let options = HashOptions { kind: HashKind::Siphash, buckets, hashes, alternate_sign: true };
                check(feature, &FeatureHasher::new(options, &key_bytes).unwrap(), at, outcomes);
            }
        }
    }
}

#[test]
fn the_first_key_of_the_golden_file_is_the_default_key() {
    assert_eq!(golden().keys_hex[0], HashKey::default().to_hex());
}

#[test]
fn the_encoding_is_the_golden_one() {
    for feature in golden().features {
        let hex = feature.encoded().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex, feature.encoded_hex);
    }
}

#[test]
fn hashes_slots_and_signs_are_the_golden_ones() {
    for_each_hasher(|feature, hasher, bucket, outcomes| {
        let encoded = feature.encoded();
        for (index, outcome) in outcomes.iter().enumerate() {
            let index = index as u32;
            let hash = u64::from_str_radix(&outcome.hash64_hex, 16).unwrap();
            assert_eq!(hasher.native_hash(&encoded, index), Some(hash), "{}", feature.encoded_hex);
            let place = hasher.native_slot(&encoded, index).unwrap();
            assert_eq!((place.slot.0, place.sign), (outcome.slots[bucket], outcome.alternate_sign));
        }
        let beyond = outcomes.len() as u32;
        assert_eq!(
            (hasher.native_hash(&encoded, beyond), hasher.native_slot(&encoded, beyond)),
            (None, None)
        );
    });
}

#[test]
fn an_encoder_puts_features_where_the_golden_file_says() {
    for_each_hasher(|feature, hasher, bucket, outcomes| {
        let mut expected = std::collections::BTreeMap::<u32, f32>::new();
        let value = if feature.kind == "number" { 2.5 } else { 1.0 };
        for outcome in outcomes {
            *expected.entry(outcome.slots[bucket]).or_default() += value * outcome.alternate_sign;
        }
        let (mut scratch, mut batch) = (EncoderScratch::default(), Batch::default());
        let mut encoder = Encoder::new(hasher, &mut scratch, &mut batch);
        tell(feature, &mut encoder);
        encoder.finish().unwrap();
        let row = batch.row(0);
        let got = row.slots.iter().map(|slot| slot.0).zip(row.values.iter().copied()).collect::<Vec<_>>();
        assert_eq!(got, expected.into_iter().collect::<Vec<_>>(), "{}", feature.encoded_hex);
    });
}

fn tell(feature: &Feature, encoder: &mut Encoder<'_>) {
    // A neighbour that was left again must leave nothing behind in the path.
    encoder.enter_key("elsewhere");
    encoder.enter_index(7);
    encoder.leave();
    encoder.leave();
    for segment in feature.path() {
        match segment {
            PathSegment::Key(key) => encoder.enter_key(key),
            PathSegment::Index(index) => encoder.enter_index(index),
        }
    }
    match feature.native_value() {
        NativeValue::Number => encoder.number(2.5).unwrap(),
        NativeValue::Category(value) => encoder.category(value).unwrap(),
    }
}

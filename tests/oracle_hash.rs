//! The hashes against the reference systems: scikit-learn's FeatureHasher, mmh3 and SipHash.
//!
//! Each raw function is held against the reference's raw value, then the whole way from a key through [`Encoder`]
//! and [`Batch`]. Hashes, columns and signs are exact. Values are f64 in the reference and f32 in a batch, so sums
//! of a batch are compared where every input is an f32.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod oracle;

use flexihash::batch::{Batch, Slot};
use flexihash::example::{ExampleSink, FeatureError};
use flexihash::hash::*;
use oracle::{Kind, bytes_of_hex};
use serde::Deserialize;
use serde_json::Value;
use siphasher::sip::SipHasher24;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct SiphashFile {
    vectors: Vec<SiphashVector>,
}

#[derive(Deserialize)]
struct SiphashVector {
    key_hex: String,
    msg_hex: String,
    siphash_1_3: String,
    siphash_2_4: Option<String>,
}

#[test]
fn oracle_siphash() {
    oracle::run(Kind::Siphash, |file: SiphashFile| {
        file.vectors.iter().for_each(check_siphash);
        file.vectors.len()
    });
}

fn check_siphash(vector: &SiphashVector) {
    let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
    let key: [u8; 16] = bytes_of_hex(&vector.key_hex).try_into().unwrap();
    let message = bytes_of_hex(&vector.msg_hex);
    let (low, high) = key.split_at(8);
    let (k0, k1) =
        (u64::from_le_bytes(low.try_into().unwrap()), u64::from_le_bytes(high.try_into().unwrap()));
    let expected = number(&vector.siphash_1_3);
    assert_eq!(siphash_1_3(k0, k1, &message), expected, "{} {}", vector.key_hex, vector.msg_hex);
    // The model's key takes the same bytes in the same order.
    let hasher = FeatureHasher::new(HashOptions::default(), &HashKey::from_bytes(key)).unwrap();
    assert_eq!(hasher.native_hash(&message, 0), Some(expected));
    if let Some(expected) = &vector.siphash_2_4 {
        // No part of the crate; a wrong byte order of keys or messages here would be wrong there.
        assert_eq!(SipHasher24::new_with_keys(k0, k1).hash(&message), number(expected));
    }
}

#[derive(Deserialize)]
struct Mmh3File {
    n_buckets: Vec<u32>,
    ids: Vec<Mmh3Id>,
    strings: Vec<Mmh3String>,
    x64_128: Vec<Mmh3Long>,
}

#[derive(Deserialize)]
struct Mmh3Id {
    id: serde_json::Number,
    #[serde(rename = "str")]
    text: String,
    signed: i32,
    unsigned: u32,
    murmur_bucket: Vec<u32>,
    modulo_bucket: Vec<u32>,
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
    unsigned: u32,
}

#[derive(Deserialize)]
struct Mmh3Long {
    bytes_hex: String,
    seed: u32,
    h1_hex: String,
    h2_hex: String,
    digest_hex: String,
}

#[test]
fn oracle_mmh3() {
    oracle::run(Kind::Mmh3, |file: Mmh3File| {
        let seeded = file.strings.iter().map(check_seeded).sum::<usize>();
        file.x64_128.iter().for_each(check_x64_128);
        file.ids.iter().for_each(|id| check_id(id, &file.n_buckets));
        file.ids.len() + seeded + file.x64_128.len()
    });
}

fn check_seeded(string: &Mmh3String) -> usize {
    for expected in &string.by_seed {
        let hash = murmur3_x86_32(string.text.as_bytes(), expected.seed);
        assert_eq!((hash, hash as i32), (expected.unsigned, expected.signed), "{:?}", string.text);
    }
    string.by_seed.len()
}

fn check_x64_128(long: &Mmh3Long) {
    let (h1, h2) = murmur3_x64_128(&bytes_of_hex(&long.bytes_hex), long.seed);
    assert_eq!((format!("{h1:016x}"), format!("{h2:016x}")), (long.h1_hex.clone(), long.h2_hex.clone()));
    let digest = [h1.to_le_bytes(), h2.to_le_bytes()].concat();
    assert_eq!(digest, bytes_of_hex(&long.digest_hex));
}

fn check_id(id: &Mmh3Id, buckets: &[u32]) {
    let integer = id.text.parse::<i128>().unwrap();
    if let Some(number) = id.id.as_i64() {
        assert_eq!(i128::from(number), integer, "the oracle's id and its text");
    }
    let hash = murmur3_x86_32(id.text.as_bytes(), 0);
    assert_eq!((hash, hash as i32), (id.unsigned, id.signed), "{}", id.text);
    assert_eq!([id.murmur_bucket.len(), id.modulo_bucket.len()], [buckets.len(); 2]);
    for (at, &buckets) in buckets.iter().enumerate() {
        let (murmur, modulo) = (Slot(id.murmur_bucket[at]), Slot(id.modulo_bucket[at]));
        assert_eq!(murmur_bucket(id.signed, buckets), murmur, "{} mod {buckets}", id.text);
        assert_eq!(modulo_bucket(integer, buckets), modulo, "{} mod {buckets}", id.text);
        for (kind, expected) in [(HashKind::Mmh3, murmur), (HashKind::Modulo, modulo)] {
            let hasher = hasher(kind, buckets, false);
            let number = row_of(&hasher, |e| e.integer(integer, integer as f32)).unwrap();
            let text = row_of(&hasher, |e| e.category(&id.text)).unwrap();
            assert_eq!(number, [(expected.0, 1.0)], "{kind:?} {} mod {buckets}", id.text);
            assert_eq!(number, text);
        }
    }
}

fn hasher(kind: HashKind, buckets: u32, alternate_sign: bool) -> FeatureHasher {
    let options = HashOptions { kind, buckets, hashes: 1, alternate_sign };
    FeatureHasher::new(options, &HashKey::default()).unwrap()
}

/// Slots and values of one record that is told to an encoder.
fn row_of(
    hasher: &FeatureHasher,
    tell: impl FnOnce(&mut Encoder<'_>) -> Result<(), FeatureError>,
) -> Result<Vec<(u32, f32)>, FeatureError> {
    let (mut scratch, mut batch) = (EncoderScratch::default(), Batch::default());
    let mut encoder = Encoder::new(hasher, &mut scratch, &mut batch);
    tell(&mut encoder)?;
    encoder.finish()?;
    let row = batch.row(0);
    Ok(row.slots.iter().map(|slot| slot.0).zip(row.values.iter().copied()).collect())
}

#[derive(Deserialize)]
struct HasherFile {
    items: Vec<Item>,
    rows: Vec<Vec<usize>>,
    row_order_exact: Vec<u8>,
    cases: Vec<HasherCase>,
}

#[derive(Deserialize)]
struct Item {
    key: Option<String>,
    key_utf8_hex: Option<String>,
    key_utf8_len: usize,
    value: Value,
    key_murmur3_32: i32,
    hashed_name_murmur3_32: i32,
}

#[derive(Deserialize)]
struct HasherCase {
    n_features: u32,
    alternate_sign: bool,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    data: Vec<f64>,
}

impl Item {
    /// The key: its bytes in hexadecimal if given (they survive any editor), else its text.
    fn key(&self) -> String {
        let hex = self.key_utf8_hex.as_deref().map(|hex| String::from_utf8(bytes_of_hex(hex)).unwrap());
        match (hex, &self.key) {
            (Some(hex), Some(text)) => {
                assert_eq!(&hex, text, "the oracle's key and its bytes");
                hex
            }
            (hex, text) => hex.or_else(|| text.clone()).unwrap(),
        }
    }

    /// What FeatureHasher hashes.
    fn name(&self) -> String {
        match &self.value {
            Value::String(value) => format!("{}={value}", self.key()),
            _ => self.key(),
        }
    }

    /// The value it stores; 0: it stores nothing.
    fn number(&self) -> f64 {
        match &self.value {
            Value::Bool(value) => f64::from(u8::from(*value)),
            Value::String(_) => 1.0,
            value => value.as_f64().unwrap(),
        }
    }
}

#[test]
fn oracle_feature_hasher() {
    oracle::run(Kind::FeatureHasher, |file: HasherFile| {
        file.items.iter().for_each(check_names);
        check_rows(&file);
        file.items.len() + file.cases.len() * file.rows.len()
    });
}

fn check_names(item: &Item) {
    let (key, name) = (item.key(), item.name());
    assert_eq!(key.len(), item.key_utf8_len, "{key:?}");
    assert_eq!(murmur3_x86_32(key.as_bytes(), 0) as i32, item.key_murmur3_32, "{key:?}");
    assert_eq!(murmur3_x86_32(name.as_bytes(), 0) as i32, item.hashed_name_murmur3_32, "{name:?}");
}

/// What the reference gives for one row of one case.
struct Expected<'a> {
    indices: &'a [u32],
    data: &'a [f64],
    any_order: bool,
}

fn check_rows(file: &HasherFile) {
    let items = |row: &Vec<usize>| row.iter().map(|&item| &file.items[item]).collect();
    let rows: Vec<Vec<&Item>> = file.rows.iter().map(items).collect();
    assert_eq!(rows.len(), file.row_order_exact.len());
    for case in &file.cases {
        assert_eq!(case.indptr.len(), rows.len() + 1);
        assert_eq!([case.indices.len(), case.data.len()], [case.indptr[rows.len()]; 2]);
        for (at, row) in rows.iter().enumerate() {
            let span = case.indptr[at]..case.indptr[at + 1];
            let any_order = file.row_order_exact[at] == 1;
            let (indices, data) = (&case.indices[span.clone()], &case.data[span]);
            let expected = Expected { indices, data, any_order };
            check_columns(case, row, &expected);
            check_encoder(case, row, &expected);
        }
    }
}

/// `sklearn_column` and a plain sum in f64, in the order of the items.
fn check_columns(case: &HasherCase, row: &[&Item], expected: &Expected<'_>) {
    let mut sums = BTreeMap::<u32, Sum>::new();
    for item in row.iter().filter(|item| item.number() != 0.0) {
        let (slot, positive) = sklearn_column(item.name().as_bytes(), 0, case.n_features);
        let sign = if case.alternate_sign && !positive { -1.0 } else { 1.0 };
        sums.entry(slot.0).or_default().add(sign * item.number());
    }
    let got = sums.keys().copied().collect::<Vec<_>>();
    assert_eq!(got, expected.indices, "columns of n = {}", case.n_features);
    for (sum, &data) in sums.values().zip(expected.data) {
        if expected.any_order {
            assert_eq!(sum.total, data);
        } else {
            assert!((sum.total - data).abs() <= sum.bound(), "{} is not {data}", sum.total);
        }
    }
}

#[derive(Default)]
struct Sum {
    total: f64,
    magnitude: f64,
    terms: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.total += value;
        self.magnitude += value.abs();
        self.terms += 1.0;
    }

    /// How far two orders of summation can lie apart (Higham 2002, section 4.2, twice).
    fn bound(&self) -> f64 {
        self.terms * f64::EPSILON * self.magnitude
    }
}

/// The whole way. Columns of every row; sums where f32 can hold every value of the row.
fn check_encoder(case: &HasherCase, row: &[&Item], expected: &Expected<'_>) {
    let hasher = hasher(HashKind::Sklearn, case.n_features, case.alternate_sign);
    let representable = row.iter().all(|item| f64::from(item.number() as f32) == item.number());
    let got = row_of(&hasher, |encoder| {
        for item in row.iter().filter(|item| item.number() != 0.0) {
            encoder.enter_key(&item.key());
            match &item.value {
                Value::String(value) => encoder.category(value)?,
                // A value that f32 cannot hold is no feature at all; any other one has the same column.
                _ => encoder.number(if representable { item.number() as f32 } else { 1.0 })?,
            }
            encoder.leave();
        }
        Ok(())
    });
    if representable && expected.data.iter().any(|sum| (*sum as f32).is_infinite()) {
        return assert_eq!(got, Err(FeatureError::SumNotFinite));
    }
    let (slots, values): (Vec<_>, Vec<_>) = got.unwrap().into_iter().unzip();
    assert_eq!(slots, expected.indices, "columns of n = {}", case.n_features);
    let magnitude = row.iter().map(|item| item.number().abs()).sum::<f64>();
    for (value, &sum) in values.into_iter().zip(expected.data).filter(|_| representable) {
        if expected.any_order {
            assert_eq!(value, sum as f32);
        } else {
            // Another order in f64 may round to the neighbouring f32.
            let bound = sum.abs() * f64::from(f32::EPSILON) + row.len() as f64 * f64::EPSILON * magnitude;
            assert!((f64::from(value) - sum).abs() <= bound, "{value} is not {sum}");
        }
    }
}

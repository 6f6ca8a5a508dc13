//! What the hashes promise beyond fixed values: no two features alike, even buckets whatever the keys, hash
//! functions and signs that know nothing of each other, and an attacker who gets nowhere without the key.
//!
//! The statistics run on fixed features, so that each is a plain yes or no. A good hash has a χ² more than five
//! standard deviations off in one run of a million, with seven buckets (where χ² is skewed) in one of a thousand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use flexihash::batch::Batch;
use flexihash::example::ExampleSink;
use flexihash::hash::*;
use proptest::prelude::*;
use std::collections::HashSet;
use std::fmt::Write;

fn hasher(options: HashOptions) -> FeatureHasher {
    FeatureHasher::new(options, &HashKey::default()).unwrap()
}

/// Standard deviations by which the χ² of `counts` against equal expectations lies from its mean.
fn chi_square_deviation(counts: &[u32]) -> f64 {
    let total = counts.iter().map(|&count| f64::from(count)).sum::<f64>();
    let expected = total / counts.len() as f64;
    let squares = counts.iter().map(|&count| (f64::from(count) - expected).powi(2)).sum::<f64>();
    deviation(squares / expected, counts.len() as f64 - 1.0)
}

fn deviation(chi_square: f64, degrees: f64) -> f64 {
    (chi_square - degrees) / (2.0 * degrees).sqrt()
}

// --- no two features alike ---

/// Feature `n` of a family in which different `n` are different (path, type, value): the digits of `n` are cut at
/// every place and put into keys, indices and values, so that many of them are the same text cut differently.
fn encode_family(n: u32, text: &mut String, out: &mut Vec<u8>) {
    use NativeValue::{Category, Number};
    use PathSegment::{Index, Key};
    let (shape, number) = (n % 6, n / 6);
    let place = number as usize;
    text.clear();
    // Eight digits, cut at `number % 8`, so that both parts together say the number; `tail` is never empty. The
    // shapes differ in depth, segment or type, and 1 and 4 in whether the string is empty.
    write!(text, "{number:08}").unwrap();
    let (head, tail) = text.split_at(place % 8);
    match shape {
        0 => encode_native(&[Key(text)], Number, out),
        1 => encode_native(&[Key(head)], Category(tail), out),
        2 => encode_native(&[Key(head), Key(tail)], Number, out),
        3 => encode_native(&[Key("a"), Index(place)], Number, out),
        4 => encode_native(&[Key(text)], Category(""), out),
        _ => encode_native(&[Key("x"), Index(place % 64), Key(tail)], Category(head), out),
    }
}

#[test]
fn ten_million_features_have_ten_million_hashes() {
    const FEATURES: u32 = 10_000_000;
    let hasher = hasher(HashOptions::default());
    let (mut text, mut bytes) = (String::new(), Vec::new());
    let mut hashes = Vec::with_capacity(FEATURES as usize);
    for n in 0..FEATURES {
        encode_family(n, &mut text, &mut bytes);
        hashes.push(hasher.native_hash(&bytes, 0).unwrap());
    }
    hashes.sort_unstable();
    // A perfect hash has one collision in 370,000 such sets: n² / 2^65.
    let collisions = hashes.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(collisions, 0);
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    Key(String),
    Index(usize),
}

/// A path and the string at its end, `None` for a number.
type Feature = (Vec<Segment>, Option<String>);

fn encode((path, value): &Feature) -> Vec<u8> {
    let segment = |segment| match segment {
        &Segment::Index(index) => PathSegment::Index(index),
        Segment::Key(key) => PathSegment::Key(key),
    };
    let path = path.iter().map(segment).collect::<Vec<_>>();
    let mut out = b"left over".to_vec();
    encode_native(&path, value.as_deref().map_or(NativeValue::Number, NativeValue::Category), &mut out);
    out
}

/// Reads an encoding back; `None` if it is not one.
fn decode(mut bytes: &[u8]) -> Option<Feature> {
    let mut path = Vec::new();
    loop {
        let (&tag, rest) = bytes.split_first()?;
        bytes = rest;
        match tag {
            1 => {
                let (key, rest) = bytes_of_varint(&mut bytes).and_then(|len| bytes.split_at_checked(len))?;
                path.push(Segment::Key(String::from_utf8(key.to_vec()).ok()?));
                bytes = rest;
            }
            2 => path.push(Segment::Index(bytes_of_varint(&mut bytes)?)),
            3 => return bytes.is_empty().then_some((path, None)),
            4 => return Some((path, Some(String::from_utf8(bytes.to_vec()).ok()?))),
            _ => return None,
        }
    }
}

fn bytes_of_varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Any text, and often one that looks like a piece of an encoding.
fn text() -> impl Strategy<Value = String> {
    let any_char = prop_oneof![any::<char>(), (0u8..6).prop_map(char::from), Just('a')];
    let length = prop_oneof![9 => 0..6usize, 1 => 120..140usize];
    length
        .prop_flat_map(move |length| prop::collection::vec(any_char.clone(), length..=length))
        .prop_map(String::from_iter)
}

fn feature() -> impl Strategy<Value = Feature> {
    let index = prop_oneof![0..300usize, any::<usize>()];
    let segment = prop_oneof![text().prop_map(Segment::Key), index.prop_map(Segment::Index)];
    (prop::collection::vec(segment, 0..5), prop::option::of(text()))
}

proptest! {
    #[test]
    fn an_encoded_feature_can_be_read_back(feature in feature()) {
        prop_assert_eq!(decode(&encode(&feature)), Some(feature));
    }
}

// --- even buckets ---

fn encode_user(n: u32, bytes: &mut Vec<u8>) {
    encode_native(&[PathSegment::Key("user")], NativeValue::Category(&n.to_string()), bytes);
}

/// Calls `visit` with the encodings of `count` features whose names differ in a few digits only.
fn for_each_user(count: u32, mut visit: impl FnMut(&[u8])) {
    let mut bytes = Vec::new();
    for n in 0..count {
        encode_user(n, &mut bytes);
        visit(&bytes);
    }
}

#[test]
fn buckets_fill_evenly_for_any_number_of_them() {
    for (buckets, features) in
        [(7, 1_000_000), (1000, 1_000_000), (1 << 20, 4_000_000), (1_000_003, 4_000_000)]
    {
        let hasher = hasher(HashOptions { buckets, ..HashOptions::default() });
        let mut counts = vec![0; buckets as usize];
        for_each_user(features, |bytes| {
            counts[hasher.native_slot(bytes, 0).unwrap().slot.0 as usize] += 1;
        });
        let deviation = chi_square_deviation(&counts);
        assert!(deviation.abs() < 5.0, "{buckets} buckets: χ² is {deviation:.1} standard deviations off");
    }
}

// --- an attacker without the key ---

/// `count` different 12-byte ASCII keys that murmur3 x86_32 (seed 0) all sends to `target`: the rounds can be
/// inverted, so for any first eight bytes one last block hits the target; those that are ASCII are kept.
fn murmur_colliders(target: u32, count: usize) -> Vec<String> {
    let wanted = unfinalize(target) ^ 12;
    let mut keys = Vec::with_capacity(count);
    for n in 0..100_000_000 {
        if keys.len() == count {
            break;
        }
        let head = format!("{n:08}");
        // Four fewer bytes hash to finalize(state ^ 8).
        let state = unfinalize(murmur3_x86_32(head.as_bytes(), 0)) ^ 8;
        let before_mix = wanted.wrapping_sub(0xe654_6b64).wrapping_mul(inverse(5)).rotate_right(13);
        let block = unscramble(before_mix ^ state).to_le_bytes();
        if block.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            keys.push(head + std::str::from_utf8(&block).unwrap());
        }
    }
    keys
}

/// The inverse of an odd number modulo 2^32, by Newton's method.
fn inverse(odd: u32) -> u32 {
    (0..5).fold(odd, |x, _| x.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(x))))
}

fn unscramble(word: u32) -> u32 {
    word.wrapping_mul(inverse(0x1b87_3593)).rotate_right(15).wrapping_mul(inverse(0xcc9e_2d51))
}

fn unfinalize(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 16).wrapping_mul(inverse(0xc2b2_ae35));
    let hash = (hash ^ hash >> 13 ^ hash >> 26).wrapping_mul(inverse(0x85eb_ca6b));
    hash ^ hash >> 16
}

/// The slot of each key as a feature, through encoder and batch.
fn slots_of(hasher: &FeatureHasher, keys: &[String]) -> Vec<u32> {
    let (mut scratch, mut batch) = (EncoderScratch::default(), Batch::default());
    for key in keys {
        let mut encoder = Encoder::new(hasher, &mut scratch, &mut batch);
        encoder.enter_key(key);
        encoder.number(1.0).unwrap();
        encoder.finish().unwrap();
    }
    batch.slots().iter().map(|slot| slot.0).collect()
}

#[test]
fn crafted_murmur_colliders_spread_evenly_under_the_keyed_hash() {
    let keys = murmur_colliders(0x1234_5678, 100_000);
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 100_000);
    let secret = HashKey::from_hex("5eed5eed00112233445566778899aabb").unwrap();
    for buckets in [1000, 4096] {
        let options = HashOptions { kind: HashKind::Sklearn, buckets, ..HashOptions::default() };
        let slots = slots_of(&hasher(options), &keys);
        assert_eq!(slots, vec![0x1234_5678 % buckets; keys.len()], "the attack itself must work");
        for key in [HashKey::default(), secret] {
            let options = HashOptions { kind: HashKind::Siphash, ..options };
            let mut counts = vec![0; buckets as usize];
            for slot in slots_of(&FeatureHasher::new(options, &key).unwrap(), &keys) {
                counts[slot as usize] += 1;
            }
            let deviation = chi_square_deviation(&counts);
            assert!(deviation.abs() < 5.0, "{buckets} buckets: χ² is {deviation:.1} standard deviations off");
        }
    }
}

// --- hash functions and signs that know nothing of each other ---

#[test]
fn two_hash_functions_agree_as_often_as_chance() {
    const BUCKETS: u32 = 64;
    const HASHES: u32 = 4;
    const FEATURES: u32 = 500_000;
    let hasher = hasher(HashOptions { buckets: BUCKETS, hashes: HASHES, ..HashOptions::default() });
    for (one, other) in (0..HASHES).flat_map(|one| (0..one).map(move |other| (one, other))) {
        let mut pairs = vec![0; (BUCKETS * BUCKETS) as usize];
        for_each_user(FEATURES, |bytes| {
            let slot = |index| hasher.native_slot(bytes, index).unwrap().slot.0;
            pairs[(slot(one) * BUCKETS + slot(other)) as usize] += 1;
        });
        let agree = (0..BUCKETS).map(|slot| pairs[(slot * BUCKETS + slot) as usize]).sum::<u32>();
        let chance = 1.0 / f64::from(BUCKETS);
        let spread = (f64::from(FEATURES) * chance * (1.0 - chance)).sqrt();
        let off = (f64::from(agree) - f64::from(FEATURES) * chance) / spread;
        assert!(
            off.abs() < 5.0,
            "hashes {one} and {other} agree {agree} times: {off:.1} standard deviations off"
        );
        // More than agreement: every pair of slots is equally likely.
        let deviation = chi_square_deviation(&pairs);
        assert!(
            deviation.abs() < 5.0,
            "hashes {one} and {other}: χ² is {deviation:.1} standard deviations off"
        );
    }
}

#[test]
fn signs_are_balanced_and_independent_of_the_slot() {
    const FEATURES: u32 = 1_000_000;
    for buckets in [2, 1000, 1024, 100_003] {
        let hasher = hasher(HashOptions { buckets, alternate_sign: true, ..HashOptions::default() });
        let mut by_slot = vec![[0.0f64; 2]; buckets as usize];
        for_each_user(FEATURES, |bytes| {
            let place = hasher.native_slot(bytes, 0).unwrap();
            assert_eq!(place.sign.abs(), 1.0);
            by_slot[place.slot.0 as usize][usize::from(place.sign < 0.0)] += 1.0;
        });
        let balance = by_slot.iter().map(|[plus, minus]| plus - minus).sum::<f64>();
        assert!(balance.abs() < 5.0 * f64::from(FEATURES).sqrt(), "{buckets} buckets: {balance} too many");
        let used = by_slot.iter().filter(|[plus, minus]| plus + minus > 0.0);
        let terms = used.map(|[plus, minus]| (plus - minus).powi(2) / (plus + minus)).collect::<Vec<_>>();
        let deviation = deviation(terms.iter().sum(), terms.len() as f64);
        assert!(deviation.abs() < 5.0, "{buckets} buckets: χ² is {deviation:.1} standard deviations off");
    }
}

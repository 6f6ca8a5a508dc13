use super::*;
use crate::batch::Batch;

fn slots(kind: HashKind, build: impl FnOnce(&mut Encoder<'_>)) -> Vec<(u32, f32)> {
    let options = HashOptions { kind, ..HashOptions::default() };
    let hasher = FeatureHasher::new(options, &HashKey::default()).unwrap();
    let (mut scratch, mut batch) = (EncoderScratch::default(), Batch::default());
    let mut encoder = Encoder::new(&hasher, &mut scratch, &mut batch);
    build(&mut encoder);
    encoder.finish().unwrap();
    let row = batch.row(0);
    row.slots.iter().map(|slot| slot.0).zip(row.values.iter().copied()).collect()
}

#[test]
fn nesting_and_types_are_part_of_the_key() {
    let flat = slots(HashKind::Siphash, |e| {
        e.enter_key("a");
        e.category("bc").unwrap();
        e.leave();
    });
    let joined = slots(HashKind::Siphash, |e| {
        e.enter_key("ab");
        e.category("c").unwrap();
        e.leave();
    });
    let nested = slots(HashKind::Siphash, |e| {
        e.enter_key("a");
        e.enter_key("b");
        e.category("c").unwrap();
        e.leave();
        e.leave();
    });
    assert_ne!(flat, joined);
    assert_ne!(flat, nested);
    assert_ne!(joined, nested);
}

#[test]
fn a_key_that_occurs_twice_adds_up() {
    let twice = slots(HashKind::Siphash, |e| {
        for value in [1.5, 2.0] {
            e.enter_key("a");
            e.number(value).unwrap();
            e.leave();
        }
    });
    assert_eq!(twice.len(), 1);
    assert_eq!(twice[0].1, 3.5);
}

#[test]
fn a_secret_key_is_never_shown() {
    let key = HashKey::from_hex("00112233445566778899aabbccddeeff").unwrap();
    assert_eq!(format!("{key:?}"), "HashKey(secret)");
    assert_eq!(HashKey::from_hex(&key.to_hex()), Ok(key));
    let error = HashKey::from_hex("0011secret").unwrap_err();
    assert!(!error.to_string().contains("0011secret"));
}

#[test]
fn ids_take_the_place_of_values() {
    let by_number = slots(HashKind::Mmh3, |e| e.integer(17, 17.0).unwrap());
    let by_string = slots(HashKind::Mmh3, |e| e.category("17").unwrap());
    assert_eq!(by_number, by_string);
    assert_eq!(slots(HashKind::Modulo, |e| e.integer(-1, -1.0).unwrap()), [((1 << 22) - 1, 1.0)]);
}

#[test]
fn features_hashed_together_hash_as_each_by_itself() {
    let hasher =
        FeatureHasher::new(HashOptions { hashes: 3, ..HashOptions::default() }, &HashKey::default()).unwrap();
    let (mut together, mut alone, mut path) = (EncodedFeatures::default(), Vec::new(), Vec::new());
    let text = "0123456789abcdefghijklmnopqrstuvwxyz—äöü!".repeat(2);
    let mut cases = Vec::new();
    for (above, key, value) in (0..3).flat_map(|a| (0..40).flat_map(move |k| (0..50).map(move |v| (a, k, v))))
    {
        let cut = |length: usize| text.get(..length).unwrap_or("é");
        let segments =
            [PathSegment::Key(cut(above)), PathSegment::Index(above * 1000), PathSegment::Key(cut(key))];
        let below = &segments[if above == 0 { 2 } else { 0 }..];
        let value = if value == 0 { NativeValue::Number } else { NativeValue::Category(cut(value - 1)) };
        encode_native(below, value, &mut alone);
        encode_native(&below[..below.len() - 1], NativeValue::Number, &mut path);
        path.pop();
        let mut whole = path.clone();
        native::push_key(&mut whole, cut(key));
        let taken = together.push_at(&path, cut(key), value);
        assert_eq!(taken, alone.len() < 64, "{alone:?}");
        assert_eq!(together.push(&whole, value), taken, "{alone:?}");
        if taken {
            cases.extend([alone.clone(), alone.clone()]);
        }
        if together.is_full() {
            for index in 0..3 {
                let hashes = together.hashes(&hasher, index).unwrap();
                for (case, hash) in cases.iter().zip(hashes) {
                    assert_eq!(Some(hash), hasher.native_hash(case, index), "{case:?}");
                }
            }
            assert!(together.hashes(&hasher, 3).is_none());
            assert!(!together.push(b"", NativeValue::Number), "there is no room");
            together.clear();
            cases.clear();
        }
    }
    assert!(together.is_empty() || !cases.is_empty());
}

#[test]
fn lanes_of_every_instruction_set_are_the_published_siphash() {
    let message: Vec<u8> = (0..64).collect();
    for isa in crate::kernel::Isa::available() {
        for length in 0..64 {
            let mut cell = crate::kernel::Cell::EMPTY;
            cell.0[..length].copy_from_slice(&message[..length]);
            cell.0[length | 7] = length as u8;
            let words = [(length / 8 + 1) as u8; 8];
            let hashes = crate::kernel::siphash_1_3_lanes(isa, (length as u64, 7), &[cell; 8], &words);
            assert_eq!(hashes, [siphash_1_3(length as u64, 7, &message[..length]); 8], "{}", isa.name());
        }
    }
}

#[test]
fn a_slot_is_the_upper_half_of_hash_times_buckets() {
    for buckets in [1, 2, 3, 1000, (1 << 22) + 7, (1 << 31) - 1, 1 << 31] {
        let options = HashOptions { buckets, ..HashOptions::default() };
        let hasher = FeatureHasher::new(options, &HashKey::default()).unwrap();
        for hash in [0, 1, 0xffff_ffff, 1 << 32, u64::MAX, u64::MAX / 3, 0x0123_4567_89ab_cdef] {
            let product = u128::from(hash) * u128::from(buckets);
            assert_eq!(u128::from(hasher.place(hash).slot.0), product >> 64, "{hash} in {buckets}");
        }
    }
}

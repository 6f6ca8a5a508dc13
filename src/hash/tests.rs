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

//! The native hash: SipHash-1-3 (Aumasson & Bernstein 2012) over an encoding in which two different features can
//! never be the same bytes.
//!
//! ```text
//! feature = segment* value
//! segment = 0x01 varint(len) bytes      an object key, UTF-8
//!         | 0x02 varint(index)          a place in an array
//! value   = 0x03                        a number (its magnitude scales the row, so it is no part of the key)
//!         | 0x04 bytes                  a string, up to the end
//! varint  = LEB128
//! ```
//!
//! Every segment says its own length and every value its type, so the encoding can be read back; that is the proof
//! that it is injective. Frozen: models on disk depend on it (`fixtures/hash/native.json`).

use super::key::HashKey;
use siphasher::sip::SipHasher13;
use std::fmt;

pub(super) const KEY: u8 = 0x01;
const INDEX: u8 = 0x02;
pub(super) const NUMBER: u8 = 0x03;
pub(super) const CATEGORY: u8 = 0x04;

/// SipHash-1-3 of `message` under the 128-bit key `k0 ‖ k1` (little-endian halves).
pub fn siphash_1_3(k0: u64, k1: u64, message: &[u8]) -> u64 {
    SipHasher13::new_with_keys(k0, k1).hash(message)
}

/// One key per hash function: the first is the model's, each further one is derived from it by SipHash.
#[derive(Clone)]
pub(super) struct Keys(Vec<(u64, u64)>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(secret)")
    }
}

impl Keys {
    pub(super) fn derive(key: &HashKey, hashes: u32) -> Self {
        let (k0, k1) = key.halves();
        let derived = |index: u32, half: u8| {
            let mut label = b"flexihash key ".to_vec();
            label.extend(index.to_le_bytes());
            label.push(half);
            siphash_1_3(k0, k1, &label)
        };
        let further = (1..hashes).map(|i| (derived(i, 0), derived(i, 1)));
        Self(std::iter::once((k0, k1)).chain(further).collect())
    }

    pub(super) fn hash(&self, index: u32, message: &[u8]) -> u64 {
        self.get(index).map_or(0, |(k0, k1)| siphash_1_3(k0, k1, message))
    }

    pub(super) fn get(&self, index: u32) -> Option<(u64, u64)> {
        self.0.get(index as usize).copied()
    }
}

/// One step from the feature object down to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathSegment<'a> {
    /// An object's key.
    Key(&'a str),
    /// A place in an array, from 0.
    Index(usize),
}

/// What stands at the end of a path, as far as it says which feature it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NativeValue<'a> {
    /// Any number: its magnitude scales the row and is no part of the feature.
    Number,
    /// A string.
    Category(&'a str),
}

/// The native encoding of the feature `value` at `path`, written over `out`: the bytes that
/// [`FeatureHasher::native_hash`](super::FeatureHasher::native_hash) takes. Two different features never give the
/// same bytes; the format is frozen.
///
/// ```
/// use flexihash::hash::{NativeValue, PathSegment, encode_native};
/// let mut bytes = Vec::new();
/// encode_native(&[PathSegment::Key("a"), PathSegment::Index(2)], NativeValue::Category("b"), &mut bytes);
/// assert_eq!(bytes, b"\x01\x01a\x02\x02\x04b");
/// ```
pub fn encode_native(path: &[PathSegment<'_>], value: NativeValue<'_>, out: &mut Vec<u8>) {
    out.clear();
    for segment in path {
        match segment {
            PathSegment::Key(key) => push_key(out, key),
            PathSegment::Index(index) => push_index(out, *index),
        }
    }
    match value {
        NativeValue::Number => out.push(NUMBER),
        NativeValue::Category(text) => {
            out.push(CATEGORY);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[inline]
pub(super) fn push_key(path: &mut Vec<u8>, key: &str) {
    if key.len() < 0x80 {
        path.extend_from_slice(&[KEY, key.len() as u8]);
    } else {
        path.push(KEY);
        push_varint(path, key.len());
    }
    path.extend_from_slice(key.as_bytes());
}

pub(super) fn push_index(path: &mut Vec<u8>, index: usize) {
    path.push(INDEX);
    push_varint(path, index);
}

fn push_varint(path: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        path.push(value as u8 | 0x80);
        value >>= 7;
    }
    path.push(value as u8);
}

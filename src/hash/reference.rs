//! The reference hashes: columns and buckets as scikit-learn's FeatureHasher and the published recommenders take
//! them. Sources and test values: `fixtures/oracle/README.md`.

use super::murmur::murmur3_x86_32;
use crate::batch::Slot;

/// Appends a key to a dotted name: `a`, then `a.b`. `depth` is 1 for the first key.
pub(super) fn push_name(name: &mut Vec<u8>, depth: usize, key: &str) {
    if depth > 1 {
        name.push(b'.');
    }
    name.extend_from_slice(key.as_bytes());
}

/// FeatureHasher's column `|h| mod n` and whether `h ≥ 0`, with h the signed murmur3 x86_32 of the name. |INT_MIN|
/// counts as 2^31. `buckets` ≥ 1.
pub fn sklearn_column(name: &[u8], seed: u32, buckets: u32) -> (Slot, bool) {
    let hash = murmur3_x86_32(name, seed) as i32;
    (Slot(hash.unsigned_abs() % buckets.max(1)), hash >= 0)
}

/// The Murmur recommender's bucket of a signed 32-bit hash: Python's floor modulo. `buckets` ≥ 1.
pub fn murmur_bucket(hash: i32, buckets: u32) -> Slot {
    modulo_bucket(i128::from(hash), buckets)
}

/// The modulo recommender's bucket of an integer id: Python's floor modulo. `buckets` ≥ 1.
pub fn modulo_bucket(id: i128, buckets: u32) -> Slot {
    Slot(id.rem_euclid(i128::from(buckets.max(1))) as u32)
}

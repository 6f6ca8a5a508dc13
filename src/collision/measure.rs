//! Ids hashed as the engine hashes them, and counted.
//!
//! ```text
//! for id in 0..n: rows(id), sorted where their order does not matter → a key of 128 bits
//! sort the keys; every key that occurs more than once is a group of ids with the same rows
//! ```
//!
//! The key is the rows themselves, as the digits of a number, wherever B^k fits into 128 bits: then the count is exact. Beyond,
//! it is the 128-bit murmur3 of the rows, and a group is false with probability below n²/2^129, less than 2^-75 for as many ids as are
//! taken; true groups are by then as rare. Memory is 16 bytes an id, whatever buckets and hashes are.

use super::{CollisionError, Scheme, Tables};
use crate::batch::Slot;
use crate::example::LabelRange;
use crate::field::{FieldHasher, FieldKind, FieldOptions, Fields};
use crate::hash::{HashKey, HashKind, murmur3_x64_128};
use std::fmt::Write as _;
use std::sync::Arc;

/// Most ids that [`measure`] takes: 2^27, 2 GiB.
pub const MAX_MEASURED: u64 = 1 << 27;

/// How many of the ids `0`, `1`, …, `ids − 1` have the same rows as at least one other of them, where the rows are those that an
/// id [field](crate::field) with this `scheme`, hash and key looks up.
///
/// [`HashKind::Modulo`] is no hash: it deals ids that follow each other to rows that follow each other, so none collide up to
/// `buckets` ids and all do from twice as many on, whatever theory says of chance.
///
/// # Errors
/// [`CollisionError::TooMany`] beyond [`MAX_MEASURED`], [`CollisionError::Memory`] if the system has not enough, and
/// [`CollisionError::Field`] for more rows than a table may have, or several hashes of [`HashKind::Modulo`].
pub fn measure(ids: u64, scheme: &Scheme, kind: HashKind, key: &HashKey) -> Result<u64, CollisionError> {
    if ids > MAX_MEASURED {
        return Err(CollisionError::TooMany { limit: MAX_MEASURED, got: ids });
    }
    let hasher = hasher(scheme, kind, key)?;
    let mut keys: Vec<u128> = Vec::new();
    let memory = keys.try_reserve_exact(ids as usize);
    memory.map_err(|_| CollisionError::Memory { ids, bytes: ids * 16 })?;
    let (mut text, mut scratch, mut slots) = (String::new(), Vec::new(), Vec::new());
    for id in 0..ids {
        text.clear();
        slots.clear();
        // A string takes whatever is written to it.
        let _ = write!(text, "{id}");
        hasher.id_slots(0, &text, &mut scratch, &mut slots);
        keys.push(row_key(scheme, &mut slots));
    }
    keys.sort_unstable();
    Ok(in_company(&keys))
}

/// The hash of one field, an id, that has a table of its own.
fn hasher(scheme: &Scheme, kind: HashKind, key: &HashKey) -> Result<FieldHasher, CollisionError> {
    let id = FieldOptions {
        dim: Some(1),
        buckets: Some(scheme.buckets),
        hashes: Some(scheme.hashes),
        hash: Some(kind),
        separate: Some(scheme.tables == Tables::Separate),
        ..FieldOptions::new("id", FieldKind::Id)
    };
    let fields = Arc::new(Fields::new(vec![id])?);
    Ok(FieldHasher::new(fields, key, LabelRange::Ignored)?)
}

/// Equal for ids with the same rows. Sorts the rows if their order does not matter.
pub(super) fn row_key(scheme: &Scheme, slots: &mut [Slot]) -> u128 {
    let buckets = u128::from(scheme.buckets);
    if scheme.tables == Tables::Shared {
        slots.sort_unstable();
    }
    if buckets.checked_pow(scheme.hashes).is_some() {
        // Separate tables: less the buckets of the hashes before it.
        return slots.iter().fold(0, |key, slot| key * buckets + u128::from(slot.0) % buckets);
    }
    let mut bytes = Vec::with_capacity(4 * slots.len());
    slots.iter().for_each(|slot| bytes.extend(slot.0.to_le_bytes()));
    let (low, high) = murmur3_x64_128(&bytes, 0);
    u128::from(high) << 64 | u128::from(low)
}

/// How many of the sorted `keys` are not alone.
fn in_company(keys: &[u128]) -> u64 {
    let groups = keys.chunk_by(|a, b| a == b).filter(|group| group.len() > 1);
    groups.map(|group| group.len() as u64).sum()
}

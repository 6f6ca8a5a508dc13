//! Which feature was in a row first, as far as one byte says.

use crate::kernel::Zeroed;
use std::sync::atomic::{AtomicU8, Ordering};

/// By how much measured differences are too few: one in 255 other features has the same fingerprint.
pub const CHANCE: f64 = 255.0 / 254.0;

/// 1 to 255, of bits of a hash that neither its slot nor its sign is made of: those go by the highest, this by bits 8 to 24.
#[inline(always)]
pub fn fingerprint(hash: u64) -> u8 {
    1 + ((((hash >> 8) & 0xffff) * 255) >> 16) as u8
}

/// The fingerprints of the first owners of rows: a byte each, 0 for none. Memory of rows that nobody owns is never touched.
#[derive(Debug)]
pub struct Owners(Zeroed<AtomicU8>);

impl Owners {
    /// Of `rows` rows, none owned. `None`: no memory.
    pub fn new(rows: usize) -> Option<Self> {
        // Lookups are spread over all of it: in small pages each would miss the processor's address buffers.
        Zeroed::in_large_pages(rows).map(Self)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.0.len()
    }

    /// The first owner of row `slot`; 0 for none, or where there is no such row.
    #[inline(always)]
    pub fn get(&self, slot: u32) -> u8 {
        self.0.get(slot as usize).map_or(0, |owner| owner.load(Ordering::Relaxed))
    }

    /// Notes the first owner. For one thread at a time.
    #[inline]
    pub fn set(&self, slot: u32, owner: u8) {
        if let Some(row) = self.0.get(slot as usize) {
            row.store(owner, Ordering::Relaxed);
        }
    }
}

/// Features that one thread has met as the first owners of their rows, as many as a small table has room for: they stay owners, so of
/// these nothing need be looked up again. 16 lie in a cache line: those that come often stay in the processor's second-level cache.
#[derive(Debug, Clone)]
pub struct KnownOwners {
    marks: Box<[u32; KNOWN]>,
    added: u32,
}

/// Features that are known, at most: each has one place.
const KNOWN: usize = 1 << 15;
/// A place is kept against so many that would have it.
const KEPT: u32 = 16;

impl KnownOwners {
    /// Whether all features with these hashes are known. Of unknown ones one in 2⁴⁶ is taken for another. All are looked at, so that no
    /// load waits for a compare.
    #[inline(always)]
    pub fn are_all(&self, hashes: &[u64]) -> bool {
        hashes.iter().fold(0, |others, &hash| others | (self.marks[place(hash)] ^ mark(hash))) == 0
    }

    /// Those of the first 64 that are not known, a bit each: found without a branch, for there is no telling which it will be.
    #[inline]
    pub fn others(&self, hashes: &[u64]) -> u64 {
        let is_other = |hash| u64::from(self.marks[place(hash)] != mark(hash));
        hashes.iter().zip(0..u64::BITS).fold(0, |others, (&hash, at)| others | is_other(hash) << at)
    }

    /// Knows it from now on, if its place is free; if another has it, one time in 16 and the other no longer: of two that come in turn,
    /// one stays.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        self.added = self.added.wrapping_add(1);
        let known = &mut self.marks[place(hash)];
        if *known == 0 || self.added.is_multiple_of(KEPT) {
            *known = mark(hash);
        }
    }
}

impl Default for KnownOwners {
    fn default() -> Self {
        Self { marks: Box::new([0; KNOWN]), added: 0 }
    }
}

#[inline(always)]
fn place(hash: u64) -> usize {
    hash as usize % KNOWN
}

/// Not 0, which is nobody's.
#[inline(always)]
fn mark(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

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
///
/// Each has a place, or is a guest at one of three beside it where another has its own: so of two that come in turn both are known.
/// One that is not known is taken for one that is with a chance below 2⁻²⁹.
#[derive(Debug, Clone)]
pub struct KnownOwners {
    marks: Box<[u32; KNOWN]>,
    added: u32,
}

/// Features that are known, at most.
const KNOWN: usize = 1 << 15;
/// Places that lie together.
const BESIDE: usize = 4;
/// One addition in so many drives another from its place.
const TURN: u32 = 64;

impl KnownOwners {
    /// Whether all features with these hashes are known, each at its place. All are looked at, so that no load waits for a compare.
    #[inline(always)]
    pub fn are_all(&self, hashes: &[u64]) -> bool {
        hashes.iter().fold(0, |others, &hash| others | (self.marks[place(hash)] ^ mark(hash))) == 0
    }

    /// Those of the first 64 that are not known at their places, a bit each: found without a branch, for there is no telling which it
    /// will be.
    #[inline]
    pub fn others(&self, hashes: &[u64]) -> u64 {
        let is_other = |hash| u64::from(self.marks[place(hash)] != mark(hash));
        hashes.iter().zip(0..u64::BITS).fold(0, |others, (&hash, at)| others | is_other(hash) << at)
    }

    /// Whether it is known as a guest.
    #[inline]
    pub fn is_guest(&self, hash: u64) -> bool {
        self.beside(place(hash), mark(hash)).is_some()
    }

    /// Knows it from now on, if it has room. Of those that come, one in 64 takes its place from another, which is a guest then where it
    /// was one itself: what comes often ends at its place.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        self.added = self.added.wrapping_add(1);
        let (own, mark) = (place(hash), mark(hash));
        let is_its_turn = self.added.is_multiple_of(TURN);
        let stays = if self.marks[own] == 0 || is_its_turn {
            std::mem::replace(&mut self.marks[own], mark)
        } else {
            mark
        };
        let room = self.beside(own, mark).or_else(|| self.beside(own, 0));
        if let Some(room) = room {
            self.marks[room] = stays;
        }
    }

    /// Which of the places beside `own` has `mark`.
    #[inline]
    fn beside(&self, own: usize, mark: u32) -> Option<usize> {
        (1..BESIDE).map(|other| own ^ other).find(|&other| self.marks[other] == mark)
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

/// 0 is nobody's: the one feature in 2³² that has it counts as known where nobody is.
#[inline(always)]
fn mark(hash: u64) -> u32 {
    (hash >> 32) as u32
}

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

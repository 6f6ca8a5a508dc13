//! Where the rows of slots lie.

use super::TableError;
use crate::batch::Slot;
use crate::kernel::{ask_for_large_pages, prefetch};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bits of a place that say where in its stripe a row lies; the rest say which stripe.
const POSITION_BITS: u32 = 26;

/// Where a row of a table lies: for ever, for rows do not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// Of a row that was never changed and holds zeros.
    pub const FRESH: Self = Self(u32::MAX);

    /// Of row `position` among rows of one's own; see [`Rows::own`](super::Rows::own).
    #[inline(always)]
    pub fn own(position: u32) -> Self {
        Self(position)
    }

    #[inline(always)]
    pub(super) fn new(stripe: u32, position: usize) -> Self {
        debug_assert!(position < 1 << POSITION_BITS);
        Self(stripe << POSITION_BITS | position as u32)
    }

    #[inline(always)]
    pub(super) fn stripe(self) -> usize {
        (self.0 >> POSITION_BITS) as usize
    }

    #[inline(always)]
    pub(super) fn position(self) -> usize {
        (self.0 & ((1 << POSITION_BITS) - 1)) as usize
    }
}

/// Of each block of slots, 1 + the place of its first row; 0: it has none yet.
///
/// A word changes once, under the lock of its stripe, and is read by whoever will lock that stripe or has done so: what it
/// says of a row that has a place stays true without a lock. These are the plain atomics of the standard library under
/// loom as well, which could not give zeroed memory without touching it; the protocol is that of the locks.
#[derive(Debug)]
pub(super) struct Index {
    words: Box<[AtomicU32]>,
    block: u32,
}

impl Index {
    /// For `rows` slots in blocks of 2^`block`.
    pub(super) fn new(rows: u64, block: u32) -> Result<Self, TableError> {
        let blocks = rows.div_ceil(1 << block) as usize;
        let memory = |()| TableError::Memory { bytes: blocks as u64 * 4 };
        let words: Box<[AtomicU32]> = bytemuck::allocation::try_zeroed_slice_box(blocks).map_err(memory)?;
        ask_for_large_pages(&words);
        Ok(Self { words, block })
    }

    /// The place of a slot's row, if it has one.
    #[inline(always)]
    pub(super) fn find(&self, slot: Slot) -> Option<Place> {
        let word = self.words.get((slot.0 >> self.block) as usize)?;
        let first = word.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Place(first | slot.0 & ((1 << self.block) - 1)))
    }

    /// Gives the block of `slot` its place: that of its first row. The caller holds its stripe.
    pub(super) fn set(&self, slot: Slot, first: Place) {
        if let Some(word) = self.words.get((slot.0 >> self.block) as usize) {
            word.store(first.0 + 1, Ordering::Relaxed);
        }
    }

    /// Starts fetching what [`Index::find`] will look at.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: Slot) {
        if let Some(word) = self.words.get((slot.0 >> self.block) as usize) {
            prefetch(word);
        }
    }
}

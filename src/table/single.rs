//! One stripe, held by itself: for those who take what they need of each in turn and hold no two at once.

use super::Table;
use super::stripe::Stripe;
use crate::batch::Slot;
use crate::sync::{MutexGuard, Ordering, lock, try_lock};

/// Exclusive access to the rows of one stripe until it is dropped.
#[derive(Debug)]
pub struct SingleStripe<'a> {
    stripe: MutexGuard<'a, Stripe>,
    table: &'a Table,
}

impl Table {
    /// Locks stripe `index`; `None` if there is no such stripe. Hold no lease meanwhile.
    pub fn single(&self, index: usize) -> Option<SingleStripe<'_>> {
        let stripe = lock(self.stripes.get(index)?);
        Some(SingleStripe { stripe, table: self })
    }

    /// The same, unless somebody holds it.
    pub(super) fn try_single(&self, index: usize) -> Option<SingleStripe<'_>> {
        let stripe = try_lock(self.stripes.get(index)?)?;
        Some(SingleStripe { stripe, table: self })
    }

    /// A copy of the row `[width]` of `slot`; `None` if it has no such row. Hold no lease meanwhile.
    pub fn copied(&self, slot: Slot) -> Option<Vec<f32>> {
        if u64::from(slot.0) >= self.options.rows {
            return None;
        }
        let (mut row, mut side) = (vec![0.0; self.options.width], vec![0.0; self.options.side]);
        self.single(self.stripe_of(slot))?.copy(slot, &mut row, &mut side);
        Some(row)
    }
}

impl SingleStripe<'_> {
    /// Starts fetching the row of `slot`, one of this stripe, into the cache.
    #[inline]
    pub fn prefetch(&self, slot: Slot) {
        if let Some(place) = self.table.index.find(slot) {
            self.stripe.prefetch(place);
        }
    }

    /// Copies the row `[width]` of `slot`, one of this stripe, and its side column `[side]`.
    #[inline]
    pub fn copy(&mut self, slot: Slot, row: &mut [f32], side: &mut [f32]) {
        let index = &self.table.index;
        match index.find(slot).or_else(|| self.stripe.place_fresh(index, slot)) {
            Some(place) => {
                row.copy_from_slice(self.stripe.row(place));
                side.copy_from_slice(self.stripe.side(place));
            }
            None => {
                row.fill(0.0);
                side.fill(0.0);
            }
        }
    }

    /// The row `[width]` and side column `[side]` of `slot`, one of this stripe, to be changed: the row counts as learned
    /// from now on. Empty for a slot of another stripe.
    #[inline]
    pub fn row_mut(&mut self, slot: Slot) -> (&mut [f32], &mut [f32]) {
        let index = &self.table.index;
        let Some(place) = self.stripe.settle(index, slot) else { return (&mut [], &mut []) };
        if self.stripe.mark(place, slot) {
            self.table.aside.fetch_add(1, Ordering::Relaxed);
        }
        self.stripe.row_mut(place)
    }
}

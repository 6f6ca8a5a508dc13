//! A set of stripes held at once: the only way to a row.

use super::MAX_STRIPES;
use super::stripe::Stripe;
use super::view::{CellsView, RowsView};
use crate::batch::Slot;
use crate::sync::{AtomicUsize, MutexGuard, Ordering};
use std::cell::Cell;

/// A set of stripes, by index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StripeSet(u64);

impl StripeSet {
    /// Every stripe.
    pub fn all() -> Self {
        Self(u64::MAX)
    }

    /// Adds a stripe; indices from [`super::Table::stripe_of`].
    #[inline]
    pub fn insert(&mut self, stripe: usize) {
        self.0 |= 1 << (stripe % MAX_STRIPES);
    }

    /// The indices in ascending order.
    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let index = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(index)
        })
    }
}

/// Exclusive access to the rows of some stripes until it is dropped.
#[derive(Debug)]
pub struct Lease<'a> {
    stripes: [Option<MutexGuard<'a, Stripe>>; MAX_STRIPES],
    shift: u32,
    aside: &'a AtomicUsize,
}

impl<'a> Lease<'a> {
    pub(super) fn empty(shift: u32, aside: &'a AtomicUsize) -> Self {
        Self { stripes: [const { None }; MAX_STRIPES], shift, aside }
    }

    pub(super) fn hold(&mut self, index: usize, guard: MutexGuard<'a, Stripe>) {
        self.stripes[index] = Some(guard);
    }

    #[inline]
    fn stripe(&mut self, slot: Slot) -> Option<&mut Stripe> {
        let stripe = self.stripes.get_mut((slot.0 >> self.shift) as usize)?.as_deref_mut();
        debug_assert!(stripe.is_some(), "the stripe of {slot:?} is not leased");
        stripe
    }

    /// Starts fetching the row of `slot` into the cache.
    #[inline]
    pub fn prefetch(&self, slot: Slot) {
        let stripe = self.stripes.get((slot.0 >> self.shift) as usize);
        if let Some(Some(stripe)) = stripe {
            stripe.prefetch(slot);
        }
    }

    /// The rows for reading, as memory holds them.
    pub fn view(&self) -> RowsView<'_> {
        let mut view = RowsView { stripes: [&[]; MAX_STRIPES], shift: self.shift, width: 0, stride: 0 };
        for (rows, stripe) in view.stripes.iter_mut().zip(&self.stripes) {
            if let Some(stripe) = stripe {
                (view.width, view.stride) = stripe.shape();
                *rows = stripe.rows();
            }
        }
        view
    }

    /// The rows to be changed, as memory holds them. Only rows that [`Lease::row_mut`] lent before count as learned.
    pub fn cells(&mut self) -> CellsView<'_> {
        let mut view = CellsView { stripes: [&[]; MAX_STRIPES], shift: self.shift, width: 0, stride: 0 };
        for (rows, stripe) in view.stripes.iter_mut().zip(&mut self.stripes) {
            if let Some(stripe) = stripe {
                (view.width, view.stride) = stripe.shape();
                *rows = Cell::from_mut(stripe.rows_mut()).as_slice_of_cells();
            }
        }
        view
    }

    /// The row of `slot`, `[width]`; its initial values if it was never changed. Empty if its stripe is not leased.
    #[inline]
    pub fn row(&mut self, slot: Slot) -> &[f32] {
        self.stripe(slot).map_or(&[], |stripe| stripe.row(slot))
    }

    /// The side column of `slot`, `[side]`.
    #[inline]
    pub fn side(&mut self, slot: Slot) -> &[f32] {
        self.stripe(slot).map_or(&[], |stripe| stripe.side(slot))
    }

    /// The row `[width]` and side column `[side]` of `slot`, to be changed: the row counts as learned from now on.
    #[inline]
    pub fn row_mut(&mut self, slot: Slot) -> (&mut [f32], &mut [f32]) {
        let aside = self.aside;
        let Some(stripe) = self.stripe(slot) else { return (&mut [], &mut []) };
        let (row, side, saved) = stripe.row_mut(slot);
        if saved {
            aside.fetch_add(1, Ordering::Relaxed);
        }
        (row, side)
    }
}

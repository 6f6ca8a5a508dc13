//! A set of stripes held at once: the only way to a row.
//!
//! One row at a time is read and changed by its slot ([`Lease::row`], [`Lease::row_mut`]). Who visits rows many times
//! finds them first: [`Lease::place`] and [`Lease::place_mut`] say where the rows of a run of records lie, and
//! [`Lease::rows`] then gives them by place, without another look at index, flags and locks.

use super::MAX_STRIPES;
use super::index::{Index, Place};
use super::stripe::{Flags, Stripe};
use crate::batch::Slot;
use crate::kernel::{Arena, HeldCells, HeldRows};
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

/// What leases of a table share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) index: &'a Index,
    pub(super) shift: u32,
    pub(super) aside: &'a AtomicUsize,
    /// A row that was never changed, `[width]`, and its side column `[side]`, one after the other.
    pub(super) fresh: &'a [f32],
    pub(super) width: usize,
    pub(super) arena: &'a Arena<Flags>,
}

/// Exclusive access to the rows of some stripes until it is dropped.
#[derive(Debug)]
pub struct Lease<'a> {
    stripes: [Option<MutexGuard<'a, Stripe>>; MAX_STRIPES],
    terms: Terms<'a>,
}

impl<'a> Lease<'a> {
    pub(super) fn empty(terms: Terms<'a>) -> Self {
        Self { stripes: [const { None }; MAX_STRIPES], terms }
    }

    pub(super) fn hold(&mut self, index: usize, guard: MutexGuard<'a, Stripe>) {
        self.stripes[index] = Some(guard);
    }

    #[inline(always)]
    fn stripe(&mut self, slot: Slot) -> Option<&mut Stripe> {
        let stripe = self.stripes.get_mut((slot.0 >> self.terms.shift) as usize)?.as_deref_mut();
        debug_assert!(stripe.is_some(), "the stripe of {slot:?} is not leased");
        stripe
    }

    /// The row of `slot`, `[width]`; its initial values if it was never changed. Empty if its stripe is not leased.
    #[inline]
    pub fn row(&mut self, slot: Slot) -> &[f32] {
        let (place, Terms { fresh, width, .. }) = (self.place(slot), self.terms);
        let Some(stripe) = self.stripe(slot) else { return &[] };
        if place == Place::FRESH {
            return fresh.get(..width).unwrap_or_default();
        }
        stripe.row(place)
    }

    /// The side column of `slot`, `[side]`.
    #[inline]
    pub fn side(&mut self, slot: Slot) -> &[f32] {
        let (place, Terms { fresh, width, .. }) = (self.place(slot), self.terms);
        let Some(stripe) = self.stripe(slot) else { return &[] };
        if place == Place::FRESH {
            return fresh.get(width..).unwrap_or_default();
        }
        stripe.side(place)
    }

    /// The row `[width]` and side column `[side]` of `slot`, to be changed: the row counts as learned from now on.
    #[inline]
    pub fn row_mut(&mut self, slot: Slot) -> (&mut [f32], &mut [f32]) {
        let place = self.place_mut(slot);
        match self.stripe(slot) {
            Some(stripe) if place != Place::FRESH => stripe.row_mut(place),
            _ => (&mut [], &mut []),
        }
    }

    /// Where the row of `slot` lies, to be read.
    #[inline(always)]
    pub fn place(&mut self, slot: Slot) -> Place {
        match self.terms.index.find(slot) {
            Some(place) => place,
            None => self.place_fresh(slot),
        }
    }

    #[cold]
    #[inline(never)]
    fn place_fresh(&mut self, slot: Slot) -> Place {
        let index = self.terms.index;
        self.stripe(slot).and_then(|stripe| stripe.place_fresh(index, slot)).unwrap_or(Place::FRESH)
    }

    /// Where the row of `slot` lies, to be changed: it counts as learned from now on.
    #[inline(always)]
    pub fn place_mut(&mut self, slot: Slot) -> Place {
        let place = match self.terms.index.find(slot) {
            Some(place) => place,
            None => self.place_new(slot),
        };
        let aside = self.terms.aside;
        if self.stripe(slot).is_some_and(|stripe| stripe.mark(place, slot)) {
            aside.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    #[cold]
    #[inline(never)]
    fn place_new(&mut self, slot: Slot) -> Place {
        let index = self.terms.index;
        self.stripe(slot).and_then(|stripe| stripe.settle_block(index, slot)).unwrap_or(Place::FRESH)
    }

    /// The leased rows by place.
    pub fn rows(&mut self) -> Rows<'_> {
        let Terms { fresh, width, arena, .. } = self.terms;
        let shares = self.stripes.iter_mut().flatten().map(|stripe| stripe.share_mut());
        Rows { held: arena.hold(shares), width, fresh }
    }
}

/// Leased rows, by place. A place of a stripe that is not leased has no row: it reads as one never changed.
#[derive(Debug)]
pub struct Rows<'a> {
    held: HeldRows<'a>,
    width: usize,
    fresh: &'a [f32],
}

impl<'a> Rows<'a> {
    /// Rows `[n, width]` and side columns `[n, side]` of the caller's own, copies for instance, as if they were leased: the
    /// i-th is at [`Place::own`]`(i)`.
    pub fn own(rows: &'a mut [f32], width: usize, sides: &'a mut [f32], side: usize) -> Self {
        Self { held: HeldRows::own(rows, width, sides, side), width, fresh: &[] }
    }
}

impl Rows<'_> {
    /// The row `[width]`.
    #[inline(always)]
    pub fn row(&self, place: Place) -> &[f32] {
        let fresh = || self.fresh.get(..self.width).unwrap_or_default();
        self.held.row(place.number()).unwrap_or_else(fresh)
    }

    /// The rows of many features at a time, to be changed by this thread.
    pub fn cells(&mut self) -> RowsCells<'_> {
        RowsCells { held: self.held.cells() }
    }

    /// The row `[width]`, to be changed; its place is from [`Lease::place_mut`]. Empty for a row never changed.
    #[inline(always)]
    pub fn row_mut(&mut self, place: Place) -> &mut [f32] {
        self.held.row_mut(place.number()).unwrap_or_default()
    }

    /// The side column `[side]`.
    #[inline(always)]
    pub fn side(&self, place: Place) -> &[f32] {
        let fresh = || self.fresh.get(self.width..).unwrap_or_default();
        self.held.side(place.number()).unwrap_or_else(fresh)
    }

    /// The side column `[side]`, to be changed; its place is from [`Lease::place_mut`].
    #[inline(always)]
    pub fn side_mut(&mut self, place: Place) -> &mut [f32] {
        self.held.side_mut(place.number()).unwrap_or_default()
    }

    /// Starts fetching the row into the cache.
    #[inline(always)]
    pub fn prefetch(&self, place: Place) {
        self.held.prefetch(place.number());
    }
}

/// Leased rows by place, several of them, or one several times, to be changed together.
#[derive(Debug)]
pub struct RowsCells<'a> {
    held: HeldCells<'a>,
}

impl<'a> RowsCells<'a> {
    /// The row `[width]`; its place is from [`Lease::place_mut`]. Empty for a row never changed.
    #[inline(always)]
    pub fn row(&self, place: Place) -> &'a [Cell<f32>] {
        self.held.row(place.number()).unwrap_or_default()
    }
}

//! A set of stripes held at once: the only way to a row.
//!
//! One row at a time is read and changed by its slot ([`Lease::row`], [`Lease::row_mut`]). Who visits rows many times
//! finds them first: [`Lease::place`] and [`Lease::place_mut`] say where the rows of a run of records lie, and
//! [`Lease::rows`] then gives them by place, without another look at index, flags and locks.

use super::MAX_STRIPES;
use super::index::{Index, Place};
use super::stripe::{Shape, Stripe};
use crate::batch::Slot;
use crate::kernel::prefetch;
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
    pub(super) shape: Shape,
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
        let (place, Terms { fresh, shape, .. }) = (self.place(slot), self.terms);
        let Some(stripe) = self.stripe(slot) else { return &[] };
        if place == Place::FRESH {
            return fresh.get(..shape.width).unwrap_or_default();
        }
        stripe.row(place.position())
    }

    /// The side column of `slot`, `[side]`.
    #[inline]
    pub fn side(&mut self, slot: Slot) -> &[f32] {
        let (place, Terms { fresh, shape, .. }) = (self.place(slot), self.terms);
        let Some(stripe) = self.stripe(slot) else { return &[] };
        if place == Place::FRESH {
            return fresh.get(shape.width..).unwrap_or_default();
        }
        stripe.side(place.position())
    }

    /// The row `[width]` and side column `[side]` of `slot`, to be changed: the row counts as learned from now on.
    #[inline]
    pub fn row_mut(&mut self, slot: Slot) -> (&mut [f32], &mut [f32]) {
        let place = self.place_mut(slot);
        match self.stripe(slot) {
            Some(stripe) if place != Place::FRESH => stripe.row_mut(place.position()),
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
        let position = self.stripe(slot).and_then(|stripe| stripe.position_fresh(index, slot));
        position.and_then(|_| index.find(slot)).unwrap_or(Place::FRESH)
    }

    /// Where the row of `slot` lies, to be changed: it counts as learned from now on.
    #[inline(always)]
    pub fn place_mut(&mut self, slot: Slot) -> Place {
        let place = match self.terms.index.find(slot) {
            Some(place) => place,
            None => self.place_new(slot),
        };
        let aside = self.terms.aside;
        let stripe = self.stripes.get_mut(place.stripe()).and_then(Option::as_deref_mut);
        if stripe.is_some_and(|stripe| stripe.mark(place.position(), slot)) {
            aside.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    #[cold]
    #[inline(never)]
    fn place_new(&mut self, slot: Slot) -> Place {
        let index = self.terms.index;
        let position = self.stripe(slot).and_then(|stripe| stripe.settle_block(index, slot));
        position.and_then(|_| index.find(slot)).unwrap_or(Place::FRESH)
    }

    /// The leased rows by place.
    pub fn rows(&mut self) -> Rows<'_> {
        let Terms { fresh, shape, .. } = self.terms;
        let mut rows: [&mut [f32]; MAX_STRIPES] = std::array::from_fn(|_| Default::default());
        let mut sides: [&mut [f32]; MAX_STRIPES] = std::array::from_fn(|_| Default::default());
        for ((rows, sides), stripe) in rows.iter_mut().zip(&mut sides).zip(&mut self.stripes) {
            if let Some(stripe) = stripe {
                (*rows, *sides) = stripe.all_mut();
            }
        }
        Rows { rows, sides, shape, fresh }
    }
}

/// Leased rows, by place. A place of a stripe that is not leased has no row: it reads as one never changed.
#[derive(Debug)]
pub struct Rows<'a> {
    rows: [&'a mut [f32]; MAX_STRIPES],
    sides: [&'a mut [f32]; MAX_STRIPES],
    shape: Shape,
    fresh: &'a [f32],
}

impl<'a> Rows<'a> {
    /// Rows `[n, width]` and side columns `[n, side]` of the caller's own, copies for instance, as if they were leased: the
    /// i-th is at [`Place::own`]`(i)`.
    pub fn own(rows: &'a mut [f32], width: usize, sides: &'a mut [f32], side: usize) -> Self {
        let mut own = Self {
            rows: std::array::from_fn(|_| Default::default()),
            sides: std::array::from_fn(|_| Default::default()),
            shape: Shape { width, stride: width, side, block: 0 },
            fresh: &[],
        };
        (own.rows[0], own.sides[0]) = (rows, sides);
        own
    }
}

impl Rows<'_> {
    /// The row `[width]`.
    #[inline(always)]
    pub fn row(&self, place: Place) -> &[f32] {
        let start = place.position() * self.shape.stride;
        let row = self.rows.get(place.stripe()).and_then(|rows| rows.get(start..start + self.shape.width));
        row.unwrap_or_else(|| self.fresh.get(..self.shape.width).unwrap_or_default())
    }

    /// The rows of many features at a time, to be changed by this thread.
    pub fn cells(&mut self) -> RowsCells<'_> {
        let mut rows: [&[Cell<f32>]; MAX_STRIPES] = [&[]; MAX_STRIPES];
        for (cells, floats) in rows.iter_mut().zip(&mut self.rows) {
            *cells = Cell::from_mut(&mut **floats).as_slice_of_cells();
        }
        RowsCells { rows, shape: self.shape }
    }

    /// The row `[width]`, to be changed; its place is from [`Lease::place_mut`]. Empty for a row never changed.
    #[inline(always)]
    pub fn row_mut(&mut self, place: Place) -> &mut [f32] {
        let start = place.position() * self.shape.stride;
        let rows = self.rows.get_mut(place.stripe());
        rows.and_then(|rows| rows.get_mut(start..start + self.shape.width)).unwrap_or_default()
    }

    /// The side column `[side]`.
    #[inline(always)]
    pub fn side(&self, place: Place) -> &[f32] {
        let start = place.position() * self.shape.side;
        let side = self.sides.get(place.stripe()).and_then(|sides| sides.get(start..start + self.shape.side));
        side.unwrap_or_else(|| self.fresh.get(self.shape.width..).unwrap_or_default())
    }

    /// The side column `[side]`, to be changed; its place is from [`Lease::place_mut`].
    #[inline(always)]
    pub fn side_mut(&mut self, place: Place) -> &mut [f32] {
        let start = place.position() * self.shape.side;
        let sides = self.sides.get_mut(place.stripe());
        sides.and_then(|sides| sides.get_mut(start..start + self.shape.side)).unwrap_or_default()
    }

    /// Starts fetching the row into the cache.
    #[inline(always)]
    pub fn prefetch(&self, place: Place) {
        for line in self.row(place).chunks(16) {
            if let Some(first) = line.first() {
                prefetch(first);
            }
        }
    }
}

/// Leased rows by place, several of them, or one several times, to be changed together.
#[derive(Debug)]
pub struct RowsCells<'a> {
    rows: [&'a [Cell<f32>]; MAX_STRIPES],
    shape: Shape,
}

impl<'a> RowsCells<'a> {
    /// The row `[width]`; its place is from [`Lease::place_mut`]. Empty for a row never changed.
    #[inline(always)]
    pub fn row(&self, place: Place) -> &'a [Cell<f32>] {
        let start = place.position() * self.shape.stride;
        let row = self.rows.get(place.stripe()).and_then(|rows| rows.get(start..start + self.shape.width));
        row.unwrap_or_default()
    }
}

//! The rows of a lease, many at a time.
//!
//! [`Lease::row`](super::Lease::row) lends one row; a kernel wants those of many features together. A view finds each in a
//! few instructions and leaves the rest (initial values, marks for the next checkpoint) to calls before.

use super::MAX_STRIPES;
use crate::batch::Slot;
use std::cell::Cell;

/// Rows to be read, by several threads at once if need be: see [`Lease::view`](super::Lease::view).
pub type RowsView<'l> = View<'l, f32>;

/// Rows to be changed, by one thread: see [`Lease::cells`](super::Lease::cells).
pub type CellsView<'l> = View<'l, Cell<f32>>;

/// Rows of a lease.
#[derive(Debug, Clone, Copy)]
pub struct View<'l, T> {
    /// Rows of each stripe, the first at its start; empty where a stripe is not leased.
    pub(super) stripes: [&'l [T]; MAX_STRIPES],
    pub(super) shift: u32,
    pub(super) width: usize,
    pub(super) stride: usize,
}

impl<'l, T> View<'l, T> {
    /// The row of `slot`, `[width]`, as memory holds it: zeros if it was neither read through
    /// [`Lease::row`](super::Lease::row) nor changed before. Empty if its stripe is not leased.
    #[inline(always)]
    pub fn row(&self, slot: Slot) -> &'l [T] {
        let index = (slot.0 & ((1 << self.shift) - 1)) as usize;
        let rows = self.stripes[(slot.0 >> self.shift) as usize % MAX_STRIPES];
        rows.get(index * self.stride..).and_then(|rows| rows.get(..self.width)).unwrap_or_default()
    }
}

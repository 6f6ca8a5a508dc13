//! Rows by address: where the features of some records lie, found before the arithmetic begins.
//!
//! Finding a row is the table's business and differs between tables; summing it is the kernel's and does not. Between
//! them stands a list of rows of one length, checked once as it is built, so that the loops over it need neither look up nor
//! check. It ends with copies of its last row, so that a loop may fetch ahead without asking where the list ends.

use super::rows::prefetch_at;
use std::cell::Cell;
use std::marker::PhantomData;

/// Rows that a loop fetches ahead: enough to hide a miss of the second-level cache, few enough that all that is under way fits
/// the processor's queue of misses.
pub(super) const AHEAD: usize = 16;

/// Rows of `T`, `[len, dim]`; a row may occur more than once.
#[derive(Debug)]
pub struct List<'r, T> {
    rows: Vec<*const f32>,
    dim: usize,
    life: PhantomData<&'r [T]>,
}

/// Rows to be read.
pub type RowList<'r> = List<'r, f32>;

/// Rows to be changed, by the thread that has the list.
pub type RowCells<'r> = List<'r, Cell<f32>>;

impl<'r> RowList<'r> {
    /// A list of `rows`; `None` if one is shorter than `dim`. Longer ones are cut.
    #[inline]
    pub fn new(dim: usize, rows: impl ExactSizeIterator<Item = &'r [f32]>) -> Option<Self> {
        Self::padded(dim, rows.map(|row| (row.as_ptr(), row.len())))
    }
}

impl<'r> RowCells<'r> {
    /// A list of `rows`; `None` if one is shorter than `dim`. Longer ones are cut.
    #[inline]
    pub fn new(dim: usize, rows: impl ExactSizeIterator<Item = &'r [Cell<f32>]>) -> Option<Self> {
        Self::padded(dim, rows.map(|row| (row.as_ptr().cast(), row.len())))
    }
}

impl<T> List<'_, T> {
    #[inline(always)]
    fn padded(dim: usize, found: impl ExactSizeIterator<Item = (*const f32, usize)>) -> Option<Self> {
        let mut rows = Vec::with_capacity(found.len() + AHEAD);
        let mut shortest = usize::MAX;
        for (row, len) in found {
            shortest = shortest.min(len);
            rows.push(row);
        }
        let last = *rows.last().unwrap_or(&std::ptr::null());
        rows.extend([last; AHEAD]);
        (shortest >= dim).then_some(Self { rows, dim, life: PhantomData })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len().saturating_sub(AHEAD)
    }

    /// True if it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The rows' addresses, `[len + AHEAD]`: each has `dim` floats that nobody writes while the list lives, but its own
    /// thread if they are cells.
    pub(super) fn addresses(&self) -> &[*const f32] {
        &self.rows
    }
}

/// Starts fetching the lines of a row of `dim` floats.
#[inline(always)]
pub(super) fn fetch(row: *const f32, dim: usize) {
    for line in 0..dim.div_ceil(16) {
        prefetch_at(row.wrapping_add(16 * line));
    }
}

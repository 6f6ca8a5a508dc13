//! Rows by address: where the features of some records lie, found before the arithmetic begins.
//!
//! Finding a row is the table's business and differs between tables; summing it is the kernel's and does not. Between
//! them stands a list of rows of one length, checked once as it is built, so that the loops over it need neither look up nor
//! check. It ends with copies of its last row, so that a loop may fetch ahead without asking where the list ends.

use super::rows::prefetch_far_at;
use std::cell::Cell;
use std::marker::PhantomData;

/// Rows that a loop fetches ahead, into the second-level cache: enough to hide a miss of the last one.
const AHEAD: usize = 32;

/// Most rows that are fetched together.
pub(super) const BURST: usize = 8;

/// Records whose vector a loop fetches ahead: some twenty rows.
pub(super) const VECTORS_AHEAD: usize = 4;

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
    /// Makes it a list of `rows`, in the memory it has. `false` if one is shorter than its rows are to be: it is empty then.
    #[inline(always)]
    pub fn fill(&mut self, rows: impl ExactSizeIterator<Item = &'r [f32]>) -> bool {
        self.padded(rows.map(|row| (row.as_ptr(), row.len())))
    }

    /// A list of `rows`; `None` if one is shorter than `dim`. Longer ones are cut.
    #[inline]
    pub fn new(dim: usize, rows: impl ExactSizeIterator<Item = &'r [f32]>) -> Option<Self> {
        let mut list = Self::empty(dim);
        list.fill(rows).then_some(list)
    }
}

impl<'r> RowCells<'r> {
    /// Makes it a list of `rows`, in the memory it has. `false` if one is shorter than its rows are to be: it is empty then.
    #[inline(always)]
    pub fn fill(&mut self, rows: impl ExactSizeIterator<Item = &'r [Cell<f32>]>) -> bool {
        self.padded(rows.map(|row| (row.as_ptr().cast(), row.len())))
    }

    /// A list of `rows`; `None` if one is shorter than `dim`. Longer ones are cut.
    #[inline]
    pub fn new(dim: usize, rows: impl ExactSizeIterator<Item = &'r [Cell<f32>]>) -> Option<Self> {
        let mut list = Self::empty(dim);
        list.fill(rows).then_some(list)
    }
}

impl<T> List<'_, T> {
    /// A list without rows, of `dim` floats each.
    pub fn empty(dim: usize) -> Self {
        Self { rows: Vec::new(), dim, life: PhantomData }
    }

    #[inline(always)]
    fn padded(&mut self, found: impl ExactSizeIterator<Item = (*const f32, usize)>) -> bool {
        let mut shortest = usize::MAX;
        self.rows.clear();
        self.rows.extend(found.map(|(row, len)| {
            shortest = shortest.min(len);
            row
        }));
        let last = *self.rows.last().unwrap_or(&std::ptr::null());
        self.rows.extend([last; AHEAD + BURST]);
        if shortest < self.dim {
            self.rows.clear();
        }
        shortest >= self.dim
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len().saturating_sub(AHEAD + BURST)
    }

    /// True if it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The rows' addresses, `[len + AHEAD + BURST]`: each has `dim` floats that nobody writes while the list lives, but its own
    /// thread if they are cells.
    pub(super) fn addresses(&self) -> &[*const f32] {
        &self.rows
    }
}

/// To be called before row `i` of a list is worked on: starts fetching the row [`AHEAD`] of it, or `burst` of them before every
/// so many rows.
///
/// # Safety
/// `addresses` are a list's, and it has a row `i`; `burst` is at most [`BURST`].
#[inline(always)]
pub(super) unsafe fn fetch_ahead(addresses: &[*const f32], i: usize, dim: usize, burst: usize) {
    if i.is_multiple_of(burst) {
        // SAFETY: a list's addresses go on for `AHEAD + BURST` behind its last row.
        let rows = unsafe { addresses.get_unchecked(i + AHEAD..i + AHEAD + burst) };
        rows.iter().for_each(|row| fetch(*row, dim));
    }
}

/// Starts fetching the lines of a row of `dim` floats.
#[inline(always)]
pub(super) fn fetch(row: *const f32, dim: usize) {
    for line in 0..dim.div_ceil(16) {
        prefetch_far_at(row.wrapping_add(16 * line));
    }
}

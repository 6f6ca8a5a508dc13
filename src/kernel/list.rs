//! Rows by address: where the features of some records lie, found before the arithmetic begins.
//!
//! Finding a row is the table's business and differs between tables; summing it is the kernel's and does not. Between
//! them stands a list of rows of one length, checked once as it is built, so that the loops over it need neither look up nor
//! check. It ends with copies of its last row, so that a loop may fetch ahead without asking where the list ends.

use std::cell::Cell;
use std::marker::PhantomData;

/// Furthest that a loop fetches ahead.
const PADDING: usize = 16;

/// Rows to be read, `[len, dim]`; a row may occur more than once.
#[derive(Debug)]
pub struct RowList<'r> {
    rows: Vec<*const f32>,
    dim: usize,
    life: PhantomData<&'r [f32]>,
}

/// Rows to be changed, `[len, dim]`; a row may occur more than once.
#[derive(Debug)]
pub struct RowCells<'r> {
    rows: Vec<*const f32>,
    dim: usize,
    life: PhantomData<&'r [Cell<f32>]>,
}

impl<'r> RowList<'r> {
    /// A list of `rows`; `None` if one is shorter than `dim`. Longer ones are cut.
    #[inline]
    pub fn new(dim: usize, rows: impl ExactSizeIterator<Item = &'r [f32]>) -> Option<Self> {
        let rows = padded(dim, rows.map(|row| (row.as_ptr(), row.len())))?;
        Some(Self { rows, dim, life: PhantomData })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len().saturating_sub(PADDING)
    }

    /// True if it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The rows' addresses, `[len + PADDING]`: each has `dim` floats to be read while the list lives.
    pub(super) fn addresses(&self) -> &[*const f32] {
        &self.rows
    }
}

impl<'r> RowCells<'r> {
    /// A list of `rows`; `None` if one is shorter than `dim`. Longer ones are cut.
    #[inline]
    pub fn new(dim: usize, rows: impl ExactSizeIterator<Item = &'r [Cell<f32>]>) -> Option<Self> {
        let rows = padded(dim, rows.map(|row| (row.as_ptr().cast(), row.len())))?;
        Some(Self { rows, dim, life: PhantomData })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len().saturating_sub(PADDING)
    }

    /// True if it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The rows' addresses, `[len + PADDING]`: each has `dim` floats that only the list's thread reads and writes while the list
    /// lives.
    pub(super) fn addresses(&self) -> &[*const f32] {
        &self.rows
    }
}

#[inline(always)]
fn padded(dim: usize, found: impl ExactSizeIterator<Item = (*const f32, usize)>) -> Option<Vec<*const f32>> {
    let mut rows = Vec::with_capacity(found.len() + PADDING);
    let mut shortest = usize::MAX;
    for (row, len) in found {
        shortest = shortest.min(len);
        rows.push(row);
    }
    let last = *rows.last().unwrap_or(&std::ptr::null());
    rows.extend([last; PADDING]);
    (shortest >= dim).then_some(rows)
}

/// Starts fetching the lines of a row of `dim` floats.
#[inline(always)]
pub(super) fn fetch(row: *const f32, dim: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..dim.div_ceil(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch never faults and writes nothing, whatever the address. SSE is part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(16 * line).cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (row, dim);
}

/// Features to look ahead, at most [`PADDING`]: enough to hide a miss of the second-level cache, few enough that all that is
/// under way fits the processor's queue of misses.
#[inline(always)]
pub(super) const fn distance(dim: usize) -> usize {
    let _ = dim;
    PADDING
}

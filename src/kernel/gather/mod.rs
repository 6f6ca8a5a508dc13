//! Rows scaled and summed: features to one vector per record.
//!
//! ```text
//! out[r] = Σ values[i] · row(i)   for i in offsets[r] .. offsets[r + 1], in this order, from 0.0
//! ```
//!
//! The time goes into waiting for rows, so the row of a feature some way ahead is fetched while one is summed, and a
//! record's sum stays in registers until it is complete. The usual dimensions have a loop each, chosen once per call;
//! the others share a plain one. Every element is one chain of a multiplication and an addition per feature, in the
//! order of the features, whatever the instruction set: [`plain`] is the specification.

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(all(test, not(loom)))]
mod tests;

use super::isa::{Isa, Level};
use super::list::{RowList, distance, fetch};
use std::ops::Range;

/// Features of consecutive records, as in compressed sparse rows.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    /// Record r has the features `offsets[r] .. offsets[r + 1]`: `[records + 1]`, ascending.
    pub offsets: &'a [usize],
    /// What scales each feature's row, from feature `offsets[0]` on.
    pub values: &'a [f32],
}

impl Features<'_> {
    /// The features of each record, counted from the first record's first; those from `count` on are left out.
    #[inline(always)]
    pub(super) fn records(&self, count: usize) -> impl Iterator<Item = Range<usize>> {
        let first = self.offsets.first().copied().unwrap_or(0);
        let ends = self.offsets.get(1..).unwrap_or_default();
        let place = move |offset: usize| offset.wrapping_sub(first).min(count);
        self.offsets.iter().zip(ends).map(move |(&start, &end)| place(start)..place(end))
    }
}

/// What a gather met on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gathered {
    /// An element of the output is infinite or NaN.
    pub overflow: bool,
    /// A row began with +0.0 twice. Where rows hold zeros until their initial values are made, it may be such a row.
    pub blank: bool,
}

impl Gathered {
    /// What two gathers met together.
    pub fn and(self, other: Self) -> Self {
        Self { overflow: self.overflow | other.overflow, blank: self.blank | other.blank }
    }
}

/// Writes the sums of `features` over `out` `[records, dim]`; row i of `rows` is that of the i-th feature. A feature
/// without row or value counts as zero.
pub fn gather_sum(isa: Isa, rows: &RowList<'_>, features: Features<'_>, out: &mut [f32]) -> Gathered {
    match isa.level() {
        Level::Scalar => plain(rows, features, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level is only made where the processor has AVX2.
        Level::Avx2 => unsafe { x86::avx2(rows, features, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above, with AVX-512 F, BW, DQ and VL.
        Level::Avx512 => unsafe { x86::avx512(rows, features, out) },
    }
}

#[inline(always)]
fn plain(rows: &RowList<'_>, features: Features<'_>, out: &mut [f32]) -> Gathered {
    let (dim, mut found) = (rows.dim(), Gathered::default());
    let count = rows.len().min(features.values.len());
    for (sum, record) in out.chunks_exact_mut(dim.max(1)).zip(features.records(count)) {
        sum.fill(0.0);
        for i in record {
            fetch(rows.addresses()[i + distance(dim)], dim);
            // SAFETY: the list has checked that each of its rows has `dim` floats, borrowed as long as it lives.
            let row = unsafe { std::slice::from_raw_parts(rows.addresses()[i], dim) };
            found.blank |= row.iter().take(2).all(|first| first.to_bits() == 0);
            for (sum, weight) in sum.iter_mut().zip(row) {
                *sum += features.values[i] * weight;
            }
        }
        found.overflow |= sum.iter().fold(false, |any, value| any | !value.is_finite());
    }
    found
}

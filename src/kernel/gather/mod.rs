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
use super::list::{RowList, fetch_ahead};
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

/// Writes the sums of `features` over `out` `[records, dim]`; row i of `rows` is that of the i-th feature. A feature
/// without row or value counts as zero. False if an element of the output is infinite or NaN.
pub fn gather_sum(isa: Isa, rows: &RowList<'_>, features: Features<'_>, out: &mut [f32]) -> bool {
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
fn plain(rows: &RowList<'_>, features: Features<'_>, out: &mut [f32]) -> bool {
    let (dim, mut finite) = (rows.dim(), true);
    let count = rows.len().min(features.values.len());
    for (sum, record) in out.chunks_exact_mut(dim.max(1)).zip(features.records(count)) {
        sum.fill(0.0);
        for i in record {
            // SAFETY: i is below `count`, the number of rows at most.
            unsafe { fetch_ahead(rows.addresses(), i, dim, 1) };
            // SAFETY: the list has checked that each of its rows has `dim` floats, borrowed as long as it lives.
            let row = unsafe { std::slice::from_raw_parts(rows.addresses()[i], dim) };
            for (sum, weight) in sum.iter_mut().zip(row) {
                *sum += features.values[i] * weight;
            }
        }
        finite &= sum.iter().fold(true, |all, value| all & value.is_finite());
    }
    finite
}

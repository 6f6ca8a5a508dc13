//! The dot product of one vector with every row of a matrix.
//!
//! ```text
//! lane[l] = Σ rows[i][j][l] · query[j][l]      over j in order, from 0.0; l in 0..16
//! out[i]  = tree(lane) + bias[i]               lanes 0..8 + lanes 8..16, then 0..4 + 4..8, then 2, then 1
//! ```
//!
//! Rows come in blocks of sixteen floats, padded with zeros, so that there is no tail: a product 0 · 0 added to a lane
//! leaves its bits alone, for no lane that began at +0.0 is ever -0.0. Each row's arithmetic is its own, so neither the width of a
//! register nor how many scores are finished together shows in the bits: [`plain`] is the specification. Rows are walked one after the other, and the
//! processor overlaps them by itself. Four walked side by side are a tenth faster in the cache, and half as fast out of the memory,
//! whose prefetching follows one walk and not four (`benches/retrieve.rs`).

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(all(test, not(loom)))]
mod tests;

use super::isa::{Isa, Level};
use super::tree::tree_sums;

/// Floats of a block.
pub const DOT_LANES: usize = 16;

/// Sixteen floats of a row, or of the vector.
pub type DotBlock = [f32; DOT_LANES];

/// Writes the dot product of `query` `[blocks]` with each row of `rows` `[n, blocks]`, plus its `bias` `[n]`, over `out` `[n]`; the
/// shortest of the three decides, the rest of `out` stays as it was. False if a number written is infinite or NaN.
pub fn dot_rows(isa: Isa, rows: &[DotBlock], query: &[DotBlock], bias: &[f32], out: &mut [f32]) -> bool {
    let count = (rows.len() / query.len().max(1)).min(bias.len()).min(out.len());
    let (rows, bias, out) = (&rows[..count * query.len()], &bias[..count], &mut out[..count]);
    if query.is_empty() {
        out.iter_mut().zip(bias).for_each(|(out, bias)| *out = 0.0 + bias);
    } else {
        match isa.level() {
            Level::Scalar => plain(rows, query, bias, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this level is only made where the processor has AVX2.
            Level::Avx2 => unsafe { x86::avx2(rows, query, bias, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above, with AVX-512 F, BW, DQ and VL.
            Level::Avx512 => unsafe { x86::avx512(rows, query, bias, out) },
        }
    }
    out.iter().fold(true, |all, score| all & score.is_finite())
}

/// As many rows as there are biases and places for scores; a query that is not empty.
fn plain(rows: &[DotBlock], query: &[DotBlock], bias: &[f32], out: &mut [f32]) {
    let blocks = query.len();
    let pairs = rows.chunks(2 * blocks).zip(bias.chunks(2)).zip(out.chunks_mut(2));
    for ((rows, bias), out) in pairs {
        let (first, second) = rows.split_at(blocks);
        // The last one may be alone.
        let sums = tree_sums(&lanes(first, query), &lanes(second, query));
        for ((out, bias), sum) in out.iter_mut().zip(bias).zip(sums) {
            *out = sum + bias;
        }
    }
}

#[inline(always)]
fn lanes(row: &[DotBlock], query: &[DotBlock]) -> DotBlock {
    let mut lanes = [0.0; DOT_LANES];
    for (x, y) in row.iter().zip(query) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    lanes
}

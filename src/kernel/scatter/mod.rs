//! A record's vector, scaled, added to the row of each of its features: the way back of a gather.
//!
//! ```text
//! row(i) += (rate · values[i]) · above[r]   for i in offsets[r] .. offsets[r + 1], one feature after the other
//! ```
//!
//! Several features may name the same row. A row is stored only if all of it is finite; the first that would not be stops
//! the work. Every element is rounded three times (the scale, the product, the sum), so all instruction sets give the same
//! bits; [`plain`] is the specification.

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(all(test, not(loom)))]
mod tests;

use super::gather::Features;
use super::isa::{Isa, Level};
use super::list::{RowCells, fetch_ahead};

/// Where an element would have left the range of f32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overflow {
    /// Number of the feature, counted from the first. Those before it are added, it and the rest are not.
    pub feature: usize,
    /// The element in its row.
    pub column: usize,
    /// What would have been stored.
    pub found: f32,
}

/// Adds `rate` × value × the record's row of `above` `[records, dim]` to the row of each of `features`; row i of `rows` is
/// that of the i-th feature.
///
/// # Errors
/// The first element that would not be finite.
pub fn scatter_add(
    isa: Isa,
    rows: &RowCells<'_>,
    features: Features<'_>,
    rate: f32,
    above: &[f32],
) -> Result<(), Overflow> {
    match isa.level() {
        Level::Scalar => plain(rows, features, rate, above),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level is only made where the processor has AVX2.
        Level::Avx2 => unsafe { x86::avx2(rows, features, rate, above) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above, with AVX-512 F, BW, DQ and VL.
        Level::Avx512 => unsafe { x86::avx512(rows, features, rate, above) },
    }
}

#[inline(always)]
fn plain(rows: &RowCells<'_>, features: Features<'_>, rate: f32, above: &[f32]) -> Result<(), Overflow> {
    let (dim, mut moved) = (rows.dim(), vec![0.0; rows.dim()]);
    let count = rows.len().min(features.values.len());
    for (above, record) in above.chunks_exact(dim.max(1)).zip(features.records(count)) {
        for i in record {
            // SAFETY: i is below `count`, the number of rows at most.
            unsafe { fetch_ahead(rows.addresses(), i, dim, 1) };
            let scale = rate * features.values[i];
            // SAFETY: a row of the list has `dim` floats, borrowed as cells: nothing else reads or writes them now.
            let row = unsafe { std::slice::from_raw_parts_mut(rows.addresses()[i].cast_mut(), dim) };
            for ((moved, &weight), &slope) in moved.iter_mut().zip(row.iter()).zip(above) {
                *moved = weight + scale * slope;
            }
            if moved.iter().fold(false, |any, value| any | !value.is_finite()) {
                return Err(overflow(i, moved.into_iter()));
            }
            row.copy_from_slice(&moved);
        }
    }
    Ok(())
}

#[cold]
fn overflow(feature: usize, moved: impl Iterator<Item = f32>) -> Overflow {
    let (column, found) = moved.enumerate().find(|(_, value)| !value.is_finite()).unwrap_or((0, f32::NAN));
    Overflow { feature, column, found }
}

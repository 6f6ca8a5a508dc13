//! The same additions with a row in registers, 256 or 512 bits wide: it is looked at as a whole before it is stored.

use super::{Features, Overflow, overflow, plain};
use crate::kernel::list::{BURST, RowCells, VECTORS_AHEAD, fetch, fetch_ahead};
use crate::kernel::register::Register;
use std::arch::x86_64::{__m256, __m512};

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn avx2(
    rows: &RowCells<'_>,
    features: Features<'_>,
    rate: f32,
    above: &[f32],
) -> Result<(), Overflow> {
    // SAFETY: this function's callers have AVX2.
    unsafe {
        match rows.dim() {
            8 => scatter::<__m256, 1>(rows, features, rate, above),
            16 => scatter::<__m256, 2>(rows, features, rate, above),
            32 => scatter::<__m256, 4>(rows, features, rate, above),
            64 => scatter::<__m256, 8>(rows, features, rate, above),
            128 => scatter::<__m256, 16>(rows, features, rate, above),
            256 => scatter::<__m256, 32>(rows, features, rate, above),
            _ => plain(rows, features, rate, above),
        }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn avx512(
    rows: &RowCells<'_>,
    features: Features<'_>,
    rate: f32,
    above: &[f32],
) -> Result<(), Overflow> {
    // SAFETY: this function's callers have AVX-512.
    unsafe {
        match rows.dim() {
            8 => scatter::<__m256, 1>(rows, features, rate, above),
            16 => scatter::<__m512, 1>(rows, features, rate, above),
            32 => scatter::<__m512, 2>(rows, features, rate, above),
            64 => scatter::<__m512, 4>(rows, features, rate, above),
            128 => scatter::<__m512, 8>(rows, features, rate, above),
            256 => scatter::<__m512, 16>(rows, features, rate, above),
            _ => plain(rows, features, rate, above),
        }
    }
}

/// Rows of so many floats are fetched in bursts: the processor then looks up the pages of several at once. Between the arithmetic
/// of two wide rows it would not come to the next before it is done with one.
const WIDE: usize = 128;

/// Rows of N registers. Where N is more than the processor has, the rest waits on the stack.
#[inline(always)]
unsafe fn scatter<V: Register, const N: usize>(
    rows: &RowCells<'_>,
    features: Features<'_>,
    rate: f32,
    above: &[f32],
) -> Result<(), Overflow> {
    let dim = N * V::LANES;
    debug_assert_eq!(rows.dim(), dim);
    let burst = if dim < WIDE { 1 } else { BURST };
    let count = rows.len().min(features.values.len());
    let (rows, values) = (rows.addresses(), features.values.as_ptr());
    for (above, record) in above.chunks_exact(dim).zip(features.records(count)) {
        fetch(above.as_ptr().wrapping_add(VECTORS_AHEAD * dim), dim);
        for i in record {
            // SAFETY: i is below `count`, the number of rows and of values at most.
            unsafe { fetch_ahead(rows, i, dim, burst) };
            // SAFETY: as above.
            let (row, value) = unsafe { ((*rows.get_unchecked(i)).cast_mut(), *values.add(i)) };
            let scale = rate * value;
            // SAFETY: the caller has V's instruction set, here and below.
            let (mut moved, mut seen) = unsafe { ([V::zero(); N], V::none()) };
            for (n, moved) in moved.iter_mut().enumerate() {
                // SAFETY: a row of the list has N registers, this is the n-th. It was borrowed as cells: nothing else
                // reads or writes it now.
                let weight = unsafe { V::load(row.add(n * V::LANES)) };
                // SAFETY: `above` has N registers.
                let slope = unsafe { V::load(above.as_ptr().add(n * V::LANES)) };
                // SAFETY: as above.
                *moved = unsafe { weight.add_scaled(scale, slope) };
                // SAFETY: as above.
                seen = unsafe { moved.see(seen) };
            }
            // SAFETY: as above.
            if unsafe { V::any(seen) } {
                // SAFETY: the row's `dim` floats, read while nothing writes them.
                let row = unsafe { std::slice::from_raw_parts(row.cast_const(), dim) };
                let moved = row.iter().zip(above).map(|(weight, slope)| weight + scale * slope);
                return Err(overflow(i, moved));
            }
            for (n, moved) in moved.iter().enumerate() {
                // SAFETY: as where the row was read.
                unsafe { moved.store(row.add(n * V::LANES)) };
            }
        }
    }
    Ok(())
}

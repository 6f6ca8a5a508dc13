//! The same sums with a record's vector in registers, 256 or 512 bits wide.

use super::{Features, plain};
use crate::kernel::list::{RowList, VECTORS_AHEAD, fetch, fetch_ahead};
use crate::kernel::register::Register;
use std::arch::x86_64::{__m256, __m512};

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn avx2(rows: &RowList<'_>, features: Features<'_>, out: &mut [f32]) -> bool {
    // SAFETY: this function's callers have AVX2. Sixteen registers: eight for the sum, the rest to work with.
    unsafe {
        match rows.dim() {
            8 => gather::<__m256, 1, 1>(rows, features, out),
            16 => gather::<__m256, 2, 1>(rows, features, out),
            32 => gather::<__m256, 4, 1>(rows, features, out),
            64 => gather::<__m256, 8, 1>(rows, features, out),
            128 => gather::<__m256, 8, 2>(rows, features, out),
            256 => gather::<__m256, 8, 4>(rows, features, out),
            _ => plain(rows, features, out),
        }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn avx512(rows: &RowList<'_>, features: Features<'_>, out: &mut [f32]) -> bool {
    // SAFETY: this function's callers have AVX-512. Thirty-two registers: sixteen for the sum at most.
    unsafe {
        match rows.dim() {
            8 => gather::<__m256, 1, 1>(rows, features, out),
            16 => gather::<__m512, 1, 1>(rows, features, out),
            32 => gather::<__m512, 2, 1>(rows, features, out),
            64 => gather::<__m512, 4, 1>(rows, features, out),
            128 => gather::<__m512, 8, 1>(rows, features, out),
            256 => gather::<__m512, 16, 1>(rows, features, out),
            _ => plain(rows, features, out),
        }
    }
}

/// Rows of `N · BLOCKS` registers, N of them summed at a time: the features of a record are walked once per block, the
/// second time out of the first-level cache.
#[inline(always)]
unsafe fn gather<V: Register, const N: usize, const BLOCKS: usize>(
    rows: &RowList<'_>,
    features: Features<'_>,
    out: &mut [f32],
) -> bool {
    let (block, dim) = (N * V::LANES, N * BLOCKS * V::LANES);
    debug_assert_eq!(rows.dim(), dim);
    // SAFETY: the caller has V's instruction set, here and below.
    let mut seen = unsafe { V::none() };
    let count = rows.len().min(features.values.len());
    let (rows, values) = (rows.addresses(), features.values.as_ptr());
    for (sum, record) in out.chunks_exact_mut(dim).zip(features.records(count)) {
        fetch(sum.as_ptr().wrapping_add(VECTORS_AHEAD * dim), dim);
        for part in 0..BLOCKS {
            // SAFETY: as above.
            let mut lanes = unsafe { [V::zero(); N] };
            for i in record.clone() {
                // SAFETY: i is below `count`, the number of rows and of values at most.
                let (row, value) = unsafe { (*rows.get_unchecked(i), *values.add(i)) };
                if part == 0 {
                    // SAFETY: as above.
                    unsafe { fetch_ahead(rows, i, dim, 1) };
                }
                for (n, lanes) in lanes.iter_mut().enumerate() {
                    // SAFETY: a row of the list has `dim` floats; this is register part · N + n of N · BLOCKS.
                    let x = unsafe { V::load(row.add(part * block + n * V::LANES)) };
                    // SAFETY: as above.
                    *lanes = unsafe { lanes.add_scaled(value, x) };
                }
            }
            for (n, lanes) in lanes.iter().enumerate() {
                // SAFETY: `sum` has `dim` floats.
                unsafe { lanes.store(sum.as_mut_ptr().add(part * block + n * V::LANES)) };
                // SAFETY: as above.
                seen = unsafe { lanes.see(seen) };
            }
        }
    }
    // SAFETY: as above.
    !unsafe { V::any(seen) }
}

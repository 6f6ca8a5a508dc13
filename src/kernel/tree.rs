//! Sums in a fixed order, two arrays side by side.
//!
//! Halves are added, then quarters, and so on: an order that registers can follow. Left to the compiler it is undone: it pairs
//! the two arrays' elements one by one, with a shuffle for each addition.

/// The sums of `a` and `b`, each in the order halves, quarters, and so on. `K` is a power of two, 4 at least.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn tree_sums<const K: usize>(a: &[f32; K], b: &[f32; K]) -> [f32; 2] {
    use std::arch::x86_64::*;
    const { assert!(K.is_power_of_two() && K >= 4) };
    let (a, b) = (fours(a), fours(b));
    // SAFETY: SSE is part of every x86-64.
    unsafe {
        let halves = _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
        let even = _mm_shuffle_ps::<0b10_00_10_00>(halves, halves);
        let odd = _mm_shuffle_ps::<0b11_01_11_01>(halves, halves);
        let sums = _mm_add_ps(even, odd);
        [_mm_cvtss_f32(sums), _mm_cvtss_f32(_mm_shuffle_ps::<1>(sums, sums))]
    }
}

/// Halves, quarters, and so on down to four sums.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fours<const K: usize>(values: &[f32; K]) -> std::arch::x86_64::__m128 {
    use std::arch::x86_64::*;
    const MOST: usize = 16;
    const { assert!(K <= 4 * MOST) };
    // SAFETY: SSE is part of every x86-64; `values` come four at a time.
    unsafe {
        let mut fours = [_mm_setzero_ps(); MOST];
        for (four, values) in fours.iter_mut().zip(values.chunks_exact(4)) {
            *four = _mm_loadu_ps(values.as_ptr());
        }
        let mut half = K / 8;
        while half > 0 {
            for i in 0..half {
                fours[i] = _mm_add_ps(fours[i], fours[i + half]);
            }
            half /= 2;
        }
        fours[0]
    }
}

/// The sums of `a` and `b`, each in the order halves, quarters, and so on. `K` is a power of two.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn tree_sums<const K: usize>(a: &[f32; K], b: &[f32; K]) -> [f32; 2] {
    [sums_one_by_one(*a), sums_one_by_one(*b)]
}

/// The specification.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn sums_one_by_one<const K: usize>(mut values: [f32; K]) -> f32 {
    let mut half = K / 2;
    while half > 0 {
        for i in 0..half {
            values[i] += values[i + half];
        }
        half /= 2;
    }
    values.first().copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Isa;

    fn check<const K: usize>() {
        for round in 0..500 {
            let at = |i: usize| ((i * 7 + round * 131) as f32 * 0.613).sin() * 1.7_f32.powi((i % 23) as i32);
            let (a, b): ([f32; K], [f32; K]) =
                (std::array::from_fn(at), std::array::from_fn(|i| at(i + 1000)));
            let expected = [sums_one_by_one(a), sums_one_by_one(b)].map(f32::to_bits);
            for isa in Isa::available() {
                let sums = isa.run(|| tree_sums(&a, &b)).map(f32::to_bits);
                assert_eq!(sums, expected, "{K} values, {}", isa.name());
            }
        }
    }

    #[test]
    fn sums_are_those_of_the_specification_to_the_bit() {
        check::<4>();
        check::<8>();
        check::<16>();
        check::<32>();
    }
}

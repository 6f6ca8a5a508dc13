//! The same scores with a block in one register of 512 bits or two of 256, and four scores finished at a time.

use super::DotBlock;
use std::arch::x86_64::*;

/// Sixteen floats in registers. The operations need the instruction set of the registers.
trait Block: Copy {
    unsafe fn zero() -> Self;
    unsafe fn load(from: &DotBlock) -> Self;
    /// `self + x · y`, rounded twice.
    unsafe fn add_product(self, x: Self, y: Self) -> Self;
    /// Halves added, and halves again: four sums.
    unsafe fn four(self) -> __m128;
}

impl Block for [__m256; 2] {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's processor has AVX2, here and below.
        unsafe { [_mm256_setzero_ps(); 2] }
    }
    #[inline(always)]
    unsafe fn load(from: &DotBlock) -> Self {
        let from = from.as_ptr();
        // SAFETY: a block has sixteen floats.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }
    #[inline(always)]
    unsafe fn add_product(self, x: Self, y: Self) -> Self {
        let ([low, high], [x0, x1], [y0, y1]) = (self, x, y);
        // SAFETY: AVX.
        unsafe { [_mm256_add_ps(low, _mm256_mul_ps(x0, y0)), _mm256_add_ps(high, _mm256_mul_ps(x1, y1))] }
    }
    #[inline(always)]
    unsafe fn four(self) -> __m128 {
        // SAFETY: AVX.
        unsafe {
            let eight = _mm256_add_ps(self[0], self[1]);
            _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight))
        }
    }
}

impl Block for __m512 {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's processor has AVX-512 F and DQ, here and below.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: &DotBlock) -> Self {
        // SAFETY: a block has sixteen floats.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn add_product(self, x: Self, y: Self) -> Self {
        // SAFETY: AVX-512 F.
        unsafe { _mm512_add_ps(self, _mm512_mul_ps(x, y)) }
    }
    #[inline(always)]
    unsafe fn four(self) -> __m128 {
        // SAFETY: AVX-512 F and DQ.
        unsafe {
            let eight = _mm256_add_ps(_mm512_castps512_ps256(self), _mm512_extractf32x8_ps::<1>(self));
            _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight))
        }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn avx2(rows: &[DotBlock], query: &[DotBlock], bias: &[f32], out: &mut [f32]) {
    // SAFETY: this function's callers have AVX2.
    unsafe { scores::<[__m256; 2]>(rows, query, bias, out) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn avx512(rows: &[DotBlock], query: &[DotBlock], bias: &[f32], out: &mut [f32]) {
    // SAFETY: this function's callers have AVX-512.
    unsafe { scores::<__m512>(rows, query, bias, out) }
}

/// Scores finished together.
const TOGETHER: usize = 4;

/// Groups of four rows, then those that are left one by one.
#[inline(always)]
unsafe fn scores<B: Block>(rows: &[DotBlock], query: &[DotBlock], bias: &[f32], out: &mut [f32]) {
    let blocks = query.len();
    let (biases, bias_left) = bias.as_chunks::<TOGETHER>();
    let (outs, out_left) = out.as_chunks_mut::<TOGETHER>();
    let (groups, left) = rows.split_at((biases.len() * TOGETHER * blocks).min(rows.len()));
    for ((rows, bias), out) in groups.chunks_exact(TOGETHER * blocks).zip(biases).zip(outs) {
        // SAFETY: SSE is part of every x86-64.
        let mut fours = unsafe { [_mm_setzero_ps(); TOGETHER] };
        for (four, row) in fours.iter_mut().zip(rows.chunks_exact(blocks)) {
            // SAFETY: the caller has B's instruction set, here and below.
            *four = unsafe { lanes::<B>(row, query) };
        }
        // SAFETY: SSE; four biases, room for four scores.
        unsafe {
            let sums = _mm_add_ps(finish(fours), _mm_loadu_ps(bias.as_ptr()));
            _mm_storeu_ps(out.as_mut_ptr(), sums);
        }
    }
    for ((row, bias), out) in left.chunks_exact(blocks).zip(bias_left).zip(out_left) {
        // SAFETY: as above.
        let four = unsafe { lanes::<B>(row, query) };
        // SAFETY: SSE.
        *out = unsafe { _mm_cvtss_f32(finish([four; TOGETHER])) } + bias;
    }
}

/// The lanes of a row, added up to four.
#[inline(always)]
unsafe fn lanes<B: Block>(row: &[DotBlock], query: &[DotBlock]) -> __m128 {
    // SAFETY: the caller has B's instruction set, here and below.
    let mut lanes = unsafe { B::zero() };
    for (x, y) in row.iter().zip(query) {
        // SAFETY: as above.
        lanes = unsafe { lanes.add_product(B::load(x), B::load(y)) };
    }
    // SAFETY: as above.
    unsafe { lanes.four() }
}

/// The sums of four times four floats, each halves first.
#[inline(always)]
unsafe fn finish([a, b, c, d]: [__m128; TOGETHER]) -> __m128 {
    // SAFETY: SSE is part of every x86-64.
    unsafe {
        let ab = _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
        let cd = _mm_add_ps(_mm_movelh_ps(c, d), _mm_movehl_ps(d, c));
        let even = _mm_shuffle_ps::<0b10_00_10_00>(ab, cd);
        let odd = _mm_shuffle_ps::<0b11_01_11_01>(ab, cd);
        _mm_add_ps(even, odd)
    }
}

//! Registers of floats under one name, so that a kernel is written once for both widths.

use std::arch::x86_64::*;

/// A register of floats. Its operations need the instruction set it is named for.
pub(super) trait Register: Copy {
    const LANES: usize;
    /// Which lanes were ever infinite or NaN.
    type Seen: Copy;

    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self + scale · x`, rounded twice.
    unsafe fn add_scaled(self, scale: f32, x: Self) -> Self;
    unsafe fn none() -> Self::Seen;
    unsafe fn see(self, seen: Self::Seen) -> Self::Seen;
    unsafe fn any(seen: Self::Seen) -> bool;
}

impl Register for __m256 {
    const LANES: usize = 8;
    type Seen = __m256;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's processor has AVX2, here and below.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has eight floats at `from`.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has room for eight floats at `to`.
        unsafe { _mm256_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn add_scaled(self, scale: f32, x: Self) -> Self {
        // SAFETY: AVX.
        unsafe { _mm256_add_ps(self, _mm256_mul_ps(_mm256_set1_ps(scale), x)) }
    }
    #[inline(always)]
    unsafe fn none() -> __m256 {
        // SAFETY: AVX.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn see(self, seen: __m256) -> __m256 {
        // SAFETY: AVX.
        unsafe {
            let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), self);
            let bad = _mm256_cmp_ps::<_CMP_NLT_UQ>(magnitude, _mm256_set1_ps(f32::INFINITY));
            _mm256_or_ps(seen, bad)
        }
    }
    #[inline(always)]
    unsafe fn any(seen: __m256) -> bool {
        // SAFETY: AVX.
        unsafe { _mm256_movemask_ps(seen) != 0 }
    }
}

impl Register for __m512 {
    const LANES: usize = 16;
    type Seen = __m512i;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's processor has AVX-512 F and DQ, here and below.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has sixteen floats at `from`.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has room for sixteen floats at `to`.
        unsafe { _mm512_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn add_scaled(self, scale: f32, x: Self) -> Self {
        // SAFETY: AVX-512 F.
        unsafe { _mm512_add_ps(self, _mm512_mul_ps(_mm512_set1_ps(scale), x)) }
    }
    #[inline(always)]
    unsafe fn none() -> __m512i {
        // SAFETY: AVX-512 F.
        unsafe { _mm512_setzero_si512() }
    }
    /// One more in the exponent changes the sign where, and only where, the exponent is all ones. `_mm512_fpclass_ps_mask` says
    /// the same, but masks are gathered one after the other: five nanoseconds for eight registers.
    #[inline(always)]
    unsafe fn see(self, seen: __m512i) -> __m512i {
        const SEEN_OR_CHANGED: i32 = 0xF6; // a | (b ^ c)
        // SAFETY: AVX-512 F.
        unsafe {
            let bits = _mm512_castps_si512(self);
            let next = _mm512_add_epi32(bits, _mm512_set1_epi32(1 << 23));
            _mm512_ternarylogic_epi32::<SEEN_OR_CHANGED>(seen, bits, next)
        }
    }
    #[inline(always)]
    unsafe fn any(seen: __m512i) -> bool {
        // SAFETY: AVX-512 DQ.
        unsafe { _mm512_movepi32_mask(seen) != 0 }
    }
}

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
    type Seen = __mmask16;

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
    unsafe fn none() -> __mmask16 {
        0
    }
    #[inline(always)]
    unsafe fn see(self, seen: __mmask16) -> __mmask16 {
        const INFINITE_OR_NAN: i32 = 0x01 | 0x08 | 0x10 | 0x80;
        // SAFETY: AVX-512 DQ.
        unsafe { seen | _mm512_fpclass_ps_mask::<INFINITE_OR_NAN>(self) }
    }
    #[inline(always)]
    unsafe fn any(seen: __mmask16) -> bool {
        seen != 0
    }
}

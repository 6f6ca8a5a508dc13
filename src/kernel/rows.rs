//! Arithmetic on rows, and hints to the memory that holds them.

/// `out[i] += scale · x[i]`; the shorter slice decides.
#[inline(always)]
pub fn add_scaled(out: &mut [f32], scale: f32, x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += scale * x;
    }
}

/// Asks the processor to fetch the cache line of `place`, without waiting. Changes nothing but time.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: `place` is a reference, so its address is valid; a prefetch never faults and writes nothing. SSE is
        // part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn add_scaled_adds() {
        let mut out = [1.0, 2.0];
        add_scaled(&mut out, 2.0, &[10.0, 20.0]);
        assert_eq!(out, [21.0, 42.0]);
    }
}

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
    prefetch_at(place);
}

/// The same for an address, whatever is there.
#[inline(always)]
pub(super) fn prefetch_at<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch never faults and writes nothing, whatever the address. SSE is part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Asks the system to back `memory` with pages of 2 MiB once it is touched: one entry of the processor's address buffers
/// then serves what 512 did. A hint; it changes nothing but time, and memory by what the pages hold beyond what is used.
pub fn ask_for_large_pages<T>(memory: &[T]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        const LARGE: usize = 2 << 20;
        const MADV_HUGEPAGE: i32 = 14;
        unsafe extern "C" {
            fn madvise(address: *mut u8, length: usize, advice: i32) -> i32;
        }
        let range = memory.as_ptr_range();
        let (start, end) = (range.start.addr().next_multiple_of(LARGE), range.end.addr() / LARGE * LARGE);
        if start < end {
            let address = range.start.cast::<u8>().cast_mut().with_addr(start);
            // SAFETY: the pages from `start` to `end` lie within `memory`, which is borrowed; this advice neither moves
            // nor changes what they hold, and an error (an old system) changes nothing at all.
            unsafe { madvise(address, end - start, MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = memory;
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

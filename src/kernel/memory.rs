//! Memory that the system zeroes as it is touched, at the boundary that cache lines or large pages need.
//!
//! An allocation of a large alignment would be zeroed by hand, all of it, at once: a table would take seconds to start. So
//! somewhat more is allocated, plainly, and what lies before the boundary is left alone. It is never touched and costs nothing.

use super::rows::ask_for_large_pages;
use std::ops::Deref;
use std::ptr::NonNull;

/// Bytes of a large page.
const LARGE_PAGE: usize = 2 << 20;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Zeroed memory, `[len]`.
pub(crate) struct Zeroed<T> {
    /// What was allocated.
    memory: NonNull<[T]>,
    first: NonNull<T>,
    len: usize,
}

// SAFETY: it owns its elements, as a box does.
unsafe impl<T: Send> Send for Zeroed<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Zeroed<T> {}

impl<T: bytemuck::Zeroable> Zeroed<T> {
    /// At a cache line; `None` if the system has no such memory.
    pub(crate) fn new(len: usize) -> Option<Self> {
        Self::at(LINE, len)
    }

    /// In pages of 2 MiB from its first byte on, if it fills one and the system has them: one entry of the processor's
    /// address buffers then serves what 512 did. What is touched of it takes memory in such pages.
    pub(crate) fn in_large_pages(len: usize) -> Option<Self> {
        if len < LARGE_PAGE / size_of::<T>().max(1) {
            return Self::new(len);
        }
        let zeroed = Self::at(LARGE_PAGE, len)?;
        ask_for_large_pages(&zeroed);
        Some(zeroed)
    }

    fn at(boundary: usize, len: usize) -> Option<Self> {
        let spare = boundary / size_of::<T>().max(1);
        let memory: Box<[T]> = bytemuck::allocation::try_zeroed_slice_box(len.checked_add(spare)?).ok()?;
        // Elements that do not divide the boundary may never meet it.
        let start = Some(memory.as_ptr().align_offset(boundary)).filter(|&start| start <= spare).unwrap_or(0);
        let memory = NonNull::from(Box::leak(memory));
        // SAFETY: `start` is `spare` at most, and `spare` elements more than `len` were allocated.
        Some(Self { memory, first: unsafe { memory.cast::<T>().add(start) }, len })
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements from `first` on were allocated, and all zeros is an element (`Zeroable`). They live as long as
        // `self`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        // SAFETY: this is the box that was leaked in `at`, and it is dropped once.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}

impl<T> std::fmt::Debug for Zeroed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zeroed").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_its_boundary_and_holds_zeros() {
        for len in [1, 15, 1000, 1 << 19, (1 << 20) + 3] {
            let (lines, large) = (Zeroed::<f32>::new(len), Zeroed::<f32>::in_large_pages(len));
            let (lines, large) = (lines.expect("memory"), large.expect("memory"));
            assert_eq!((lines.len(), large.len()), (len, len));
            assert_eq!(lines.as_ptr().align_offset(LINE), 0);
            let boundary = if size_of_val(&*large) < LARGE_PAGE { LINE } else { LARGE_PAGE };
            assert_eq!(large.as_ptr().align_offset(boundary), 0);
            assert!(lines.iter().chain(&*large).all(|&value| value == 0.0));
        }
    }

    #[test]
    fn what_no_memory_holds_is_refused() {
        assert!(Zeroed::<f32>::new(usize::MAX).is_none());
        assert!(Zeroed::<f32>::in_large_pages(usize::MAX / 8).is_none());
    }
}

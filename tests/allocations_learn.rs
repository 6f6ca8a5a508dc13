//! Learning a batch asks for no memory once its buffers have grown: counted by the allocator itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait; it only counts and passes on")]

mod stream;

use flexihash::learner::{HeadKind, LearnerOptions, Mode};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use stream::{Stream, fixture};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of the same method.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of three passes over a batch that was learned once before.
fn allocations(options: LearnerOptions) -> usize {
    let text = std::fs::read_to_string(fixture("learn/clicks.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut stream = Stream::new(options);
    stream.learn(&lines, lines.len());
    assert!(COUNT.get() > 0, "the allocator does not count");
    let Stream { learner, batch, outcomes, .. } = &mut stream;
    let before = COUNT.get();
    for _ in 0..3 {
        learner.process(batch, 0..batch.len(), Mode::Learn, outcomes).unwrap();
    }
    COUNT.get() - before
}

#[test]
fn learning_allocates_nothing_once_its_buffers_have_grown() {
    for head in [HeadKind::Linear, HeadKind::Fm] {
        let options = LearnerOptions { head, buckets: 1 << 12, ..LearnerOptions::default() };
        assert_eq!(allocations(options), 0, "{head:?}");
    }
}

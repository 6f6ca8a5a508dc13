//! A cut holds no more memory than its documentation says, however many rows it has.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator that counts is the only way to see what is held")]

use flexihash::batch::Slot;
use flexihash::checkpoint::{Snapshot, TableCut, Writer};
use flexihash::table::{Init, Table, TableOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn more(bytes: usize) {
    MOST.fetch_max(HELD.fetch_add(bytes, Ordering::Relaxed) + bytes, Ordering::Relaxed);
}

fn less(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller keeps the contract of the same method.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as above. Not by way of `alloc`: a table's memory would be touched.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        less(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was held at once while `act` ran, beyond what was held before.
fn held_by(act: impl FnOnce()) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    act();
    MOST.load(Ordering::Relaxed) - before
}

const MIB: usize = 1 << 20;

/// Changes every `step`-th row.
fn learn(table: &Table, step: usize) {
    let mut lease = table.lease_all();
    for slot in (0..table.options().rows as u32).step_by(step) {
        lease.row_mut(Slot(slot)).0.fill(1.0);
    }
}

#[test]
fn a_cut_is_written_in_bounded_memory_however_many_rows_it_has() {
    // Many narrow rows, with more bytes beside them than in them; few wide ones.
    for (rows, width, side) in [(1 << 20, 2, 6), (1 << 11, 5000, 1)] {
        let options = TableOptions { rows, width, side, init: Init::Zeros, seed: 0 };
        let table = Arc::new(Table::new(options).unwrap());
        let bytes = rows as usize * (width + side) * 4;
        learn(&table, 1);
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
        let cut = TableCut::begin("main", &table);
        let aside = held_by(|| learn(&table, 10));
        assert!(aside < bytes / 10 * 5 / 4 + 2 * MIB, "{aside} bytes for copies of a tenth of {bytes}");
        let snapshot = Snapshot { tables: vec![cut], ..Snapshot::default() };
        let most = held_by(|| _ = writer.commit(snapshot).unwrap());
        assert!(most < 6 * MIB, "{most} bytes to write {bytes}");
        // The same while learners take parts ahead.
        learn(&table, 1);
        let tables = vec![TableCut::begin("main", &table)];
        let most = held_by(|| {
            (0..9).for_each(|_| assert!(table.make_room()));
            writer.commit(Snapshot { tables, ..Snapshot::default() }).unwrap();
        });
        assert!(most < 16 * MIB, "{most} bytes to write {bytes}, parts ahead");
    }
}

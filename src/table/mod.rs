//! Rows and their optimizer state: sharded, lock-striped, ready at once however large.
//!
//! A table is `[rows, width]` f32 plus an optional narrow `[rows, side]` column for what only some features need.
//! What the floats of a row mean is the optimizer's business; the table knows where a row is, whether it was
//! learned, and whether a checkpoint still needs its old value. Rows lie in stripes, contiguous ranges with a lock
//! each. Learning and reading go through a [`Lease`] of the stripes a run of records needs, taken in ascending
//! order, so that two leases cannot deadlock and the cost of a lock is spread over many records.
//!
//! Memory is zeroed lazily by the system, and initial values are a function of (seed, slot) produced on the first
//! touch; a table of 2^26 rows starts in no time.
//!
//! Who only reads has rows copied by a [`RowReader`], which no learner waits for.
//!
//! *Cuts.* A checkpoint must see all rows as they were after one record, while learning goes on. [`Table::begin_cut`]
//! marks the rows changed since the last cut as *pending*. Whoever first changes a pending row copies its old value
//! aside; [`Table::take_cut`] collects, part by part, what is still pending and what was copied aside, and learners help it
//! whenever they ask for room ([`Table::make_room`]). The price is one bit test per changed row, and memory for at most a tenth of the rows: beyond half of that [`Table::make_room`] slows
//! learning down to the pace of the cut, beyond all of it waits.

mod aside;
mod cut;
mod index;
mod lease;
mod reading;
mod single;
mod stripe;
mod survey;

pub use cut::CutRows;
pub use index::Place;
pub use lease::{Lease, Rows, RowsCells, StripeSet};
pub use reading::RowReader;
pub use single::SingleStripe;

use crate::batch::{MAX_BUCKETS, Slot};
use crate::kernel::{Arena, MOST_SHARES, ROWS_PER_CHUNK};
pub use crate::optim::Init;
use crate::sync::{AtomicUsize, Mutex, Ordering, lock};
use cut::Cutting;
use index::Index;
use lease::Terms;
use reading::Desk;
use std::sync::Arc;
use stripe::{Flags, Shape, Stripe};

/// Most stripes of a table: a set of them is one word.
pub const MAX_STRIPES: usize = MOST_SHARES;

/// Largest width of a row, in floats.
pub const MAX_WIDTH: usize = 1 << 16;

/// Shape and initial values of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TableOptions {
    /// Number of rows, 1 to 2^31 + 1 (the last for a constant feature outside the hashed range).
    pub rows: u64,
    /// Floats in a row: weights and optimizer state.
    pub width: usize,
    /// Floats per row in the side column; 0 for none.
    pub side: usize,
    /// Initial values.
    pub init: Init,
    /// Seed of the initial values.
    pub seed: u64,
}

/// A table that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Rows or width outside the range.
    #[error("a table of {rows} rows of {width} floats: expected 1 to 2147483649 rows of 1 to 65536 floats")]
    Shape {
        /// Rows asked for.
        rows: u64,
        /// Width asked for.
        width: usize,
    },
    /// The system gave no memory.
    #[error("no memory for a table of {bytes} bytes: fewer buckets or a smaller dim would do")]
    Memory {
        /// Bytes asked for.
        bytes: u64,
    },
}

/// See the [module](self).
pub struct Table {
    options: TableOptions,
    index: Index,
    arena: Arc<Arena<Flags>>,
    stripes: Box<[Mutex<Stripe>]>,
    shift: u32,
    aside: AtomicUsize,
    cut: Mutex<Cutting>,
    desk: Desk,
    /// A row never changed, where that is zeros, and its side column.
    fresh: Box<[f32]>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Table {
    /// A table with no row touched.
    pub fn new(options: TableOptions) -> Result<Self, TableError> {
        let TableOptions { rows, width, .. } = options;
        if rows == 0 || rows > u64::from(MAX_BUCKETS) + 1 || width == 0 || width > MAX_WIDTH {
            return Err(TableError::Shape { rows, width });
        }
        let shape = Shape::new(&options);
        let memory = TableError::Memory { bytes: rows * shape.row.stride as u64 * 4 };
        let (arena, stripes) = stripe::stripes(&options).ok_or(memory)?;
        let stripes = stripes.into_iter().map(Mutex::new).collect();
        let fresh = vec![0.0; width + options.side].into_boxed_slice();
        let index = Index::new(rows, shape.block)?;
        let (shift, aside) = (rows_per_stripe(rows).trailing_zeros(), AtomicUsize::new(0));
        let (cut, desk) = (Mutex::new(Cutting::none()), Desk::new());
        Ok(Self { options, index, arena, stripes, shift, aside, cut, desk, fresh })
    }

    /// Shape and initial values.
    pub fn options(&self) -> &TableOptions {
        &self.options
    }

    /// Number of stripes.
    pub fn stripes(&self) -> usize {
        self.stripes.len()
    }

    /// The stripe that holds `slot`.
    #[inline]
    pub fn stripe_of(&self, slot: Slot) -> usize {
        (slot.0 >> self.shift) as usize
    }

    /// Starts fetching what says where the row of `slot` lies. Needs no lease: best called some time before one is taken.
    #[inline(always)]
    pub fn prefetch_place(&self, slot: Slot) {
        self.index.prefetch(slot);
    }

    /// Locks the stripes of `set`, in ascending order.
    pub fn lease(&self, set: StripeSet) -> Lease<'_> {
        let Self { options: TableOptions { width, .. }, index, arena, shift, aside, fresh, .. } = self;
        let mut lease = Lease::empty(Terms { index, shift: *shift, aside, fresh, width: *width, arena });
        for index in set.iter() {
            if let Some(stripe) = self.stripes.get(index) {
                lease.hold(index, lock(stripe));
            }
        }
        lease
    }

    /// Locks every stripe.
    pub fn lease_all(&self) -> Lease<'_> {
        self.lease(StripeSet::all())
    }

    /// Calls `visit` with each touched row `[width]` in ascending order of slots, a stripe's lock held meanwhile.
    pub fn for_each_touched(&self, mut visit: impl FnMut(Slot, &[f32])) {
        for stripe in &self.stripes {
            lock(stripe).for_each_touched(&self.index, &mut visit);
        }
    }

    /// Number of rows that were ever changed.
    pub fn touched(&self) -> u64 {
        self.stripes.iter().map(|stripe| lock(stripe).touched()).sum()
    }

    /// Number of copied-aside rows a cut may hold before learning has to wait.
    fn aside_limit(&self) -> usize {
        (self.options.rows as usize / 10).max(1024)
    }

    /// Whether there is room for more copies, to be asked before each run of records. Takes a part of the cut in progress, if
    /// the thread that writes it has not enough of them waiting. While the cut holds more than half of what it may, waits for
    /// it to hold less, the longer the more it holds, at most some 4 ms: so learning takes the cut's pace, in small steps,
    /// while the other half is still there for when the cut is held up by the disk or the scheduler. `false`: there is none
    /// yet. The caller must hold no lease.
    pub fn make_room(&self) -> bool {
        let limit = self.aside_limit();
        let ease = limit / 2;
        let mut waited = 0;
        loop {
            let helped = self.help_cut();
            let aside = self.aside.load(Ordering::Acquire);
            if aside < ease || waited > aside.min(limit).saturating_sub(ease) * MOST_PAUSES / (limit - ease) {
                return aside < limit;
            }
            if helped {
                waited += PAUSES_PER_PART;
            } else {
                pause();
                waited += 1;
            }
        }
    }
}

/// Pauses of [`Table::make_room`] when there is no room at all; how many a part that it takes stands for.
const MOST_PAUSES: usize = 6;
const PAUSES_PER_PART: usize = 3;

/// Rows of a stripe but the last: a power of two.
fn rows_per_stripe(rows: u64) -> u64 {
    rows.div_ceil(MAX_STRIPES as u64).next_power_of_two().max(ROWS_PER_CHUNK as u64)
}

#[cfg(not(loom))]
fn pause() {
    std::thread::sleep(std::time::Duration::from_micros(500));
}

#[cfg(loom)]
fn pause() {
    loom::thread::yield_now();
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

#[cfg(loom)]
#[cfg(test)]
mod loom_tests;

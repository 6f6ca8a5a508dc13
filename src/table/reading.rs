//! Rows for those who only read, beside a learner that holds nearly every stripe nearly all the time.
//!
//! A reader that queued for the stripes' locks would get one or two between two runs of the learner, which then found them
//! taken and slept: the reader would wait for many runs, and the learner for every reader, for milliseconds where a reader has lost its core.
//! So a reader *orders* rows at a desk. A learner looks between two runs whether there are orders, which costs it one load, and copies
//! their rows itself, from caches that are its own: a reader waits for one run, and the learner for nobody. A reader that is not
//! served for a while, because no learner runs, takes what stripes are free by itself, and from then on all do so at once, until a
//! learner comes by again. One that has no more runs for now says so, and readers look by themselves while it parses or waits.
//!
//! Rows are copied under the locks of their stripes, so none is seen half changed.

use super::{SingleStripe, Table};
use crate::batch::Slot;
use crate::sync::{AtomicBool, AtomicUsize, Condvar, Mutex, Ordering, lock, try_lock, wait_briefly};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// After so long without an answer a reader tries by itself: some runs.
const PATIENCE: Duration = Duration::from_micros(500);

/// Orders that wait for a learner.
#[derive(Debug)]
pub(super) struct Desk {
    waiting: AtomicUsize,
    /// A learner came by since a reader last waited for one in vain.
    attended: AtomicBool,
    orders: Mutex<Vec<Arc<Order>>>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            attended: AtomicBool::new(false),
            orders: Mutex::new(Vec::new()),
        }
    }
}

/// What one reader wants.
#[derive(Debug)]
struct Order {
    sheet: Mutex<Sheet>,
    done: Condvar,
}

/// Rows that are wanted, and those that were copied by now. Whoever holds it may lock a stripe; nobody who holds a stripe locks it.
#[derive(Debug, Default)]
struct Sheet {
    slots: Vec<Slot>,
    /// What is still missing: a stripe, and which of `slots` are its.
    missing: Vec<(usize, Range<usize>)>,
    width: usize,
    side: usize,
    /// `[n, width]`, in the order of `slots`.
    rows: Vec<f32>,
    /// `[n, side]`.
    sides: Vec<f32>,
    /// It lies on the desk.
    ordered: bool,
}

/// A reader of rows: one for each thread that reads, reused.
#[derive(Debug)]
pub struct RowReader {
    order: Arc<Order>,
}

impl Default for RowReader {
    fn default() -> Self {
        Self { order: Arc::new(Order { sheet: Mutex::new(Sheet::default()), done: Condvar::new() }) }
    }
}

impl RowReader {
    /// Copies the rows of `slots`, which come stripe by stripe: calls `visit` with the number of each in `slots`, its row `[width]` and
    /// its side column `[side]`. The rows of a stripe are as they were at one moment; no lease may be held meanwhile.
    pub fn read(
        &self,
        table: &Table,
        slots: impl Iterator<Item = Slot>,
        mut visit: impl FnMut(usize, &[f32], &[f32]),
    ) {
        let mut sheet = lock(&self.order.sheet);
        sheet.begin(table, slots);
        if !table.desk.attended.load(Ordering::Relaxed) {
            sheet.copy(|stripe| table.try_single(stripe));
        }
        if !sheet.missing.is_empty() && !sheet.ordered {
            sheet.ordered = true;
            // Whoever locks the desk holds no sheet.
            drop(sheet);
            table.desk.order(&self.order);
            sheet = lock(&self.order.sheet);
        }
        while !sheet.missing.is_empty() {
            sheet = wait_briefly(&self.order.done, &self.order.sheet, sheet, PATIENCE);
            if !sheet.missing.is_empty() {
                table.desk.attended.store(false, Ordering::Relaxed);
                sheet.copy(|stripe| table.try_single(stripe));
            }
        }
        for number in 0..sheet.slots.len() {
            let (row, side) = (span(number, sheet.width), span(number, sheet.side));
            visit(number, &sheet.rows[row], &sheet.sides[side]);
        }
    }
}

impl Sheet {
    fn begin(&mut self, table: &Table, slots: impl Iterator<Item = Slot>) {
        (self.width, self.side) = (table.options().width, table.options().side);
        self.slots.clear();
        self.slots.extend(slots);
        self.missing.clear();
        for (number, &slot) in self.slots.iter().enumerate() {
            let stripe = table.stripe_of(slot);
            match self.missing.last_mut().filter(|(last, _)| *last == stripe) {
                Some((_, range)) => range.end = number + 1,
                None => self.missing.push((stripe, number..number + 1)),
            }
        }
        self.rows.resize(self.slots.len() * self.width, 0.0);
        self.sides.resize(self.slots.len() * self.side, 0.0);
    }

    /// Copies the missing rows of those stripes that `hold` gives.
    fn copy<'t>(&mut self, hold: impl Fn(usize) -> Option<SingleStripe<'t>>) {
        let Self { slots, missing, width, side, rows, sides, .. } = self;
        missing.retain(|(stripe, range)| {
            let Some(mut stripe) = hold(*stripe) else { return true };
            slots[range.clone()].iter().for_each(|&slot| stripe.prefetch(slot));
            for number in range.clone() {
                let (row, side) = (&mut rows[span(number, *width)], &mut sides[span(number, *side)]);
                stripe.copy(slots[number], row, side);
            }
            false
        });
    }
}

impl Desk {
    /// Takes up an order, and forgets those whose reader is gone.
    fn order(&self, order: &Arc<Order>) {
        let mut orders = lock(&self.orders);
        orders.retain(|order| Arc::strong_count(order) > 1);
        orders.push(Arc::clone(order));
        self.waiting.store(orders.len(), Ordering::Release);
    }

    fn take(&self) -> Vec<Arc<Order>> {
        let mut orders = lock(&self.orders);
        self.waiting.store(0, Ordering::Release);
        std::mem::take(&mut *orders)
    }
}

impl Table {
    /// Copies the rows that readers have ordered, if there are any: to be called by whoever learns, after each run of records. The
    /// caller holds no lease.
    #[inline]
    pub fn serve_readers(&self) {
        if !self.desk.attended.load(Ordering::Relaxed) {
            self.desk.attended.store(true, Ordering::Relaxed);
        }
        if self.desk.waiting.load(Ordering::Relaxed) > 0 {
            self.serve_orders();
        }
    }

    /// Leaves readers to themselves until [`Table::serve_readers`] is called again: to be called by whoever learns and will hold no
    /// stripe for a while.
    #[inline]
    pub fn leave_readers(&self) {
        self.desk.attended.store(false, Ordering::Relaxed);
    }

    #[cold]
    fn serve_orders(&self) {
        for order in self.desk.take() {
            let Some(mut sheet) = try_lock(&order.sheet) else {
                self.desk.order(&order); // its reader is trying by itself just now
                continue;
            };
            sheet.ordered = false;
            sheet.copy(|stripe| self.single(stripe));
            drop(sheet);
            order.done.notify_one();
        }
    }
}

fn span(index: usize, width: usize) -> Range<usize> {
    index * width..(index + 1) * width
}

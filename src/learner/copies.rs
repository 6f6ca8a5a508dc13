//! Copies of the rows that a run of records needs: how several learners share a table.
//!
//! A run is learned in three steps. The rows it needs are copied, each once, a stripe's lock held only while its own are; the
//! records are learned on the copies, truly online; what that changed is joined with the rows as they are by then
//! ([`RowRule::merge`]), stripe by stripe again. So no lock is held while anything is computed, no row is ever seen half
//! changed, and a learner knows what the others had learned when its run began.

use super::arm::Job;
use crate::batch::{Batch, Slot};
use crate::optim::RowRule;
use crate::table::{Place, RowReader, Rows, SingleStripe, Table};
use std::ops::Range;

/// Rows of a table, each once, as they were when they were fetched and as they are now.
#[derive(Debug, Default)]
pub(super) struct Copies {
    width: usize,
    side: usize,
    /// In the order of their first use, `[n]`.
    slots: Vec<Slot>,
    changed: Vec<bool>,
    /// `[n, width]`.
    before: Vec<f32>,
    rows: Vec<f32>,
    /// `[n, side]`.
    sides_before: Vec<f32>,
    sides: Vec<f32>,
    /// Which copy each feature of the run uses, each record's constant behind its features.
    uses: Vec<u32>,
    /// Copies, stripe by stripe, and where each stripe's begin.
    by_stripe: Vec<u32>,
    starts: Vec<usize>,
    /// From slots to copies: open addressing over a power of two; 0 is empty, else a copy's index plus one.
    index: Vec<u32>,
}

impl Copies {
    /// Copies the rows of the records of `run`, and that of `constant`, a stripe's lock held only for its own.
    pub(super) fn fetch(&mut self, table: &Table, batch: &Batch, run: &[Job], constant: Slot) {
        (self.width, self.side) = (table.options().width, table.options().side);
        self.find(batch, run, constant);
        self.sort(table);
        let count = self.slots.len();
        self.rows.resize(count * self.width, 0.0);
        self.sides.resize(count * self.side, 0.0);
        for stripe in 0..table.stripes() {
            let Some((mut rows, copies)) = self.hold(table, stripe) else { continue };
            for &copy in &self.by_stripe[copies] {
                let copy = copy as usize;
                let (row, side) = (span(copy, self.width), span(copy, self.side));
                rows.copy(self.slots[copy], &mut self.rows[row], &mut self.sides[side]);
            }
        }
        self.before.clone_from(&self.rows);
        self.sides_before.clone_from(&self.sides);
    }

    /// Copies the same rows, to be read only: `reader` gets them beside a learner that goes on.
    pub(super) fn read(
        &mut self,
        (table, reader): (&Table, &RowReader),
        batch: &Batch,
        run: &[Job],
        constant: Slot,
    ) {
        (self.width, self.side) = (table.options().width, table.options().side);
        self.find(batch, run, constant);
        self.sort(table);
        self.rows.resize(self.slots.len() * self.width, 0.0);
        self.sides.resize(self.slots.len() * self.side, 0.0);
        let Self { width, side, slots, rows, sides, by_stripe, .. } = self;
        let wanted = by_stripe.iter().map(|&copy| slots[copy as usize]);
        reader.read(table, wanted, |number, row, own_side| {
            let copy = by_stripe[number] as usize;
            rows[span(copy, *width)].copy_from_slice(row);
            sides[span(copy, *side)].copy_from_slice(own_side);
        });
    }

    /// Joins what was changed with the rows as they are by now, stripe by stripe.
    pub(super) fn join(&self, table: &Table, rule: &impl RowRule) {
        for stripe in 0..table.stripes() {
            let Some((mut rows, copies)) = self.hold(table, stripe) else { continue };
            for &copy in &self.by_stripe[copies] {
                let copy = copy as usize;
                if !self.changed[copy] {
                    continue;
                }
                let (row, side) = rows.row_mut(self.slots[copy]);
                let (wide, narrow) = (span(copy, self.width), span(copy, self.side));
                rule.merge(row, &self.before[wide.clone()], &self.rows[wide]);
                if !side.is_empty() {
                    rule.merge_side(side, &self.sides_before[narrow.clone()], &self.sides[narrow]);
                }
            }
        }
    }

    /// Where the rows of the run's features are among [`Copies::rows`], each record's constant behind its features.
    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = Place> {
        self.uses.iter().map(|&copy| Place::own(copy))
    }

    /// The copies.
    pub(super) fn rows(&mut self) -> Rows<'_> {
        Rows::own(&mut self.rows, self.width, &mut self.sides, self.side)
    }

    /// Gives each slot of the run a copy.
    fn find(&mut self, batch: &Batch, run: &[Job], constant: Slot) {
        let uses: usize = run.iter().map(|job| batch.row(job.row).len() + 1).sum();
        self.index.clear();
        self.index.resize((2 * uses).next_power_of_two(), 0);
        self.slots.clear();
        self.changed.clear();
        self.uses.clear();
        for job in run {
            for &slot in batch.row(job.row).slots.iter().chain([&constant]) {
                let copy = self.copy_of(slot);
                self.changed[copy as usize] |= job.lesson.is_some();
                self.uses.push(copy);
            }
        }
    }

    fn copy_of(&mut self, slot: Slot) -> u32 {
        let mask = self.index.len() - 1;
        // Fibonacci hashing: slots are hashes already, but neighbours of one stripe need not be.
        let mut place = (slot.0.wrapping_mul(0x9e37_79b9) >> 8) as usize & mask;
        loop {
            match self.index[place] {
                0 => {
                    self.slots.push(slot);
                    self.changed.push(false);
                    self.index[place] = self.slots.len() as u32;
                    return self.slots.len() as u32 - 1;
                }
                copy if self.slots[copy as usize - 1] == slot => return copy - 1,
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// Sorts copies by stripe, counting.
    fn sort(&mut self, table: &Table) {
        self.starts.clear();
        self.starts.resize(table.stripes() + 1, 0);
        for &slot in &self.slots {
            self.starts[table.stripe_of(slot) + 1] += 1;
        }
        for stripe in 0..table.stripes() {
            self.starts[stripe + 1] += self.starts[stripe];
        }
        self.by_stripe.clear();
        self.by_stripe.resize(self.slots.len(), 0);
        for (copy, &slot) in self.slots.iter().enumerate() {
            let place = &mut self.starts[table.stripe_of(slot)];
            self.by_stripe[*place] = copy as u32;
            *place += 1;
        }
    }

    /// Locks a stripe and starts fetching the rows of its copies, which are where it says in `by_stripe`; `None` if it has none.
    fn hold<'t>(&self, table: &'t Table, stripe: usize) -> Option<(SingleStripe<'t>, Range<usize>)> {
        let copies = self.of_stripe(stripe);
        let rows = if copies.is_empty() { None } else { table.single(stripe) }?;
        for &copy in &self.by_stripe[copies.clone()] {
            rows.prefetch(self.slots[copy as usize]);
        }
        Some((rows, copies))
    }

    /// Where the copies of a stripe are in `by_stripe`. Sorting has moved each start to the stripe's end.
    fn of_stripe(&self, stripe: usize) -> Range<usize> {
        let start = stripe.checked_sub(1).map_or(0, |before| self.starts[before]);
        start..self.starts[stripe]
    }
}

fn span(index: usize, width: usize) -> Range<usize> {
    index * width..(index + 1) * width
}

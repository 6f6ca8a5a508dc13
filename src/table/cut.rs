//! Consistent copies of the changed rows, taken while learning goes on.
//!
//! A cut is taken part by part, and who takes a part holds its stripe for some tenths of a millisecond. That is best the
//! learner itself, between two runs of records, when it asks for room: a thread that has to share its core may lose it
//! while it holds a stripe, and the learner, who needs nearly every stripe for each run, would stand still until it has it
//! again. So learners take parts ahead, a few at a time, for the thread that writes them ([`Table::help_cut`]), which
//! takes one itself only if no learner does ([`Table::take_cut`]). Who takes which part is a matter of timing, what the cut
//! holds is not.

use super::aside::Aside;
use super::stripe::Shape;
use super::{Table, pause, rows_per_stripe};
use crate::batch::Slot;
use crate::sync::{Ordering, lock, try_lock, unlock_fair};
use std::collections::VecDeque;

/// Parts that learners take ahead.
const PARTS_AHEAD: usize = 4;

/// Pauses that the cut's own thread waits for a learner that took parts to take the next one, 9 ms in all: longer than a run
/// of wide records.
const PATIENCE: usize = if cfg!(loom) { 1 } else { 16 };

/// Rows of a part of the table as they were at the cut, in ascending order of slots.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct CutRows {
    /// `[n]`.
    pub slots: Vec<u32>,
    /// `[n, width]`.
    pub rows: Vec<f32>,
    /// `[n, side]`.
    pub sides: Vec<f32>,
}

impl CutRows {
    fn clear(&mut self) {
        self.slots.clear();
        self.rows.clear();
        self.sides.clear();
    }
}

/// How far the cut in progress has been taken. Locked before a stripe, never while one is held.
#[derive(Debug)]
pub(super) struct Cutting {
    /// The next part; past the last one if there is no cut.
    next: usize,
    /// Parts that learners took ahead, oldest first.
    ahead: VecDeque<Taken>,
    /// A learner took a part and may take the next.
    helped: bool,
    /// Memory to be used again.
    spare: Vec<CutRows>,
}

impl Cutting {
    /// A cut whose next part is `next`; none is in progress if there is no such part.
    fn at(next: usize) -> Self {
        Self { next, ahead: VecDeque::new(), helped: false, spare: Vec::new() }
    }

    pub(super) fn none() -> Self {
        Self::at(usize::MAX)
    }
}

/// A part of a cut, what was copied aside for it not yet merged.
#[derive(Debug)]
struct Taken {
    rows: CutRows,
    aside: Aside,
}

impl Table {
    /// Starts a cut at this instant: the rows changed since the last one, as they are now. Returns their number.
    /// The caller holds no lease and has finished or abandoned the cut before. Exact if no other thread learns.
    pub fn begin_cut(&self) -> u64 {
        let mut cut = lock(&self.cut);
        *cut = Cutting::at(0);
        self.stripes.iter().map(|stripe| lock(stripe).begin_cut()).sum()
    }

    /// Number of parts that a cut is taken in.
    pub(super) fn cut_parts(&self) -> usize {
        self.stripes.len() * self.parts_per_stripe()
    }

    fn parts_per_stripe(&self) -> usize {
        (rows_per_stripe(self.options.rows) as usize).div_ceil(Shape::new(&self.options).slots_per_part())
    }

    /// Collects the cut's rows of the next part into `out`, replacing what it held; parts follow each other in ascending
    /// order of slots. `false` after the last one. What was copied aside for it is free then, and learning that
    /// waits for room goes on. For one thread, which holds no lease.
    pub fn take_cut(&self, out: &mut CutRows) -> bool {
        let Some(Taken { mut rows, aside }) = self.next_part() else {
            *lock(&self.cut) = Cutting::none();
            out.clear();
            return false;
        };
        self.aside.fetch_sub(aside.len(), Ordering::AcqRel);
        aside.merge_into(&mut rows, self.options.width, self.options.side);
        std::mem::swap(out, &mut rows);
        lock(&self.cut).spare.push(rows);
        true
    }

    /// The part that is longest ahead, or the next one, if no learner takes it.
    fn next_part(&self) -> Option<Taken> {
        let mut pauses = 0;
        loop {
            let mut cut = lock(&self.cut);
            if let Some(taken) = cut.ahead.pop_front() {
                return Some(taken);
            }
            cut.helped &= pauses < PATIENCE && cut.next < self.cut_parts();
            if !cut.helped {
                return self.take_part(&mut cut);
            }
            drop(cut);
            pause();
            pauses += 1;
        }
    }

    /// Takes a part ahead if a cut is in progress and not enough are waiting; whether it did. The caller holds no lease.
    pub(super) fn help_cut(&self) -> bool {
        let Some(mut cut) = try_lock(&self.cut).filter(|cut| cut.ahead.len() < PARTS_AHEAD) else {
            return false;
        };
        let Some(taken) = self.take_part(&mut cut) else { return false };
        cut.ahead.push_back(taken);
        cut.helped = true;
        true
    }

    fn take_part(&self, cut: &mut Cutting) -> Option<Taken> {
        let per_stripe = self.parts_per_stripe();
        let stripe = self.stripes.get(cut.next / per_stripe)?;
        let part = cut.next % per_stripe;
        cut.next += 1;
        let mut rows = cut.spare.pop().unwrap_or_default();
        rows.clear();
        let mut stripe = lock(stripe);
        stripe.take_pending(&self.index, part, &mut rows);
        let aside = stripe.take_aside(part);
        // Whoever waits comes first: this thread would have the lock again before it woke.
        unlock_fair(stripe);
        Some(Taken { rows, aside })
    }

    /// Gives the last cut up after an error: its rows, those that were taken too, are dirty again and belong to the next
    /// one.
    pub fn abandon_cut(&self) {
        let mut cut = lock(&self.cut);
        let ahead = std::mem::replace(&mut *cut, Cutting::none()).ahead;
        self.aside.fetch_sub(ahead.iter().map(|taken| taken.aside.len()).sum(), Ordering::AcqRel);
        for stripe in &self.stripes {
            self.aside.fetch_sub(lock(stripe).abandon_cut(), Ordering::AcqRel);
        }
    }

    /// Puts stored rows back: `slots` `[n]`, `rows` `[n, width]`, `sides` `[n, side]`. `false` if a shape or a slot does
    /// not fit this table.
    pub fn restore(&self, slots: &[u32], rows: &[f32], sides: &[f32]) -> bool {
        let (width, side) = (self.options.width, self.options.side);
        if rows.len() != slots.len() * width || sides.len() != slots.len() * side {
            return false;
        }
        slots.iter().enumerate().all(|(i, &slot)| {
            let slot = Slot(slot);
            let row = &rows[i * width..(i + 1) * width];
            let sides = &sides[i * side..(i + 1) * side];
            let stripe = self.stripes.get(self.stripe_of(slot));
            stripe.is_some_and(|stripe| lock(stripe).restore(&self.index, slot, row, sides))
        })
    }
}

//! Consistent copies of the changed rows, taken while learning goes on.

use super::stripe::{Aside, SLOTS_PER_PART, Shape};
use super::{Table, rows_per_stripe};
use crate::batch::Slot;
use crate::sync::{Ordering, lock, unlock_fair};

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

/// Slots visited while a stripe's lock is held once: bounds how long a lease can wait for a cut, to some tenths of a
/// millisecond.
const SLOTS_PER_LOCK: usize = 1 << 11;

impl Table {
    /// Starts a cut at this instant: the rows changed since the last one, as they are now. Returns their number.
    /// The caller holds no lease and has finished or abandoned the cut before. Exact if no other thread learns.
    pub fn begin_cut(&self) -> u64 {
        self.stripes.iter().map(|stripe| lock(stripe).begin_cut()).sum()
    }

    /// Number of parts that a cut is taken in.
    pub fn cut_parts(&self) -> usize {
        self.stripes.len() * self.parts_per_stripe()
    }

    fn parts_per_stripe(&self) -> usize {
        (rows_per_stripe(self.options.rows) as usize).div_ceil(SLOTS_PER_PART)
    }

    /// Collects the cut's rows of a part (0 to [`Table::cut_parts`], ascending slots) into `out`, replacing what it held.
    /// What was copied aside for it is free then, and learning that waits for room goes on.
    pub fn take_cut(&self, part: usize, out: &mut CutRows) {
        out.slots.clear();
        out.rows.clear();
        out.sides.clear();
        let Some(stripe) = self.stripes.get(part / self.parts_per_stripe()) else { return };
        let part = part % self.parts_per_stripe();
        let mut taken = Aside {
            slots: std::mem::take(&mut out.slots),
            rows: std::mem::take(&mut out.rows),
            sides: std::mem::take(&mut out.sides),
        };
        let slots = Shape::new(&self.options).slots_per_group();
        let (groups, per_lock) = ((SLOTS_PER_PART / slots).max(1), (SLOTS_PER_LOCK / slots).max(1));
        for start in (part * groups..(part + 1) * groups).step_by(per_lock) {
            let mut stripe = lock(stripe);
            stripe.take_pending(&self.index, start..start + per_lock, &mut taken);
            // Whoever waits comes first: this thread would have the lock again before it woke.
            unlock_fair(stripe);
        }
        let aside = lock(stripe).take_aside(part);
        self.aside.fetch_sub(aside.slots.len(), Ordering::AcqRel);
        (out.slots, out.rows, out.sides) = (taken.slots, taken.rows, taken.sides);
        if !aside.slots.is_empty() {
            self.merge(out, &aside);
        }
    }

    /// Gives a cut up after an error: its rows are dirty again and belong to the next one. Rows in `taken` had been
    /// taken but were not made durable.
    pub fn abandon_cut(&self, taken: impl IntoIterator<Item = Slot>) {
        for stripe in &self.stripes {
            let mut stripe = lock(stripe);
            self.aside.fetch_sub(stripe.abandon_cut(), Ordering::AcqRel);
        }
        for slot in taken {
            if let Some(stripe) = self.stripes.get(self.stripe_of(slot)) {
                lock(stripe).mark_dirty(&self.index, slot);
            }
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

    /// Merges rows copied aside into the ascending rows of `out`. Their slots are disjoint.
    fn merge(&self, out: &mut CutRows, aside: &Aside) {
        let (width, side) = (self.options.width, self.options.side);
        let pending = std::mem::take(out);
        let both = pending.slots.iter().map(|&slot| (slot, true)).enumerate();
        let mut order: Vec<_> =
            both.chain(aside.slots.iter().map(|&slot| (slot, false)).enumerate()).collect();
        order.sort_unstable_by_key(|&(_, (slot, _))| slot);
        for (i, (slot, in_pending)) in order {
            let (rows, sides) =
                if in_pending { (&pending.rows, &pending.sides) } else { (&aside.rows, &aside.sides) };
            out.slots.push(slot);
            out.rows.extend_from_slice(&rows[i * width..(i + 1) * width]);
            out.sides.extend_from_slice(&sides[i * side..(i + 1) * side]);
        }
    }
}

//! Consistent copies of the changed rows, taken while learning goes on.

use super::Table;
use super::stripe::Aside;
use crate::batch::Slot;
use crate::sync::{Ordering, lock};

/// Rows of one stripe as they were at the cut, in ascending order of slots.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct CutRows {
    /// `[n]`.
    pub slots: Vec<u32>,
    /// `[n, width]`.
    pub rows: Vec<f32>,
    /// `[n, side]`.
    pub sides: Vec<f32>,
}

/// Slots visited while a stripe's lock is held once: bounds how long a lease can wait for a cut.
const SLOTS_PER_LOCK: usize = 1 << 15;

impl Table {
    /// Starts a cut at this instant: the rows changed since the last one, as they are now. Returns their number.
    /// The caller holds no lease and has finished or abandoned the cut before. Exact if no other thread learns.
    pub fn begin_cut(&self) -> u64 {
        self.stripes.iter().map(|stripe| lock(stripe).begin_cut()).sum()
    }

    /// Collects the cut's rows of stripe `index` (0 to [`Table::stripes`]) into `out`, replacing what it held.
    pub fn take_cut(&self, index: usize, out: &mut CutRows) {
        out.slots.clear();
        out.rows.clear();
        out.sides.clear();
        let Some(stripe) = self.stripes.get(index) else { return };
        let mut taken = Aside {
            slots: std::mem::take(&mut out.slots),
            rows: std::mem::take(&mut out.rows),
            sides: std::mem::take(&mut out.sides),
        };
        let (groups, slots) = {
            let stripe = lock(stripe);
            (stripe.groups(), stripe.slots_per_group())
        };
        let per_lock = (SLOTS_PER_LOCK / slots).max(1);
        for start in (0..groups).step_by(per_lock) {
            lock(stripe).take_pending(&self.index, start..start + per_lock, &mut taken);
        }
        let aside = std::mem::take(&mut lock(stripe).aside);
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
            self.aside.fetch_sub(stripe.aside.slots.len(), Ordering::AcqRel);
            stripe.abandon_cut();
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

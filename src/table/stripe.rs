//! One stripe: a contiguous range of slots with their rows, owned by whoever holds its lock.
//!
//! Rows do not lie where their slot says but side by side in the order of their first touch, behind the table's index
//! from slots to places. A stream touches a few rows in a million: side by side they fill a few pages that the processor's caches
//! and address buffers hold, where each on a page of its own would miss both at every visit. The memory for all rows is
//! one allocation, of which the system backs only what was used, so that growing copies nothing.
//!
//! The unit of the index is a *block*: one row, or as many consecutive ones as fill a cache line, so that the index never
//! costs more than 4 bytes a line. Four bits a row, by position: *touched* (ever changed), *dirty* (changed since the last
//! cut), *pending* (the cut in progress still needs this value), *taken* (the last cut has got it from here, so that it can
//! be given back should the cut come to nothing).

use super::aside::Aside;
use super::cut::CutRows;
use super::index::{Index, Place};
use super::{Init, TableError, TableOptions, rows_per_stripe};
use crate::batch::Slot;
use crate::kernel::prefetch;
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// Least number of slots of a stripe, and the number of rows whose flags share words.
pub(super) const ROWS_PER_WORD: usize = 64;

/// Floats in a cache line.
const LINE: usize = 16;
const LINE_BYTES: usize = 64;
/// Blocks of the index that share a bit that says whether there is any.
const BLOCKS_PER_GROUP: usize = 64;

/// Most slots that a cut takes at a time, under one lock, and most bytes of rows: this bounds how long a lease waits for it,
/// to half a millisecond, and what the cut holds. Far smaller parts would make the cut slow: a learner of wide records
/// holds every stripe nearly all the time, and between two of its runs one part is taken. Whole groups, at least one.
const SLOTS_PER_PART: usize = 1 << 13;
const BYTES_PER_PART: usize = 1 << 20;

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Flags {
    touched: u64,
    dirty: u64,
    pending: u64,
    taken: u64,
}

#[derive(Debug)]
pub(super) struct Stripe {
    number: u32,
    first: u32,
    rows: usize,
    shape: Shape,
    init: Init,
    seed: u64,
    /// Which groups of the index hold a block in use, a bit each.
    groups: Box<[u64]>,
    /// Blocks in use.
    used: u32,
    floats: Box<[f32]>,
    /// Where the first row starts: at a cache line, so that no row crosses one it need not. An allocation of that
    /// alignment would be zeroed by hand, all of it, at once.
    base: usize,
    sides: Box<[f32]>,
    flags: Box<[Flags]>,
    /// By part: [`Shape::slots_per_part`] slots.
    aside: Box<[Aside]>,
}

/// Lengths within a row, and how rows follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) width: usize,
    /// Floats from one row to the next: a power of two up to a line, whole lines beyond.
    pub(super) stride: usize,
    pub(super) side: usize,
    /// log2 of the rows of a block.
    pub(super) block: u32,
}

impl Shape {
    pub(super) fn new(options: &TableOptions) -> Self {
        let TableOptions { width, side, .. } = *options;
        let stride = if width <= LINE { width.next_power_of_two() } else { width.next_multiple_of(LINE) };
        let block = (LINE / stride.min(LINE)).trailing_zeros();
        Self { width, stride, side, block }
    }

    /// Slots of a group of the index.
    pub(super) fn slots_per_group(self) -> usize {
        BLOCKS_PER_GROUP << self.block
    }

    /// Slots of a part of a cut: a power of two.
    pub(super) fn slots_per_part(self) -> usize {
        let bytes = (self.width + self.side) * 4;
        let slots = (BYTES_PER_PART / bytes).next_power_of_two() / 2;
        slots.clamp(self.slots_per_group(), SLOTS_PER_PART)
    }
}

impl Stripe {
    pub(super) fn new(options: &TableOptions, first: u64, rows: usize) -> Result<Self, TableError> {
        let shape = Shape::new(options);
        let bytes = options.rows * shape.stride as u64 * 4;
        let memory = |_| TableError::Memory { bytes };
        let blocks = rows.div_ceil(1 << shape.block);
        let places = blocks << shape.block;
        let floats: Box<[f32]> =
            bytemuck::allocation::try_zeroed_slice_box(places * shape.stride + LINE).map_err(memory)?;
        let base = floats.as_ptr().align_offset(LINE_BYTES).min(LINE);
        let words = blocks.div_ceil(BLOCKS_PER_GROUP * 64);
        Ok(Self {
            number: (first / rows_per_stripe(options.rows)) as u32,
            first: first as u32,
            rows,
            shape,
            init: options.init,
            seed: options.seed,
            groups: bytemuck::allocation::try_zeroed_slice_box(words).map_err(memory)?,
            used: 0,
            floats,
            base,
            sides: bytemuck::allocation::try_zeroed_slice_box(places * shape.side).map_err(memory)?,
            flags: bytemuck::allocation::try_zeroed_slice_box(places.div_ceil(ROWS_PER_WORD))
                .map_err(memory)?,
            aside: (0..rows.div_ceil(shape.slots_per_part())).map(|_| Aside::default()).collect(),
        })
    }

    /// The slot's number in this stripe.
    #[inline(always)]
    fn offset(&self, slot: Slot) -> Option<usize> {
        let offset = slot.0.wrapping_sub(self.first) as usize;
        (offset < self.rows).then_some(offset)
    }

    /// The position of a row, which gets one if it has none.
    #[inline(always)]
    pub(super) fn settle(&mut self, index: &Index, slot: Slot) -> Option<usize> {
        match index.find(slot) {
            Some(place) => Some(place.position()),
            None => self.settle_block(index, slot),
        }
    }

    /// Gives a row without a position one.
    #[cold]
    #[inline(never)]
    pub(super) fn settle_block(&mut self, index: &Index, slot: Slot) -> Option<usize> {
        let shape = self.shape;
        let block = self.offset(slot)? >> shape.block;
        let (group, first) = (block / BLOCKS_PER_GROUP, (self.used as usize) << shape.block);
        self.used += 1;
        self.groups[group / 64] |= bit(group);
        if self.init != Init::Zeros {
            for i in 0..1 << shape.block {
                let (slot, at) = (Slot(self.first + (block << shape.block | i) as u32), self.at(first + i));
                self.init.fill(self.seed, slot, &mut self.floats[at]);
            }
        }
        index.set(slot, Place::new(self.number, first));
        index.find(slot).map(Place::position)
    }

    /// Where the row at `position` lies.
    #[inline(always)]
    fn at(&self, position: usize) -> Range<usize> {
        let start = self.base + position * self.shape.stride;
        start..start + self.shape.width
    }

    /// Where its side column lies.
    #[inline(always)]
    fn side_at(&self, position: usize) -> Range<usize> {
        position * self.shape.side..(position + 1) * self.shape.side
    }

    /// Starts fetching the row into the cache.
    #[inline]
    pub(super) fn prefetch(&self, position: usize) {
        for line in self.row(position).iter().step_by(LINE) {
            prefetch(line);
        }
    }

    /// The position of a row without one, to be read: `None` if it holds zeros. Random initial values are made once and
    /// kept, though nothing counts as touched.
    #[cold]
    pub(super) fn position_fresh(&mut self, index: &Index, slot: Slot) -> Option<usize> {
        if self.init == Init::Zeros { None } else { self.settle_block(index, slot) }
    }

    /// The row `[width]` at `position`.
    #[inline]
    pub(super) fn row(&self, position: usize) -> &[f32] {
        &self.floats[self.at(position)]
    }

    /// The side column `[side]` at `position`.
    #[inline]
    pub(super) fn side(&self, position: usize) -> &[f32] {
        &self.sides[self.side_at(position)]
    }

    /// Row `[width]` and side column `[side]` at `position`.
    #[inline]
    pub(super) fn row_mut(&mut self, position: usize) -> (&mut [f32], &mut [f32]) {
        let (place, side) = (self.at(position), self.side_at(position));
        (&mut self.floats[place], &mut self.sides[side])
    }

    /// All rows `[places, stride]` and side columns `[places, side]`, by position.
    #[inline]
    pub(super) fn all_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        (self.floats.get_mut(self.base..).unwrap_or_default(), &mut self.sides)
    }

    /// Notes that a row is about to change. Returns whether its old value was copied aside.
    #[inline(always)]
    pub(super) fn mark(&mut self, position: usize, slot: Slot) -> bool {
        let Some(flags) = self.flags.get_mut(position / ROWS_PER_WORD) else { return false };
        if flags.dirty & !flags.pending & bit(position) != 0 {
            return false; // then it is touched as well
        }
        flags.touched |= bit(position);
        flags.dirty |= bit(position);
        if flags.pending & bit(position) == 0 {
            return false;
        }
        flags.pending &= !bit(position);
        self.copy_aside(position, slot);
        true
    }

    #[cold]
    fn copy_aside(&mut self, position: usize, slot: Slot) {
        let (place, side) = (self.at(position), self.side_at(position));
        let part = self.offset(slot).unwrap_or_default() / self.shape.slots_per_part();
        if let Some(aside) = self.aside.get_mut(part) {
            aside.push(slot, &self.floats[place], &self.sides[side]);
        }
    }

    /// What was copied aside of a part.
    pub(super) fn take_aside(&mut self, part: usize) -> Aside {
        self.aside.get_mut(part).map(std::mem::take).unwrap_or_default()
    }

    /// Overwrites a row with stored values and marks it touched, not dirty.
    pub(super) fn restore(&mut self, index: &Index, slot: Slot, row: &[f32], side: &[f32]) -> bool {
        if row.len() != self.shape.width || side.len() != self.shape.side {
            return false;
        }
        let Some(_) = self.offset(slot) else { return false };
        let Some(position) = self.settle(index, slot) else { return false };
        let (own_row, own_side) = self.row_mut(position);
        own_row.copy_from_slice(row);
        own_side.copy_from_slice(side);
        self.flags[position / ROWS_PER_WORD].touched |= bit(position);
        true
    }

    pub(super) fn touched(&self) -> u64 {
        self.used_flags().iter().map(|flags| u64::from(flags.touched.count_ones())).sum()
    }

    /// The flags of all rows that have a position.
    fn used_flags(&self) -> &[Flags] {
        let places = (self.used as usize) << self.shape.block;
        self.flags.get(..places.div_ceil(ROWS_PER_WORD)).unwrap_or_default()
    }

    fn used_flags_mut(&mut self) -> &mut [Flags] {
        let places = (self.used as usize) << self.shape.block;
        self.flags.get_mut(..places.div_ceil(ROWS_PER_WORD)).unwrap_or_default()
    }

    /// Slot and position of all rows of `groups` that have a position, in ascending order of slots.
    fn settled(&self, index: &Index, groups: Range<usize>) -> impl Iterator<Item = (Slot, usize)> {
        let per_group = self.shape.slots_per_group();
        let used = |group: &usize| self.groups.get(group / 64).is_some_and(|word| word & bit(*group) != 0);
        let slots = groups.filter(used).flat_map(move |group| {
            let start = group * per_group;
            start..(start + per_group).min(self.rows)
        });
        slots.filter_map(|offset| {
            let slot = Slot(self.first + offset as u32);
            index.find(slot).map(|place| (slot, place.position()))
        })
    }

    pub(super) fn for_each_touched(&self, index: &Index, visit: &mut impl FnMut(Slot, &[f32])) {
        for (slot, position) in self.settled(index, 0..self.groups()) {
            if self.flags[position / ROWS_PER_WORD].touched & bit(position) != 0 {
                visit(slot, self.row(position));
            }
        }
    }

    /// Makes the dirty rows pending; returns how many.
    pub(super) fn begin_cut(&mut self) -> u64 {
        let mut rows = 0;
        for flags in self.used_flags_mut() {
            flags.pending = flags.dirty;
            (flags.dirty, flags.taken) = (0, 0);
            rows += u64::from(flags.pending.count_ones());
        }
        rows
    }

    /// Number of groups of the index.
    fn groups(&self) -> usize {
        self.rows.div_ceil(self.shape.slots_per_group())
    }

    /// Appends the pending rows of a part to `out`, in ascending order of slots; they are pending no longer.
    pub(super) fn take_pending(&mut self, index: &Index, part: usize, out: &mut CutRows) {
        let from = out.slots.len();
        let groups = self.shape.slots_per_part() / self.shape.slots_per_group();
        let groups = part * groups..(part + 1) * groups;
        for (slot, position) in self.settled(index, groups) {
            if self.flags[position / ROWS_PER_WORD].pending & bit(position) != 0 {
                out.slots.push(slot.0);
                // Neighbours by slot lie anywhere: one after the other each would miss the caches.
                self.row(position).first().into_iter().chain(self.side(position).first()).for_each(prefetch);
            }
        }
        for i in from..out.slots.len() {
            let Some(place) = index.find(Slot(out.slots[i])) else { continue };
            let position = place.position();
            out.rows.extend_from_slice(self.row(position));
            out.sides.extend_from_slice(self.side(position));
            let flags = &mut self.flags[position / ROWS_PER_WORD];
            flags.pending &= !bit(position);
            flags.taken |= bit(position);
        }
    }

    /// Undoes a cut: rows that are still pending or were taken are dirty again. Rows copied aside changed since, so they
    /// are dirty already; returns how many are held.
    pub(super) fn abandon_cut(&mut self) -> usize {
        for flags in self.used_flags_mut() {
            flags.dirty |= std::mem::take(&mut flags.pending) | std::mem::take(&mut flags.taken);
        }
        self.aside.iter_mut().map(|aside| std::mem::take(aside).len()).sum()
    }
}

#[inline(always)]
fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

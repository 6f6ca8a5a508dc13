//! One stripe: a contiguous range of slots with their rows, owned by whoever holds its lock.
//!
//! Rows do not lie where their slot says but side by side in the order of their first touch, behind the table's index
//! from slots to places. A stream touches a few rows in a million: side by side they fill a few pages that the processor's caches
//! and address buffers hold, where each on a page of its own would miss both at every visit. All stripes take the memory for
//! their rows from one arena, some rows at a time ([`Share`]), so that the table as a whole is dense; the system backs only
//! what was used, so growing copies nothing.
//!
//! The unit of the index is a *block*: one row, or as many consecutive ones as fill a cache line, so that the index never
//! costs more than 4 bytes a line. Four bits a row, by place: *touched* (ever changed), *dirty* (changed since the last
//! cut), *pending* (the cut in progress still needs this value), *taken* (the last cut has got it from here, so that it can
//! be given back should the cut come to nothing).

use super::aside::Aside;
use super::cut::CutRows;
use super::index::{Index, Place};
use super::{Init, TableOptions, rows_per_stripe};
use crate::batch::Slot;
use crate::kernel::{Arena, ROWS_PER_CHUNK, RowShape, Share, prefetch};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;
use std::sync::Arc;

/// Floats in a cache line.
const LINE: usize = 16;
/// Blocks of the index that share a bit that says whether there is any.
const BLOCKS_PER_GROUP: usize = 64;

/// Most slots that a cut takes at a time, under one lock, and most bytes of rows: this bounds how long a lease waits for it,
/// to half a millisecond, and what the cut holds. Far smaller parts would make the cut slow: a learner of wide records
/// holds every stripe nearly all the time, and between two of its runs one part is taken. Whole groups, at least one.
const SLOTS_PER_PART: usize = 1 << 13;
const BYTES_PER_PART: usize = 1 << 20;

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Flags {
    touched: u64,
    dirty: u64,
    pending: u64,
    taken: u64,
}

#[derive(Debug)]
pub(super) struct Stripe {
    first: u32,
    rows: usize,
    shape: Shape,
    init: Init,
    seed: u64,
    /// Which groups of the index hold a block in use, a bit each.
    groups: Box<[u64]>,
    /// Its rows, by place.
    share: Share<Flags>,
    /// First places of the chunks it has taken.
    chunks: Vec<u32>,
    /// The next free place of the last of them; at its end there is none.
    free: u32,
    /// By part: [`Shape::slots_per_part`] slots.
    aside: Box<[Aside]>,
}

/// Lengths within a row, and how rows follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// The stride is a power of two up to a line, whole lines beyond.
    pub(super) row: RowShape,
    /// log2 of the rows of a block.
    pub(super) block: u32,
}

impl Shape {
    pub(super) fn new(options: &TableOptions) -> Self {
        let TableOptions { width, side, .. } = *options;
        let stride = if width <= LINE { width.next_power_of_two() } else { width.next_multiple_of(LINE) };
        let block = (LINE / stride.min(LINE)).trailing_zeros();
        Self { row: RowShape { width, stride, side }, block }
    }

    /// Places that `rows` consecutive slots need: whole blocks.
    fn places(self, rows: u64) -> usize {
        (rows.div_ceil(1 << self.block) << self.block) as usize
    }

    /// Slots of a group of the index.
    pub(super) fn slots_per_group(self) -> usize {
        BLOCKS_PER_GROUP << self.block
    }

    /// Slots of a part of a cut: a power of two.
    pub(super) fn slots_per_part(self) -> usize {
        let bytes = (self.row.width + self.row.side) * 4;
        let slots = (BYTES_PER_PART / bytes).next_power_of_two() / 2;
        slots.clamp(self.slots_per_group(), SLOTS_PER_PART)
    }
}

/// The stripes of a table and the arena they have their rows from; `None` if the system has no such memory.
pub(super) fn stripes(options: &TableOptions) -> Option<(Arc<Arena<Flags>>, Vec<Stripe>)> {
    let (shape, per_stripe) = (Shape::new(options), rows_per_stripe(options.rows));
    let firsts = || (0..options.rows).step_by(per_stripe as usize);
    let rows = |first| per_stripe.min(options.rows - first);
    let chunks = firsts().map(|first| shape.places(rows(first)).div_ceil(ROWS_PER_CHUNK)).sum();
    let (arena, shares) = Arena::new(shape.row, chunks, firsts().count())?;
    let stripes =
        firsts().zip(shares).map(|(first, share)| Stripe::new(options, first, rows(first) as usize, share));
    let stripes = stripes.collect::<Option<_>>()?;
    Some((arena, stripes))
}

impl Stripe {
    fn new(options: &TableOptions, first: u64, rows: usize, share: Share<Flags>) -> Option<Self> {
        let shape = Shape::new(options);
        let words = rows.div_ceil(1 << shape.block).div_ceil(BLOCKS_PER_GROUP * 64);
        Some(Self {
            first: first as u32,
            rows,
            shape,
            init: options.init,
            seed: options.seed,
            groups: bytemuck::allocation::try_zeroed_slice_box(words).ok()?,
            share,
            chunks: Vec::new(),
            free: 0,
            aside: (0..rows.div_ceil(shape.slots_per_part())).map(|_| Aside::default()).collect(),
        })
    }

    /// The slot's number in this stripe.
    #[inline(always)]
    fn offset(&self, slot: Slot) -> Option<usize> {
        let offset = slot.0.wrapping_sub(self.first) as usize;
        (offset < self.rows).then_some(offset)
    }

    /// The place of a row, which gets one if it has none.
    #[inline(always)]
    pub(super) fn settle(&mut self, index: &Index, slot: Slot) -> Option<Place> {
        match index.find(slot) {
            Some(place) => Some(place),
            None => self.settle_block(index, slot),
        }
    }

    /// Gives a row without a place one.
    #[cold]
    #[inline(never)]
    pub(super) fn settle_block(&mut self, index: &Index, slot: Slot) -> Option<Place> {
        let shape = self.shape;
        let block = self.offset(slot)? >> shape.block;
        let first = self.next_block()?;
        let group = block / BLOCKS_PER_GROUP;
        self.groups[group / 64] |= bit(group);
        if self.init != Init::Zeros {
            for i in 0..1 << shape.block {
                let slot = Slot(self.first + ((block << shape.block) as u32 | i));
                self.init.fill(self.seed, slot, self.share.row_mut(first + i).0);
            }
        }
        index.set(slot, Place::new(first));
        index.find(slot)
    }

    /// The place of the first row of a block not used yet.
    fn next_block(&mut self) -> Option<u32> {
        if self.free.is_multiple_of(ROWS_PER_CHUNK as u32) {
            self.free = self.share.take_chunk()?;
            self.chunks.push(self.free);
        }
        let first = self.free;
        self.free += 1 << self.shape.block;
        Some(first)
    }

    /// Starts fetching the row into the cache.
    #[inline]
    pub(super) fn prefetch(&self, place: Place) {
        for line in self.row(place).iter().step_by(LINE) {
            prefetch(line);
        }
    }

    /// The place of a row without one, to be read: `None` if it holds zeros. Random initial values are made once and
    /// kept, though nothing counts as touched.
    #[cold]
    pub(super) fn place_fresh(&mut self, index: &Index, slot: Slot) -> Option<Place> {
        if self.init == Init::Zeros { None } else { self.settle_block(index, slot) }
    }

    /// The row `[width]` at `place`.
    #[inline]
    pub(super) fn row(&self, place: Place) -> &[f32] {
        self.share.row(place.number())
    }

    /// The side column `[side]` at `place`.
    #[inline]
    pub(super) fn side(&self, place: Place) -> &[f32] {
        self.share.side(place.number())
    }

    /// Row `[width]` and side column `[side]` at `place`.
    #[inline]
    pub(super) fn row_mut(&mut self, place: Place) -> (&mut [f32], &mut [f32]) {
        self.share.row_mut(place.number())
    }

    /// What it has of the table's arena.
    #[inline]
    pub(super) fn share_mut(&mut self) -> &mut Share<Flags> {
        &mut self.share
    }

    /// Notes that a row is about to change. Returns whether its old value was copied aside.
    #[inline(always)]
    pub(super) fn mark(&mut self, place: Place, slot: Slot) -> bool {
        let Some(flags) = self.share.flags_mut(place.number()) else { return false };
        if flags.dirty & !flags.pending & place.bit() != 0 {
            return false; // then it is touched as well
        }
        flags.touched |= place.bit();
        flags.dirty |= place.bit();
        if flags.pending & place.bit() == 0 {
            return false;
        }
        flags.pending &= !place.bit();
        self.copy_aside(place, slot);
        true
    }

    #[cold]
    fn copy_aside(&mut self, place: Place, slot: Slot) {
        let part = self.offset(slot).unwrap_or_default() / self.shape.slots_per_part();
        if let Some(aside) = self.aside.get_mut(part) {
            aside.push(slot, self.share.row(place.number()), self.share.side(place.number()));
        }
    }

    /// What was copied aside of a part.
    pub(super) fn take_aside(&mut self, part: usize) -> Aside {
        self.aside.get_mut(part).map(std::mem::take).unwrap_or_default()
    }

    /// Overwrites a row with stored values and marks it touched, not dirty.
    pub(super) fn restore(&mut self, index: &Index, slot: Slot, row: &[f32], side: &[f32]) -> bool {
        if row.len() != self.shape.row.width || side.len() != self.shape.row.side {
            return false;
        }
        let Some(_) = self.offset(slot) else { return false };
        let Some(place) = self.settle(index, slot) else { return false };
        let (own_row, own_side) = self.row_mut(place);
        own_row.copy_from_slice(row);
        own_side.copy_from_slice(side);
        if let Some(flags) = self.share.flags_mut(place.number()) {
            flags.touched |= place.bit();
        }
        true
    }

    pub(super) fn touched(&self) -> u64 {
        let flags = self.chunks.iter().filter_map(|&chunk| self.share.flags(chunk));
        flags.map(|flags| u64::from(flags.touched.count_ones())).sum()
    }

    /// Calls `change` with the flags of all rows that have a place.
    fn for_all_flags(&mut self, mut change: impl FnMut(&mut Flags)) {
        for &chunk in &self.chunks {
            if let Some(flags) = self.share.flags_mut(chunk) {
                change(flags);
            }
        }
    }

    /// The flags of the chunk of `place`.
    fn flags(&self, place: Place) -> Flags {
        self.share.flags(place.number()).copied().unwrap_or_default()
    }

    /// Slot and place of all rows of `groups` that have a place, in ascending order of slots.
    fn settled(&self, index: &Index, groups: Range<usize>) -> impl Iterator<Item = (Slot, Place)> {
        let per_group = self.shape.slots_per_group();
        let used = |group: &usize| self.groups.get(group / 64).is_some_and(|word| word & bit(*group) != 0);
        let slots = groups.filter(used).flat_map(move |group| {
            let start = group * per_group;
            start..(start + per_group).min(self.rows)
        });
        slots.filter_map(|offset| {
            let slot = Slot(self.first + offset as u32);
            index.find(slot).map(|place| (slot, place))
        })
    }

    pub(super) fn for_each_touched(&self, index: &Index, visit: &mut impl FnMut(Slot, &[f32])) {
        for (slot, place) in self.settled(index, 0..self.groups()) {
            if self.flags(place).touched & place.bit() != 0 {
                visit(slot, self.row(place));
            }
        }
    }

    /// Calls `visit` with `most` touched rows at most, from the group that `turn` chooses on, around to it again.
    pub(super) fn sample_touched(
        &self,
        index: &Index,
        turn: usize,
        most: usize,
        visit: &mut impl FnMut(&[f32]),
    ) {
        let first = turn % self.groups().max(1);
        let rows = self.settled(index, first..self.groups()).chain(self.settled(index, 0..first));
        let touched = rows.filter(|(_, place)| self.flags(*place).touched & place.bit() != 0);
        touched.take(most).for_each(|(_, place)| visit(self.row(place)));
    }

    /// Makes the dirty rows pending; returns how many.
    pub(super) fn begin_cut(&mut self) -> u64 {
        let mut rows = 0;
        self.for_all_flags(|flags| {
            flags.pending = flags.dirty;
            (flags.dirty, flags.taken) = (0, 0);
            rows += u64::from(flags.pending.count_ones());
        });
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
        for (slot, place) in self.settled(index, groups) {
            if self.flags(place).pending & place.bit() != 0 {
                out.slots.push(slot.0);
                // Neighbours by slot lie anywhere: one after the other each would miss the caches.
                self.row(place).first().into_iter().chain(self.side(place).first()).for_each(prefetch);
            }
        }
        for &slot in &out.slots[from..] {
            let Some(place) = index.find(Slot(slot)) else { continue };
            out.rows.extend_from_slice(self.row(place));
            out.sides.extend_from_slice(self.side(place));
            if let Some(flags) = self.share.flags_mut(place.number()) {
                flags.pending &= !place.bit();
                flags.taken |= place.bit();
            }
        }
    }

    /// Undoes a cut: rows that are still pending or were taken are dirty again. Rows copied aside changed since, so they
    /// are dirty already; returns how many are held.
    pub(super) fn abandon_cut(&mut self) -> usize {
        self.for_all_flags(|flags| {
            flags.dirty |= std::mem::take(&mut flags.pending) | std::mem::take(&mut flags.taken);
        });
        self.aside.iter_mut().map(|aside| std::mem::take(aside).len()).sum()
    }
}

#[inline(always)]
fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

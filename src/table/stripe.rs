//! One stripe: a contiguous range of rows with their flags, owned by whoever holds its lock.
//!
//! Four bits a row, 64 rows to a group so that they share a cache line: *filled* (memory holds values, not just
//! zeros from the system), *touched* (ever changed), *dirty* (changed since the last cut), *pending* (the cut in
//! progress still needs this value).

use super::{Init, TableError, TableOptions};
use crate::batch::Slot;
use crate::kernel::prefetch;
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

pub(super) const ROWS_PER_WORD: usize = 64;

/// Floats in a cache line.
const LINE: usize = 16;
const LINE_BYTES: usize = 64;

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Flags {
    filled: u64,
    touched: u64,
    dirty: u64,
    pending: u64,
}

#[derive(Debug)]
pub(super) struct Stripe {
    first: u32,
    rows: usize,
    width: usize,
    stride: usize,
    side: usize,
    init: Init,
    seed: u64,
    floats: Box<[f32]>,
    /// Where the first row starts: at a cache line, so that no row crosses one it need not. An allocation of that
    /// alignment would be zeroed by hand, all of it, at once.
    base: usize,
    sides: Box<[f32]>,
    flags: Box<[Flags]>,
    pub(super) aside: Aside,
}

/// Old values of rows that changed while a cut still needed them; `[n]` slots, `[n, width]` rows, `[n, side]` sides.
#[derive(Debug, Default)]
pub(super) struct Aside {
    pub(super) slots: Vec<u32>,
    pub(super) rows: Vec<f32>,
    pub(super) sides: Vec<f32>,
}

/// Floats from one row to the next: a power of two up to a line, whole lines beyond.
fn stride_of(width: usize) -> usize {
    if width <= LINE { width.next_power_of_two() } else { width.next_multiple_of(LINE) }
}

impl Stripe {
    pub(super) fn new(options: &TableOptions, first: u64, rows: usize) -> Result<Self, TableError> {
        let stride = stride_of(options.width);
        let bytes = options.rows * stride as u64 * 4;
        let memory = |_| TableError::Memory { bytes };
        let groups = rows.div_ceil(ROWS_PER_WORD);
        let floats: Box<[f32]> =
            bytemuck::allocation::try_zeroed_slice_box(rows * stride + LINE).map_err(memory)?;
        let base = floats.as_ptr().align_offset(LINE_BYTES).min(LINE);
        Ok(Self {
            first: first as u32,
            rows,
            width: options.width,
            stride,
            side: options.side,
            init: options.init,
            seed: options.seed,
            floats,
            base,
            sides: bytemuck::allocation::try_zeroed_slice_box(rows * options.side).map_err(memory)?,
            flags: bytemuck::allocation::try_zeroed_slice_box(groups).map_err(memory)?,
            aside: Aside::default(),
        })
    }

    #[inline]
    fn index(&self, slot: Slot) -> Option<usize> {
        let index = slot.0.wrapping_sub(self.first) as usize;
        (index < self.rows).then_some(index)
    }

    /// Where row `index` lies.
    #[inline]
    fn place(&self, index: usize) -> Range<usize> {
        let start = self.base + index * self.stride;
        start..start + self.width
    }

    /// Starts fetching the row and its flags into the cache.
    #[inline]
    pub(super) fn prefetch(&self, slot: Slot) {
        let Some(index) = self.index(slot) else { return };
        if let Some(flags) = self.flags.get(index / ROWS_PER_WORD) {
            prefetch(flags);
        }
        for line in self.floats[self.place(index)].iter().step_by(LINE) {
            prefetch(line);
        }
    }

    /// All rows, one every stride.
    pub(super) fn rows(&self) -> &[f32] {
        &self.floats[self.base..]
    }

    /// All rows, one every stride, to be changed.
    pub(super) fn rows_mut(&mut self) -> &mut [f32] {
        &mut self.floats[self.base..]
    }

    /// Width and stride of a row.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.width, self.stride)
    }

    /// The row `[width]`, initial values if it was never touched.
    #[inline]
    pub(super) fn row(&mut self, slot: Slot) -> &[f32] {
        let Some(index) = self.index(slot) else { return outside() };
        self.fill(index);
        &self.floats[self.place(index)]
    }

    /// The row's side column `[side]`.
    #[inline]
    pub(super) fn side(&self, slot: Slot) -> &[f32] {
        let Some(index) = self.index(slot) else { return outside() };
        &self.sides[index * self.side..(index + 1) * self.side]
    }

    /// The row `[width]` and its side column `[side]`, to be changed. Returns whether an old value was copied aside.
    #[inline]
    pub(super) fn row_mut(&mut self, slot: Slot) -> (&mut [f32], &mut [f32], bool) {
        let Some(index) = self.index(slot) else {
            debug_assert!(false, "slot {slot:?} is not in this stripe");
            return (&mut [], &mut [], false);
        };
        self.fill(index);
        let saved = self.mark(index);
        let place = self.place(index);
        let sides = &mut self.sides[index * self.side..(index + 1) * self.side];
        (&mut self.floats[place], sides, saved)
    }

    #[inline]
    fn fill(&mut self, index: usize) {
        if self.init != Init::Zeros && self.flags[index / ROWS_PER_WORD].filled & bit(index) == 0 {
            self.fill_first(index);
        }
    }

    #[cold]
    fn fill_first(&mut self, index: usize) {
        self.flags[index / ROWS_PER_WORD].filled |= bit(index);
        let slot = Slot(self.first + index as u32);
        let place = self.place(index);
        self.init.fill(self.seed, slot, &mut self.floats[place]);
    }

    /// Notes that a row is about to change.
    #[inline]
    fn mark(&mut self, index: usize) -> bool {
        let flags = &mut self.flags[index / ROWS_PER_WORD];
        flags.touched |= bit(index);
        flags.dirty |= bit(index);
        if flags.pending & bit(index) == 0 {
            return false;
        }
        flags.pending &= !bit(index);
        self.copy_aside(index);
        true
    }

    #[cold]
    fn copy_aside(&mut self, index: usize) {
        let place = self.place(index);
        self.aside.slots.push(self.first + index as u32);
        self.aside.rows.extend_from_slice(&self.floats[place]);
        self.aside.sides.extend_from_slice(&self.sides[index * self.side..(index + 1) * self.side]);
    }

    /// Overwrites a row with stored values and marks it touched, not dirty.
    pub(super) fn restore(&mut self, slot: Slot, row: &[f32], side: &[f32]) -> bool {
        let Some(index) = self.index(slot) else { return false };
        if row.len() != self.width || side.len() != self.side {
            return false;
        }
        let place = self.place(index);
        self.floats[place].copy_from_slice(row);
        self.sides[index * self.side..(index + 1) * self.side].copy_from_slice(side);
        let flags = &mut self.flags[index / ROWS_PER_WORD];
        flags.filled |= bit(index);
        flags.touched |= bit(index);
        true
    }

    pub(super) fn touched(&self) -> u64 {
        self.flags.iter().map(|flags| u64::from(flags.touched.count_ones())).sum()
    }

    pub(super) fn for_each_touched(&self, visit: &mut impl FnMut(Slot, &[f32])) {
        for (group, flags) in self.flags.iter().enumerate() {
            for index in bits(flags.touched, group) {
                let row = &self.floats[self.place(index)];
                visit(Slot(self.first + index as u32), row);
            }
        }
    }

    /// Makes the dirty rows pending; returns how many. With `again`, rows an abandoned cut left pending stay so.
    pub(super) fn begin_cut(&mut self) -> u64 {
        let mut rows = 0;
        for flags in &mut self.flags {
            flags.pending = flags.dirty;
            flags.dirty = 0;
            rows += u64::from(flags.pending.count_ones());
        }
        rows
    }

    /// Number of 64-row groups.
    pub(super) fn groups(&self) -> usize {
        self.flags.len()
    }

    /// Appends the pending rows of `groups` to `slots`, `rows` and `sides`; they are pending no longer.
    pub(super) fn take_pending(&mut self, groups: Range<usize>, out: &mut Aside) {
        for group in groups {
            let Some(flags) = self.flags.get_mut(group) else { break };
            let pending = std::mem::take(&mut flags.pending);
            for index in bits(pending, group) {
                let row = &self.floats[self.place(index)];
                out.slots.push(self.first + index as u32);
                out.rows.extend_from_slice(row);
                out.sides.extend_from_slice(&self.sides[index * self.side..(index + 1) * self.side]);
            }
        }
    }

    /// Undoes a cut: rows that are still pending are dirty again. Rows copied aside changed since, so they are
    /// dirty already. `lost` rows were taken but never stored.
    pub(super) fn abandon_cut(&mut self) {
        for flags in &mut self.flags {
            flags.dirty |= std::mem::take(&mut flags.pending);
        }
        self.aside = Aside::default();
    }

    /// Marks a row dirty without changing it.
    pub(super) fn mark_dirty(&mut self, slot: Slot) {
        if let Some(index) = self.index(slot) {
            self.flags[index / ROWS_PER_WORD].dirty |= bit(index);
        }
    }
}

#[inline]
fn bit(index: usize) -> u64 {
    1 << (index % ROWS_PER_WORD)
}

fn bits(mut word: u64, group: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(group * ROWS_PER_WORD + bit)
    })
}

#[cold]
fn outside() -> &'static [f32] {
    debug_assert!(false, "slot outside the stripe");
    &[]
}

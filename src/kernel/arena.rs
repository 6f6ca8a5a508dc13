//! One memory for the rows of many owners: it fills from the front whoever takes of it.
//!
//! Rows, their side columns and their flags are shared out in *chunks* of [`ROWS_PER_CHUNK`]. An owner is a [`Share`]: it takes
//! a chunk when its last one is full, and is the only way to what its chunks hold. So the rows in use lie side by side, which
//! large pages need: an owner with memory of its own would leave each of them all but empty. A row's *place* is its number
//! in the arena, so that finding it takes a multiplication, and no look at who owns it where all shares are held.
//!
//! *Why this is sound.* A chunk's owner is written once, as the chunk is taken, with a number that only one share has, and
//! shares cannot be copied. Whoever reaches into a chunk has compared its owner with a share that is borrowed for as long as what
//! is returned: shared for reading, exclusively for writing. Where all shares are borrowed, no chunk can be taken meanwhile.
//! A share that reads the owner of a chunk just being taken by another sees nobody or the other, never itself.

use super::memory::Zeroed;
use super::rows::prefetch_at;
use bytemuck::Zeroable;
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Rows that one owner takes at a time, and that share their flags.
pub(crate) const ROWS_PER_CHUNK: usize = 64;

/// Most shares of an arena: a set of them is one word.
pub(crate) const MOST_SHARES: usize = 64;

/// Bytes of rows from which on an arena asks for pages of 2 MiB. The page that is not full yet and the chunks that are not, one an
/// owner, are little beside so much; a smaller arena is served well by the processor's address buffers as it is.
const LARGE: usize = 16 << 20;

/// Lengths within a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowShape {
    pub(crate) width: usize,
    /// Floats from one row to the next, `width` at least.
    pub(crate) stride: usize,
    pub(crate) side: usize,
}

/// See the [module](self). `F` are the flags of a chunk.
pub(crate) struct Arena<F> {
    shape: RowShape,
    shares: usize,
    /// Of each chunk, 1 + the number of its owner; 0: it has none.
    owners: Zeroed<AtomicU8>,
    /// Chunks taken.
    taken: AtomicU32,
    /// `[chunks, ROWS_PER_CHUNK, stride]`
    floats: Zeroed<UnsafeCell<f32>>,
    /// `[chunks, ROWS_PER_CHUNK, side]`
    sides: Zeroed<UnsafeCell<f32>>,
    /// `[chunks]`
    flags: Zeroed<UnsafeCell<F>>,
}

// SAFETY: the cells are reached through shares only, each by the one share that owns its chunk; a share is borrowed exclusively
// for writing. So threads that share an arena do not share cells, but for reading.
unsafe impl<F: Send + Sync> Sync for Arena<F> {}

impl<F> std::fmt::Debug for Arena<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// What one owner has of an arena. It cannot be copied.
#[derive(Debug)]
pub(crate) struct Share<F> {
    arena: Arc<Arena<F>>,
    number: u8,
}

impl<F: Zeroable> Arena<F> {
    /// An arena of `chunks` chunks and all its shares; `None` if the system has no such memory or there are too many shares.
    pub(crate) fn new(shape: RowShape, chunks: usize, shares: usize) -> Option<(Arc<Self>, Vec<Share<F>>)> {
        let rows = chunks.checked_mul(ROWS_PER_CHUNK).filter(|&rows| rows < u32::MAX as usize)?;
        let floats = rows.checked_mul(shape.stride).filter(|_| shape.stride >= shape.width)?;
        if shares > MOST_SHARES {
            return None;
        }
        let large = floats >= LARGE / size_of::<f32>();
        let arena = Arc::new(Self {
            shape,
            shares,
            owners: Zeroed::new(chunks)?,
            taken: AtomicU32::new(0),
            floats: if large { Zeroed::in_large_pages(floats)? } else { Zeroed::new(floats)? },
            sides: Zeroed::new(rows.checked_mul(shape.side)?)?,
            flags: Zeroed::new(chunks)?,
        });
        let shares = (0..shares as u8).map(|number| Share { arena: Arc::clone(&arena), number }).collect();
        Some((arena, shares))
    }
}

impl<F> Arena<F> {
    /// The rows of `held`, shares of this arena, for as long as they are borrowed; others are left out.
    pub(crate) fn hold<'a>(&'a self, held: impl Iterator<Item = &'a mut Share<F>>) -> HeldRows<'a> {
        let ours = held.filter(|share| std::ptr::eq(&raw const *share.arena, self));
        let owners = ours.fold(0_u64, |owners, share| owners | 1 << share.number);
        let all = owners.count_ones() as usize == self.shares;
        HeldRows {
            floats: UnsafeCell::raw_get(self.floats.as_ptr()),
            sides: UnsafeCell::raw_get(self.sides.as_ptr()),
            rows: (self.owners.len() * ROWS_PER_CHUNK) as u32,
            shape: self.shape,
            mask: owners,
            owners: (!all).then_some(&*self.owners),
            life: PhantomData,
        }
    }
}

impl<F> Share<F> {
    /// Takes another chunk: the place of its first row. `None` if all are taken.
    pub(crate) fn take_chunk(&mut self) -> Option<u32> {
        let Arena { taken, owners, .. } = &*self.arena;
        let next = |chunk: u32| ((chunk as usize) < owners.len()).then_some(chunk + 1);
        let chunk = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        owners.get(chunk as usize)?.store(self.number + 1, Ordering::Relaxed);
        Some(chunk * ROWS_PER_CHUNK as u32)
    }

    #[inline(always)]
    fn owns(&self, place: u32) -> bool {
        let owner = self.arena.owners.get(place as usize / ROWS_PER_CHUNK);
        owner.is_some_and(|owner| owner.load(Ordering::Relaxed) == self.number + 1)
    }

    #[inline(always)]
    fn row_at(&self, place: u32) -> *mut f32 {
        let cells = self.arena.floats.as_ptr().wrapping_add(place as usize * self.arena.shape.stride);
        UnsafeCell::raw_get(cells)
    }

    #[inline(always)]
    fn side_at(&self, place: u32) -> *mut f32 {
        let cells = self.arena.sides.as_ptr().wrapping_add(place as usize * self.arena.shape.side);
        UnsafeCell::raw_get(cells)
    }

    #[inline(always)]
    fn flags_at(&self, place: u32) -> *mut F {
        UnsafeCell::raw_get(self.arena.flags.as_ptr().wrapping_add(place as usize / ROWS_PER_CHUNK))
    }

    /// The row `[width]` at `place`; empty if it is another's.
    #[inline(always)]
    pub(crate) fn row(&self, place: u32) -> &[f32] {
        if !self.owns(place) {
            return &[];
        }
        // SAFETY: the place is in a chunk of this share, so the arena has its `stride` floats, `width` at least, and nobody
        // writes them while the share is borrowed.
        unsafe { std::slice::from_raw_parts(self.row_at(place), self.arena.shape.width) }
    }

    /// The side column `[side]` at `place`; empty if it is another's.
    #[inline(always)]
    pub(crate) fn side(&self, place: u32) -> &[f32] {
        if !self.owns(place) {
            return &[];
        }
        // SAFETY: as for the row.
        unsafe { std::slice::from_raw_parts(self.side_at(place), self.arena.shape.side) }
    }

    /// The row `[width]` and the side column `[side]` at `place`; empty if they are another's.
    #[inline(always)]
    pub(crate) fn row_mut(&mut self, place: u32) -> (&mut [f32], &mut [f32]) {
        if !self.owns(place) {
            return (&mut [], &mut []);
        }
        let RowShape { width, side, .. } = self.arena.shape;
        // SAFETY: the place is in a chunk of this share, so the arena has these floats, and nobody else reaches them while
        // the share is borrowed exclusively.
        unsafe {
            let row = std::slice::from_raw_parts_mut(self.row_at(place), width);
            (row, std::slice::from_raw_parts_mut(self.side_at(place), side))
        }
    }

    /// The flags of the chunk with `place`; `None` if it is another's.
    #[inline(always)]
    pub(crate) fn flags(&self, place: u32) -> Option<&F> {
        // SAFETY: the chunk is this share's, so it has flags, and nobody writes them while the share is borrowed.
        self.owns(place).then(|| unsafe { &*self.flags_at(place) })
    }

    /// The flags of the chunk with `place`, to be changed; `None` if it is another's.
    #[inline(always)]
    pub(crate) fn flags_mut(&mut self, place: u32) -> Option<&mut F> {
        // SAFETY: the chunk is this share's, so it has flags, and nobody else reaches them while the share is borrowed
        // exclusively.
        self.owns(place).then(|| unsafe { &mut *self.flags_at(place) })
    }
}

/// The rows of some shares, or rows of one's own, by place.
#[derive(Debug)]
pub(crate) struct HeldRows<'a> {
    floats: *mut f32,
    sides: *mut f32,
    /// Places there are.
    rows: u32,
    shape: RowShape,
    /// The shares that are held.
    mask: u64,
    /// Whose the chunks are; `None`: the holder's, all of them.
    owners: Option<&'a [AtomicU8]>,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for an exclusive borrow of floats, which may go to another thread and be read by several.
unsafe impl Send for HeldRows<'_> {}
// SAFETY: as above; what writes borrows it exclusively.
unsafe impl Sync for HeldRows<'_> {}

impl<'a> HeldRows<'a> {
    /// Rows `[n, width]` and side columns `[n, side]` of the caller's own: the i-th is at place i.
    pub(crate) fn own(rows: &'a mut [f32], width: usize, sides: &'a mut [f32], side: usize) -> Self {
        let most = sides.len().checked_div(side).unwrap_or(usize::MAX);
        let count = (rows.len() / width.max(1)).min(most).min(u32::MAX as usize);
        Self {
            floats: rows.as_mut_ptr(),
            sides: sides.as_mut_ptr(),
            rows: count as u32,
            shape: RowShape { width, stride: width, side },
            mask: 0,
            owners: None,
            life: PhantomData,
        }
    }

    /// Whether there is such a row, and it is held.
    #[inline(always)]
    fn has(&self, place: u32) -> bool {
        let held = |owners: &[AtomicU8]| {
            let owner =
                owners.get(place as usize / ROWS_PER_CHUNK).map_or(0, |owner| owner.load(Ordering::Relaxed));
            owner != 0 && self.mask >> (owner - 1) & 1 != 0
        };
        place < self.rows && self.owners.is_none_or(held)
    }

    #[inline(always)]
    fn row_at(&self, place: u32) -> *mut f32 {
        self.floats.wrapping_add(place as usize * self.shape.stride)
    }

    #[inline(always)]
    fn side_at(&self, place: u32) -> *mut f32 {
        self.sides.wrapping_add(place as usize * self.shape.side)
    }

    /// The row `[width]` at `place`, if it is held.
    #[inline(always)]
    pub(crate) fn row(&self, place: u32) -> Option<&[f32]> {
        // SAFETY: the place is held, so it has its `stride` floats, `width` at least; whoever writes them borrows `self`
        // exclusively.
        self.has(place).then(|| unsafe { std::slice::from_raw_parts(self.row_at(place), self.shape.width) })
    }

    /// The row `[width]` at `place`, if it is held, to be changed.
    #[inline(always)]
    pub(crate) fn row_mut(&mut self, place: u32) -> Option<&mut [f32]> {
        // SAFETY: as above, and `self` is borrowed exclusively.
        self.has(place)
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.row_at(place), self.shape.width) })
    }

    /// The side column `[side]` at `place`, if it is held.
    #[inline(always)]
    pub(crate) fn side(&self, place: u32) -> Option<&[f32]> {
        // SAFETY: as for the row.
        self.has(place).then(|| unsafe { std::slice::from_raw_parts(self.side_at(place), self.shape.side) })
    }

    /// The side column `[side]` at `place`, if it is held, to be changed.
    #[inline(always)]
    pub(crate) fn side_mut(&mut self, place: u32) -> Option<&mut [f32]> {
        // SAFETY: as for the row.
        self.has(place)
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.side_at(place), self.shape.side) })
    }

    /// Several rows, or one several times, to be changed together by this thread.
    pub(crate) fn cells(&mut self) -> HeldCells<'_> {
        let Self { floats, sides, rows, shape, mask, owners, life } = *self;
        HeldCells { held: HeldRows { floats, sides, rows, shape, mask, owners, life }, cells: PhantomData }
    }

    /// Starts fetching the row at `place`, if there is one, whoever holds it.
    #[inline(always)]
    pub(crate) fn prefetch(&self, place: u32) {
        if place >= self.rows {
            return;
        }
        let row = self.row_at(place);
        for line in 0..self.shape.width.div_ceil(16) {
            prefetch_at(row.wrapping_add(16 * line).cast_const());
        }
    }
}

/// Held rows as cells.
#[derive(Debug)]
pub(crate) struct HeldCells<'a> {
    held: HeldRows<'a>,
    /// For one thread.
    cells: PhantomData<&'a Cell<f32>>,
}

impl<'a> HeldCells<'a> {
    /// The row `[width]` at `place`, if it is held.
    #[inline(always)]
    pub(crate) fn row(&self, place: u32) -> Option<&'a [Cell<f32>]> {
        let (row, width) = (self.held.row_at(place).cast::<Cell<f32>>(), self.held.shape.width);
        // SAFETY: the place is held, so it has these floats, borrowed exclusively for 'a by `HeldRows::cells`, and nothing but
        // cells is made of that borrow.
        self.held.has(place).then(|| unsafe { std::slice::from_raw_parts(row.cast_const(), width) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: RowShape = RowShape { width: 3, stride: 4, side: 2 };

    fn arena(chunks: usize, shares: usize) -> (Arc<Arena<u64>>, Vec<Share<u64>>) {
        Arena::new(SHAPE, chunks, shares).expect("memory")
    }

    #[test]
    fn chunks_are_taken_from_the_front_and_have_one_owner() {
        let (_, mut shares) = arena(3, 2);
        let places = [0, 1, 0, 1].map(|share: usize| shares[share].take_chunk());
        assert_eq!(places, [Some(0), Some(64), Some(128), None]);
        for place in [0, 63, 128, 191] {
            shares[0].row_mut(place).0.fill(place as f32);
            assert_eq!((shares[1].row(place), shares[1].side(place)), (&[][..], &[][..]));
            let (row, side) = shares[1].row_mut(place);
            assert!(row.is_empty() && side.is_empty());
            assert!(shares[1].flags(place).is_none() && shares[1].flags_mut(place).is_none());
        }
        assert_eq!((shares[0].row(63), shares[0].row(128)), (&[63.0; 3][..], &[128.0; 3][..]));
        assert_eq!((shares[0].row(192), shares[1].row(u32::MAX)), (&[][..], &[][..]));
        if let Some(flags) = shares[0].flags_mut(130) {
            *flags = 7;
        }
        assert_eq!((shares[0].flags(191), shares[0].flags(0)), (Some(&7), Some(&0)));
    }

    #[test]
    fn held_rows_are_those_of_the_shares_held() {
        let (arena, mut shares) = arena(4, 3);
        for (number, share) in shares.iter_mut().enumerate() {
            let place = share.take_chunk().expect("a chunk");
            share.row_mut(place).1.fill(number as f32);
        }
        let mut some = arena.hold(shares.iter_mut().step_by(2));
        assert_eq!(
            [0, 64, 128, 192, 256].map(|place| some.row(place).is_some()),
            [true, false, true, false, false]
        );
        assert!(some.row_mut(64).is_none() && some.side(64).is_none() && some.side_mut(64).is_none());
        assert!(some.cells().row(64).is_none() && some.cells().row(128).is_some());
        assert_eq!(some.side(128), Some(&[2.0; 2][..]));
        let mut all = arena.hold(shares.iter_mut());
        all.row_mut(64).expect("held").fill(5.0);
        all.cells().row(64).expect("held")[1].set(6.0);
        assert_eq!((all.row(64), all.row(256)), (Some(&[5.0, 6.0, 5.0][..]), None));
        let (_other, mut others) = Arena::<u64>::new(SHAPE, 4, 3).expect("memory");
        assert!(arena.hold(others.iter_mut()).row(0).is_none(), "shares of another arena");
    }

    #[test]
    fn rows_of_ones_own_are_those_that_both_slices_hold() {
        let (mut rows, mut sides) = ([1.0; 9], [2.0; 4]);
        let mut own = HeldRows::own(&mut rows, 3, &mut sides, 2);
        own.side_mut(1).expect("two rows").fill(3.0);
        assert_eq!([0, 1, 2].map(|place| own.row(place).is_some()), [true, true, false]);
        assert_eq!((own.side(0), own.side(2)), (Some(&[2.0; 2][..]), None));
        assert!(HeldRows::own(&mut rows, 3, &mut [], 0).row(2).is_some());
    }

    #[test]
    fn owners_in_several_threads_take_and_change_only_their_own() {
        let (arena, mut shares) = arena(64, 4);
        std::thread::scope(|scope| {
            for (number, share) in shares.iter_mut().enumerate() {
                scope.spawn(move || {
                    for _ in 0..16 {
                        let first = share.take_chunk().unwrap_or(u32::MAX);
                        (first..first + 64).for_each(|place| share.row_mut(place).0.fill(number as f32));
                    }
                });
            }
        });
        let mut counts = [0; 4];
        let all = arena.hold(shares.iter_mut());
        (0..64 * 64).for_each(|place| counts[all.row(place).map_or(0.0, |row| row[2]) as usize] += 1);
        assert_eq!(counts, [16 * 64; 4]);
        assert!(Arena::<u64>::new(SHAPE, 4, 65).is_none());
    }
}

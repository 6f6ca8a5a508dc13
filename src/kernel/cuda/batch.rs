//! A batch of features on a device, and the order of its slots.
//!
//! Its memory is used again by the next batch that is filled in. Whoever keeps two of them and fills one while kernels run on the
//! other has hashing, the building of rows and the copy beside the kernels: the copy leaves from memory that the device reads by
//! itself, on a stream of its own.

use super::error::expect;
use super::machine::{Arg, Kernel, Machine};
use super::{CudaError, launch, program};
use std::sync::Arc;

/// Memory of a device that is filled from the process again and again.
#[derive(Debug)]
struct Sent<M: Machine> {
    staging: M::Staging,
    memory: M::Memory,
    room: usize,
}

impl<M: Machine> Sent<M> {
    fn new(machine: &M, room: usize) -> Result<Self, CudaError> {
        Ok(Self { staging: machine.staging(room)?, memory: machine.zeroed(room)?, room })
    }

    /// Sends `count` words.
    fn fill(
        &mut self,
        machine: &M,
        count: usize,
        words: impl Iterator<Item = [u8; 4]>,
    ) -> Result<(), CudaError> {
        let bytes = 4 * count;
        if bytes > self.room {
            *self = Self::new(machine, bytes.next_power_of_two())?;
        }
        let (places, _) = machine.write(&mut self.staging)?.as_chunks_mut::<4>();
        places.iter_mut().zip(words).for_each(|(place, word)| *place = word);
        machine.send(&mut self.staging, bytes, &mut self.memory)
    }
}

/// Features of consecutive records on a device, as in compressed sparse rows.
#[derive(Debug)]
pub struct DeviceBatch<M: Machine> {
    machine: Arc<M>,
    offsets: Sent<M>,
    slots: Sent<M>,
    values: Sent<M>,
    order: Order<M>,
    records: u32,
    features: u32,
    above: u64,
}

/// The uses of rows by slot, and the record of each feature.
#[derive(Debug)]
struct Order<M: Machine> {
    /// Features there is room for.
    room: u32,
    /// By feature.
    records_of: M::Memory,
    /// Records and values in the order of uses.
    records: M::Memory,
    values: M::Memory,
    /// Slots and features in the order of uses, and the same while they are sorted.
    front: (M::Memory, M::Memory),
    back: (M::Memory, M::Memory),
    counts: M::Memory,
    totals: M::Memory,
    sorted: bool,
}

impl<M: Machine> Order<M> {
    fn new(machine: &M, room: u32) -> Result<Self, CudaError> {
        let words = |count: u64| machine.zeroed(4 * count as usize);
        let features = || words(u64::from(room));
        Ok(Self {
            room,
            records_of: features()?,
            records: features()?,
            values: features()?,
            front: (features()?, features()?),
            back: (features()?, features()?),
            counts: words(256 * u64::from(launch::tiles(room)))?,
            totals: words(256)?,
            sorted: false,
        })
    }
}

/// The uses of rows for a kernel, by slot and those of one slot in the order of the batch: `[uses]`, each with its record and value.
#[derive(Debug)]
pub(super) struct Uses<'b, M: Machine> {
    pub(super) slots: &'b M::Memory,
    pub(super) records: &'b M::Memory,
    pub(super) values: &'b M::Memory,
}

impl<M: Machine> DeviceBatch<M> {
    /// A batch without records.
    ///
    /// # Errors
    /// No room.
    pub fn new(machine: Arc<M>) -> Result<Self, CudaError> {
        let sent = || Sent::new(&*machine, 1 << 12);
        let (offsets, slots, values) = (sent()?, sent()?, sent()?);
        let order = Order::new(&*machine, 1 << 10)?;
        Ok(Self { machine, offsets, slots, values, order, records: 0, features: 0, above: 0 })
    }

    /// Replaces the records: record r has the features `offsets[r] .. offsets[r + 1]`, counted from `offsets[0]`, each with its slot
    /// and its value.
    ///
    /// # Errors
    /// Offsets that descend or do not end at the number of slots and values; 2^32 − 1 features or more; no room.
    pub fn fill(&mut self, offsets: &[usize], slots: &[u32], values: &[f32]) -> Result<(), CudaError> {
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
            return Err(CudaError::Shape { what: "offsets", expected: 1, got: 0 });
        };
        if !offsets.is_sorted() {
            return Err(CudaError::Shape {
                what: "offsets that ascend",
                expected: last as u64,
                got: first as u64,
            });
        }
        expect("slots", last - first, slots.len())?;
        expect("values", last - first, values.len())?;
        let count = |what, count: usize| match u32::try_from(count) {
            Ok(count) if count < u32::MAX => Ok(count),
            _ => Err(CudaError::Shape { what, expected: u64::from(u32::MAX - 1), got: count as u64 }),
        };
        let (records, features) =
            (count("records, at most", offsets.len() - 1)?, count("features, at most", slots.len())?);
        // Until all of it is there the batch has no records.
        (self.records, self.features, self.order.sorted) = (0, 0, false);
        let machine = &*self.machine;
        let places = offsets.iter().map(|&offset| ((offset - first) as u32).to_ne_bytes());
        self.offsets.fill(machine, offsets.len(), places)?;
        self.slots.fill(machine, slots.len(), slots.iter().map(|slot| slot.to_ne_bytes()))?;
        self.values.fill(machine, values.len(), values.iter().map(|value| value.to_ne_bytes()))?;
        if features > self.order.room {
            self.order = Order::new(machine, features.checked_next_power_of_two().unwrap_or(features))?;
        }
        self.above = slots.iter().max().map_or(0, |&slot| u64::from(slot) + 1);
        (self.records, self.features) = (records, features);
        self.find_records()
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.records as usize
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.features as usize
    }

    /// Where it is.
    pub(super) fn machine(&self) -> &Arc<M> {
        &self.machine
    }

    /// The arguments with which kernels that sum begin, after the table, if all slots are below `rows`.
    pub(super) fn rows(&self, rows: u64) -> Result<[&M::Memory; 3], CudaError> {
        self.check(rows)?;
        Ok([&self.offsets.memory, &self.slots.memory, &self.values.memory])
    }

    /// Refuses slots from `rows` on.
    fn check(&self, rows: u64) -> Result<(), CudaError> {
        if self.above <= rows {
            return Ok(());
        }
        Err(CudaError::Slot { slot: self.above.saturating_sub(1) as u32, rows })
    }

    /// The uses in the order of slots, if they are below `rows`. Sorts them, once.
    pub(super) fn ordered(&mut self, rows: u64) -> Result<Uses<'_, M>, CudaError> {
        self.check(rows)?;
        if !self.order.sorted && self.features > 0 {
            for shift in launch::passes(self.above) {
                self.pass(shift)?;
            }
            self.order_uses()?;
            self.order.sorted = true;
        }
        let Order { front: (slots, _), records, values, .. } = &self.order;
        Ok(Uses { slots, records, values })
    }

    fn find_records(&mut self) -> Result<(), CudaError> {
        if self.features == 0 {
            return Ok(());
        }
        let blocks = launch::blocks_over(u64::from(self.features));
        let mut args = [
            Arg::Read(&self.offsets.memory),
            Arg::Write(&mut self.order.records_of),
            Arg::U32(self.records),
            Arg::U32(self.features),
        ];
        // SAFETY: offsets `[records + 1]` ascend from 0 to `features`; there is room for a record a feature.
        unsafe { self.machine.launch(Kernel::plain(program::RECORDS_OF, 1), blocks, &mut args) }
    }

    /// Brings records and values into the order that the passes have found.
    fn order_uses(&mut self) -> Result<(), CudaError> {
        let Self { machine, values, order, features, .. } = self;
        let blocks = launch::blocks_over(u64::from(*features));
        let mut args = [
            Arg::Read(&order.front.1),
            Arg::Read(&order.records_of),
            Arg::Read(&values.memory),
            Arg::Write(&mut order.records),
            Arg::Write(&mut order.values),
            Arg::U32(*features),
        ];
        // SAFETY: the passes have left each feature's number once.
        unsafe { machine.launch(Kernel::plain(program::ORDER_USES, 1), blocks, &mut args) }
    }

    /// Sorts by 8 bits of the slot, from bit `shift` on.
    fn pass(&mut self, shift: u32) -> Result<(), CudaError> {
        let Self { machine, slots, order, features, .. } = self;
        let (n, tiles) = (Arg::U32(*features), launch::tiles(*features));
        let first = shift == 0;
        let keys = if first { &slots.memory } else { &order.front.0 };
        let kernel = |name| Kernel::plain(name, 1);
        let mut args = [Arg::Read(keys), Arg::Write(&mut order.counts), n, Arg::U32(shift), Arg::U32(tiles)];
        // SAFETY: `features` keys, and 256 counts a tile.
        unsafe { machine.launch(kernel(program::SORT_COUNT), tiles, &mut args)? };
        let mut args = [Arg::Write(&mut order.counts), Arg::Write(&mut order.totals), Arg::U32(tiles)];
        // SAFETY: as above; 256 totals.
        unsafe { machine.launch(kernel(program::SORT_SCAN), if tiles == 1 { 1 } else { 256 }, &mut args)? };
        let mut args = [
            Arg::Read(keys),
            Arg::Read(&order.front.1),
            Arg::Write(&mut order.back.0),
            Arg::Write(&mut order.back.1),
            Arg::Read(&order.counts),
            Arg::Read(&order.totals),
            Arg::U32(*features),
            Arg::U32(shift),
            Arg::U32(tiles),
            Arg::U32(u32::from(first)),
        ];
        // SAFETY: counts and totals are those of the same keys and shift, so each key has a place of its own below `features`.
        unsafe { machine.launch(kernel(program::SORT_MOVE), tiles, &mut args)? };
        std::mem::swap(&mut order.front, &mut order.back);
        Ok(())
    }
}

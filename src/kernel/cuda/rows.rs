//! Rows on a device: `[rows, floats · dim]`, all of them, initial values included.
//!
//! What the CPU's table does lazily is done at once here: a device writes gigabytes in milliseconds. What is computed, and in which
//! order, is what `kernel` and `optim` compute on the CPU, bit for bit.

use super::batch::DeviceBatch;
use super::error::expect;
use super::launch::{Groups, blocks_over};
use super::machine::{Arg, Kernel, Machine};
use super::sums::Sums;
use super::{CudaError, DeviceVectors, program};
use bytemuck::{cast_slice, cast_slice_mut};
use std::sync::Arc;

/// Rows that are copied together.
pub(crate) const ROWS_A_COPY: usize = 1 << 14;

/// Shape of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsShape {
    /// How many, 1 to 2^31 + 1.
    pub rows: u64,
    /// Length of a vector, 1 to [`MAX_DIM`](super::MAX_DIM).
    pub dim: usize,
    /// Floats that are stored for each weight, 1 or 2.
    pub floats: usize,
}

impl RowsShape {
    fn width(self) -> usize {
        self.floats * self.dim
    }
}

/// Initial values N(`mean`, `scale`²) of a row's first `dim` floats, a function of (`seed`, slot); the rest is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    /// What they are about.
    pub mean: f32,
    /// Their standard deviation.
    pub scale: f32,
    /// The table's seed.
    pub seed: u64,
}

/// Constants of FTRL-proximal (McMahan et al. 2013).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FtrlConstants {
    /// α, the step size.
    pub alpha: f64,
    /// β.
    pub beta: f64,
    /// L1 regularization.
    pub l1: f64,
    /// L2 regularization.
    pub l2: f64,
}

impl FtrlConstants {
    pub(super) fn args<'a, M>(self) -> [Arg<'a, M>; 4] {
        [Arg::F64(self.alpha), Arg::F64(self.beta), Arg::F64(self.l1), Arg::F64(self.l2)]
    }
}

/// What the weights of a row are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weights {
    /// Its first floats.
    First,
    /// Derived from z and n.
    Ftrl(FtrlConstants),
}

/// Rows on a device. See the [module](super).
#[derive(Debug)]
pub struct DeviceRows<M: Machine> {
    pub(super) machine: Arc<M>,
    pub(super) shape: RowsShape,
    pub(super) groups: Groups,
    pub(super) table: M::Memory,
    /// A byte a row: whether it was ever moved or replaced.
    pub(super) touched: M::Memory,
    /// Steps dropped, one u64.
    pub(super) dropped: M::Memory,
    pub(super) sums: Sums<M>,
}

impl<M: Machine> DeviceRows<M> {
    /// Rows with initial values; zeros without `normal`.
    ///
    /// # Errors
    /// A shape out of range; no room.
    pub fn new(machine: Arc<M>, shape: RowsShape, normal: Option<Normal>) -> Result<Self, CudaError> {
        let RowsShape { rows, dim, floats } = shape;
        let groups = Groups::of(dim)?;
        if rows == 0 || rows > (1 << 31) + 1 {
            return Err(CudaError::Rows { rows });
        }
        if !(1..=2).contains(&floats) {
            return Err(CudaError::Shape { what: "floats of a weight", expected: 2, got: floats as u64 });
        }
        let mut table = machine.zeroed(rows as usize * shape.width() * 4)?;
        let touched = machine.zeroed(rows as usize)?;
        let dropped = machine.zeroed(8)?;
        if let Some(Normal { mean, scale, seed }) = normal {
            let mut args = [
                Arg::Write(&mut table),
                Arg::U64(rows),
                Arg::U32(shape.width() as u32),
                Arg::U32(dim as u32),
                Arg::F32(mean),
                Arg::F32(scale),
                Arg::U64(seed),
            ];
            let (kernel, blocks) =
                (Kernel::plain(program::FILL_NORMAL, groups.vectors), blocks_over(rows * dim as u64));
            // SAFETY: the table has `rows` rows of `width` floats, and `width` is at least `dim`.
            unsafe { machine.launch(kernel, blocks, &mut args)? };
        }
        Ok(Self { machine, shape, groups, table, touched, dropped, sums: Sums::default() })
    }

    /// Their shape.
    pub fn shape(&self) -> RowsShape {
        self.shape
    }

    /// Where they are.
    pub fn machine(&self) -> &Arc<M> {
        &self.machine
    }

    /// Writes the sums of `batch` over `out` `[records, dim]`: Σ value · weights of the row, in the order of a record's features,
    /// zeros for a record without any.
    ///
    /// # Errors
    /// Slots beyond the rows, memory of another device, another dim, weights of another number of floats; the device failed.
    pub fn gather(
        &self,
        batch: &DeviceBatch<M>,
        weights: Weights,
        out: &mut DeviceVectors<M>,
    ) -> Result<(), CudaError> {
        let RowsShape { rows, dim, floats } = self.shape;
        self.expect_here(batch, out)?;
        expect("dim of vectors", dim, out.dim())?;
        let [offsets, slots, values] = batch.rows(rows)?;
        out.resize(batch.records())?;
        let (name, constants) = match weights {
            Weights::First => (program::GATHER, Vec::new()),
            Weights::Ftrl(constants) => {
                expect("floats of a weight", 2, floats)?;
                (program::GATHER_FTRL, constants.args().into())
            }
        };
        let (records, Groups { group, vectors }) = (batch.records() as u32, self.groups);
        if records == 0 {
            return Ok(());
        }
        let mut args = vec![
            Arg::Read(&self.table),
            Arg::Read(offsets),
            Arg::Read(slots),
            Arg::Read(values),
            Arg::Write(&mut out.memory),
            Arg::U32(records),
            Arg::U32(dim as u32),
            Arg::U32(self.shape.width() as u32),
            Arg::U32(group),
        ];
        args.extend(constants);
        // SAFETY: the batch's slots are below `rows` and its offsets within its features; `out` has room for `records` vectors;
        // FTRL's rows have two floats a weight.
        unsafe { self.machine.launch(Kernel::varying(name, vectors), self.groups.blocks(records), &mut args) }
    }

    /// Refuses memory of another machine.
    pub(super) fn expect_here(
        &self,
        batch: &DeviceBatch<M>,
        vectors: &DeviceVectors<M>,
    ) -> Result<(), CudaError> {
        let here = |other| Arc::ptr_eq(&self.machine, other);
        if here(batch.machine()) && here(vectors.machine()) { Ok(()) } else { Err(CudaError::Elsewhere) }
    }

    /// How many steps were dropped since the rows were made. Waits for the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn dropped(&self) -> Result<u64, CudaError> {
        let mut count = [0];
        self.machine.download(&self.dropped, 0, cast_slice_mut(&mut count))?;
        Ok(count[0])
    }

    /// The slots of rows that were ever moved or replaced, or have been since [`DeviceRows::forget_touched`], ascending. Waits for
    /// the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn touched(&self) -> Result<Vec<u32>, CudaError> {
        let mut bytes = vec![0; self.shape.rows as usize];
        self.machine.download(&self.touched, 0, &mut bytes)?;
        Ok(bytes.iter().zip(0..).filter(|(byte, _)| **byte != 0).map(|(_, slot)| slot).collect())
    }

    /// Copies the [touched](DeviceRows::touched) rows, some thousands at a time: calls `take` with their slots, which ascend, and the rows
    /// `[slots, floats · dim]`. Waits for the device.
    ///
    /// # Errors
    /// Those of `take`; no room; the device failed.
    pub fn take_touched<E: From<CudaError>>(
        &self,
        mut take: impl FnMut(&[u32], &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.touched()?.chunks(ROWS_A_COPY).try_for_each(|slots| take(slots, &self.rows(slots)?))
    }

    /// Begins to notice anew which rows are moved or replaced: those of before are no longer [touched](DeviceRows::touched).
    ///
    /// # Errors
    /// No room for a byte a row more; the device failed.
    pub fn forget_touched(&mut self) -> Result<(), CudaError> {
        self.touched = self.machine.zeroed(self.shape.rows as usize)?;
        Ok(())
    }

    /// The rows of `slots`, `[slots, floats · dim]`. Waits for the device.
    ///
    /// # Errors
    /// A slot beyond the rows; no room; the device failed.
    pub fn rows(&self, slots: &[u32]) -> Result<Vec<f32>, CudaError> {
        let (width, count) = (self.shape.width(), self.count(slots)?);
        let mut rows = vec![0.0; slots.len() * width];
        if slots.is_empty() {
            return Ok(rows);
        }
        let mut out = self.machine.zeroed(rows.len() * 4)?;
        let named = self.upload(cast_slice(slots))?;
        let mut args = [
            Arg::Read(&self.table),
            Arg::Read(&named),
            Arg::Write(&mut out),
            Arg::U32(count),
            Arg::U32(width as u32),
        ];
        let kernel = Kernel::plain(program::TAKE_ROWS, self.groups.vectors);
        // SAFETY: `count` slots below the table's rows, and room for as many rows.
        unsafe { self.machine.launch(kernel, blocks_over(rows.len() as u64), &mut args)? };
        self.machine.download(&out, 0, cast_slice_mut(&mut rows))?;
        Ok(rows)
    }

    /// Replaces the rows of `slots`, each named once, by `rows` `[slots, floats · dim]`.
    ///
    /// # Errors
    /// A slot beyond the rows; another number of floats; no room; the device failed.
    pub fn set_rows(&mut self, slots: &[u32], rows: &[f32]) -> Result<(), CudaError> {
        let (width, count) = (self.shape.width(), self.count(slots)?);
        expect("floats of rows", slots.len() * width, rows.len())?;
        if slots.is_empty() {
            return Ok(());
        }
        let (named, from) = (self.upload(cast_slice(slots))?, self.upload(cast_slice(rows))?);
        let mut args = [
            Arg::Write(&mut self.table),
            Arg::Write(&mut self.touched),
            Arg::Read(&named),
            Arg::Read(&from),
            Arg::U32(count),
            Arg::U32(width as u32),
        ];
        let kernel = Kernel::plain(program::PUT_ROWS, self.groups.vectors);
        // SAFETY: `count` slots below the table's rows, and a row for each.
        unsafe { self.machine.launch(kernel, blocks_over(rows.len() as u64), &mut args) }
    }

    fn upload(&self, bytes: &[u8]) -> Result<M::Memory, CudaError> {
        let mut memory = self.machine.zeroed(bytes.len())?;
        self.machine.upload(bytes, &mut memory, 0)?;
        Ok(memory)
    }

    /// The number of `slots`, all below the rows.
    fn count(&self, slots: &[u32]) -> Result<u32, CudaError> {
        let rows = self.shape.rows;
        match slots.iter().find(|slot| u64::from(**slot) >= rows) {
            Some(&slot) => Err(CudaError::Slot { slot, rows }),
            None => u32::try_from(slots.len()).map_err(|_| CudaError::Rows { rows: slots.len() as u64 }),
        }
    }
}

//! The self-tuning rows on a device: eight learners of a weight side by side, `w[8] n[8]`.
//!
//! A record's sums are those of `optim::Lanes`, bit for bit, and so is what becomes of a row. The batch is where it differs: a
//! stream is predicted and learned record by record, a batch is summed as a whole before any of it is learned.

use super::batch::{DeviceBatch, Uses};
use super::error::expect;
use super::launch::Groups;
use super::machine::{Arg, Kernel, Machine};
use super::rows::{DeviceRows, RowsShape};
use super::{CudaError, DeviceVectors, program};
use crate::kernel::LANES;
use std::sync::Arc;

/// Floats of a record's sums: the lanes' scores, their variances, the screened score.
pub const LANE_SUMS: usize = 2 * LANES + 1;

/// Floats of a record's step: gradient, 1 / curvature and innovation of each lane.
pub const LANE_STEPS: usize = 3 * LANES;

/// A group of eight threads for each row or record.
const EIGHT: Groups = Groups { group: LANES as u32, vectors: 1 };

/// Self-tuning rows on a device, zeros when fresh.
#[derive(Debug)]
pub struct DeviceLanes<M: Machine> {
    rows: DeviceRows<M>,
}

impl<M: Machine> DeviceLanes<M> {
    /// `rows` rows, none of which has learned anything.
    ///
    /// # Errors
    /// A number out of range; no room.
    pub fn new(machine: Arc<M>, rows: u64) -> Result<Self, CudaError> {
        let shape = RowsShape { rows, dim: LANES, floats: 2 };
        Ok(Self { rows: DeviceRows::new(machine, shape, None)? })
    }

    /// The rows, to be read and replaced.
    pub fn rows(&mut self) -> &mut DeviceRows<M> {
        &mut self.rows
    }

    /// Writes the sums of `batch` over `out` `[records, 17]`: the fields of [`LaneSums`](crate::optim::LaneSums) in their order.
    ///
    /// # Errors
    /// Slots beyond the rows, memory of another device, another dim; the device failed.
    pub fn gather(&self, batch: &DeviceBatch<M>, out: &mut DeviceVectors<M>) -> Result<(), CudaError> {
        self.rows.expect_here(batch, out)?;
        expect("floats of sums", LANE_SUMS, out.dim())?;
        let [offsets, slots, values] = batch.rows(self.rows.shape().rows)?;
        out.resize(batch.records())?;
        let records = batch.records() as u32;
        if records == 0 {
            return Ok(());
        }
        let mut args = [
            Arg::Read(&self.rows.table),
            Arg::Read(offsets),
            Arg::Read(slots),
            Arg::Read(values),
            Arg::Write(&mut out.memory),
            Arg::U32(records),
        ];
        let kernel = Kernel::plain(program::LANES_GATHER, EIGHT.vectors);
        // SAFETY: slots are below the rows, which have 16 floats; `out` has room for 17 floats a record.
        unsafe { self.rows.machine.launch(kernel, EIGHT.blocks(records), &mut args) }
    }

    /// Moves the rows of `batch`, given `steps` `[records, 24]`: the fields of [`LaneStep`](crate::optim::LaneStep) in their order.
    ///
    /// # Errors
    /// Slots beyond the rows, memory of another device, another shape of `steps`; the device failed.
    pub fn step(&mut self, batch: &mut DeviceBatch<M>, steps: &DeviceVectors<M>) -> Result<(), CudaError> {
        self.rows.expect_here(batch, steps)?;
        expect("floats of steps", LANE_STEPS, steps.dim())?;
        expect("steps", batch.records(), steps.records())?;
        let n = batch.features() as u32;
        let Uses { slots, records, values } = batch.ordered(self.rows.shape().rows)?;
        if n == 0 {
            return Ok(());
        }
        let DeviceRows { machine, table, touched, .. } = &mut self.rows;
        let mut args = [
            Arg::Write(table),
            Arg::Write(touched),
            Arg::Read(slots),
            Arg::Read(records),
            Arg::Read(values),
            Arg::Read(&steps.memory),
            Arg::U32(n),
        ];
        let kernel = Kernel::plain(program::LANES_MOVE, EIGHT.vectors);
        // SAFETY: there are `n` uses, slots below the rows, records below those of `steps`.
        unsafe { machine.launch(kernel, EIGHT.blocks(n), &mut args) }
    }
}

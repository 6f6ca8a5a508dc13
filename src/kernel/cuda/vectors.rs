//! Matrices on a device: sums of records, and gradients of them.

use super::CudaError;
use super::error::expect;
use super::machine::Machine;
use bytemuck::{cast_slice, cast_slice_mut};
use std::sync::Arc;

/// `[records, dim]` floats on a device. Its memory is used again.
#[derive(Debug)]
pub struct DeviceVectors<M: Machine> {
    pub(super) machine: Arc<M>,
    pub(super) memory: M::Memory,
    room: usize,
    pub(super) records: usize,
    pub(super) dim: usize,
}

impl<M: Machine> DeviceVectors<M> {
    /// No vectors, of `dim` floats each.
    ///
    /// # Errors
    /// No room.
    pub fn new(machine: Arc<M>, dim: usize) -> Result<Self, CudaError> {
        let memory = machine.zeroed(16)?;
        Ok(Self { machine, memory, room: 4, records: 0, dim })
    }

    /// Number of vectors.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Floats of each.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Where they are.
    pub(super) fn machine(&self) -> &Arc<M> {
        &self.machine
    }

    /// Makes room for `records` vectors; what they hold is not defined.
    ///
    /// # Errors
    /// No room.
    pub fn resize(&mut self, records: usize) -> Result<(), CudaError> {
        let floats = records.saturating_mul(self.dim);
        if floats > self.room {
            let room = floats.checked_next_power_of_two().unwrap_or(floats);
            self.memory = self.machine.zeroed(room.saturating_mul(4))?;
            self.room = room;
        }
        self.records = records;
        Ok(())
    }

    /// Replaces the vectors by `floats` `[records, dim]`.
    ///
    /// # Errors
    /// No whole number of vectors; no room.
    pub fn set(&mut self, floats: &[f32]) -> Result<(), CudaError> {
        let records = self.records_of(floats.len())?;
        self.resize(records)?;
        self.machine.upload(cast_slice(floats), &mut self.memory, 0)
    }

    /// As how many vectors so many floats are.
    pub(super) fn records_of(&self, floats: usize) -> Result<usize, CudaError> {
        let records = floats / self.dim.max(1);
        expect("floats of vectors", records * self.dim, floats)?;
        Ok(records)
    }

    /// Writes the vectors over `floats` `[records, dim]`.
    ///
    /// # Errors
    /// Another length; the device failed.
    pub fn get(&self, floats: &mut [f32]) -> Result<(), CudaError> {
        expect("floats of vectors", self.records * self.dim, floats.len())?;
        self.machine.download(&self.memory, 0, cast_slice_mut(floats))
    }
}

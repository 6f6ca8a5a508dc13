//! An embedding whose rows are on a GPU.
//!
//! Hashing stays where it is: batches come from the [`FlexiHashEmbedding`] that the rows came from. Sums and steps are the same bits
//! as its own; a step that f32 cannot hold is where they part: here it is dropped for its row and counted, there it ends the pass.

use super::{EmbeddingError, FlexiHashEmbedding, expect_len, finite};
use crate::batch::{Batch, Slot};
use crate::kernel::cuda::{
    CudaError, Device, DeviceBatch, DeviceRows, DeviceVectors, Machine, Move, Normal, ROWS_A_COPY, RowsShape,
    Weights,
};
use crate::table::Table;
use bytemuck::cast_slice;
use std::sync::Arc;

/// The rows of a [`FlexiHashEmbedding`] on a device.
///
/// ```no_run
/// use flexihash::embedding::FlexiHashEmbedding;
/// use flexihash::kernel::cuda::Device;
/// use std::sync::Arc;
///
/// let embedding = FlexiHashEmbedding::new(Default::default())?; // 2^20 rows of 128
/// let device = Arc::new(Device::open(0)?);
/// let mut there = embedding.on_device(device)?;
/// let batch = embedding.batch([[("city", "Köln")]])?;
/// let vectors = there.embed(&batch)?; // [1, 128]
/// there.sgd_backward(&batch, &vectors, 0.1)?;
/// there.write_back(&embedding)?;
/// # Ok::<(), flexihash::embedding::EmbeddingError>(())
/// ```
#[derive(Debug)]
pub struct DeviceEmbedding<M: Machine = Device> {
    rows: DeviceRows<M>,
    batch: DeviceBatch<M>,
    vectors: DeviceVectors<M>,
}

impl FlexiHashEmbedding {
    /// A copy of the rows on `machine`, a [`Device`]: all of them, so that it must have room for `buckets × dim` floats.
    ///
    /// # Errors
    /// A dim above 1024; no room on the device; the device failed.
    pub fn on_device<M: Machine>(&self, machine: Arc<M>) -> Result<DeviceEmbedding<M>, EmbeddingError> {
        let dim = self.options.dim;
        let shape = RowsShape { rows: u64::from(self.options.hash.buckets), dim, floats: 1 };
        let normal = Normal { mean: 0.0, scale: 1.0, seed: self.options.seed };
        let mut rows = DeviceRows::new(machine.clone(), shape, Some(normal))?;
        set_learned(&mut rows, &self.table)?;
        let (batch, vectors) = (DeviceBatch::new(machine.clone())?, DeviceVectors::new(machine, dim)?);
        Ok(DeviceEmbedding { rows, batch, vectors })
    }
}

/// Replaces the rows that `table` has learned, of as many floats as those on the device.
pub(crate) fn set_learned<M: Machine>(rows: &mut DeviceRows<M>, table: &Table) -> Result<(), CudaError> {
    let (mut slots, mut floats, mut copied) = (Vec::new(), Vec::new(), Ok(()));
    table.for_each_touched(|slot, row| {
        slots.push(slot.0);
        floats.extend_from_slice(row);
        if slots.len() == ROWS_A_COPY {
            if copied.is_ok() {
                copied = rows.set_rows(&slots, &floats);
            }
            slots.clear();
            floats.clear();
        }
    });
    copied?;
    rows.set_rows(&slots, &floats)
}

impl<M: Machine> DeviceEmbedding<M> {
    /// The vectors of `batch`, `[rows, dim]`, as [`FlexiHashEmbedding::embed`]. Waits for the device.
    ///
    /// # Errors
    /// Slots of another table; a sum beyond the range of f32; the device failed.
    pub fn embed(&mut self, batch: &Batch) -> Result<Vec<f32>, EmbeddingError> {
        let dim = self.rows.shape().dim;
        self.fill(batch)?;
        self.rows.gather(&self.batch, Weights::First, &mut self.vectors)?;
        let mut vectors = vec![0.0; batch.len() * dim];
        self.vectors.get(&mut vectors)?;
        finite("output", &vectors, dim)?;
        Ok(vectors)
    }

    /// One step of plain SGD in one pass, as [`FlexiHashEmbedding::sgd_backward`]: row ← row − `rate` × value × upstream row, feature by
    /// feature in the order of the batch. A feature whose row would not stay finite is left out; returns how many were. Waits
    /// for the device.
    ///
    /// # Errors
    /// `upstream` of another shape; a rate that is not finite; slots of another table; the device failed.
    pub fn sgd_backward(
        &mut self,
        batch: &Batch,
        upstream: &[f32],
        rate: f32,
    ) -> Result<u64, EmbeddingError> {
        if !rate.is_finite() {
            return Err(EmbeddingError::LearningRate { got: rate });
        }
        expect_len("upstream gradient", batch.len() * self.rows.shape().dim, upstream.len())?;
        self.fill(batch)?;
        self.vectors.set(upstream)?;
        let before = self.rows.dropped()?;
        self.rows.step(&mut self.batch, Move::Add { rate: -rate }, &self.vectors)?;
        Ok(self.rows.dropped()? - before)
    }

    /// Replaces the rows of `embedding` by those that were changed here: its steps, and what `embedding` had learned when it was
    /// brought here.
    ///
    /// # Errors
    /// An embedding of another shape; the device failed.
    pub fn write_back(&self, embedding: &FlexiHashEmbedding) -> Result<(), EmbeddingError> {
        let RowsShape { rows, dim, .. } = self.rows.shape();
        let expect = |what, expected, got| match expected == got {
            true => Ok(()),
            false => Err(CudaError::Shape { what, expected, got }),
        };
        expect("rows of the embedding", rows, u64::from(embedding.options.hash.buckets))?;
        expect("its dim", dim as u64, embedding.options.dim as u64)?;
        self.rows.take_touched(|slots, rows| {
            let mut rows = slots.iter().zip(rows.chunks_exact(dim));
            rows.try_for_each(|(&slot, row)| embedding.set_row(Slot(slot), row))
        })
    }

    /// The rows, for whoever keeps batches, vectors and gradients on the device too.
    pub fn rows(&mut self) -> &mut DeviceRows<M> {
        &mut self.rows
    }

    fn fill(&mut self, batch: &Batch) -> Result<(), EmbeddingError> {
        Ok(self.batch.fill(batch.offsets(), cast_slice(batch.slots()), batch.values())?)
    }
}

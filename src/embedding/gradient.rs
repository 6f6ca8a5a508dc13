//! The way back: gradients of the vectors to gradients of the rows that made them, and a step.

use super::{EmbeddingError, FlexiHashEmbedding, add_scaled, expect_len, finite, row_mut};
use crate::batch::{Batch, Slot};

/// The gradient of a loss with regard to the table: only the rows that a batch used, each once.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseGradient {
    slots: Vec<Slot>,
    rows: Vec<f32>,
}

impl SparseGradient {
    /// The rows it has a gradient for, `[n]`: ascending, no duplicates.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Their gradients, `[n, dim]`.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Their gradients, `[n, dim]`, to be scaled or clipped.
    pub fn rows_mut(&mut self) -> &mut [f32] {
        &mut self.rows
    }
}

impl FlexiHashEmbedding {
    /// The gradient with regard to the table, given the loss' gradient `upstream` `[rows, dim]` with regard to the
    /// vectors of `batch`. A vector is Σ value × row, so a row's gradient is Σ value × upstream over the dicts that
    /// hold it, summed in their order. It does not depend on the weights.
    ///
    /// # Errors
    /// `upstream` of another shape or not finite; a sum beyond the range of f32; a batch of another hash, as far as
    /// its slots show it.
    pub fn gradient(&self, batch: &Batch, upstream: &[f32]) -> Result<SparseGradient, EmbeddingError> {
        let dim = self.options.dim;
        expect_len("upstream gradient", batch.len() * dim, upstream.len())?;
        finite("upstream gradient", upstream, dim)?;
        let entries = self.entries(batch)?;
        let used = || entries.chunk_by(|a, b| a.slot == b.slot);
        let slots = used().filter_map(|same| Some(same.first()?.slot)).collect::<Vec<_>>();
        let mut rows = vec![0.0; slots.len() * dim];
        for (index, same) in used().enumerate() {
            let sum = row_mut(&mut rows, index, dim);
            for entry in same {
                let above = upstream.get(entry.row * dim..(entry.row + 1) * dim);
                add_scaled(sum, above.unwrap_or_default(), entry.value);
            }
        }
        finite("table gradient", &rows, dim)?;
        Ok(SparseGradient { slots, rows })
    }

    /// One step of plain SGD: row ← row − `rate` × gradient, for the rows of `gradient`; the others are untouched. All
    /// or nothing: the rows' stripes are held together, and nothing is changed if any weight would leave the range
    /// of f32.
    ///
    /// # Errors
    /// A gradient of an embedding of another shape; a rate, gradient or new weight that is not finite.
    pub fn sgd_step(&self, gradient: &SparseGradient, rate: f32) -> Result<(), EmbeddingError> {
        let (dim, SparseGradient { slots, rows }) = (self.options.dim, gradient);
        if !rate.is_finite() {
            return Err(EmbeddingError::LearningRate { got: rate });
        }
        expect_len("table gradient", slots.len() * dim, rows.len())?;
        finite("table gradient", rows, dim)?;
        slots.iter().try_for_each(|&slot| self.check_slot(slot))?;
        let mut lease = self.lease(slots.iter().copied());
        for (&slot, slopes) in slots.iter().zip(rows.chunks_exact(dim)) {
            for (column, (&weight, &slope)) in lease.row(slot).iter().zip(slopes).enumerate() {
                let found = weight - rate * slope;
                if !found.is_finite() {
                    let (what, row) = ("weights after the step", slot.0 as usize);
                    return Err(EmbeddingError::NotFinite { what, row, column, found });
                }
            }
        }
        for (&slot, slopes) in slots.iter().zip(rows.chunks_exact(dim)) {
            add_scaled(lease.row_mut(slot).0, slopes, -rate);
        }
        Ok(())
    }
}

//! The way back: gradients of the vectors to gradients of the rows that made them, and a step.
//!
//! Two ways. [`FlexiHashEmbedding::gradient`] sums each row's gradient, to be looked at, scaled or clipped, and
//! [`FlexiHashEmbedding::sgd_step`] moves all rows or none. [`FlexiHashEmbedding::sgd_backward`] adds each feature's share to
//! its row at once, one after the other, as a sparse update of a deep-learning library does; it is several times faster,
//! because no row's gradient is ever stored, and what holds after an error is less.

use super::forward::{FLOATS_A_LEASE, Part};
use super::{EmbeddingError, FlexiHashEmbedding, add_scaled, expect_len, finite, row_mut};
use crate::batch::{Batch, Slot};
use crate::kernel::{Isa, Overflow, RowCells, scatter_add};

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

    /// One step of plain SGD in one pass: row ← row − `rate` × value × upstream row, feature by feature in the order of the
    /// batch, given the loss' gradient `upstream` `[rows, dim]` with regard to the vectors of `batch`. Where no row
    /// is used twice this is [`FlexiHashEmbedding::gradient`] and [`FlexiHashEmbedding::sgd_step`] bit for bit, as far as
    /// rounding (`rate` × value) × upstream instead of `rate` × (value × upstream) allows; a row that is used several times is
    /// rounded at each. The stripes of some thousand features are held together, not those of the whole batch.
    ///
    /// No weight is ever stored that is not finite. The first feature that would do so ends the step: the features
    /// before it are applied, it and those after it are not.
    ///
    /// # Errors
    /// `upstream` of another shape; a rate that is not finite; a batch of another hash, as far as its slots show it: nothing is
    /// changed. A new weight that is not finite, `upstream` itself included if a feature meets it: the row is the slot.
    pub fn sgd_backward(&self, batch: &Batch, upstream: &[f32], rate: f32) -> Result<(), EmbeddingError> {
        let dim = self.options.dim;
        if !rate.is_finite() {
            return Err(EmbeddingError::LearningRate { got: rate });
        }
        expect_len("upstream gradient", batch.len() * dim, upstream.len())?;
        self.check_slots(batch)?;
        let (mut rest, mut upstream) = (Part::of(batch), upstream);
        while rest.rows() > 0 {
            let (part, after) = rest.split(FLOATS_A_LEASE / dim);
            let (above, below) = upstream.split_at((part.rows() * dim).min(upstream.len()));
            self.move_rows(part, above, -rate)?;
            (rest, upstream) = (after, below);
        }
        Ok(())
    }

    /// Adds `rate` × value × the row of `above` to the rows of a part's features, under one lease.
    fn move_rows(&self, part: Part<'_>, above: &[f32], rate: f32) -> Result<(), EmbeddingError> {
        let used = part.used();
        let mut lease = self.lease(used.iter().copied());
        used.iter().for_each(|&slot| _ = lease.row_mut(slot));
        let view = lease.cells();
        let rows = RowCells::new(self.options.dim, used.iter().map(|&slot| view.row(slot)));
        debug_assert!(rows.is_some(), "the lease holds every row");
        let Some(rows) = rows else { return Ok(()) };
        let moved = scatter_add(Isa::best(), &rows, part.features(), rate, above);
        moved.map_err(|Overflow { feature, column, found }| {
            let row = used.get(feature).map_or(0, |slot| slot.0 as usize);
            EmbeddingError::NotFinite { what: "weights after the step", row, column, found }
        })
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

//! The way back: gradients of the vectors to gradients of the rows that made them, and a step.
//!
//! Two ways. [`FlexiHashEmbedding::gradient`] sums each row's gradient, to be looked at, scaled or clipped, and
//! [`FlexiHashEmbedding::sgd_step`] moves all rows or none. [`FlexiHashEmbedding::sgd_backward`] adds each feature's share to
//! its row at once, one after the other, as a sparse update of a deep-learning library does; it is several times faster,
//! because no row's gradient is ever stored, and what holds after an error is less.

use super::forward::{FLOATS_A_LEASE, Part};
use super::{EmbeddingError, FlexiHashEmbedding, expect_len, finite};
use crate::batch::{Batch, Slot};
use crate::kernel::{Features, Isa, Overflow, RowCells, RowList, add_scaled, gather_sum, scatter_add};
use crate::table::{Lease, Place, Rows};

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
        self.check_slots(batch)?;
        let uses = Uses::of(batch);
        let above = |&row: &u32| upstream.get(row as usize * dim..).unwrap_or_default();
        let list = RowList::new(dim, uses.rows.iter().map(above));
        debug_assert!(list.is_some(), "upstream has a row for each dict");
        let mut rows = vec![0.0; uses.slots.len() * dim];
        if let Some(list) = list {
            let features = Features { offsets: &uses.offsets, values: &uses.values };
            if !gather_sum(Isa::best(), &list, features, &mut rows) {
                finite("table gradient", &rows, dim)?;
            }
        }
        Ok(SparseGradient { slots: uses.slots, rows })
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
        let places: Vec<Place> = used.iter().map(|&slot| lease.place_mut(slot)).collect();
        let mut rows = lease.rows();
        let cells = rows.cells();
        let rows = RowCells::new(self.options.dim, places.iter().map(|&place| cells.row(place)));
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
        let places: Vec<Place> = slots.iter().map(|&slot| lease.place(slot)).collect();
        let moved = Isa::best().run(|| stay_finite(&lease.rows(), &places, rows, rate));
        if let Err(index) = moved {
            let slopes = rows.get(index * dim..).unwrap_or_default();
            return Err(overflow(&mut lease, slots[index], slopes, rate));
        }
        let places: Vec<Place> = slots.iter().map(|&slot| lease.place_mut(slot)).collect();
        Isa::best().run(|| add_all(&mut lease.rows(), &places, rows, -rate));
        Ok(())
    }
}

/// Rows to fetch ahead.
const AHEAD: usize = 8;

/// Whether all rows stay finite if they are moved by −`rate` × the rows of `slopes`; the first that does not.
#[inline(always)]
fn stay_finite(rows: &Rows<'_>, places: &[Place], slopes: &[f32], rate: f32) -> Result<(), usize> {
    let dim = slopes.len() / places.len().max(1);
    for (index, (&place, slopes)) in places.iter().zip(slopes.chunks_exact(dim.max(1))).enumerate() {
        if let Some(&next) = places.get(index + AHEAD) {
            rows.prefetch(next);
        }
        let moved = rows.row(place).iter().zip(slopes).map(|(weight, slope)| weight - rate * slope);
        if !moved.fold(true, |all, value| all & value.is_finite()) {
            return Err(index);
        }
    }
    Ok(())
}

/// Adds `rate` × the rows of `slopes` to the rows.
#[inline(always)]
fn add_all(rows: &mut Rows<'_>, places: &[Place], slopes: &[f32], rate: f32) {
    let dim = slopes.len() / places.len().max(1);
    for (index, (&place, slopes)) in places.iter().zip(slopes.chunks_exact(dim.max(1))).enumerate() {
        if let Some(&next) = places.get(index + AHEAD) {
            rows.prefetch(next);
        }
        add_scaled(rows.row_mut(place), rate, slopes);
    }
}

#[cold]
fn overflow(lease: &mut Lease<'_>, slot: Slot, slopes: &[f32], rate: f32) -> EmbeddingError {
    let moved = lease.row(slot).iter().zip(slopes).map(|(weight, slope)| weight - rate * slope);
    let (column, found) = moved.enumerate().find(|(_, value)| !value.is_finite()).unwrap_or((0, f32::NAN));
    EmbeddingError::NotFinite { what: "weights after the step", row: slot.0 as usize, column, found }
}

/// The features of a batch by slot: each slot once, ascending, and who uses it, in the order of the dicts.
struct Uses {
    slots: Vec<Slot>,
    /// Delimiters of each slot's uses, `[slots + 1]`.
    offsets: Vec<usize>,
    /// Of each use, the dict.
    rows: Vec<u32>,
    /// Of each use, the value.
    values: Vec<f32>,
}

impl Uses {
    fn of(batch: &Batch) -> Self {
        let dict = |row: usize| std::iter::repeat_n(row as u32, batch.row(row).len());
        let dicts: Vec<u32> = (0..batch.len()).flat_map(dict).collect();
        let key = |(feature, slot): (usize, &Slot)| u64::from(slot.0) << 32 | feature as u64;
        let mut keys: Vec<u64> = batch.slots().iter().enumerate().map(key).collect();
        keys.sort_unstable();
        let feature = |key: &u64| (*key as u32) as usize;
        let same = || keys.chunk_by(|a, b| a >> 32 == b >> 32);
        let ends = same().scan(0, |end, uses| {
            *end += uses.len();
            Some(*end)
        });
        Self {
            slots: same().filter_map(|uses| Some(Slot((uses.first()? >> 32) as u32))).collect(),
            offsets: std::iter::once(0).chain(ends).collect(),
            rows: keys.iter().map(|key| dicts.get(feature(key)).copied().unwrap_or(0)).collect(),
            values: keys.iter().map(|key| batch.values().get(feature(key)).copied().unwrap_or(0.0)).collect(),
        }
    }
}

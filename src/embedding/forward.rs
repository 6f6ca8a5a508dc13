//! The way forward: hashed dicts to vectors.

use super::{EmbeddingError, FlexiHashEmbedding, expect_len, finite};
use crate::batch::{Batch, Slot};
use crate::kernel::{Features, Isa, RowList, gather_sum};
use crate::table::{Place, Rows};

/// Floats of table rows that are summed under one lease, about: some ten microseconds.
pub(super) const FLOATS_A_LEASE: usize = 1 << 18;

impl FlexiHashEmbedding {
    /// The vectors of `batch`, `[rows, dim]`: row i is the sum of value × table row over the features of dict i, in
    /// ascending order of slots; zeros for a dict without features.
    ///
    /// # Errors
    /// A batch of another hash, as far as its slots show it; a sum beyond the range of f32.
    pub fn embed(&self, batch: &Batch) -> Result<Vec<f32>, EmbeddingError> {
        let mut vectors = vec![0.0; batch.len() * self.options.dim];
        self.embed_into(batch, 1, &mut vectors)?;
        Ok(vectors)
    }

    /// As [`FlexiHashEmbedding::embed`], written over `vectors` `[rows, dim]` by `threads` threads, each with its share of
    /// the features; the same bits for any number. A second thread pays from some thousand features on. Several threads
    /// hold the stripes of the whole batch until they are done, one holds those of a part.
    ///
    /// # Errors
    /// Those of [`FlexiHashEmbedding::embed`]; `vectors` of another shape. What `vectors` holds then is not defined.
    pub fn embed_into(
        &self,
        batch: &Batch,
        threads: usize,
        vectors: &mut [f32],
    ) -> Result<(), EmbeddingError> {
        let dim = self.options.dim;
        expect_len("vectors", batch.len() * dim, vectors.len())?;
        self.check_slots(batch)?;
        let limit = if threads > 1 { usize::MAX } else { FLOATS_A_LEASE / dim };
        let (mut rest, mut at) = (Part::of(batch), 0);
        while rest.rows() > 0 {
            let (part, after) = rest.split(limit);
            let end = at + part.rows() * dim;
            let found =
                vectors.get_mut(at..end).map_or(Ok(()), |vectors| self.gather(part, threads, vectors));
            found.map_err(|error| error.below(at / dim))?;
            (rest, at) = (after, end);
        }
        Ok(())
    }

    /// The vectors of `part`, under one lease. A row of an error counts from the part's first.
    fn gather(&self, part: Part<'_>, threads: usize, vectors: &mut [f32]) -> Result<(), EmbeddingError> {
        let dim = self.options.dim;
        let used = part.used();
        let mut lease = self.lease(used.iter().copied());
        let places: Vec<Place> = used.iter().map(|&slot| lease.place(slot)).collect();
        let finite_all = part.sum(&lease.rows(), &places, threads, vectors);
        if finite_all { Ok(()) } else { finite("output", vectors, dim) }
    }
}

/// Consecutive rows of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'b> {
    /// Delimiters of its rows, `[rows + 1]`, into all of `slots` and `values`.
    pub(super) offsets: &'b [usize],
    pub(super) slots: &'b [Slot],
    pub(super) values: &'b [f32],
}

impl<'b> Part<'b> {
    pub(super) fn of(batch: &'b Batch) -> Self {
        Self { offsets: batch.offsets(), slots: batch.slots(), values: batch.values() }
    }

    pub(super) fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The slots of its rows.
    pub(super) fn used(&self) -> &'b [Slot] {
        span(self.offsets, self.slots)
    }

    pub(super) fn features(&self) -> Features<'b> {
        Features { offsets: self.offsets, values: span(self.offsets, self.values) }
    }

    /// Cuts off its first rows: as many as have `features` features together, at least one.
    pub(super) fn split(self, features: usize) -> (Self, Self) {
        let limit = self.offsets.first().map_or(0, |start| start.saturating_add(features));
        let rows = self.offsets.partition_point(|&end| end <= limit).saturating_sub(1);
        let rows = rows.max(1).min(self.rows());
        let (first, rest) = (&self.offsets[..=rows], &self.offsets[rows..]);
        (Self { offsets: first, ..self }, Self { offsets: rest, ..self })
    }

    /// Sums its rows, whose features' places are `places`, over `vectors` `[rows, dim]`. False if a sum is not finite.
    fn sum(self, rows: &Rows<'_>, places: &[Place], threads: usize, vectors: &mut [f32]) -> bool {
        let dim = vectors.len() / self.rows().max(1);
        if threads > 1 && self.rows() > 1 {
            let (first, rest) = self.split(self.used().len() / threads);
            let (above, below) = vectors.split_at_mut((first.rows() * dim).min(vectors.len()));
            let (ours, theirs) = places.split_at(first.used().len().min(places.len()));
            return std::thread::scope(|scope| {
                let other = scope.spawn(move || rest.sum(rows, theirs, threads - 1, below));
                let finite = first.sum(rows, ours, 1, above);
                finite & other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
        }
        let list = RowList::new(dim, places.iter().map(|&place| rows.row(place)));
        debug_assert!(list.is_some(), "the lease holds every row");
        list.is_none_or(|list| gather_sum(Isa::best(), &list, self.features(), vectors))
    }
}

/// What of `all` the rows have that `offsets` delimit.
fn span<'b, T>(offsets: &[usize], all: &'b [T]) -> &'b [T] {
    let bounds = offsets.first().zip(offsets.last());
    bounds.and_then(|(&start, &end)| all.get(start..end)).unwrap_or_default()
}

//! Ids that are several table rows each, side by side.

use super::{FieldKind, NetworkError};

/// MultiHashEmbedding: a table `[hashes, vocab, dim]` in which an id has one row for each of its hashes. The rows are
/// stacked, not summed, so that a [reduction](super::UserReduce) can tell them apart (X's recommendation notebook; cf.
/// Tito Svenstrup, Hansen & Winther 2017, "Hash embeddings for efficient word representations").
///
/// The table itself is the learner's: this says which of its `hashes·vocab` rows an id has. Index 0 is that of padding, but
/// its rows are ordinary ones, looked up and trained like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiHashEmbedding {
    /// Hashes of an id.
    pub hashes: usize,
    /// Rows of each hash.
    pub vocab: u32,
    /// Floats of a row.
    pub dim: usize,
}

impl MultiHashEmbedding {
    /// Standard deviation of the rows' first values, N(0, 0.1²).
    pub const DEVIATION: f32 = 0.1;

    /// The field of ids that are looked up here.
    pub fn field(&self) -> FieldKind {
        FieldKind::Stacked { hashes: self.hashes, dim: self.dim }
    }

    /// The rows of ids, given their `indices` `[…, hashes]` below `vocab`, in the table seen as `[hashes·vocab, dim]`.
    ///
    /// # Errors
    /// An index that is not below `vocab`.
    pub fn rows(&self, indices: &[u32]) -> Result<Vec<usize>, NetworkError> {
        let row = |(hash, &index): (usize, &u32)| {
            if index < self.vocab {
                return Ok(hash * self.vocab as usize + index as usize);
            }
            Err(NetworkError::Category { name: format!("hash {hash}"), count: self.vocab, got: index })
        };
        indices.chunks(self.hashes.max(1)).flat_map(|id| id.iter().enumerate().map(row)).collect()
    }

    /// Which ids are there, given their `indices` `[…, hashes]`: those whose first is not 0.
    pub fn mask(&self, indices: &[u32]) -> Vec<bool> {
        indices.chunks(self.hashes.max(1)).map(|id| id.first() != Some(&0)).collect()
    }
}

//! Items in memory, and the walk over them.

use super::top::{Hit, TopN};
use crate::kernel::{DOT_LANES, DotBlock, Isa, dot_rows};

/// Vectors and biases of items `[items, dim]`, `[items]`, to be searched. Immutable while it is: share one among threads.
///
/// ```
/// use flexihash::retrieve::ItemVectors;
/// let mut items = ItemVectors::new(2)?;
/// items.push(&[1.0, 0.0], 0.0)?;
/// items.push(&[0.0, 1.0], 0.5)?;
/// items.push(&[1.0, 1.0], 0.0)?;
/// let best = items.best(&[2.0, 1.0], 2)?; // one query
/// assert_eq!(best[0].iter().map(|hit| (hit.index, hit.score)).collect::<Vec<_>>(), [(2, 3.0), (0, 2.0)]);
/// # Ok::<(), flexihash::retrieve::RetrieveError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ItemVectors {
    dim: usize,
    /// Rows padded with zeros to whole blocks: `[items, dim.div_ceil(16)]`.
    rows: Vec<DotBlock>,
    bias: Vec<f32>,
}

/// Vectors that cannot be searched, or searched with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RetrieveError {
    /// No dimension at all.
    #[error("dim: expected at least 1, got 0")]
    NoDim,
    /// A vector of another length; of queries, no whole number of vectors.
    #[error("{what}: expected {expected} floats each, got {got}")]
    Length {
        /// Item or queries.
        what: &'static str,
        /// The items' dim.
        expected: usize,
        /// Floats given.
        got: usize,
    },
    /// An infinity or NaN in a vector, or a bias.
    #[error("{what}: expected finite numbers, got {got}")]
    NotFinite {
        /// Item, bias or queries.
        what: &'static str,
        /// The first one.
        got: f32,
    },
    /// Finite vectors whose dot product is too large for f32.
    #[error("query {query}: its score of some item is beyond what f32 holds")]
    Overflow {
        /// The query's place, from 0.
        query: usize,
    },
}

/// Bytes of items that are scored for one query after the other: they stay in the second-level cache meanwhile.
const BLOCK_BYTES: usize = 128 << 10;

/// Most items of such a block.
const BLOCK_ITEMS: usize = 1024;

impl ItemVectors {
    /// No items yet, of `dim` floats.
    ///
    /// # Errors
    /// [`RetrieveError::NoDim`] for 0.
    pub fn new(dim: usize) -> Result<Self, RetrieveError> {
        if dim == 0 {
            return Err(RetrieveError::NoDim);
        }
        Ok(Self { dim, rows: Vec::new(), bias: Vec::new() })
    }

    /// Adds an item `[dim]`; its index is the number of items before it.
    ///
    /// # Errors
    /// Another length, or numbers that are not finite; nothing is added then.
    pub fn push(&mut self, vector: &[f32], bias: f32) -> Result<(), RetrieveError> {
        if vector.len() != self.dim {
            return Err(RetrieveError::Length { what: "item", expected: self.dim, got: vector.len() });
        }
        check_finite("item", vector)?;
        check_finite("bias", &[bias])?;
        self.rows.extend(blocks(vector));
        self.bias.push(bias);
        Ok(())
    }

    /// Makes room for `items` more.
    pub fn reserve(&mut self, items: usize) {
        self.rows.reserve(items * self.blocks());
        self.bias.reserve(items);
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.bias.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.bias.is_empty()
    }

    /// Floats of an item.
    pub fn dim(&self) -> usize {
        self.dim
    }

    fn blocks(&self) -> usize {
        self.dim.div_ceil(DOT_LANES)
    }

    /// The `n` best items, or all if there are fewer, for each of `queries` `[queries, dim]`: the highest scores first, of equal
    /// ones the lower index first.
    ///
    /// # Errors
    /// Queries that are no whole number of vectors or not finite; a score that f32 does not hold.
    pub fn best(&self, queries: &[f32], n: usize) -> Result<Vec<Vec<Hit>>, RetrieveError> {
        self.best_on(Isa::best(), queries, n)
    }

    pub(super) fn best_on(
        &self,
        isa: Isa,
        queries: &[f32],
        n: usize,
    ) -> Result<Vec<Vec<Hit>>, RetrieveError> {
        if !queries.len().is_multiple_of(self.dim) {
            return Err(RetrieveError::Length { what: "queries", expected: self.dim, got: queries.len() });
        }
        check_finite("queries", queries)?;
        let width = self.blocks();
        let queries: Vec<DotBlock> = queries.chunks_exact(self.dim).flat_map(blocks).collect();
        let mut tops = vec![TopN::new(n); queries.len() / width];
        let together = (BLOCK_BYTES / size_of::<DotBlock>() / width).clamp(1, BLOCK_ITEMS);
        let mut scores = vec![0.0; together];
        let items = self.rows.chunks(together * width).zip(self.bias.chunks(together));
        for (first, (rows, bias)) in (0..).step_by(together).zip(items) {
            let scores = &mut scores[..bias.len()];
            for (place, (query, top)) in queries.chunks_exact(width).zip(&mut tops).enumerate() {
                if !dot_rows(isa, rows, query, bias, scores) {
                    return Err(RetrieveError::Overflow { query: place });
                }
                top.offer_all(first, scores);
            }
        }
        Ok(tops.into_iter().map(|top| top.into_hits().collect()).collect())
    }
}

/// A vector in blocks, the last one filled up with zeros.
fn blocks(vector: &[f32]) -> impl Iterator<Item = DotBlock> {
    vector.chunks(DOT_LANES).map(|part| {
        let mut block = [0.0; DOT_LANES];
        block.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        block
    })
}

fn check_finite(what: &'static str, floats: &[f32]) -> Result<(), RetrieveError> {
    match floats.iter().find(|float| !float.is_finite()) {
        Some(&got) => Err(RetrieveError::NotFinite { what, got }),
        None => Ok(()),
    }
}

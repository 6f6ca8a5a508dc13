//! Any feature dict to one fixed-size vector: the flexi-hash embedding.
//!
//! A dict's keys are hashed to rows of a table `[buckets, dim]`; the rows, each scaled by its feature's value, are
//! summed. So there is no vocabulary, a missing key costs nothing, a new one has a row already, and the vector is
//! linear in the values (the hashing trick of Weinberger et al. 2009, "Feature hashing for large scale multitask
//! learning", with rows of an embedding in place of single weights; the system it follows is the
//! `FlexiHashEmbedding` of the package `flexi_hash_embedding`, whose numbers are in `fixtures/oracle`). Unlike that
//! system it gives one row for *every* dict, zeros for an empty one, and caches nothing by address.
//!
//! Three steps, each usable alone: dicts become a [`Batch`] ([`FlexiHashEmbedding::batch`],
//! [`FlexiHashEmbedding::batch_from_json`]); a batch becomes vectors ([`FlexiHashEmbedding::embed`]); the loss'
//! gradient with regard to these becomes a [`SparseGradient`] of the table and a step of SGD. What learns from a
//! stream with a head of its own does not need this module; it is for models that live elsewhere.
//!
//! *Threads.* Everything takes `&self`. [`FlexiHashEmbedding::embed`] locks the stripes of a run of dicts together, in
//! ascending order; a step locks the stripes of its rows together, in ascending order. So no row is ever seen half
//! changed and nothing can deadlock; a step of another thread may fall between two rows of one `embed`.

#[cfg(feature = "cuda")]
mod device;
mod dict;
mod error;
mod forward;
mod gradient;

pub use crate::example::FeatureValue;
#[cfg(feature = "cuda")]
pub use device::DeviceEmbedding;
#[cfg(all(feature = "cuda", feature = "network"))]
pub(crate) use device::set_learned;
pub use error::EmbeddingError;
pub use gradient::SparseGradient;

use crate::batch::{Batch, Slot};
use crate::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashKind, HashOptions};
use crate::kernel::Isa;
use crate::parse::Parser;
use crate::table::{Init, Lease, StripeSet, Table, TableOptions};
use dict::DictHasher;
use serde::{Deserialize, Serialize};

/// Shape, initial values and hash of an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingOptions {
    /// Length of a vector, 1 to 65536. Default 128.
    pub dim: usize,
    /// Seed of the table's initial values, N(0, 1).
    pub seed: u64,
    /// How a key becomes a row; `hash.buckets` is the number of rows. Default: the native hash, 2^20 buckets.
    /// [`HashKind::Sklearn`] is the reference's. `Mmh3` and `Modulo` hash ids, not keys, and are refused.
    pub hash: HashOptions,
}

impl Default for EmbeddingOptions {
    fn default() -> Self {
        Self { dim: 128, seed: 0, hash: HashOptions { buckets: 1 << 20, ..HashOptions::default() } }
    }
}

/// See the [module](self).
///
/// ```
/// use flexihash::embedding::{EmbeddingOptions, FeatureValue, FlexiHashEmbedding};
///
/// let embedding = FlexiHashEmbedding::new(EmbeddingOptions { dim: 4, ..Default::default() })?;
/// let batch = embedding.batch([
///     vec![("age", FeatureValue::from(0.5)), ("city", FeatureValue::from("Köln"))],
///     vec![],
/// ])?;
/// let vectors = embedding.embed(&batch)?; // [2, 4], row-major
/// assert_eq!(vectors.len(), 2 * 4);
/// assert_eq!(vectors[4..], [0.0; 4]);
///
/// // The loss is the sum of all outputs, so its gradient is 1 everywhere.
/// let gradient = embedding.gradient(&batch, &[1.0; 8])?;
/// embedding.sgd_step(&gradient, 0.1)?;
/// assert!(embedding.embed(&batch)?.iter().sum::<f32>() < vectors.iter().sum::<f32>());
/// # Ok::<(), flexihash::embedding::EmbeddingError>(())
/// ```
#[derive(Debug)]
pub struct FlexiHashEmbedding {
    options: EmbeddingOptions,
    hasher: FeatureHasher,
    parser: Parser,
    table: Table,
}

impl FlexiHashEmbedding {
    /// An embedding with the public default hash key, no row touched. Its memory, `buckets × dim` floats (`dim`
    /// rounded up to the next cache line), is used only as rows are.
    pub fn new(options: EmbeddingOptions) -> Result<Self, EmbeddingError> {
        Self::with_key(options, &HashKey::default())
    }

    /// As [`FlexiHashEmbedding::new`] with a key of one's own, for input that may be hostile. It matters to
    /// [`HashKind::Siphash`] only.
    pub fn with_key(options: EmbeddingOptions, key: &HashKey) -> Result<Self, EmbeddingError> {
        let EmbeddingOptions { dim, seed, hash } = options;
        if let HashKind::Mmh3 | HashKind::Modulo = hash.kind {
            return Err(EmbeddingError::HashKind { got: hash.kind });
        }
        let hasher = FeatureHasher::new(hash, key)?;
        let init = Init::Normal { start: 0, columns: dim, mean: 0.0, scale: 1.0, tail: &[] };
        let rows = u64::from(hash.buckets);
        let table = Table::new(TableOptions { rows, width: dim, side: 0, init, seed })?;
        Ok(Self { options, hasher, parser: Parser::default(), table })
    }

    /// The options it was made with.
    pub fn options(&self) -> &EmbeddingOptions {
        &self.options
    }

    /// The table `[buckets, dim]`, for checkpoints and statistics.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Hashes dicts, given as iterators of (key, value): one row of the batch for each, in order. Keys are bytes and
    /// are not normalized. A key that occurs twice adds up; so do two keys that fall into one slot, in f64 before the
    /// sum is rounded to f32. A value of 0 is no feature.
    ///
    /// # Errors
    /// A value, or the sum of a slot's values, that f32 cannot hold: with the dict's index, from 0.
    pub fn batch<'v, K: AsRef<str>, V: Into<FeatureValue<'v>>, D: IntoIterator<Item = (K, V)>>(
        &self,
        dicts: impl IntoIterator<Item = D>,
    ) -> Result<Batch, EmbeddingError> {
        let mut batch = Batch::default();
        self.batch_into(dicts, &mut batch)?;
        Ok(batch)
    }

    /// As [`FlexiHashEmbedding::batch`], written over `batch`, whose memory is used again.
    ///
    /// # Errors
    /// Those of [`FlexiHashEmbedding::batch`]. What `batch` holds then is not defined.
    pub fn batch_into<'v, K: AsRef<str>, V: Into<FeatureValue<'v>>, D: IntoIterator<Item = (K, V)>>(
        &self,
        dicts: impl IntoIterator<Item = D>,
        batch: &mut Batch,
    ) -> Result<(), EmbeddingError> {
        batch.clear();
        let mut hasher = DictHasher::new(&self.hasher);
        for (index, dict) in dicts.into_iter().enumerate() {
            for (key, value) in dict {
                if let Err(error) = hasher.push(index, key.as_ref(), value.into()) {
                    // An error in a dict before comes first.
                    hasher.flush(batch)?;
                    return Err(error);
                }
            }
            hasher.finish(batch)?;
        }
        hasher.flush(batch)
    }

    /// Hashes dicts in JSON, one object each, by the rules of [`crate::parse`] (nested objects and arrays are paths);
    /// no key is special. The same rows as [`FlexiHashEmbedding::batch`], but every value is rounded to f32 before it
    /// is summed with another of its slot.
    ///
    /// # Errors
    /// The first text that is not an object of features, with the dict's index and the byte.
    pub fn batch_from_json<T: AsRef<[u8]>>(
        &self,
        dicts: impl IntoIterator<Item = T>,
    ) -> Result<Batch, EmbeddingError> {
        let (mut batch, mut scratch) = (Batch::default(), EncoderScratch::default());
        for (dict, json) in dicts.into_iter().enumerate() {
            let mut encoder = Encoder::new(&self.hasher, &mut scratch, &mut batch);
            let parsed = self.parser.parse_features(json.as_ref(), &mut encoder);
            parsed.map_err(|error| EmbeddingError::Json { dict, error })?;
            encoder.finish().map_err(|error| EmbeddingError::Feature { dict, error })?;
        }
        Ok(batch)
    }

    /// The weights of row `slot`, `[dim]`; its initial values if it was never changed.
    pub fn row(&self, slot: Slot) -> Result<Vec<f32>, EmbeddingError> {
        self.check_slot(slot)?;
        Ok(self.lease([slot]).row(slot).to_vec())
    }

    /// Replaces the weights of row `slot` by `weights` `[dim]`.
    pub fn set_row(&self, slot: Slot, weights: &[f32]) -> Result<(), EmbeddingError> {
        self.check_slot(slot)?;
        expect_len("weights of a row", self.options.dim, weights.len())?;
        finite("weights of a row", weights, self.options.dim)?;
        self.lease([slot]).row_mut(slot).0.copy_from_slice(weights);
        Ok(())
    }

    fn lease(&self, slots: impl IntoIterator<Item = Slot>) -> Lease<'_> {
        let (mut stripes, slots) = (StripeSet::default(), slots.into_iter());
        if slots.size_hint().0 > 16 * self.table.stripes() {
            return self.table.lease_all(); // as good as all of them
        }
        slots.for_each(|slot| stripes.insert(self.table.stripe_of(slot)));
        self.table.lease(stripes)
    }

    fn check_slots(&self, batch: &Batch) -> Result<(), EmbeddingError> {
        let last = Isa::best().run(|| batch.slots().iter().fold(0, |last, slot| slot.0.max(last)));
        if batch.slots().is_empty() || last < self.options.hash.buckets {
            return Ok(());
        }
        batch.slots().iter().try_for_each(|&slot| self.check_slot(slot))
    }

    fn check_slot(&self, slot: Slot) -> Result<(), EmbeddingError> {
        let buckets = self.options.hash.buckets;
        if slot.0 < buckets { Ok(()) } else { Err(EmbeddingError::Slot { slot: slot.0, buckets }) }
    }
}

fn expect_len(what: &'static str, expected: usize, got: usize) -> Result<(), EmbeddingError> {
    if got == expected { Ok(()) } else { Err(EmbeddingError::Shape { what, expected, got }) }
}

/// Refuses a matrix `[rows, dim]` with a number that is not finite.
fn finite(what: &'static str, matrix: &[f32], dim: usize) -> Result<(), EmbeddingError> {
    if Isa::best().run(|| matrix.iter().fold(true, |all, value| all & value.is_finite())) {
        return Ok(());
    }
    match matrix.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((at, &found)) => Err(EmbeddingError::NotFinite { what, row: at / dim, column: at % dim, found }),
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

//! What an embedding refuses. Whatever is refused has changed nothing.

use crate::example::FeatureError;
use crate::hash::{HashKind, HashOptionError};
use crate::parse::ParseError;
use crate::table::TableError;

/// Options, dicts, gradients or weights that an embedding cannot take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// A hash of ids, which has no use for keys.
    #[error("hash.kind: expected siphash or sklearn, which hash keys, got {got:?}, which hashes integer ids")]
    HashKind {
        /// The hash asked for.
        got: HashKind,
    },
    /// Hash options outside their range.
    #[error(transparent)]
    HashOptions(#[from] HashOptionError),
    /// No such table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A number that f32 cannot hold.
    #[error("dict {dict}, key {key:?}: expected a number finite in f32, found {found:e}")]
    Value {
        /// Index of the dict, from 0.
        dict: usize,
        /// The key.
        key: String,
        /// Its value.
        found: f64,
    },
    /// A feature that cannot be stored.
    #[error("dict {dict}: {error}")]
    Feature {
        /// Index of the dict, from 0.
        dict: usize,
        /// Why.
        error: FeatureError,
    },
    /// JSON that is not an object of features.
    #[error("dict {dict}, {error}")]
    Json {
        /// Index of the dict, from 0.
        dict: usize,
        /// What was found, and at which byte.
        error: ParseError,
    },
    /// A slice of another length.
    #[error("{what}: expected {expected} floats, got {got}")]
    Shape {
        /// Which argument.
        what: &'static str,
        /// Its length as the other arguments and the options have it.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// A NaN or an infinity, given or computed: sums beyond the range of f32 overflow.
    #[error("{what}, row {row}, column {column}: expected a finite number, found {found}")]
    NotFinite {
        /// Which matrix.
        what: &'static str,
        /// Row in it, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// What stands there.
        found: f32,
    },
    /// A learning rate that is NaN or infinite.
    #[error("learning rate: expected a finite number, got {got}")]
    LearningRate {
        /// The rate.
        got: f32,
    },
    /// An embedding on a device, and what the device or its driver says.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Cuda(#[from] crate::kernel::cuda::CudaError),
    /// A slot of another table: a batch or a gradient of an embedding with more buckets.
    #[error("slot {slot}: expected one below the embedding's {buckets} buckets")]
    Slot {
        /// The slot.
        slot: u32,
        /// Rows of this table.
        buckets: u32,
    },
}

impl EmbeddingError {
    /// The same of a matrix that has `rows` more rows above the one in which it was found.
    pub(super) fn below(self, rows: usize) -> Self {
        match self {
            Self::NotFinite { what, row, column, found } => {
                Self::NotFinite { what, row: row + rows, column, found }
            }
            other => other,
        }
    }
}

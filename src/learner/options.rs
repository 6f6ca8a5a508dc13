//! What is learned, and how: the part of a run's options that a model is bound to.

use crate::model::Loss;
use crate::optim::OptimizerOptions;
use serde::{Deserialize, Serialize};

/// How embeddings become a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// A weighted sum of the features.
    #[default]
    Linear,
    /// A factorization machine (Rendle 2010): the sum and all pairwise interactions.
    Fm,
}

/// Who chooses the step sizes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learning {
    /// The self-tuning mixture.
    #[default]
    Auto,
    /// The given optimizer and rate.
    Given(OptimizerOptions),
}

/// Options of a [`super::Learner`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnerOptions {
    /// What is minimized.
    pub loss: Loss,
    /// How a prediction is made.
    pub head: HeadKind,
    /// Factors per feature of [`HeadKind::Fm`].
    pub dim: usize,
    /// Step sizes.
    pub learning: Learning,
    /// Rows of each task's table, as in the hash options.
    pub buckets: u32,
    /// Seed of initial values.
    pub seed: u64,
    /// Tasks known from the start; empty: learned from the first labelled record.
    pub tasks: Vec<String>,
}

impl Default for LearnerOptions {
    fn default() -> Self {
        Self {
            loss: Loss::default(),
            head: HeadKind::default(),
            dim: 8,
            learning: Learning::default(),
            buckets: 1 << 22,
            seed: 0,
            tasks: Vec::new(),
        }
    }
}

/// Options that cannot be learned with.
#[derive(Debug, thiserror::Error)]
pub enum LearnerError {
    /// No table of that shape.
    #[error(transparent)]
    Table(#[from] crate::table::TableError),
    /// A dimension the head does not have.
    #[error("dim: expected {expected}, got {got}")]
    Dim {
        /// What the head takes.
        expected: &'static str,
        /// What was asked for.
        got: usize,
    },
    /// More tasks than a model may have.
    #[error("tasks: expected at most 64, got {0}")]
    TooManyTasks(usize),
    /// Hashed features for a learner of declared fields.
    #[error("this model is a network, which takes declared fields")]
    Fields,
    /// Declared fields for a learner of hashed features.
    #[error("this model takes hashed features, not declared fields")]
    Features,
    /// A network that refuses its options or what it is given.
    #[cfg(feature = "network")]
    #[error(transparent)]
    Network(#[from] crate::model::network::NetworkError),
    /// Declared fields that are not those of the network.
    #[error("{0}")]
    Binding(String),
    /// Heads, whose rows cannot be on a device.
    #[error(
        "a head predicts each record after it has learned the one before: there is nothing that a GPU could do side by side. \
         Leave --device out, or learn a network (--config with [network]) in batches"
    )]
    HeadsOnDevice,
    /// Rows that no device moves.
    #[error(
        "rows on a device move by sgd, adagrad or ftrl, not by adam: choose one of them as --optimizer, and adam as \
         --dense-optimizer if it is wanted"
    )]
    AdamOnDevice,
    /// The device cannot be used, or failed.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Cuda(#[from] crate::kernel::cuda::CudaError),
    /// Stored state that does not fit these options.
    #[error("the stored state of {0} does not fit this model's options")]
    State(String),
}

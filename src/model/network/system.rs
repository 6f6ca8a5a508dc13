//! The published systems by configuration: what `[network]` of a config file names.

use super::{
    Dot, DotOptions, EstimatorOptions, Mlp, MlpOptions, MultiTaskEstimator, Network, NetworkError, Ranker,
    RankerOptions,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A system and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum System {
    /// [`Dot`].
    Dot(DotOptions),
    /// [`Mlp`].
    Mlp(MlpOptions),
    /// [`Ranker`].
    Ranker(RankerOptions),
    /// [`MultiTaskEstimator`].
    MultiTask(EstimatorOptions),
    /// A network of the program's own: its model says here that it cannot be built from options.
    Custom,
}

impl System {
    /// The network.
    ///
    /// # Errors
    /// Options outside their range; a network of a program's own.
    pub fn build(self) -> Result<Arc<dyn Network>, NetworkError> {
        Ok(match self {
            Self::Dot(options) => Arc::new(Dot::new(options)?),
            Self::Mlp(options) => Arc::new(Mlp::new(options)?),
            Self::Ranker(options) => Arc::new(Ranker::new(options)?),
            Self::MultiTask(options) => Arc::new(MultiTaskEstimator::new(options)?),
            Self::Custom => return Err(NetworkError::Custom),
        })
    }
}

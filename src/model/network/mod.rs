//! Networks on candle that learn online.
//!
//! A [`Network`] says which fields of a record it takes ([`Field`]), which dense parameters it has ([`Parameter`]), and
//! computes outputs from both with candle's operations: a pure function, which candle differentiates. It knows no table and no
//! record. A [`NetworkHead`] holds the parameters: it predicts, then learns, and hands back the gradient of the rows that
//! were looked up; whoever looked them up sends it to them. So a table of 2²⁶ rows costs a batch what its own rows cost.
//!
//! ```text
//!            table rows, numbers ──▶ Inputs ──▶ ┌─────────────────┐ ──▶ predictions
//!    learner                                    │ NetworkHead     │
//!            rows ◀── gradients of the leaves ◀─│ Network + Dense │ ◀── Targets
//!                                               └─────────────────┘
//! ```
//!
//! The published systems are here, each in a file: recommenders by dot product ([`Dot`]), the reductions of stacked hash
//! embeddings ([`UserReduce`], [`HistoryReduce`], [`CandidateReduce`]) and a ranker made of them ([`Ranker`]), the multi-task
//! estimator ([`MultiTaskEstimator`]) with a choice of user representations ([`UserRepresentation`]), and layers behind a hash
//! embedding ([`Mlp`]); [`System`] names them in a config file. A new one is a new implementation of [`Network`], here or elsewhere. Parameters have the names that the references give them.
//!
//! *Numbers.* Everything is f32, on the CPU unless [`NetworkHead::compute_on`] says where. Unlike the heads beside it, a network's bits
//! are those of candle's matrix products and of the system's exp and ln: the same from run to run and across [`NetworkHead::restore`]
//! on one kind of processor, not on all. A step that f32 cannot hold is dropped whole and counted, so no finite input ever stores a parameter that is not finite.
//!
//! *Speed.* A pass costs some microseconds an operation whatever the batch, so batches pay (`benches/network.rs`); a network that is
//! no more than a few products can be [written out](ByHand). Call [`prefer_one_thread`] first thing: where `RAYON_NUM_THREADS` is
//! unset, candle (0.11) reads `/proc/cpuinfo` at every matrix product, which makes a small batch five times as slow.

mod blocks;
mod by_hand;
mod cohort;
mod dense_hash;
mod dot;
mod dropout;
mod error;
mod estimator;
mod field;
mod gradients;
mod head;
mod leaf;
mod loss;
mod mlp;
mod parameter;
mod pass;
mod ranker;
mod stacked;
mod system;
mod user;

pub use blocks::{CandidateReduce, HistoryReduce, ItemTensors, UserReduce};
pub use by_hand::ByHand;
pub use cohort::{Addressing, Cohort, CohortOptions, Mixture};
pub use dense_hash::DenseHash;
pub use dot::{Dot, DotOptions, Pooling};
pub use dropout::{DropoutMasks, Phase, RandomMasks};
pub use error::NetworkError;
pub use estimator::{EstimatorOptions, MultiTaskEstimator, Representation};
pub use field::{Field, FieldKind, Inputs, Items, Values};
pub use gradients::Gradients;
pub use head::{Backward, HeadOptions, HeadState, Learned, NetworkHead, Step};
pub use leaf::Leaf;
pub use loss::{Objective, OutputLoss, Reduction, Targets};
pub use mlp::{Mlp, MlpOptions};
pub use parameter::{Initial, Parameter, ParameterState};
pub use pass::Pass;
pub use ranker::{Ranker, RankerOptions};
pub use stacked::MultiHashEmbedding;
pub use system::System;
pub use user::{Dhe, IdLookup, UserRepresentation};

pub use {candle_core, candle_nn};

use candle_core::Tensor;
use std::fmt;
use std::sync::Arc;

/// Lets candle compute with one thread, unless `RAYON_NUM_THREADS` says otherwise: batches of an online learner are too small for more.
/// To be called before the program has a second thread; `false`: it has one, or the system does not say, and nothing was done.
pub fn prefer_one_thread() -> bool {
    crate::kernel::set_default("RAYON_NUM_THREADS", "1")
}

/// What comes out of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// One name an output: tasks, actions.
    pub names: Vec<String>,
    /// The list whose every item has these outputs, `[rows, items, names]`; `None`: every record has, `[rows, names]`.
    pub list: Option<String>,
}

/// An output that is share² · user · item + share · (user bias + item bias) + bias.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retrieval {
    /// The field of the user's vector.
    pub user: &'static str,
    /// The field of the item's vector.
    pub item: &'static str,
    /// The field of the user's bias, one float.
    pub user_bias: Option<&'static str>,
    /// The field of the item's bias.
    pub item_bias: Option<&'static str>,
    /// The parameter of the bias of all, one float.
    pub bias: Option<&'static str>,
    /// What each looked-up row counts in a vector.
    pub share: f32,
}

/// A prediction function of fields and dense parameters.
///
/// Implementations hold options only: whatever changes while learning is among the parameters, in the table or in the
/// [`NetworkHead`].
pub trait Network: fmt::Debug + Send + Sync {
    /// The fields it takes.
    fn fields(&self) -> Vec<Field>;
    /// Its dense parameters.
    fn parameters(&self) -> Vec<Parameter>;
    /// What comes out.
    fn outputs(&self) -> Outputs;
    /// What it minimizes.
    fn objective(&self) -> Objective;

    /// The outputs before the link (log-odds for the logistic loss), in the shape that [`Network::outputs`] says.
    ///
    /// # Errors
    /// What [`Pass`] and candle refuse. A [`NetworkHead`] tries one batch when it is made, so that whatever does not fit
    /// together is found then.
    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError>;

    /// The same without a graph, for networks so small that the graph would cost more than all it computes; none by default. Its
    /// loss is that of the [objective](Network::objective).
    fn by_hand(&self) -> Option<&dyn ByHand> {
        None
    }

    /// The loss of `outputs`, a scalar; `targets` and `weights` have their shape, and a weight of 0 is a missing label.
    ///
    /// # Errors
    /// What candle refuses.
    fn loss(&self, outputs: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor, NetworkError> {
        self.objective().of(outputs, targets, weights)
    }

    /// How the output is a dot product of something of a user and something of an item, by which items can be
    /// [retrieved](crate::retrieve); none by default.
    fn retrieval(&self) -> Option<Retrieval> {
        None
    }

    /// One number for a record, or an item, from its predictions `[names]`, by which it is ranked when the model serves;
    /// none by default. It plays no part in learning.
    fn value(&self, predictions: &[f32]) -> Option<f32> {
        let _ = predictions;
        None
    }
}

macro_rules! forward_to_content {
    ($pointer:ident) => {
        impl<N: Network + ?Sized> Network for $pointer<N> {
            fn fields(&self) -> Vec<Field> {
                (**self).fields()
            }
            fn parameters(&self) -> Vec<Parameter> {
                (**self).parameters()
            }
            fn outputs(&self) -> Outputs {
                (**self).outputs()
            }
            fn objective(&self) -> Objective {
                (**self).objective()
            }
            fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
                (**self).forward(pass)
            }
            fn loss(
                &self,
                outputs: &Tensor,
                targets: &Tensor,
                weights: &Tensor,
            ) -> Result<Tensor, NetworkError> {
                (**self).loss(outputs, targets, weights)
            }
            fn retrieval(&self) -> Option<Retrieval> {
                (**self).retrieval()
            }
            fn by_hand(&self) -> Option<&dyn ByHand> {
                (**self).by_hand()
            }
            fn value(&self, predictions: &[f32]) -> Option<f32> {
                (**self).value(predictions)
            }
        }
    };
}
forward_to_content!(Box);
forward_to_content!(Arc);

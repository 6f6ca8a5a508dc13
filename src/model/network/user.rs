//! Who a user is: the representations that a [`MultiTaskEstimator`](super::MultiTaskEstimator) can be composed with.

use super::{DenseHash, Field, FieldKind, NetworkError, Parameter, Pass};
use candle_core::Tensor;
use candle_nn::Module;
use std::fmt;

/// Something that makes a vector of a user.
pub trait UserRepresentation: fmt::Debug + Send + Sync {
    /// Length of the vector.
    fn dim(&self) -> usize;
    /// The fields it takes. Two parts of a model may take the same field.
    fn fields(&self) -> Vec<Field>;
    /// Its dense parameters.
    fn parameters(&self) -> Vec<Parameter>;
    /// The vectors, `[rows, dim]`.
    ///
    /// # Errors
    /// What [`Pass`] and candle refuse.
    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError>;
}

/// A row of a table for each user: the field `user_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdLookup {
    /// Floats of the row.
    pub dim: usize,
}

impl UserRepresentation for IdLookup {
    fn dim(&self) -> usize {
        self.dim
    }
    fn fields(&self) -> Vec<Field> {
        vec![Field::of_record("user_id", FieldKind::Sum { dim: self.dim })]
    }
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }
    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        pass.field("user_id")
    }
}

/// A deep hash embedding (Kang et al. 2021): a dense encoding of the id through a stack of linear layers, no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dhe {
    encoding: DenseHash,
    stack: Stack,
}

impl Dhe {
    /// Vectors `[dim]` from an encoding.
    pub fn new(encoding: DenseHash, dim: usize) -> Self {
        let stack = Stack { inputs: encoding.count(), dim };
        Self { encoding, stack }
    }

    /// Its encoding.
    pub fn encoding(&self) -> &DenseHash {
        &self.encoding
    }
}

impl UserRepresentation for Dhe {
    fn dim(&self) -> usize {
        self.stack.dim
    }
    fn fields(&self) -> Vec<Field> {
        vec![Field::of_record("user_id", FieldKind::Id)]
    }
    fn parameters(&self) -> Vec<Parameter> {
        self.stack.parameters()
    }
    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let (ids, _) = pass.ids("user_id")?;
        let encoded: Vec<f32> = ids.iter().flat_map(|&id| self.encoding.encode(id)).collect();
        let encoded = Tensor::from_vec(encoded, (ids.len(), self.encoding.count()), pass.device())?;
        pass.watch("user_encoding", &encoded);
        self.stack.forward(pass, &encoded)
    }
}

/// Four linear layers with ReLU between them, none at the end; named `dhe_stack` as in the reference, for cohorts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) inputs: usize,
    pub(super) dim: usize,
}

impl Stack {
    /// The layers' places: ReLU has a number too.
    const LAYERS: [&str; 4] = ["dhe_stack.0", "dhe_stack.2", "dhe_stack.4", "dhe_stack.6"];

    pub(super) fn parameters(self) -> Vec<Parameter> {
        let inputs = [self.inputs, self.dim, self.dim, self.dim];
        let layers = Self::LAYERS.into_iter().zip(inputs);
        layers.flat_map(|(layer, inputs)| Parameter::linear(layer, inputs, self.dim)).collect()
    }

    pub(super) fn forward(self, pass: &Pass<'_>, inputs: &Tensor) -> Result<Tensor, NetworkError> {
        let mut hidden = inputs.clone();
        for (index, layer) in Self::LAYERS.into_iter().enumerate() {
            let inputs = if index == 0 { hidden } else { hidden.relu()? };
            hidden = pass.linear(layer)?.forward(&inputs)?;
        }
        Ok(hidden)
    }
}

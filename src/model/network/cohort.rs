//! Users by the cohorts they belong to, and the mixture of that with another representation.
//!
//! A new user has no row of their own yet, but features; what is known of users like them can stand in (the package
//! `user_preference_modeling`: `UserCohortRepresentation`, `UserMORepresentations`).

use super::pass::check_rate;
use super::user::Stack;
use super::{Field, FieldKind, Initial, NetworkError, Parameter, Pass, UserRepresentation};
use candle_core::{D, DType, Tensor};
use candle_nn::Module;
use serde::{Deserialize, Serialize};

/// How a user's affinities to the cohorts address their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// All rows, by the softmax.
    #[default]
    Softmax,
    /// The row of the largest alone (the first of equals); the affinities then have no gradient.
    Top1,
}

/// Options of a [`Cohort`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct CohortOptions {
    /// How many cohorts there are.
    pub cohorts: usize,
    /// Dropout of the affinities, in [0, 1).
    pub dropout: f64,
    /// How they address the rows.
    pub addressing: Addressing,
}

impl Default for CohortOptions {
    fn default() -> Self {
        Self { cohorts: 64, dropout: 0.5, addressing: Addressing::Softmax }
    }
}

/// Features → affinity to each cohort → rows of the cohorts → four linear layers. Its field is `user_features`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    options: CohortOptions,
    features: FieldKind,
    stack: Stack,
}

impl Cohort {
    /// The layer whose units are dropped.
    pub const DROPOUT: &str = "cohort_addressing_layer.1";

    /// Vectors `[dim]` of users with such `features`: numbers, or a sum of table rows.
    ///
    /// # Errors
    /// A dropout rate outside [0, 1).
    pub fn new(options: CohortOptions, features: FieldKind, dim: usize) -> Result<Self, NetworkError> {
        check_rate(Self::DROPOUT, options.dropout)?;
        Ok(Self { options, features, stack: Stack { inputs: dim, dim } })
    }

    /// How much each cohort counts, `[rows, cohorts]`.
    fn addresses(&self, affinities: &Tensor) -> Result<Tensor, NetworkError> {
        match self.options.addressing {
            Addressing::Softmax => Ok(candle_nn::ops::softmax(affinities, D::Minus1)?),
            Addressing::Top1 => {
                let best = affinities.argmax_keepdim(D::Minus1)?;
                let all = Tensor::arange(0, self.options.cohorts as u32, affinities.device())?;
                Ok(all.broadcast_eq(&best)?.to_dtype(DType::F32)?)
            }
        }
    }
}

impl UserRepresentation for Cohort {
    fn dim(&self) -> usize {
        self.stack.dim
    }
    fn fields(&self) -> Vec<Field> {
        vec![Field::of_record("user_features", self.features)]
    }
    fn parameters(&self) -> Vec<Parameter> {
        let shape = [self.options.cohorts, self.stack.dim];
        let rows = Parameter::new("cohort_embedding_matrix", &shape, Initial::Normal { deviation: 1.0 });
        let layer =
            Parameter::linear("cohort_addressing_layer.0", self.features.floats(), self.options.cohorts);
        [rows].into_iter().chain(layer).chain(self.stack.parameters()).collect()
    }
    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let affinities = pass.linear("cohort_addressing_layer.0")?.forward(&pass.field("user_features")?)?;
        let affinities = pass.dropout(Self::DROPOUT, &affinities, self.options.dropout)?;
        let addresses = self.addresses(&affinities)?;
        pass.watch("cohort_affinity", &addresses);
        let rows = addresses.matmul(&pass.parameter("cohort_embedding_matrix")?)?;
        self.stack.forward(pass, &rows)
    }
}

/// Two representations, weighed by the user's features: Linear(→ 2) → dropout → ReLU → softmax.
#[derive(Debug)]
pub struct Mixture {
    parts: [Box<dyn UserRepresentation>; 2],
    features: FieldKind,
    dropout: f64,
}

impl Mixture {
    /// The layer whose units are dropped.
    pub const DROPOUT: &str = "mixture_layer.1";
    /// The rate of that, unless told otherwise.
    pub const DROPOUT_RATE: f64 = 0.8;

    /// A mixture for users with such `features`: numbers, or a sum of table rows. In the reference the parts are an [`IdLookup`](super::IdLookup) and a
    /// [`Cohort`]; how much each counts is watched as `mixture_probs`, `[rows, 2]`, in the order of `parts`.
    ///
    /// # Errors
    /// Parts of different lengths.
    pub fn new(parts: [Box<dyn UserRepresentation>; 2], features: FieldKind) -> Result<Self, NetworkError> {
        let [expected, got] = [parts[0].dim(), parts[1].dim()];
        super::field::expect_len("vectors of the second part of a mixture", expected, got)?;
        Ok(Self { parts, features, dropout: Self::DROPOUT_RATE })
    }

    /// The same with another rate of dropout.
    ///
    /// # Errors
    /// A rate outside [0, 1).
    pub fn with_dropout(self, dropout: f64) -> Result<Self, NetworkError> {
        check_rate(Self::DROPOUT, dropout)?;
        Ok(Self { dropout, ..self })
    }
}

impl UserRepresentation for Mixture {
    fn dim(&self) -> usize {
        self.parts[0].dim()
    }
    fn fields(&self) -> Vec<Field> {
        let own = Field::of_record("user_features", self.features);
        merged(self.parts.iter().flat_map(|part| part.fields()).chain([own]))
    }
    fn parameters(&self) -> Vec<Parameter> {
        let own = Parameter::linear("mixture_layer.0", self.features.floats(), 2);
        self.parts.iter().flat_map(|part| part.parameters()).chain(own).collect()
    }
    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let weights = pass.linear("mixture_layer.0")?.forward(&pass.field("user_features")?)?;
        let weights = pass.dropout(Self::DROPOUT, &weights, self.dropout)?.relu()?;
        let weights = candle_nn::ops::softmax(&weights, D::Minus1)?;
        pass.watch("mixture_probs", &weights);
        let first = self.parts[0].forward(pass)?.broadcast_mul(&weights.narrow(1, 0, 1)?)?;
        let second = self.parts[1].forward(pass)?.broadcast_mul(&weights.narrow(1, 1, 1)?)?;
        Ok(first.add(&second)?)
    }
}

/// `fields` without those that are there already.
pub(super) fn merged(fields: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let mut all: Vec<Field> = Vec::new();
    for field in fields {
        if !all.contains(&field) {
            all.push(field);
        }
    }
    all
}

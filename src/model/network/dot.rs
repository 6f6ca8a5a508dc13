//! Recommenders: how well a user and an item go together, by the dot product of their embeddings.

use super::{
    ByHand, Field, FieldKind, Gradients, Initial, Inputs, Network, NetworkError, Objective, OutputLoss,
    Outputs, Parameter, Pass, Reduction, Retrieval, Values,
};
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

/// What the k rows of an id become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Their sum.
    #[default]
    Sum,
    /// Their mean.
    Mean,
}

/// Options of [`Dot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct DotOptions {
    /// Floats of a row.
    pub dim: usize,
    /// Rows of an id: hashes of the tables.
    pub hashes: usize,
    /// What they become.
    pub pooling: Pooling,
    /// Whether user, item and the whole have a bias, as in matrix factorization (Koren, Bell & Volinsky 2009).
    pub biases: bool,
    /// Default: squared, summed.
    pub objective: Objective,
}

impl Default for DotOptions {
    fn default() -> Self {
        let objective = Objective { loss: OutputLoss::Squared, reduction: Reduction::Sum };
        Self { dim: 32, hashes: 1, pooling: Pooling::Sum, biases: false, objective }
    }
}

/// Score = Σ user · item over the dimensions; with biases + user bias + item bias + bias.
///
/// The three recommenders of the article on hash embeddings differ only in the row that an id has: its own, `id mod buckets`
/// ([`crate::hash::modulo_bucket`]), or murmur3 of its digits mod buckets ([`crate::hash::murmur_bucket`]). Fields:
/// `user_id`, `item_id`, the sum of an id's rows; with biases `user_bias`, `item_bias`, the sum of rows of one float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dot {
    options: DotOptions,
}

impl Dot {
    /// A recommender.
    ///
    /// # Errors
    /// Ids without a row.
    pub fn new(options: DotOptions) -> Result<Self, NetworkError> {
        if options.dim == 0 {
            return Err(NetworkError::Option { name: "dim".into(), expected: "at least 1", got: 0.0 });
        }
        if options.hashes == 0 {
            return Err(NetworkError::Option { name: "hashes".into(), expected: "at least 1", got: 0.0 });
        }
        Ok(Self { options })
    }

    /// The options it was made with.
    pub fn options(&self) -> &DotOptions {
        &self.options
    }

    /// What a row counts in its id's vector.
    fn share(&self) -> f32 {
        match self.options.pooling {
            Pooling::Sum => 1.0,
            Pooling::Mean => (1.0 / self.options.hashes as f64) as f32,
        }
    }

    /// A field's rows, pooled; they come as their sum.
    fn pooled(&self, pass: &Pass<'_>, name: &str) -> Result<Tensor, NetworkError> {
        let sum = pass.field(name)?;
        match self.options.pooling {
            Pooling::Mean if self.options.hashes > 1 => {
                Ok(sum.affine(1.0 / self.options.hashes as f64, 0.0)?)
            }
            _ => Ok(sum),
        }
    }
}

impl Network for Dot {
    fn fields(&self) -> Vec<Field> {
        let rows = FieldKind::Sum { dim: self.options.dim };
        let mut fields = vec![Field::of_record("user_id", rows), Field::of_record("item_id", rows)];
        if self.options.biases {
            let bias = FieldKind::Sum { dim: 1 };
            fields.extend(["user_bias", "item_bias"].map(|name| Field::of_record(name, bias)));
        }
        fields
    }

    fn parameters(&self) -> Vec<Parameter> {
        let bias = Parameter::new("bias", &[1], Initial::Zeros);
        self.options.biases.then_some(bias).into_iter().collect()
    }

    fn outputs(&self) -> Outputs {
        Outputs { names: vec!["score".into()], list: None }
    }

    fn objective(&self) -> Objective {
        self.options.objective
    }

    fn retrieval(&self) -> Option<Retrieval> {
        let biased = |name| self.options.biases.then_some(name);
        Some(Retrieval {
            user: "user_id",
            item: "item_id",
            user_bias: biased("user_bias"),
            item_bias: biased("item_bias"),
            bias: biased("bias"),
            share: self.share(),
        })
    }

    fn by_hand(&self) -> Option<&dyn ByHand> {
        Some(self)
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let (user, item) = (self.pooled(pass, "user_id")?, self.pooled(pass, "item_id")?);
        let score = user.mul(&item)?.sum_keepdim(D::Minus1)?;
        if !self.options.biases {
            return Ok(score);
        }
        let biases = self.pooled(pass, "user_bias")?.add(&self.pooled(pass, "item_bias")?)?;
        Ok(score.add(&biases)?.broadcast_add(&pass.parameter("bias")?)?)
    }
}

impl ByHand for Dot {
    fn outputs(&self, inputs: &Inputs, parameters: &[Vec<f32>]) -> Vec<f32> {
        let share = self.share();
        let bias = parameters.first().and_then(|bias| bias.first()).copied().unwrap_or(0.0);
        let [user, item, user_bias, item_bias] = [0, 1, 2, 3].map(|field| floats(inputs, field));
        let score = |(row, (user, item)): (usize, (&[f32], &[f32]))| {
            let product: f32 =
                user.iter().zip(item).map(|(user, item)| (share * user) * (share * item)).sum();
            let own = |biases: &[f32]| share * biases.get(row).copied().unwrap_or(0.0);
            if self.options.biases { product + (own(user_bias) + own(item_bias)) + bias } else { product }
        };
        let dim = self.options.dim;
        user.chunks_exact(dim).zip(item.chunks_exact(dim)).enumerate().map(score).collect()
    }

    fn gradients(&self, inputs: &Inputs, _: &[Vec<f32>], slopes: &[f32]) -> Gradients {
        let (share, dim) = (self.share(), self.options.dim);
        let [user, item] = [0, 1].map(|field| floats(inputs, field));
        let of = |other: &[f32]| {
            let rows = other.chunks_exact(dim).zip(slopes);
            let slopes = rows
                .flat_map(|(other, slope)| other.iter().map(move |other| slope * (share * other) * share));
            Values::Floats(slopes.collect())
        };
        if !self.options.biases {
            return Gradients { leaves: vec![of(item), of(user)], parameters: Vec::new() };
        }
        let biases = || Values::Floats(slopes.iter().map(|slope| slope * share).collect());
        Gradients {
            leaves: vec![of(item), of(user), biases(), biases()],
            parameters: vec![vec![slopes.iter().sum()]],
        }
    }
}

/// The floats of a field; none of one that there is not.
fn floats(inputs: &Inputs, field: usize) -> &[f32] {
    inputs.fields.get(field).map_or(&[], Values::as_floats)
}

//! The multi-task estimator: several yes-or-no questions about a user and an item, answered from one set of vectors.
//!
//! It follows the package `user_preference_modeling` (`MultiTaskEstimator` and its subclasses). There a subclass replaces
//! the user's embedding; here the representation is a part that the estimator is composed with.

use super::cohort::merged;
use super::{
    Cohort, CohortOptions, DenseHash, Dhe, Field, FieldKind, IdLookup, Mixture, Network, NetworkError,
    Objective, OutputLoss, Outputs, Parameter, Pass, Reduction, UserRepresentation,
};
use candle_core::Tensor;
use candle_nn::Module;
use serde::{Deserialize, Serialize};

/// Who a user is, by configuration; see [`UserRepresentation`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Representation {
    /// A row of a table: [`IdLookup`].
    #[default]
    IdLookup,
    /// A deep hash embedding: [`Dhe`] on a [`DenseHash`].
    Dhe {
        /// Of the hashes' coefficients.
        seed: u64,
        /// Hashes of an id.
        hashes: usize,
        /// Numbers of a hash, m.
        range: u64,
    },
    /// Cohorts by features: [`Cohort`].
    Cohort(CohortOptions),
    /// Both the row and the cohorts: [`Mixture`].
    Mixture(CohortOptions),
}

/// Options of a [`MultiTaskEstimator`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct EstimatorOptions {
    /// Names of the tasks.
    pub tasks: Vec<String>,
    /// Who a user is.
    pub representation: Representation,
    /// Length of the user's vector.
    pub user_dim: usize,
    /// Length of the item's.
    pub item_dim: usize,
    /// How many numbers describe a user.
    pub user_features: usize,
    /// How many describe an item.
    pub item_features: usize,
    /// How many describe both together.
    pub cross_features: usize,
    /// Whether those numbers are sums of table rows, that is of hashed features of any kind, and are learned too.
    pub hashed_features: bool,
    /// Dropout of the layer that weighs the parts of a mixture, in [0, 1). The reference has 0.8.
    pub mixing_dropout: f64,
    /// What each task is worth when the model serves; empty: nothing is combined.
    pub user_value_weights: Vec<f32>,
}

impl Default for EstimatorOptions {
    fn default() -> Self {
        Self {
            tasks: vec!["label".into()],
            representation: Representation::default(),
            user_dim: 32,
            item_dim: 32,
            user_features: 16,
            item_features: 16,
            cross_features: 16,
            hashed_features: false,
            mixing_dropout: Mixture::DROPOUT_RATE,
            user_value_weights: Vec::new(),
        }
    }
}

impl EstimatorOptions {
    fn features(&self, width: usize) -> FieldKind {
        if self.hashed_features { FieldKind::Sum { dim: width } } else { FieldKind::Numbers { width } }
    }

    fn user(&self) -> Result<Box<dyn UserRepresentation>, NetworkError> {
        let (dim, features) = (self.user_dim, self.features(self.user_features));
        Ok(match self.representation {
            Representation::IdLookup => Box::new(IdLookup { dim }),
            Representation::Dhe { seed, hashes, range } => {
                Box::new(Dhe::new(DenseHash::new(seed, hashes, range)?, dim))
            }
            Representation::Cohort(options) => Box::new(Cohort::new(options, features, dim)?),
            Representation::Mixture(options) => {
                let cohort = Cohort::new(options, features, dim)?;
                let mixture = Mixture::new([Box::new(IdLookup { dim }), Box::new(cohort)], features)?;
                Box::new(mixture.with_dropout(self.mixing_dropout)?)
            }
        })
    }
}

/// Log-odds of each task from user embedding, user features, item embedding, item features and cross features.
///
/// Features go through a linear layer each, to the length of the user's vector, of the item's, and to 128; all are put side
/// by side and go through one more, with no activation between. The loss is logistic, summed over records and tasks. Fields:
/// those of the representation, `user_features`, `item_id`, `item_features`, `cross_features`, and `position`, which is
/// accepted and unused, as in the reference.
#[derive(Debug)]
pub struct MultiTaskEstimator {
    options: EstimatorOptions,
    user: Box<dyn UserRepresentation>,
}

/// Units of the cross features' layer.
const CROSS: usize = 128;

impl MultiTaskEstimator {
    /// An estimator with the representation that the options name.
    ///
    /// # Errors
    /// No task, weights that are not one a task, or options of the representation outside their range.
    pub fn new(options: EstimatorOptions) -> Result<Self, NetworkError> {
        let user = options.user()?;
        Self::with_user(options, user)
    }

    /// An estimator with a representation of one's own; that of the options plays no part.
    ///
    /// # Errors
    /// No task, weights that are not one a task, or vectors of another length than `user_dim`.
    pub fn with_user(
        options: EstimatorOptions,
        user: Box<dyn UserRepresentation>,
    ) -> Result<Self, NetworkError> {
        if options.tasks.is_empty() {
            return Err(NetworkError::Option { name: "tasks".into(), expected: "at least 1", got: 0.0 });
        }
        super::field::expect_len("vector of the user representation", options.user_dim, user.dim())?;
        if !options.user_value_weights.is_empty() {
            let got = options.user_value_weights.len();
            super::field::expect_len("user_value_weights", options.tasks.len(), got)?;
        }
        Ok(Self { options, user })
    }

    /// The options it was made with.
    pub fn options(&self) -> &EstimatorOptions {
        &self.options
    }
}

impl Network for MultiTaskEstimator {
    fn fields(&self) -> Vec<Field> {
        let options = &self.options;
        let own = [
            ("user_features", options.features(options.user_features)),
            ("item_id", FieldKind::Sum { dim: options.item_dim }),
            ("item_features", options.features(options.item_features)),
            ("cross_features", options.features(options.cross_features)),
        ];
        let own = own.map(|(name, kind)| Field::of_record(name, kind));
        let position = Field::of_record("position", FieldKind::Numbers { width: 1 }).optional();
        merged(self.user.fields().into_iter().chain(own).chain([position]))
    }

    fn parameters(&self) -> Vec<Parameter> {
        let options = &self.options;
        let all = 2 * options.user_dim + 2 * options.item_dim + CROSS;
        let layers = [
            ("user_features_layer", options.user_features, options.user_dim),
            ("item_features_layer", options.item_features, options.item_dim),
            ("cross_features_layer", options.cross_features, CROSS),
            ("task_arch", all, options.tasks.len()),
        ];
        let layers =
            layers.into_iter().flat_map(|(name, inputs, outputs)| Parameter::linear(name, inputs, outputs));
        self.user.parameters().into_iter().chain(layers).collect()
    }

    fn outputs(&self) -> Outputs {
        Outputs { names: self.options.tasks.clone(), list: None }
    }

    fn objective(&self) -> Objective {
        Objective { loss: OutputLoss::Logistic, reduction: Reduction::Sum }
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let user = self.user.forward(pass)?;
        pass.watch("user_embedding", &user);
        let features = |name: &str| -> Result<Tensor, NetworkError> {
            Ok(pass.linear(&format!("{name}_layer"))?.forward(&pass.field(name)?)?)
        };
        let all = [
            user,
            features("user_features")?,
            pass.field("item_id")?,
            features("item_features")?,
            features("cross_features")?,
        ];
        let all = Tensor::cat(&all, 1)?;
        pass.watch("combined_features", &all);
        Ok(pass.linear("task_arch")?.forward(&all)?)
    }

    /// Σ weight · probability over the tasks.
    fn value(&self, predictions: &[f32]) -> Option<f32> {
        let weights = &self.options.user_value_weights;
        let products = predictions.iter().zip(weights).map(|(probability, weight)| probability * weight);
        (!weights.is_empty()).then(|| products.sum())
    }
}

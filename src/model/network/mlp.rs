//! A FlexiHashEmbedding in front of a network of linear layers.

use super::{Field, FieldKind, Network, NetworkError, Objective, Outputs, Parameter, Pass};
use candle_core::Tensor;
use candle_nn::Module;
use serde::{Deserialize, Serialize};

/// Options of an [`Mlp`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct MlpOptions {
    /// Floats of a row.
    pub dim: usize,
    /// Units of the hidden layers; none: the outputs are linear in the sum.
    pub hidden: Vec<usize>,
    /// Names of the outputs.
    pub tasks: Vec<String>,
    /// Default: logistic, summed.
    pub objective: Objective,
}

impl Default for MlpOptions {
    fn default() -> Self {
        let objective = Objective::default();
        Self { dim: 16, hidden: vec![32], tasks: vec!["label".into()], objective }
    }
}

/// The sum of the rows of all features of a record, as [`FlexiHashEmbedding`](crate::FlexiHashEmbedding) has it, through linear
/// layers with ReLU between them. Its field is `features`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    options: MlpOptions,
}

impl Mlp {
    /// A network.
    ///
    /// # Errors
    /// No output.
    pub fn new(options: MlpOptions) -> Result<Self, NetworkError> {
        if options.tasks.is_empty() {
            return Err(NetworkError::Option { name: "tasks".into(), expected: "at least 1", got: 0.0 });
        }
        Ok(Self { options })
    }

    /// The layers by name, with their sizes: inputs, outputs.
    fn layers(&self) -> impl Iterator<Item = (String, usize, usize)> {
        let MlpOptions { dim, hidden, tasks, .. } = &self.options;
        let inputs = [*dim].into_iter().chain(hidden.iter().copied());
        let outputs = hidden.iter().copied().chain([tasks.len()]);
        inputs
            .zip(outputs)
            .enumerate()
            .map(|(index, (inputs, outputs))| (format!("layer.{index}"), inputs, outputs))
    }
}

impl Network for Mlp {
    fn fields(&self) -> Vec<Field> {
        vec![Field::of_record("features", FieldKind::Sum { dim: self.options.dim })]
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.layers().flat_map(|(name, inputs, outputs)| Parameter::linear(&name, inputs, outputs)).collect()
    }

    fn outputs(&self) -> Outputs {
        Outputs { names: self.options.tasks.clone(), list: None }
    }

    fn objective(&self) -> Objective {
        self.options.objective
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let mut units = pass.field("features")?;
        for (index, (name, ..)) in self.layers().enumerate() {
            let inputs = if index == 0 { units } else { units.relu()? };
            units = pass.linear(&name)?.forward(&inputs)?;
        }
        Ok(units)
    }
}

//! What the oracles of networks have in common: tensors, tables, a probe around a part of a network, and five steps of SGD.

use flexihash::model::network::candle_core;
use flexihash::model::network::*;
use flexihash::optim::{OptimizerKind, OptimizerOptions};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Tensor<T = f32> {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<T>,
}

impl Tensor<i64> {
    /// Indices, none of them negative.
    pub(crate) fn indices(&self) -> Vec<u32> {
        self.data.iter().map(|&index| u32::try_from(index).unwrap()).collect()
    }
}

impl Tensor<u8> {
    pub(crate) fn flags(&self) -> Vec<bool> {
        self.data.iter().map(|&flag| flag != 0).collect()
    }
}

pub(crate) type Named = BTreeMap<String, Tensor>;

/// A loss with its gradients, and five steps of SGD where there are some.
#[derive(Deserialize)]
pub(crate) struct Run {
    pub(crate) loss: f64,
    pub(crate) grad: Named,
    #[serde(default)]
    pub(crate) grad_inputs: Named,
    pub(crate) sgd: Option<Sgd>,
}

#[derive(Deserialize)]
pub(crate) struct Sgd {
    pub(crate) lr: f64,
    pub(crate) loss_before_each_step_then_final: Vec<f64>,
    /// By number of steps.
    pub(crate) params_after: BTreeMap<String, Named>,
}

const TOLERANCE: f64 = 2e-5;

pub(crate) fn close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (index, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        close_to(&format!("{what} at {index}"), f64::from(got), f64::from(expected));
    }
    let zero = |values: &[f32]| values.iter().all(|&value| value == 0.0);
    assert!(zero(got) || !zero(expected), "{what}: all zero in the reference");
}

pub(crate) fn close_to(what: &str, got: f64, expected: f64) {
    let bound = TOLERANCE + TOLERANCE * expected.abs();
    assert!((got - expected).abs() <= bound, "{what}: {got} is not {expected}");
}

/// A field's values, and the table they were looked up in.
pub(crate) enum Source {
    /// Given, and never moved.
    Given(Values),
    /// Rows of the named table, `rows` counting rows of `dim` floats.
    Table { name: String, rows: Vec<usize>, dim: usize },
}

/// What a trial starts from.
pub(crate) struct Setup<'a> {
    /// What of these is not looked up by a source is dense.
    pub(crate) parameters: &'a Named,
    pub(crate) rows: usize,
    pub(crate) lists: Vec<Items>,
    /// In the order of the network's fields.
    pub(crate) sources: Vec<Source>,
    pub(crate) targets: Targets,
    pub(crate) run: &'a Run,
}

/// A network on the oracle's parameters and tables.
pub(crate) struct Trial<N> {
    pub(crate) head: NetworkHead<N>,
    tables: Named,
    sources: Vec<Source>,
    inputs: Inputs,
    targets: Targets,
}

impl<N: Network> Trial<N> {
    pub(crate) fn new(network: N, setup: Setup<'_>) -> Self {
        let Setup { parameters, rows, lists, sources, targets, run } = setup;
        let rate = run.sgd.as_ref().map_or(0.0, |sgd| sgd.lr);
        let optimizer = OptimizerOptions { rate, ..OptimizerOptions::new(OptimizerKind::Sgd) };
        let head = NetworkHead::new(network, HeadOptions { seed: 1, optimizer }).unwrap();
        let looked_up = |name: &str| {
            sources.iter().any(|source| matches!(source, Source::Table { name: table, .. } if table == name))
        };
        let (tables, dense): (Named, Named) =
            parameters.clone().into_iter().partition(|(name, _)| looked_up(name));
        let inputs = Inputs { rows, lists, fields: Vec::new() };
        let mut trial = Self { head, tables, sources, inputs, targets };
        trial.set(&dense);
        trial
    }

    /// Gives the dense parameters these values; their names must be those of the network.
    fn set(&mut self, dense: &Named) {
        let mut state = self.head.state();
        let own: Vec<&String> = state.parameters.iter().map(|own| &own.name).collect();
        assert_eq!(own.len(), dense.len(), "{own:?} and {:?}", dense.keys());
        for own in &mut state.parameters {
            let given = dense.get(&own.name).unwrap_or_else(|| panic!("no {} in the oracle", own.name));
            assert_eq!(own.shape, given.shape, "{}", own.name);
            own.values.clone_from(&given.data);
        }
        self.head.restore(&state).unwrap();
    }

    /// Looks the rows up as they are now.
    pub(crate) fn inputs(&self) -> Inputs {
        let look_up = |source: &Source| match source {
            Source::Given(values) => values.clone(),
            Source::Table { name, rows, dim } => {
                let table = &self.tables[name].data;
                Values::Floats(rows.iter().flat_map(|row| table[row * dim..][..*dim].to_vec()).collect())
            }
        };
        Inputs { fields: self.sources.iter().map(look_up).collect(), ..self.inputs.clone() }
    }

    pub(crate) fn backward(&self, phase: Phase<'_>) -> Backward {
        self.head.backward(&self.inputs(), &self.targets, phase).unwrap()
    }

    /// Checks loss and gradients against `run`.
    pub(crate) fn check_gradients(&self, backward: &Backward, run: &Run) {
        close_to("loss", f64::from(backward.loss), run.loss);
        let mut expected = run.grad.clone();
        for (name, gradient) in &backward.parameters {
            let expected = expected.remove(name).unwrap_or_else(|| panic!("no gradient of {name}"));
            close(&format!("gradient of {name}"), gradient, &expected.data);
        }
        for (name, gradient) in self.scattered(&backward.leaves) {
            let expected = expected.remove(&name).unwrap_or_else(|| panic!("no gradient of {name}"));
            close(&format!("gradient of {name}"), &gradient, &expected.data);
        }
        assert!(expected.is_empty(), "not compared: {:?}", expected.keys());
        let fields = self.head.fields().iter().zip(&backward.leaves);
        let leaves: BTreeMap<_, _> = fields.map(|(field, leaf)| (field.name.as_str(), leaf)).collect();
        for (name, expected) in &run.grad_inputs {
            close(&format!("gradient of {name}"), leaves[name.as_str()].as_floats(), &expected.data);
        }
    }

    /// Dense gradients of the tables.
    fn scattered(&self, leaves: &[Values]) -> BTreeMap<String, Vec<f32>> {
        let zeros = |(name, table): (&String, &Tensor)| (name.clone(), vec![0.0f32; table.data.len()]);
        let mut gradients: BTreeMap<_, _> = self.tables.iter().map(zeros).collect();
        for (source, leaf) in self.sources.iter().zip(leaves) {
            let Source::Table { name, rows, dim } = source else { continue };
            let gradient = gradients.get_mut(name).unwrap();
            for (row, slopes) in rows.iter().zip(leaf.as_floats().chunks_exact(*dim)) {
                gradient[row * dim..][..*dim].iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
            }
        }
        gradients
    }

    /// Takes the steps of `run`, comparing losses and parameters. Returns how many parameter sets were compared.
    pub(crate) fn check_sgd(mut self, run: &Run) -> usize {
        let Some(Sgd { lr, loss_before_each_step_then_final: losses, params_after }) = &run.sgd else {
            return 0;
        };
        let (last, before) = losses.split_last().unwrap();
        for (index, &expected) in before.iter().enumerate() {
            let inputs = self.inputs();
            let learned = self.head.learn_with(&inputs, &self.targets, Phase::Predict).unwrap();
            close_to("loss before a step", f64::from(learned.loss), expected);
            let Step::Taken(leaves) = learned.step else { panic!("{:?}", learned.step) };
            for (name, gradient) in self.scattered(&leaves) {
                let table = self.tables.get_mut(&name).unwrap();
                let moved = table.data.iter_mut().zip(gradient);
                moved.for_each(|(weight, slope)| *weight -= (*lr * f64::from(slope)) as f32);
            }
            if let Some(expected) = params_after.get(&(index + 1).to_string()) {
                self.check_parameters(index + 1, expected);
            }
        }
        close_to("last loss", f64::from(self.backward(Phase::Predict).loss), *last);
        assert!(params_after.keys().all(|steps| (1..=before.len()).contains(&steps.parse().unwrap())));
        params_after.len()
    }

    fn check_parameters(&self, steps: usize, expected: &Named) {
        let dense = self.head.state().parameters;
        assert_eq!(dense.len() + self.tables.len(), expected.len());
        let dense = dense.into_iter().map(|parameter| (parameter.name, parameter.values));
        let tables = self.tables.iter().map(|(name, table)| (name.clone(), table.data.clone()));
        for (name, values) in dense.chain(tables) {
            close(&format!("{name} after {steps} steps"), &values, &expected[&name].data);
        }
    }
}

/// The two losses by which the parts of the X-style system were differentiated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ProbeLoss {
    /// Σ out·R; the weights are R.
    Linear,
    /// ½ Σ weight·(out − target)².
    HalfSse,
}

type Forward = dyn Fn(&mut Pass<'_>) -> Result<candle_core::Tensor, NetworkError> + Send + Sync;

/// A part of a network as a network.
pub(crate) struct Probe {
    pub(crate) fields: Vec<Field>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) loss: ProbeLoss,
    pub(crate) forward: Box<Forward>,
    pub(crate) outputs: Outputs,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("fields", &self.fields)
            .field("loss", &self.loss)
            .finish_non_exhaustive()
    }
}

impl Network for Probe {
    fn fields(&self) -> Vec<Field> {
        self.fields.clone()
    }
    fn parameters(&self) -> Vec<Parameter> {
        self.parameters.clone()
    }
    fn outputs(&self) -> Outputs {
        self.outputs.clone()
    }
    fn objective(&self) -> Objective {
        Objective { loss: OutputLoss::Squared, reduction: Reduction::Sum }
    }
    fn forward(&self, pass: &mut Pass<'_>) -> Result<candle_core::Tensor, NetworkError> {
        (self.forward)(pass)
    }
    fn loss(
        &self,
        outputs: &candle_core::Tensor,
        targets: &candle_core::Tensor,
        weights: &candle_core::Tensor,
    ) -> Result<candle_core::Tensor, NetworkError> {
        Ok(match self.loss {
            ProbeLoss::Linear => outputs.mul(weights)?.sum_all()?,
            ProbeLoss::HalfSse => outputs.sub(targets)?.sqr()?.mul(weights)?.sum_all()?.affine(0.5, 0.0)?,
        })
    }
}

/// `R` and `target` of a case as targets.
pub(crate) fn targets(loss: ProbeLoss, factors: &Tensor, target: &Tensor) -> Targets {
    let weights = match loss {
        ProbeLoss::Linear => factors.data.clone(),
        ProbeLoss::HalfSse => vec![1.0; target.data.len()],
    };
    Targets { values: target.data.clone(), weights }
}

pub(crate) fn floats(tensor: &Tensor) -> Source {
    Source::Given(Values::Floats(tensor.data.clone()))
}

/// A list without padding: the references compute their losses over padding too.
pub(crate) fn all_items(rows: usize, count: usize) -> Items {
    Items { count, mask: vec![true; rows * count] }
}

pub(crate) fn outputs(list: Option<&str>, width: usize) -> Outputs {
    Outputs { names: (0..width).map(|output| output.to_string()).collect(), list: list.map(str::to_owned) }
}

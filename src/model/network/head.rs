//! A network with its parameters: it predicts, then learns, and its state can be stored exactly.

use super::field::lists_of;
use super::parameter::Dense;
use super::{
    ByHand, Field, FieldKind, Gradients, Inputs, Items, Network, NetworkError, Outputs, ParameterState, Pass,
    Phase, RandomMasks, Targets, Values,
};
use crate::optim::{OptimizerKind, OptimizerOptions};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;

/// How a network starts and how its dense parameters move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadOptions {
    /// Of the first values and of dropout.
    pub seed: u64,
    /// What moves the dense parameters; its schedule counts records.
    pub optimizer: OptimizerOptions,
}

impl Default for HeadOptions {
    fn default() -> Self {
        Self { seed: 0, optimizer: OptimizerOptions::new(OptimizerKind::Adagrad) }
    }
}

/// Everything about a [`NetworkHead`] that learning changes.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadState {
    /// In the order of [`Network::parameters`].
    pub parameters: Vec<ParameterState>,
    /// The generator of dropout.
    pub random: u64,
    /// Records with a label in the steps taken so far.
    pub examples: u64,
    /// Batches dropped, because their step was not finite.
    pub dropped_steps: u64,
}

/// A loss and its gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct Backward {
    /// The loss.
    pub loss: f32,
    /// The outputs before the link, row-major.
    pub outputs: Vec<f32>,
    /// By field, in the order of [`Network::fields`]: the gradient of its values, in their order, as floats or as a tensor where
    /// they are one; no floats where the field holds no table rows.
    pub leaves: Vec<Values>,
    /// By parameter name, row-major.
    pub parameters: BTreeMap<String, Vec<f32>>,
    /// What the network [watched](Pass::watch), row-major.
    pub watched: BTreeMap<String, Vec<f32>>,
}

/// What became of a batch that was to be learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The dense parameters have moved, and the table rows are to move by these gradients of their values: by field, as
    /// [`Backward::leaves`].
    Taken(Vec<Values>),
    /// Something was not finite: nothing has moved, nor may the rows.
    Dropped,
    /// No label: nothing to learn.
    Unlabelled,
}

/// A batch that was predicted and then learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// The predictions made before anything was learned, dropout off; in the shape of the outputs, row-major.
    pub predictions: Vec<f32>,
    /// The loss of the training pass; 0 without labels.
    pub loss: f32,
    /// What became of it.
    pub step: Step,
}

/// A [`Network`] with its parameters.
///
/// ```
/// use flexihash::model::network::{Dot, DotOptions, HeadOptions, Inputs, NetworkHead, Step, Targets, Values};
///
/// let options = DotOptions { dim: 2, ..DotOptions::default() };
/// let mut head = NetworkHead::new(Dot::new(options)?, HeadOptions::default())?;
/// // A row of a user and one of an item, as a table holds them.
/// let (mut user, mut item) = (vec![0.1, 0.2], vec![0.3, -0.1]);
/// for _ in 0..50 {
///     let fields = vec![Values::Floats(user.clone()), Values::Floats(item.clone())];
///     let inputs = Inputs { rows: 1, fields, ..Inputs::default() };
///     let learned = head.learn(&inputs, &Targets::of([Some(3.5)]))?;
///     let Step::Taken(gradients) = learned.step else { panic!("a step that is not finite") };
///     for (row, gradient) in [&mut user, &mut item].into_iter().zip(gradients) {
///         row.iter_mut().zip(gradient.as_floats()).for_each(|(weight, slope)| *weight -= 0.05 * slope);
///     }
/// }
/// assert!((user[0] * item[0] + user[1] * item[1] - 3.5).abs() < 0.01);
/// # Ok::<(), flexihash::model::network::NetworkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct NetworkHead<N = Box<dyn Network>> {
    network: N,
    fields: Vec<Field>,
    lists: Vec<String>,
    outputs: Outputs,
    dense: Dense,
    optimizer: OptimizerOptions,
    random: RandomMasks,
    examples: u64,
    dropped_steps: u64,
}

impl<N: Network> NetworkHead<N> {
    /// A network that has learned nothing.
    ///
    /// # Errors
    /// Declarations that contradict each other, and whatever `forward` refuses or gets wrong on a batch of zeros.
    pub fn new(network: N, options: HeadOptions) -> Result<Self, NetworkError> {
        let fields = network.fields();
        let lists = lists_of(&fields)?;
        let outputs = network.outputs();
        if let Some(list) = outputs.list.as_ref().filter(|list| !lists.contains(list)) {
            return Err(NetworkError::Unknown { what: "list", name: list.clone() });
        }
        let dense = Dense::new(network.parameters(), options.optimizer, options.seed)?;
        let random = RandomMasks::new(options.seed);
        let optimizer = options.optimizer;
        let (examples, dropped_steps) = (0, 0);
        let head =
            Self { network, fields, lists, outputs, dense, optimizer, random, examples, dropped_steps };
        head.try_out()?;
        Ok(head)
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The fields, in the order of [`Inputs::fields`].
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The names of the lists, in the order of [`Inputs::lists`]: that in which the fields first name them.
    pub fn lists(&self) -> &[String] {
        &self.lists
    }

    /// Records with a label, learned so far.
    pub fn examples(&self) -> u64 {
        self.examples
    }

    /// The weights of a dense parameter, row-major; none of a name that there is not.
    pub fn parameter(&self, name: &str) -> Option<Vec<f32>> {
        self.dense.weights_of(name)
    }

    /// Batches whose step was not finite and was dropped.
    pub fn dropped_steps(&self) -> u64 {
        self.dropped_steps
    }

    /// Computes on another device of candle's from now on; parameters are moved, averaged and stored here as before. Bits are those of
    /// the device. A network that is [written out](ByHand) goes on here for values that are here.
    ///
    /// # Errors
    /// The device failed, or lacks something that the network does; all is as it was then.
    pub fn compute_on(&mut self, device: Device) -> Result<(), NetworkError> {
        let before = self.dense.place(device);
        let tried = self.try_out();
        if tried.is_err() {
            self.dense.place(before);
        }
        tried
    }

    /// A copy that computes on the processor.
    pub fn on_cpu(&self) -> Self
    where
        N: Clone,
    {
        let mut copy = self.clone();
        copy.dense.place(Device::Cpu);
        copy
    }

    /// The predictions for `inputs`, in the shape of the outputs, row-major. Changes nothing.
    ///
    /// # Errors
    /// Inputs that are not those of the network.
    pub fn predict(&self, inputs: &Inputs) -> Result<Vec<f32>, NetworkError> {
        if let Some(by_hand) = self.by_hand(inputs) {
            inputs.check(&self.fields, &self.lists)?;
            return Ok(self.linked(by_hand.outputs(inputs, &self.dense.weights())));
        }
        let mut pass = self.pass(inputs, Phase::Predict)?;
        let outputs = self.forward(inputs, &mut pass)?;
        self.predictions(&outputs)
    }

    /// What the network [watches](Pass::watch) while it predicts `inputs`, by name, row-major: for reports. Changes nothing.
    ///
    /// # Errors
    /// Inputs that are not those of the network.
    pub fn watch(&self, inputs: &Inputs) -> Result<BTreeMap<String, Vec<f32>>, NetworkError> {
        let mut pass = self.pass(inputs, Phase::Predict)?;
        self.forward(inputs, &mut pass)?;
        watched(&pass)
    }

    /// The loss of `inputs` with `targets`, and its gradients. Changes nothing but the generator of `phase`'s masks.
    ///
    /// # Errors
    /// Inputs or targets that are not those of the network.
    pub fn backward(
        &self,
        inputs: &Inputs,
        targets: &Targets,
        phase: Phase<'_>,
    ) -> Result<Backward, NetworkError> {
        let mut pass = self.pass(inputs, phase)?;
        let outputs = self.forward(inputs, &mut pass)?;
        let labels = targets.masked(outputs.elem_count(), self.output_mask(inputs))?;
        let (loss, Gradients { leaves, parameters }) = self.slopes((inputs, &pass), &outputs, labels)?;
        Ok(Backward {
            loss,
            outputs: outputs.flatten_all()?.to_vec1()?,
            leaves,
            parameters: self.dense.named(parameters),
            watched: watched(&pass)?,
        })
    }

    /// Predicts `inputs`, then learns `targets`: moves the dense parameters, and says how the table rows should move.
    ///
    /// Predictions are made with dropout off. A network that drops units makes a second pass to learn; others learn from the
    /// first.
    ///
    /// # Errors
    /// Inputs or targets that are not those of the network; nothing has changed then.
    pub fn learn(&mut self, inputs: &Inputs, targets: &Targets) -> Result<Learned, NetworkError> {
        let mut random = self.random.clone();
        let learned = self.learn_with(inputs, targets, Phase::Train(&mut random))?;
        self.random = random;
        Ok(learned)
    }

    /// As [`NetworkHead::learn`], with dropout as `phase` has it: masks of one's own, or none.
    ///
    /// # Errors
    /// Those of [`NetworkHead::learn`].
    pub fn learn_with(
        &mut self,
        inputs: &Inputs,
        targets: &Targets,
        phase: Phase<'_>,
    ) -> Result<Learned, NetworkError> {
        if self.by_hand(inputs).is_some() {
            return self.learn_by_hand(inputs, targets);
        }
        let mut pass = self.pass(inputs, Phase::Predict)?;
        let mut outputs = self.forward(inputs, &mut pass)?;
        let predictions = self.predictions(&outputs)?;
        let labels = targets.masked(outputs.elem_count(), self.output_mask(inputs))?;
        if !labels.any() {
            return Ok(Learned { predictions, loss: 0.0, step: Step::Unlabelled });
        }
        if pass.asked_to_drop() && matches!(phase, Phase::Train(_)) {
            pass = self.pass(inputs, phase)?;
            outputs = self.forward(inputs, &mut pass)?;
        }
        let examples = labelled(&labels, inputs.rows);
        let (loss, gradients) = self.slopes((inputs, &pass), &outputs, labels)?;
        drop(pass);
        Ok(Learned { predictions, loss, step: self.step(loss, gradients, examples)? })
    }

    /// The network written out, for values that are here.
    fn by_hand(&self, inputs: &Inputs) -> Option<&dyn ByHand> {
        let elsewhere = inputs.fields.iter().any(|values| matches!(values, Values::Tensor(_)));
        self.network.by_hand().filter(|_| !elsewhere)
    }

    /// The same for a network that is written out.
    fn learn_by_hand(&mut self, inputs: &Inputs, targets: &Targets) -> Result<Learned, NetworkError> {
        inputs.check(&self.fields, &self.lists)?;
        let none = Learned { predictions: Vec::new(), loss: 0.0, step: Step::Unlabelled };
        let Some(by_hand) = self.by_hand(inputs) else { return Ok(none) };
        let weights = self.dense.weights();
        let outputs = by_hand.outputs(inputs, &weights);
        let predictions = self.linked(outputs.iter().copied());
        let labels = targets.masked(outputs.len(), self.output_mask(inputs))?;
        if !labels.any() {
            return Ok(Learned { predictions, ..none });
        }
        let (loss, slopes) = self.network.objective().by_hand(&outputs, &labels);
        let gradients = by_hand.gradients(inputs, &weights, &slopes);
        let examples = labelled(&labels, inputs.rows);
        Ok(Learned { predictions, loss, step: self.step(loss, gradients, examples)? })
    }

    /// Moves the dense parameters, if everything is finite.
    fn step(&mut self, loss: f32, gradients: Gradients, examples: u64) -> Result<Step, NetworkError> {
        let rate = self.optimizer.rate_at(self.examples as f64);
        let finite = loss.is_finite() && gradients.are_finite()?;
        if finite && self.dense.step(&gradients.parameters, rate) {
            self.examples += examples;
            Ok(Step::Taken(gradients.leaves))
        } else {
            self.dropped_steps += 1;
            Ok(Step::Dropped)
        }
    }

    /// All state, exactly; see [`NetworkHead::restore`].
    pub fn state(&self) -> HeadState {
        HeadState {
            parameters: self.dense.state(),
            random: self.random.state(),
            examples: self.examples,
            dropped_steps: self.dropped_steps,
        }
    }

    /// Takes up what [`NetworkHead::state`] returned: what is learned from then on has the same bits.
    ///
    /// # Errors
    /// Not the state of this network with this optimizer, or not finite; nothing has changed then.
    pub fn restore(&mut self, state: &HeadState) -> Result<(), NetworkError> {
        self.dense.restore(&state.parameters)?;
        self.random = RandomMasks::new(state.random);
        self.examples = state.examples;
        self.dropped_steps = state.dropped_steps;
        Ok(())
    }

    /// Joins what copies of this head learned apart; `copies` were equal to it before. Dense state is averaged by the number of
    /// records each has learned since, counts add up, the generator stays. No record at all: no parameter changes.
    ///
    /// # Errors
    /// A copy of another network or optimizer; nothing has changed then.
    pub fn merge(&mut self, copies: &[&Self]) -> Result<(), NetworkError> {
        let learned = |copy: &&Self| copy.examples.saturating_sub(self.examples);
        let dropped = |copy: &&Self| copy.dropped_steps.saturating_sub(self.dropped_steps);
        let shares: Vec<u64> = copies.iter().map(learned).collect();
        let states: Vec<_> = copies.iter().map(|copy| copy.dense.state()).collect();
        let dropped: u64 = copies.iter().map(dropped).sum();
        self.dense.average(&states, &shares)?;
        self.examples += shares.iter().sum::<u64>();
        self.dropped_steps += dropped;
        Ok(())
    }

    fn pass<'a>(&'a self, inputs: &'a Inputs, phase: Phase<'a>) -> Result<Pass<'a>, NetworkError> {
        inputs.check(&self.fields, &self.lists)?;
        let dense = (self.dense.device(), self.dense.tensors()?);
        Pass::new((&self.fields, &self.lists), inputs, dense, phase)
    }

    /// The outputs, in the declared shape.
    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let outputs = self.network.forward(pass)?;
        let items = self.output_items(inputs).map(|items| items.count);
        let expected: Vec<usize> =
            [inputs.rows].into_iter().chain(items).chain([self.outputs.names.len()]).collect();
        let got = outputs.dims().to_vec();
        if got == expected { Ok(outputs) } else { Err(NetworkError::Outputs { expected, got }) }
    }

    /// The list of the outputs.
    fn output_items<'a>(&self, inputs: &'a Inputs) -> Option<&'a Items> {
        let list = self.outputs.list.as_ref()?;
        let place = self.lists.iter().position(|name| name == list)?;
        inputs.lists.get(place)
    }

    fn output_mask<'a>(&self, inputs: &'a Inputs) -> Option<&'a [bool]> {
        self.output_items(inputs).map(|items| items.mask.as_slice())
    }

    fn predictions(&self, outputs: &Tensor) -> Result<Vec<f32>, NetworkError> {
        Ok(self.linked(outputs.flatten_all()?.to_vec1::<f32>()?))
    }

    /// Outputs as users see them.
    fn linked(&self, outputs: impl IntoIterator<Item = f32>) -> Vec<f32> {
        let objective = self.network.objective();
        outputs.into_iter().map(|output| objective.prediction(output)).collect()
    }

    /// The loss of `labels`, of which what plays no part has been masked, and its gradients.
    fn slopes(
        &self,
        (inputs, pass): (&Inputs, &Pass<'_>),
        outputs: &Tensor,
        labels: Targets,
    ) -> Result<(f32, Gradients), NetworkError> {
        let Targets { values, weights } = labels;
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, outputs.dims(), self.dense.device());
        let loss = self.network.loss(outputs, &tensor(values)?, &tensor(weights)?)?;
        let store = loss.backward()?;
        let leaf = |(field, values): (&Field, &Values)| match (pass.leaf(&field.name), values) {
            (Some(leaf), Values::Tensor(_)) => Ok(Values::Tensor(leaf.gradient_there(&store)?)),
            (Some(leaf), _) => Ok(Values::Floats(leaf.gradient(&store)?)),
            (None, _) => Ok(Values::Floats(Vec::new())),
        };
        let leaves = self.fields.iter().zip(&inputs.fields).map(leaf).collect::<Result<_, NetworkError>>()?;
        let parameters = self.dense.gradients(&store)?;
        Ok((loss.to_scalar()?, Gradients { leaves, parameters }))
    }

    /// One batch of zeros, to see whether the network fits together.
    fn try_out(&self) -> Result<(), NetworkError> {
        const ROWS: usize = 2;
        const ITEMS: usize = 3;
        let zeros = |field: &Field| {
            let count = field.shape(ROWS, ITEMS).iter().product();
            match field.kind {
                FieldKind::Category { .. } => Values::Categories(vec![0; count]),
                FieldKind::Id => Values::Ids(vec![0; count]),
                _ => Values::Floats(vec![0.0; count]),
            }
        };
        let items = || Items { count: ITEMS, mask: vec![true; ROWS * ITEMS] };
        let inputs = Inputs {
            rows: ROWS,
            lists: self.lists.iter().map(|_| items()).collect(),
            fields: self.fields.iter().map(zeros).collect(),
        };
        let outputs = self.predict(&inputs)?.len();
        let targets = Targets { values: vec![0.0; outputs], weights: vec![1.0; outputs] };
        self.backward(&inputs, &targets, Phase::Train(&mut RandomMasks::new(0)))?;
        Ok(())
    }
}

/// What a pass has watched, as floats.
fn watched(pass: &Pass<'_>) -> Result<BTreeMap<String, Vec<f32>>, NetworkError> {
    let flat = |(name, tensor): (&String, &Tensor)| {
        Ok((name.clone(), tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?))
    };
    pass.watched().iter().map(flat).collect()
}

/// How many of `rows` records have a label.
fn labelled(labels: &Targets, rows: usize) -> u64 {
    let width = (labels.weights.len() / rows.max(1)).max(1);
    let any = |weights: &&[f32]| weights.iter().any(|weight| *weight != 0.0);
    labels.weights.chunks(width).filter(any).count() as u64
}

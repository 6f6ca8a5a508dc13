//! The dense parameters of a network: declared, given their first values, and moved.

use super::NetworkError;
use super::field::expect_len;
use crate::hash::murmur3_x64_128;
use crate::optim::{OptimizerOptions, SplitMix64, Vectors};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What a parameter holds before it has learned anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// All zeros.
    Zeros,
    /// Uniform in [−bound, bound).
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// N(0, deviation²).
    Normal {
        /// The standard deviation.
        deviation: f32,
    },
}

/// A declared parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name, unique in the network; `layer.weight` and `layer.bias` for what [`Pass::linear`](super::Pass::linear) takes.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its first values.
    pub initial: Initial,
}

impl Parameter {
    /// A parameter.
    pub fn new(name: &str, shape: &[usize], initial: Initial) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec(), initial }
    }

    /// The weight `[outputs, inputs]` of a linear layer without bias, uniform within 1/√inputs as torch has it.
    pub fn projection(layer: &str, inputs: usize, outputs: usize) -> Self {
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        Self::new(&format!("{layer}.weight"), &[outputs, inputs], Initial::Uniform { bound })
    }

    /// Weight `[outputs, inputs]` and bias `[outputs]` of a linear layer, uniform within 1/√inputs.
    pub fn linear(layer: &str, inputs: usize, outputs: usize) -> [Self; 2] {
        let weight = Self::projection(layer, inputs, outputs);
        let bias = Self::new(&format!("{layer}.bias"), &[outputs], weight.initial);
        [weight, bias]
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its first values: a function of seed and name alone.
    fn values(&self, seed: u64) -> Vec<f32> {
        let stream = murmur3_x64_128(self.name.as_bytes(), 0).0;
        let mut random = SplitMix64(seed ^ stream);
        let draw = |random: &mut SplitMix64| match self.initial {
            Initial::Zeros => 0.0,
            Initial::Uniform { bound } => (2.0 * random.uniform() - 1.0) * bound,
            Initial::Normal { deviation } => random.normal() * deviation,
        };
        (0..self.elements()).map(|_| draw(&mut random)).collect()
    }
}

/// A parameter's stored floats: its weights, or what the optimizer derives them from and keeps beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterState {
    /// Its name.
    pub name: String,
    /// Its shape, and in front of it the floats of a weight's state where that is more than the weight.
    pub shape: Vec<usize>,
    /// The floats, row-major.
    pub values: Vec<f32>,
}

/// Parameters with their optimizer.
#[derive(Debug)]
pub(super) struct Dense {
    optimizer: Vectors,
    declared: Vec<Parameter>,
    /// Each parameter's state, `[floats a weight, elements]`.
    states: Vec<Vec<f32>>,
    /// Where the tensors are; states stay here.
    device: Device,
    /// Made when they are first asked for.
    tensors: OnceLock<BTreeMap<String, Var>>,
}

impl Clone for Dense {
    /// The tensors, whose memory would be shared, are made anew.
    fn clone(&self) -> Self {
        let Self { optimizer, declared, states, device, .. } = self;
        Self {
            optimizer: *optimizer,
            declared: declared.clone(),
            states: states.clone(),
            device: device.clone(),
            tensors: OnceLock::new(),
        }
    }
}

impl Dense {
    /// Parameters with their first values.
    pub(super) fn new(
        declared: Vec<Parameter>,
        options: OptimizerOptions,
        seed: u64,
    ) -> Result<Self, NetworkError> {
        for (index, parameter) in declared.iter().enumerate() {
            let name = || parameter.name.clone();
            if declared[..index].iter().any(|earlier| earlier.name == parameter.name) {
                return Err(NetworkError::Twice { what: "parameter", name: name() });
            }
            if parameter.elements() == 0 {
                let expected = "a size of at least 1";
                return Err(NetworkError::Option { name: name(), expected, got: 0.0 });
            }
        }
        let optimizer = Vectors::new(options);
        let states = declared.iter().map(|parameter| optimizer.initial(&parameter.values(seed))).collect();
        let device = Device::Cpu;
        Ok(Self { optimizer, states, declared, device, tensors: OnceLock::new() })
    }

    /// Where the tensors are.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Makes them on another device from now on; returns the one before.
    pub(super) fn place(&mut self, device: Device) -> Device {
        self.tensors = OnceLock::new();
        std::mem::replace(&mut self.device, device)
    }

    /// The parameters by name, for a graph.
    pub(super) fn tensors(&self) -> Result<&BTreeMap<String, Var>, NetworkError> {
        if let Some(tensors) = self.tensors.get() {
            return Ok(tensors);
        }
        let tensors = self.tensors_of(&self.states)?;
        Ok(self.tensors.get_or_init(|| tensors))
    }

    /// The weights of each, in the order they were declared.
    pub(super) fn weights(&self) -> Vec<Vec<f32>> {
        self.states.iter().map(|state| self.optimizer.weights(state)).collect()
    }

    /// The weights of one.
    pub(super) fn weights_of(&self, name: &str) -> Option<Vec<f32>> {
        let place = self.declared.iter().position(|parameter| parameter.name == name)?;
        self.states.get(place).map(|state| self.optimizer.weights(state))
    }

    /// The gradients of all parameters, in the order they were declared.
    pub(super) fn gradients(&self, store: &GradStore) -> Result<Vec<Vec<f32>>, NetworkError> {
        let tensors = self.tensors()?;
        let gradient = |parameter: &Parameter| match tensors.get(&parameter.name).map(|var| store.get(var)) {
            Some(Some(gradient)) => Ok(gradient.flatten_all()?.to_vec1()?),
            _ => Ok(vec![0.0; parameter.elements()]),
        };
        self.declared.iter().map(gradient).collect()
    }

    pub(super) fn named(&self, gradients: Vec<Vec<f32>>) -> BTreeMap<String, Vec<f32>> {
        self.declared.iter().map(|parameter| parameter.name.clone()).zip(gradients).collect()
    }

    /// Moves all parameters, or none: `false` if f32 cannot hold one of the new floats.
    pub(super) fn step(&mut self, gradients: &[Vec<f32>], rate: f64) -> bool {
        let (mut moved, mut finite) = (self.states.clone(), true);
        for ((moved, state), gradient) in moved.iter_mut().zip(&self.states).zip(gradients) {
            finite &= self.optimizer.step(state, gradient, (1.0, rate), moved);
        }
        if !finite {
            return false;
        }
        self.tensors = OnceLock::new();
        self.states = moved;
        true
    }

    pub(super) fn state(&self) -> Vec<ParameterState> {
        let floats = self.optimizer.floats();
        let state = |(parameter, values): (&Parameter, &Vec<f32>)| ParameterState {
            name: parameter.name.clone(),
            shape: stored_shape(parameter, floats),
            values: values.clone(),
        };
        self.declared.iter().zip(&self.states).map(state).collect()
    }

    /// Takes up the mean of `states`, each counting as `shares` say; nothing if they are all 0.
    pub(super) fn average(
        &mut self,
        states: &[Vec<ParameterState>],
        shares: &[u64],
    ) -> Result<(), NetworkError> {
        states.iter().try_for_each(|state| self.check(state))?;
        let all: u64 = shares.iter().sum();
        if all == 0 {
            return Ok(());
        }
        let mut mean = self.state();
        for (index, parameter) in mean.iter_mut().enumerate() {
            for (at, value) in parameter.values.iter_mut().enumerate() {
                let copies = states.iter().filter_map(|state| state.get(index)?.values.get(at)).zip(shares);
                let share = |(&value, &share): (&f32, &u64)| f64::from(value) * (share as f64 / all as f64);
                *value = copies.map(share).sum::<f64>() as f32;
            }
        }
        self.restore(&mean)
    }

    /// Takes up a state, or refuses it and changes nothing.
    pub(super) fn restore(&mut self, state: &[ParameterState]) -> Result<(), NetworkError> {
        self.check(state)?;
        let states: Vec<Vec<f32>> = state.iter().map(|found| found.values.clone()).collect();
        self.tensors = OnceLock::new();
        self.states = states;
        Ok(())
    }

    /// Whether it is the state of these parameters, and finite.
    fn check(&self, state: &[ParameterState]) -> Result<(), NetworkError> {
        let floats = self.optimizer.floats();
        for index in 0..self.declared.len().max(state.len()) {
            let expected = self.declared.get(index);
            let expected =
                expected.map(|parameter| (parameter.name.clone(), stored_shape(parameter, floats)));
            let got = state.get(index).map(|found| (found.name.clone(), found.shape.clone()));
            if expected != got {
                return Err(NetworkError::State { expected, got });
            }
        }
        for ParameterState { name, shape, values } in state {
            expect_len(name, shape.iter().product(), values.len())?;
            if let Some((index, &got)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(NetworkError::NotFinite { name: name.clone(), index, got });
            }
        }
        Ok(())
    }

    fn tensors_of(&self, states: &[Vec<f32>]) -> Result<BTreeMap<String, Var>, NetworkError> {
        let tensor = |(parameter, state): (&Parameter, &Vec<f32>)| {
            let weights = self.optimizer.weights(state);
            let weights = Tensor::from_vec(weights, parameter.shape.as_slice(), &self.device)?;
            Ok((parameter.name.clone(), Var::from_tensor(&weights)?))
        };
        self.declared.iter().zip(states).map(tensor).collect()
    }
}

fn stored_shape(parameter: &Parameter, floats: usize) -> Vec<usize> {
    let more = (floats > 1).then_some(floats);
    more.into_iter().chain(parameter.shape.iter().copied()).collect()
}

/// Whether every value is finite; without a branch a value, so that it costs little.
pub(super) fn all_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |finite, value| finite & value.is_finite())
}

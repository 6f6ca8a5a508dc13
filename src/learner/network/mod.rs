//! A network's learner: it looks rows up by field, hands them to the network as leaves, takes their gradients back and sends
//! them to the rows.
//!
//! ```text
//! Piece (slots, numbers) ─▶ Layout ─▶ Uses ─▶ gather ─▶ Inputs ─▶ NetworkHead ─▶ predictions
//!                                       └──▶ scatter ◀── gradients of the leaves ◀──┘
//! ```
//!
//! All records of a batch are predicted with what the model knew before the first of them, then learned together; each row
//! moves once for every time it was looked up, in the order of the records, so that no bit depends on threads. The tables' stripes are
//! held while rows are read and while they are moved, not while the network computes.

mod bind;
#[cfg(feature = "cuda")]
mod device;
mod inputs;
mod retrieve;

use super::{
    Counters, LabelShape, Learner, LearnerError, LearnerOptions, LearnerState, Mode, Outcome, Outcomes,
    Piece, Rejection, Watched, WeightsOf, task_name,
};
use crate::batch::Batch;
use crate::field::Fields;
use crate::model::network::{HeadOptions, HeadState, Inputs, Network, NetworkHead, Step, Targets, Values};
use crate::optim::{OptimizerOptions, Vectors};
use crate::table::{Table, TableOptions};
use bind::Bindings;
use inputs::{Layout, Uses};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a network learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkOptions {
    /// Records learned together, at least 1.
    pub batch: usize,
    /// Seed of initial values and of dropout.
    pub seed: u64,
    /// What moves table rows; its schedule counts records.
    pub rows: OptimizerOptions,
    /// What moves dense parameters.
    pub dense: OptimizerOptions,
}

/// A network, its tables and how its fields are found.
pub(super) struct NetworkArm {
    options: NetworkOptions,
    head: NetworkHead<Arc<dyn Network>>,
    rule: Vectors,
    bindings: Bindings,
    /// In the order of [`Fields::tables`], with their names there. Those who read them ask [`NetworkArm::settled`].
    tables: Vec<(String, Arc<Table>)>,
    /// Where the rows are, if not in the tables.
    #[cfg(feature = "cuda")]
    device: Option<device::Placed>,
    /// By field of the network.
    uses: Vec<Uses>,
    moved: Vec<f32>,
    /// Names of what is watched.
    watch: Vec<String>,
    /// By field of the network: whether a record has had anything for it.
    seen: Vec<bool>,
}

/// What became of some records.
struct Passed {
    layout: Layout,
    /// In the shape of the outputs, padding included.
    predictions: Vec<f32>,
    targets: Targets,
    /// By record; empty if nothing is watched.
    watched: Vec<Watched>,
}

impl NetworkArm {
    fn new(
        network: Arc<dyn Network>,
        fields: &Fields,
        options: NetworkOptions,
    ) -> Result<Self, LearnerError> {
        let NetworkOptions { seed, rows, dense, .. } = options;
        let head = NetworkHead::new(network, HeadOptions { seed, optimizer: dense })?;
        let bindings = Bindings::new(&head, fields)?;
        let rule = Vectors::new(rows);
        let table = |(index, shape): (usize, &crate::field::TableShape)| {
            let options = TableOptions {
                rows: shape.rows() as u64,
                width: rule.floats() * shape.dim,
                side: 0,
                init: rule.init(shape.dim, shape.init_mean, shape.init_scale),
                seed: seed.wrapping_add(index as u64), // else ids that share a slot number share first values
            };
            Ok((shape.name.clone(), Arc::new(Table::new(options)?)))
        };
        let tables = fields.tables().iter().enumerate().map(table).collect::<Result<_, LearnerError>>()?;
        let uses = head.fields().iter().map(|_| Uses::default()).collect();
        let (moved, watch, seen) = (Vec::new(), Vec::new(), vec![false; head.fields().len()]);
        Ok(Self {
            options,
            head,
            rule,
            bindings,
            tables,
            #[cfg(feature = "cuda")]
            device: None,
            uses,
            moved,
            watch,
            seen,
        })
    }

    /// One over the same tables that only predicts, with copies of the dense parameters.
    pub(super) fn viewing(&self) -> Self {
        Self {
            options: self.options,
            head: self.head.on_cpu(),
            rule: self.rule,
            bindings: self.bindings.clone(),
            tables: self.settled().to_vec(),
            #[cfg(feature = "cuda")]
            device: None,
            uses: self.uses.iter().map(|_| Uses::default()).collect(),
            moved: Vec::new(),
            watch: Vec::new(),
            seen: self.seen.clone(),
        }
    }

    pub(super) fn batch(&self) -> usize {
        self.options.batch.max(1)
    }

    /// Writes what has moved on a device to the tables.
    pub(super) fn write_back(&self) -> Result<(), LearnerError> {
        #[cfg(feature = "cuda")]
        if let Some(device) = &self.device {
            device.write_back()?;
        }
        Ok(())
    }

    /// The tables as they are by now. If a device does not give its rows they are as it last did; the next pass ends with the error.
    fn settled(&self) -> &[(String, Arc<Table>)] {
        if let Err(error) = self.write_back() {
            tracing::error!(%error, "the tables lack what was learned last");
        }
        &self.tables
    }

    pub(super) fn tables(&self) -> Vec<(String, &Arc<Table>)> {
        let tables = self.settled().iter().enumerate();
        tables.map(|(index, (_, table))| (format!("table{index}"), table)).collect()
    }

    pub(super) fn table_names(&self) -> Vec<String> {
        self.tables.iter().map(|(name, _)| name.clone()).collect()
    }

    /// A table, and what a row of it weighs: its vector.
    pub(super) fn weights(&self, index: usize) -> Option<(&Table, WeightsOf<'_>)> {
        let (_, table) = self.settled().get(index)?;
        Some((table.as_ref(), Box::new(|row, visit| self.rule.weights(row).into_iter().for_each(visit))))
    }

    /// Dense parameters by name, and the head's own state: its two counts, and the word of its generator in two halves, which
    /// f64 holds exactly.
    pub(super) fn vectors(&self) -> BTreeMap<String, Vec<f64>> {
        let HeadState { parameters, random, examples, dropped_steps } = self.head.state();
        let halves = [(random >> 32) as f64, f64::from(random as u32)];
        let own = vec![examples as f64, dropped_steps as f64, halves[0], halves[1]];
        let floats = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        let parameters =
            parameters.into_iter().map(|found| (format!("parameter.{}", found.name), floats(found.values)));
        parameters.chain([("network".to_owned(), own)]).collect()
    }

    fn restore(&mut self, vectors: &BTreeMap<String, Vec<f64>>) -> Result<(), LearnerError> {
        let Some(&[examples, dropped_steps, high, low]) = vectors.get("network").map(Vec::as_slice) else {
            return Err(LearnerError::State("network".into()));
        };
        let mut state = self.head.state();
        for parameter in &mut state.parameters {
            let name = format!("parameter.{}", parameter.name);
            let Some(values) = vectors.get(&name) else { return Err(LearnerError::State(name)) };
            parameter.values = values.iter().map(|&value| value as f32).collect();
        }
        state.examples = examples as u64;
        state.dropped_steps = dropped_steps as u64;
        state.random = (high as u64) << 32 | low as u64;
        Ok(self.head.restore(&state)?)
    }

    /// Predicts the records of `rows` together, and learns them if `mode` says so. Returns also how many updates were dropped.
    fn pass(&mut self, rows: &[Piece<'_>], mode: Mode) -> Result<(Passed, u64), LearnerError> {
        let layout = Layout::new(rows, &self.bindings);
        for ((uses, binding), seen) in self.uses.iter_mut().zip(&self.bindings.fields).zip(&mut self.seen) {
            uses.find(rows, &layout, binding);
            *seen |= uses.any();
        }
        #[cfg(feature = "cuda")]
        if let Some(device) = &self.device {
            let floats = self.bindings.fields.iter().map(|of| layout.cells(of.list) * of.kind.floats());
            device.look_up(self.uses.iter().zip(floats))?;
        }
        let inputs = inputs::gather(rows, &layout, self)?;
        let watched = self.watched(&inputs)?;
        if mode == Mode::Predict {
            let predictions = self.head.predict(&inputs)?;
            return Ok((Passed { layout, predictions, targets: Targets::default(), watched }, 0));
        }
        let targets = self.bindings.targets(rows, &layout);
        let rate = self.options.rows.rate_at(self.head.examples() as f64);
        let learned = self.head.learn(&inputs, &targets)?;
        let dropped = match learned.step {
            Step::Taken(gradients) => self.scatter(&gradients, rate)?,
            Step::Dropped => 1,
            Step::Unlabelled => 0,
        };
        Ok((Passed { layout, predictions: learned.predictions, targets, watched }, dropped))
    }

    /// A field of the record for which this learner has looked no row up.
    fn unseen_field(&self) -> Option<&str> {
        let fields = self.head.fields().iter().zip(&self.bindings.fields).zip(&self.seen);
        let mut unseen = fields
            .filter(|((_, binding), seen)| binding.table.is_some() && binding.list.is_none() && !**seen);
        unseen.next().map(|((field, _), _)| field.name.as_str())
    }

    pub(super) fn watch(&mut self, names: &[String]) {
        self.watch = names.to_vec();
    }

    /// What is watched of each record.
    fn watched(&self, inputs: &Inputs) -> Result<Vec<Watched>, LearnerError> {
        if self.watch.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.head.watch(inputs)?;
        let mut watched = vec![Watched::new(); inputs.rows];
        for name in &self.watch {
            let Some(values) = all.get(name) else {
                let known = all.into_keys().collect::<Vec<_>>().join(", ");
                let reason = format!("--watch: the network computes nothing called {name:?}, only: {known}");
                return Err(LearnerError::Binding(reason));
            };
            for (watched, values) in
                watched.iter_mut().zip(values.chunks((values.len() / inputs.rows).max(1)))
            {
                watched.insert(name.clone(), values.to_vec());
            }
        }
        Ok(watched)
    }

    /// What the field looks up, so many floats: zeros where that is nothing.
    fn look_up(&self, field: usize, floats: usize) -> Result<Values, LearnerError> {
        #[cfg(feature = "cuda")]
        if let Some(device) = &self.device {
            return Ok(device.take(field, floats)?);
        }
        let mut sums = vec![0.0; floats];
        let table = self.bindings.fields.get(field).and_then(|binding| binding.table);
        let table = table.and_then(|table| self.tables.get(table));
        if let (Some(uses), Some((_, table))) = (self.uses.get(field), table) {
            uses.gather(table, &self.rule, &mut sums);
        }
        Ok(Values::Floats(sums))
    }

    /// Moves the rows that were looked up; returns how many updates f32 could not hold.
    fn scatter(&mut self, gradients: &[Values], rate: f64) -> Result<u64, LearnerError> {
        #[cfg(feature = "cuda")]
        if let Some(device) = &self.device {
            return Ok(device.scatter(gradients, rate)?);
        }
        let Self { uses, bindings, tables, rule, moved, .. } = self;
        let mut dropped = 0;
        for ((uses, binding), gradient) in uses.iter().zip(&bindings.fields).zip(gradients) {
            if let Some((_, table)) = binding.table.and_then(|table| tables.get(table)) {
                while !table.make_room() {}
                dropped += uses.scatter(table, rule, (gradient.as_floats(), rate), moved);
            }
        }
        Ok(dropped)
    }
}

impl Learner {
    /// A network that has learned nothing, over records of `fields`.
    ///
    /// # Errors
    /// A network that refuses its options, fields that are not those it takes, no memory for a table.
    pub fn of_network(
        network: Arc<dyn Network>,
        fields: &Fields,
        options: NetworkOptions,
    ) -> Result<Self, LearnerError> {
        let arm = NetworkArm::new(network, fields, options)?;
        let names = arm.head.network().outputs().names;
        let loss = arm.head.network().objective().loss();
        let (shape, tasks) = match names.as_slice() {
            [_] => (LabelShape::Single, vec![None]),
            _ => (LabelShape::Tasks, names.into_iter().map(Some).collect()),
        };
        let options = LearnerOptions { loss, seed: options.seed, ..LearnerOptions::default() };
        let mut learner = Self::empty(options, shape, Counters::default());
        tasks.into_iter().for_each(|name| learner.name_task(name));
        learner.network = Some(Box::new(arm));
        Ok(learner)
    }

    /// As [`Learner::of_network`], with `state` and the dense vectors that [`Learner::vectors`] returned; its tables are still to
    /// be filled.
    ///
    /// # Errors
    /// Those of [`Learner::of_network`]; the state of another network.
    pub fn restore_network(
        mut self,
        state: LearnerState,
        vectors: &BTreeMap<String, Vec<f64>>,
    ) -> Result<Self, LearnerError> {
        if state.tasks != self.state().tasks {
            return Err(LearnerError::State("the network's tasks".into()));
        }
        self.counters = state.counters;
        if let Some(network) = &mut self.network {
            network.restore(vectors)?;
        }
        self.restore_figures(vectors)?;
        Ok(self)
    }

    /// What the network was declared with and no record it was taught has had: a task without a label, a field without a value. Most
    /// likely a name or a path is wrong.
    pub(super) fn unseen_by_network(&self) -> Option<String> {
        let network = self.network.as_ref()?;
        let task = self.tasks.iter().find(|task| task.validation.report().examples == 0);
        let task = task.and_then(|task| task.name.as_ref());
        let task = task.map(|task| format!("no record has a label of the task {task:?}"));
        let field = || network.unseen_field();
        task.or_else(|| {
            field().map(|field| format!("no record has anything for the field {field:?}: check its path"))
        })
    }

    /// What [`Learner::process_fields`] does.
    pub(super) fn process_by_network(
        &mut self,
        pieces: &[Piece<'_>],
        mode: Mode,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        let Some(mut network) = self.network.take() else { return Err(LearnerError::Features) };
        outcomes.rows.clear();
        outcomes.predictions.clear();
        if let Some(exact) = &mut outcomes.exact {
            exact.clear();
        }
        outcomes.values.clear();
        outcomes.watched.clear();
        outcomes.unnamed = 0;
        outcomes.items = network.bindings.output_list.is_some();
        outcomes.tasks = if self.shape == LabelShape::Tasks { self.names.clone() } else { None };
        let processed = self.process_batches(&mut network, pieces, mode, outcomes);
        self.network = Some(network);
        processed
    }

    fn process_batches(
        &mut self,
        network: &mut NetworkArm,
        pieces: &[Piece<'_>],
        mode: Mode,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        let (mut batch, mut room) = (Vec::new(), network.batch());
        let mut refusals = Vec::new();
        for piece in pieces {
            let mut start = piece.rows.start;
            for row in piece.rows.clone() {
                let refused = self.refused_by(network, (piece.batch.records(), row), mode);
                room -= usize::from(refused.is_none());
                refusals.push(refused);
                if room == 0 {
                    batch.push(Piece { batch: piece.batch, rows: start..row + 1 });
                    self.process_batch(network, (&batch, &mut refusals), mode, outcomes)?;
                    batch.clear();
                    (start, room) = (row + 1, network.batch());
                }
            }
            batch.push(Piece { batch: piece.batch, rows: start..piece.rows.end });
        }
        self.process_batch(network, (&batch, &mut refusals), mode, outcomes)
    }

    /// Processes one batch; `refused` says why each of its rows cannot be taken, and is emptied.
    fn process_batch(
        &mut self,
        network: &mut NetworkArm,
        (pieces, refused): (&[Piece<'_>], &mut Vec<Option<Rejection>>),
        mode: Mode,
        outcomes: &mut Outcomes,
    ) -> Result<(), LearnerError> {
        let rows = inputs::rows_but(pieces, refused);
        let (passed, dropped) = match rows.is_empty() {
            true => (None, 0),
            false => network.pass(&rows, mode).map(|(passed, dropped)| (Some(passed), dropped))?,
        };
        self.counters.dropped_steps += dropped;
        let mut taken = 0;
        for refused in refused.drain(..) {
            let outcome = match (refused, &passed) {
                (None, Some(passed)) => {
                    outcomes.watched.extend(passed.watched.get(taken).cloned());
                    let start = outcomes.predictions.len();
                    let predictions = passed.layout.of_row(taken, &network.bindings, &passed.predictions);
                    taken += 1;
                    let width = self.tasks.len().max(1);
                    let value = |predictions: &[f32]| network.head.network().value(predictions);
                    outcomes.values.extend(predictions.chunks(width).filter_map(value));
                    outcomes.predictions.extend_from_slice(predictions);
                    let number = self.counters.records;
                    self.counters.records += u64::from(mode != Mode::Again);
                    Outcome::Scored { number, predictions: start..outcomes.predictions.len() }
                }
                (refused, _) => {
                    outcomes.watched.extend((!network.watch.is_empty()).then(Watched::new));
                    Outcome::Rejected(refused.unwrap_or(Rejection::SingleLabel))
                }
            };
            outcomes.rows.push(outcome);
        }
        if let (Some(passed), true) = (passed, mode != Mode::Predict) {
            self.note_network(network, &passed, mode);
        }
        Ok(())
    }

    /// Takes the predictions of learned records up into figures and counts.
    fn note_network(&mut self, network: &NetworkArm, passed: &Passed, mode: Mode) {
        let Passed { layout, predictions, targets, .. } = passed;
        let tasks = self.tasks.len().max(1);
        if mode == Mode::Learn {
            for (index, task) in self.tasks.iter_mut().enumerate() {
                let all = predictions.iter().zip(&targets.values).zip(&targets.weights);
                let own = all.skip(index).step_by(tasks).filter(|(_, weight)| **weight > 0.0);
                task.validation.add_all(own.map(|((&prediction, &label), &weight)| {
                    (f64::from(prediction), f64::from(label), f64::from(weight))
                }));
            }
        }
        let width = (targets.weights.len() / layout.rows().max(1)).max(1);
        for (row, weights) in targets.weights.chunks(width).enumerate() {
            if weights.iter().any(|weight| *weight > 0.0) {
                self.counters.examples += 1;
                let uses = network.uses.iter();
                self.counters.features += uses.map(|uses| uses.of_row(row)).sum::<u64>();
            }
        }
    }

    /// Why the network cannot take a record.
    pub(super) fn refused_by_network(&self, records: &Batch, row: usize, mode: Mode) -> Option<Rejection> {
        self.refused_by(self.network.as_ref()?, (records, row), mode)
    }

    fn refused_by(
        &self,
        network: &NetworkArm,
        (records, row): (&Batch, usize),
        mode: Mode,
    ) -> Option<Rejection> {
        if mode == Mode::Predict {
            return None;
        }
        let list = network.bindings.output_list.and_then(|list| network.head.lists().get(list));
        records.targets(row).iter().find_map(|target| {
            match (list, self.shape, task_name(records, target.task)) {
                (Some(list), ..) => Some(Rejection::LabelOfRecord(list.clone())),
                (None, LabelShape::Tasks, None) => Some(Rejection::SingleLabel),
                (None, LabelShape::Tasks, Some(task)) if self.task(task).is_none() => {
                    let known = self.names.as_deref().unwrap_or_default().join(", ");
                    Some(Rejection::UnknownTask { task: task.clone(), known })
                }
                (None, LabelShape::Single | LabelShape::Unknown, Some(_)) => Some(Rejection::TaskLabels),
                _ => None,
            }
        })
    }
}

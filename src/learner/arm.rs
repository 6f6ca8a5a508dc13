//! One task's learner: a table, a rule for its rows and a head on their sums.

use crate::batch::{Batch, FeatureKind, Row, Slot};
use crate::model::Head;
use crate::optim::{Input, RowRule, SIDE};
use crate::table::{Lease, StripeSet, Table, TableError, TableOptions};
use std::sync::Arc;

/// What a record teaches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lesson {
    pub(super) label: f32,
    /// Importance, > 0.
    pub(super) weight: f32,
}

/// What to do with one record of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Job {
    /// Row of the batch.
    pub(super) row: usize,
    /// `None`: it is only predicted.
    pub(super) lesson: Option<Lesson>,
}

/// A learner of one task, its types erased once per run of records rather than per feature.
pub(super) trait Arm: Send {
    /// The rows.
    fn table(&self) -> &Arc<Table>;
    /// Predicts each job's record, then learns it; `predictions` is filled in the order of `jobs`.
    fn run(&mut self, batch: &Batch, jobs: &[Job], predictions: &mut Vec<f64>);
    /// State of the head.
    fn state(&self) -> Vec<f64>;
    /// Takes up a state. `false`: not one of this head.
    fn restore(&mut self, state: &[f64]) -> bool;
    /// Steps dropped since the last call because they were not finite.
    fn take_dropped(&mut self) -> u64;
    /// The record's embedding, added to `out` `[dim]`.
    fn embed(&mut self, row: Row<'_>, out: &mut [f32]);
    /// Length of an embedding; 0 for none.
    fn dim(&self) -> usize;
    /// A row's weight, for norms.
    fn weight(&self, row: &[f32]) -> f32;
}

/// Records whose stripes are leased together.
const RUN: usize = 32;

/// How many records ahead rows are fetched: far enough to hide a miss, near enough to overlap with learning and to stay in
/// the first cache.
const AHEAD: usize = 2;

pub(super) struct TypedArm<R: RowRule, H> {
    rule: R,
    head: H,
    table: Arc<Table>,
    constant: Slot,
    sums: R::Sums,
    inputs: Vec<Input>,
    sides: Vec<[f32; SIDE]>,
    dropped: u64,
}

impl<R, H> TypedArm<R, H>
where
    R: RowRule,
    H: Head<Sums = R::Sums, Step = R::Step>,
{
    /// An arm over `buckets` hashed rows and one for the constant feature.
    pub(super) fn new(rule: R, head: H, buckets: u32, seed: u64) -> Result<Self, TableError> {
        let rows = u64::from(buckets) + 1;
        let options = TableOptions { rows, width: rule.width(), side: rule.side(), init: rule.init(), seed };
        let table = Arc::new(Table::new(options)?);
        let sums = rule.sums();
        let (inputs, sides) = (Vec::new(), Vec::new());
        Ok(Self { rule, head, table, constant: Slot(buckets), sums, inputs, sides, dropped: 0 })
    }

    fn stripes(&self, batch: &Batch, jobs: &[Job]) -> StripeSet {
        let mut set = StripeSet::default();
        set.insert(self.table.stripe_of(self.constant));
        for job in jobs {
            for &slot in batch.row(job.row).slots {
                set.insert(self.table.stripe_of(slot));
            }
        }
        set
    }

    /// Values as the rule wants them, and the statistics that result: kept only if the record is learned.
    fn scale(&mut self, lease: &mut Lease<'_>, row: Row<'_>) {
        self.inputs.clear();
        self.sides.clear();
        let examples = self.head.examples() + 1.0;
        for i in 0..row.len() {
            let scaled = match row.kinds[i] {
                FeatureKind::Number => self.rule.number(lease.side(row.slots[i]), row.values[i], examples),
                FeatureKind::Category => (self.rule.category(row.values[i]), [0.0; SIDE]),
            };
            self.inputs.push(scaled.0);
            self.sides.push(scaled.1);
        }
    }

    fn predict(&mut self, lease: &mut Lease<'_>, row: Row<'_>) -> H::Forward {
        self.scale(lease, row);
        self.rule.reset(&mut self.sums);
        for (&slot, &input) in row.slots.iter().zip(&self.inputs) {
            self.rule.gather(lease.row(slot), input, &mut self.sums);
        }
        self.rule.gather(lease.row(self.constant), Input::CONSTANT, &mut self.sums);
        self.head.forward(&self.sums)
    }

    fn learn(&mut self, lease: &mut Lease<'_>, row: Row<'_>, forward: &H::Forward, lesson: Lesson) {
        let step = self.head.learn(&self.sums, forward, lesson.label, lesson.weight);
        for (i, (&slot, &input)) in row.slots.iter().zip(&self.inputs).enumerate() {
            let (weights, side) = lease.row_mut(slot);
            if row.kinds[i] == FeatureKind::Number && !side.is_empty() {
                side.copy_from_slice(&self.sides[i]);
            }
            self.dropped += u64::from(!self.rule.update(weights, input, &self.sums, &step));
        }
        let (weights, _) = lease.row_mut(self.constant);
        self.dropped += u64::from(!self.rule.update(weights, Input::CONSTANT, &self.sums, &step));
    }

    fn run_leased(&mut self, batch: &Batch, jobs: &[Job], predictions: &mut Vec<f64>) {
        let table = Arc::clone(&self.table);
        let mut lease = table.lease(self.stripes(batch, jobs));
        let prefetch = |lease: &Lease<'_>, job: &Job| {
            batch.row(job.row).slots.iter().for_each(|&slot| lease.prefetch(slot));
        };
        jobs.iter().take(AHEAD).for_each(|job| prefetch(&lease, job));
        for (index, job) in jobs.iter().enumerate() {
            if let Some(ahead) = jobs.get(index + AHEAD) {
                prefetch(&lease, ahead);
            }
            let row = batch.row(job.row);
            let forward = self.predict(&mut lease, row);
            predictions.push(self.head.prediction(&forward));
            if let Some(lesson) = job.lesson {
                self.learn(&mut lease, row, &forward, lesson);
            }
        }
    }
}

impl<R, H> Arm for TypedArm<R, H>
where
    R: RowRule,
    H: Head<Sums = R::Sums, Step = R::Step>,
{
    fn table(&self) -> &Arc<Table> {
        &self.table
    }

    fn run(&mut self, batch: &Batch, jobs: &[Job], predictions: &mut Vec<f64>) {
        for run in jobs.chunks(RUN) {
            while !self.table.make_room() {}
            self.run_leased(batch, run, predictions);
        }
    }

    fn state(&self) -> Vec<f64> {
        self.head.state()
    }

    fn restore(&mut self, state: &[f64]) -> bool {
        self.head.restore(state)
    }

    fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn embed(&mut self, row: Row<'_>, out: &mut [f32]) {
        let table = Arc::clone(&self.table);
        let mut set = StripeSet::default();
        row.slots.iter().for_each(|&slot| set.insert(table.stripe_of(slot)));
        let mut lease = table.lease(set);
        self.scale(&mut lease, row);
        for (&slot, &input) in row.slots.iter().zip(&self.inputs) {
            self.rule.embed(lease.row(slot), input, out);
        }
    }

    fn dim(&self) -> usize {
        self.rule.dim()
    }

    fn weight(&self, row: &[f32]) -> f32 {
        self.rule.weight(row)
    }
}

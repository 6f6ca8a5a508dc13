//! One task's learner: a table, a rule for its rows and a head on their sums.

mod apart;

use super::copies::Copies;
use crate::batch::{Batch, FeatureKind, Row, Slot};
use crate::kernel::Isa;
use crate::model::Head;
use crate::optim::{Input, Number, RowRule, SIDE};
use crate::table::{Lease, Place, RowReader, Rows, StripeSet, Table, TableError, TableOptions};
use std::any::Any;
use std::ops::Range;
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
    /// A learner of the same rows that works beside `learners` − 1 others, with a copy of the head.
    fn apart(&self, learners: usize) -> Box<dyn Arm>;
    /// One of the same rows that only predicts, beside whoever learns, with a copy of the head.
    fn viewing(&self) -> Box<dyn Arm>;
    /// The head.
    fn head(&self) -> &dyn Any;
    /// Joins what copies of the head, made together, have learned since.
    fn merge(&mut self, heads: &[&dyn Any]);
    /// State of the head.
    fn state(&self) -> Vec<f64>;
    /// Takes up a state. `false`: not one of this head.
    fn restore(&mut self, state: &[f64]) -> bool;
    /// Steps dropped since the last call because they were not finite.
    fn take_dropped(&mut self) -> u64;
    /// The embedding of a record of `batch`, added to `out` `[dim]`.
    fn embed(&mut self, batch: &Batch, row: usize, out: &mut [f32]);
    /// Length of an embedding; 0 for none.
    fn dim(&self) -> usize;
    /// A row's weight, for norms.
    fn weight(&self, row: &[f32]) -> f32;
}

/// Records whose stripes are leased together.
const RUN: usize = 64;

/// How many rows ahead rows are fetched, about two records': far enough to hide a miss, near enough to overlap with
/// learning and to stay in the first cache.
const AHEAD: usize = 32;

pub(super) struct TypedArm<R: RowRule, H> {
    rule: R,
    head: H,
    table: Arc<Table>,
    constant: Slot,
    sums: R::Sums,
    run: Run<R::Kept>,
    /// What a learner beside others learns on, or a viewer predicts by.
    copies: Option<Copies>,
    /// How a viewer gets them.
    reader: Option<RowReader>,
    pace: Pace,
    dropped: u64,
}

/// How far all learners of the rows are, told from one's own examples.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Examples that the head had learned when the learners set out.
    start: f64,
    /// Each sees one record in so many.
    learners: f64,
}

/// The features of a run's records, one after the other, each record's followed by the constant feature.
struct Run<K> {
    places: Vec<Place>,
    /// Values as the rule wants them.
    inputs: Vec<Input>,
    /// Of one record.
    kept: Vec<K>,
    /// Which features of one record are numeric, and those.
    numeric: Vec<u32>,
    numbers: Vec<Number>,
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
        Ok(Self::over(rule, head, Arc::new(Table::new(options)?), Slot(buckets)))
    }

    fn over(rule: R, head: H, table: Arc<Table>, constant: Slot) -> Self {
        let sums = rule.sums();
        let run = Run {
            places: Vec::new(),
            inputs: Vec::new(),
            kept: Vec::new(),
            numeric: Vec::new(),
            numbers: Vec::new(),
        };
        Self {
            rule,
            head,
            table,
            constant,
            sums,
            run,
            copies: None,
            reader: None,
            pace: Pace { start: 0.0, learners: 1.0 },
            dropped: 0,
        }
    }

    fn stripes(&self, batch: &Batch, jobs: &[Job]) -> StripeSet {
        let mut set = StripeSet::default();
        set.insert(self.table.stripe_of(self.constant));
        for job in jobs {
            if set == StripeSet::all() {
                break;
            }
            for &slot in batch.row(job.row).slots {
                set.insert(self.table.stripe_of(slot));
            }
        }
        set
    }

    /// Finds the rows of all records.
    #[inline(always)]
    fn find(&mut self, lease: &mut Lease<'_>, batch: &Batch, jobs: &[Job]) {
        let features: usize = jobs.iter().map(|job| batch.row(job.row).len() + 1).sum();
        self.run.reserve(features);
        let mut places = self.run.places.iter_mut();
        for job in jobs {
            let slots = batch.row(job.row).slots.iter().chain([&self.constant]);
            let learned = job.lesson.is_some();
            for (&slot, place) in slots.zip(&mut places) {
                *place = if learned { lease.place_mut(slot) } else { lease.place(slot) };
            }
        }
    }

    /// Values as the rule wants them. The statistics of numbers take in the values of records that will be learned: they
    /// depend on the values alone, so this may run ahead of learning.
    #[inline(always)]
    fn scale(&mut self, rows: &mut Rows<'_>, batch: &Batch, jobs: &[Job]) {
        let Pace { start: set_out, learners } = self.pace;
        let mut examples = set_out + (self.head.examples() - set_out) * learners;
        let mut start = 0;
        for job in jobs {
            let row = batch.row(job.row);
            for (input, &value) in self.run.inputs[start..].iter_mut().zip(row.values) {
                *input = self.rule.category(value);
            }
            self.run.inputs[start + row.len()] = Input::CONSTANT;
            let count = self.run.numbers(rows, row, start);
            if count > 0 {
                self.rule.numbers(&mut self.run.numbers[..count], examples + 1.0);
                self.run.put_numbers(rows, start, count, job.lesson.is_some());
            }
            examples += if job.lesson.is_some() { learners } else { 0.0 };
            start += row.len() + 1;
        }
    }

    #[inline(always)]
    fn predict(&mut self, rows: &Rows<'_>, span: Range<usize>, sums: &mut R::Sums) -> H::Forward {
        self.rule.reset(sums);
        let Run { places, inputs, kept, .. } = &mut self.run;
        for ((&place, &input), kept) in places[span.clone()].iter().zip(&inputs[span]).zip(kept) {
            *kept = self.rule.gather(rows.row(place), input, sums);
        }
        self.head.forward(sums)
    }

    #[inline(always)]
    fn learn(&mut self, rows: &mut Rows<'_>, span: Range<usize>, sums: &R::Sums, step: &R::Step) {
        let Run { places, inputs, kept, .. } = &self.run;
        for ((&place, &input), &kept) in places[span.clone()].iter().zip(&inputs[span]).zip(kept) {
            let moved = self.rule.update(rows.row_mut(place), (input, kept), sums, step);
            self.dropped += u64::from(!moved);
        }
    }

    /// Predicts and learns the run whose rows are found.
    #[inline(always)]
    fn run_found(&mut self, rows: &mut Rows<'_>, batch: &Batch, jobs: &[Job], predictions: &mut Vec<f64>) {
        self.scale(rows, batch, jobs);
        for &place in self.run.places.iter().take(AHEAD) {
            rows.prefetch(place);
        }
        // Out of `self`, where the compiler sees that no row lies in it, and keeps it in registers.
        let mut sums = std::mem::take(&mut self.sums);
        let mut start = 0;
        for job in jobs {
            let span = start..start + batch.row(job.row).len() + 1;
            start = span.end;
            for &place in self.run.places.iter().skip(span.start + AHEAD).take(span.len()) {
                rows.prefetch(place);
            }
            let forward = self.predict(rows, span.clone(), &mut sums);
            predictions.push(self.head.prediction(&forward));
            if let Some(Lesson { label, weight }) = job.lesson {
                let step = self.head.learn(&sums, &forward, label, weight);
                self.learn(rows, span, &sums, &step);
            }
        }
        self.sums = sums;
    }

    /// Adds the embedding of a record, whose places are found, to `out`.
    fn embed_found(&mut self, rows: &mut Rows<'_>, row: Row<'_>, out: &mut [f32]) {
        let count = self.run.numbers(rows, row, 0);
        for (input, &value) in self.run.inputs.iter_mut().zip(row.values) {
            *input = self.rule.category(value);
        }
        self.rule.numbers(&mut self.run.numbers[..count], self.head.examples() + 1.0);
        self.run.put_numbers(rows, 0, count, false);
        for (&place, &input) in self.run.places.iter().zip(&self.run.inputs).take(row.len()) {
            self.rule.embed(rows.row(place), input, out);
        }
    }

    fn run_leased(&mut self, batch: &Batch, jobs: &[Job], predictions: &mut Vec<f64>) {
        let table = Arc::clone(&self.table);
        let mut lease = table.lease(self.stripes(batch, jobs));
        Isa::best().run(
            #[inline(always)]
            || {
                self.find(&mut lease, batch, jobs);
                self.run_found(&mut lease.rows(), batch, jobs, predictions);
            },
        );
    }
}

impl<K: Copy + Default> Run<K> {
    /// Makes room for `features` features.
    fn reserve(&mut self, features: usize) {
        self.places.resize(features, Place::FRESH);
        self.inputs.resize(features, Input::CONSTANT);
        if self.kept.len() < features {
            self.kept.resize(features, K::default());
            self.numeric.resize(features, 0);
            self.numbers.resize(features, Number::new(0.0, [0.0; SIDE]));
        }
    }

    /// Collects the numeric features of the record whose features start at `start`; returns how many. No branch depends
    /// on a feature's kind: kinds come in the order of slots, which no processor can guess.
    #[inline(always)]
    fn numbers(&mut self, rows: &Rows<'_>, row: Row<'_>, start: usize) -> usize {
        let mut count = 0;
        for (i, &kind) in row.kinds.iter().enumerate() {
            self.numeric[count] = i as u32;
            count += usize::from(kind == FeatureKind::Number);
        }
        for (number, &i) in self.numbers.iter_mut().zip(&self.numeric[..count]) {
            let mut side = [0.0; SIDE];
            if let Some(known) = rows.side(self.places[start + i as usize]).first_chunk() {
                side = *known;
            }
            *number = Number::new(row.values[i as usize], side);
        }
        count
    }

    /// Puts the first `count` numbers, of the record whose features start at `start`, where they belong.
    #[inline(always)]
    fn put_numbers(&mut self, rows: &mut Rows<'_>, start: usize, count: usize, learned: bool) {
        for (&i, number) in self.numeric[..count].iter().zip(&self.numbers) {
            let at = start + i as usize;
            self.inputs[at] = number.input;
            if let (true, Some(side)) = (learned, rows.side_mut(self.places[at]).first_chunk_mut()) {
                *side = number.side;
            }
        }
    }
}

impl<R, H> Arm for TypedArm<R, H>
where
    R: RowRule + Clone + 'static,
    H: Head<Sums = R::Sums, Step = R::Step> + Clone + 'static,
{
    fn apart(&self, learners: usize) -> Box<dyn Arm> {
        let pace = Pace { start: self.head.examples(), learners: learners as f64 };
        let (rule, head, table) = (self.rule.clone(), self.head.clone(), Arc::clone(&self.table));
        let copies = Some(Copies::default());
        Box::new(Self { copies, pace, ..Self::over(rule, head, table, self.constant) })
    }

    fn viewing(&self) -> Box<dyn Arm> {
        let pace = Pace { start: self.head.examples(), learners: 1.0 };
        let (rule, head, table) = (self.rule.clone(), self.head.clone(), Arc::clone(&self.table));
        let (copies, reader) = (Some(Copies::default()), Some(RowReader::default()));
        Box::new(Self { copies, reader, pace, ..Self::over(rule, head, table, self.constant) })
    }

    fn head(&self) -> &dyn Any {
        &self.head
    }

    fn merge(&mut self, heads: &[&dyn Any]) {
        let heads: Vec<&H> = heads.iter().filter_map(|head| head.downcast_ref()).collect();
        self.head.merge(&heads);
    }

    fn table(&self) -> &Arc<Table> {
        &self.table
    }

    fn run(&mut self, batch: &Batch, jobs: &[Job], predictions: &mut Vec<f64>) {
        if let Some(mut copies) = self.copies.take() {
            match self.reader.take() {
                Some(reader) => {
                    self.run_viewing(&mut copies, &reader, batch, (jobs, predictions));
                    self.reader = Some(reader);
                }
                None => self.run_beside(&mut copies, batch, jobs, predictions),
            }
            self.copies = Some(copies);
            return;
        }
        let mut runs = jobs.chunks(RUN).peekable();
        while let Some(run) = runs.next() {
            while !self.table.make_room() {}
            for job in runs.peek().copied().unwrap_or_default() {
                for &slot in batch.row(job.row).slots {
                    self.table.prefetch_place(slot);
                }
            }
            self.run_leased(batch, run, predictions);
            self.table.serve_readers();
        }
        self.table.leave_readers();
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

    fn embed(&mut self, batch: &Batch, row: usize, out: &mut [f32]) {
        let table = Arc::clone(&self.table);
        if let (Some(mut copies), Some(reader)) = (self.copies.take(), self.reader.take()) {
            copies.read((&table, &reader), batch, &[Job { row, lesson: None }], self.constant);
            self.take_places(&copies);
            self.embed_found(&mut copies.rows(), batch.row(row), out);
            (self.copies, self.reader) = (Some(copies), Some(reader));
            return;
        }
        let row = batch.row(row);
        let mut set = StripeSet::default();
        row.slots.iter().for_each(|&slot| set.insert(table.stripe_of(slot)));
        let mut lease = table.lease(set);
        self.run.reserve(row.len());
        for (place, &slot) in self.run.places.iter_mut().zip(row.slots) {
            *place = lease.place(slot);
        }
        self.embed_found(&mut lease.rows(), row, out);
    }

    fn dim(&self) -> usize {
        self.rule.dim()
    }

    fn weight(&self, row: &[f32]) -> f32 {
        self.rule.weight(row)
    }
}

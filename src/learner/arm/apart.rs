//! Runs on copies of rows: of a learner beside others, and of a viewer.

use super::{Job, TypedArm};
use crate::batch::Batch;
use crate::kernel::Isa;
use crate::learner::copies::Copies;
use crate::model::Head;
use crate::optim::RowRule;
use crate::table::RowReader;

/// Records whose rows are copied together, where several learn: many enough that most rows serve several of them, few enough
/// that learners do not work on what the others have long overtaken.
const RUN_APART: usize = 128;
/// Features whose rows are copied together, unless one record has more: bounds the copies.
const FEATURES_APART: usize = 1 << 14;
/// The same where they are only read: a learner that copies them for a reader loses some tens of microseconds at most.
const FEATURES_VIEWED: usize = 1 << 11;

impl<R, H> TypedArm<R, H>
where
    R: RowRule,
    H: Head<Sums = R::Sums, Step = R::Step>,
{
    /// Learns on copies, then joins them with the rows.
    fn run_apart(&mut self, copies: &mut Copies, batch: &Batch, jobs: &[Job], predictions: &mut Vec<f64>) {
        copies.fetch(&self.table, batch, jobs, self.constant);
        self.take_places(copies);
        Isa::best().run(
            #[inline(always)]
            || self.run_found(&mut copies.rows(), batch, jobs, predictions),
        );
        copies.join(&self.table, &self.rule);
    }

    pub(super) fn run_beside(
        &mut self,
        copies: &mut Copies,
        batch: &Batch,
        jobs: &[Job],
        predictions: &mut Vec<f64>,
    ) {
        let mut rest = jobs;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(run_length(batch, rest, FEATURES_APART));
            rest = behind;
            while !self.table.make_room() {}
            self.run_apart(copies, batch, run, predictions);
            self.table.serve_readers();
        }
        self.table.leave_readers();
    }

    /// Predicts on copies; nothing is learned, so they are not joined.
    pub(super) fn run_viewing(
        &mut self,
        copies: &mut Copies,
        reader: &RowReader,
        batch: &Batch,
        (jobs, predictions): (&[Job], &mut Vec<f64>),
    ) {
        let mut rest = jobs;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(run_length(batch, rest, FEATURES_VIEWED));
            rest = behind;
            copies.read((&self.table, reader), batch, run, self.constant);
            self.take_places(copies);
            Isa::best().run(
                #[inline(always)]
                || self.run_found(&mut copies.rows(), batch, run, predictions),
            );
        }
    }

    /// Where the rows of a run are among `copies`.
    pub(super) fn take_places(&mut self, copies: &Copies) {
        let places = copies.places();
        self.run.reserve(places.len());
        self.run.places.iter_mut().zip(places).for_each(|(place, copy)| *place = copy);
    }
}

/// Jobs whose rows are copied together, up to `most` features, at least one.
fn run_length(batch: &Batch, jobs: &[Job], most: usize) -> usize {
    let mut features = 0;
    let fits = |job: &&Job| {
        features += batch.row(job.row).len() + 1;
        features <= most
    };
    jobs.iter().take(RUN_APART).take_while(fits).count().max(1)
}

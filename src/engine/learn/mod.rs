//! Learning: batches in the order of the input, predictions and dead letters out, cuts when they are due (`cut.rs`).

mod cut;

use super::summary::losses;
use super::team::{OpenAtEnd, Team};
use super::work::{Entry, Work};
use super::write::Out;
use super::{EngineError, EngineOptions, Finished, Model, Observer, Status, Task};
use crate::learner::{Counters, LabelShape, LearnerError, Mode, Outcome, Outcomes};
use crate::metrics::{Bad, BatchCount, Metrics};
use crate::record::{Positions, Record};
use crate::sink::{DeadLetter, Letter, Results, write_prediction};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ends of the queues that the learner holds.
pub(super) struct Links {
    /// One for each parse thread, taken in rotation.
    pub(super) parsed: Vec<Receiver<Work>>,
    pub(super) pool: Sender<Work>,
    pub(super) lines: Sender<Out>,
    /// Hears of each cut that is durable.
    pub(super) saved: Receiver<()>,
    pub(super) keeps: Keeps,
}

/// What becomes of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// There are none.
    Nothing,
    /// Its positions and results are published; the model is not saved.
    Positions,
    /// It is saved, and published if somebody publishes.
    Generations,
}

/// What the learner knows of its surroundings.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) total_bytes: Option<u64>,
    /// Somebody wants prediction lines.
    pub(super) predictions: bool,
    /// Bad records are wanted as they came.
    pub(super) letters: bool,
    /// Results wait for a cut to be published with.
    pub(super) publishes: bool,
    /// The source was read to its end.
    pub(super) ended: AtomicBool,
    /// Others went on from the last commit: nothing since then counts.
    pub(super) lost: AtomicBool,
    pub(super) metrics: Metrics,
}

/// How often an idle learner looks at the clock.
const TICK: Duration = Duration::from_millis(50);
/// How often losses are told to the metrics.
const LOSS_EVERY: Duration = Duration::from_secs(1);

/// The learner's stage of a run.
pub(super) struct Stage<'a> {
    model: Model,
    options: &'a EngineOptions,
    positions: Positions,
    links: Option<Links>,
    started: Instant,
    life_seconds: f64,
    bytes: u64,
    input: &'a Input,
    errors: u64,
    first_examples: u64,
    /// What the metrics have been told, and when they hear of losses next.
    counted: Counters,
    next_loss: Instant,
    /// Records learned, those of later passes too: what checkpoints by number count.
    records: u64,
    /// Bytes of results since the last cut that wait to be published with the next.
    waiting: usize,
    /// A cut is on its way to the disk.
    in_flight: bool,
    /// Seconds as the last cut has them: what a resumed run goes on from is what this one reports.
    cut_seconds: Option<f64>,
    next_records: Option<u64>,
    next_time: Option<Instant>,
    /// What the last cut stands for: an idle run saves nothing twice.
    cut_at: Positions,
    outcomes: Outcomes,
    team: Option<&'a Team>,
    /// Batches settled, and where the gate was closed for a cut.
    settled: u64,
    closed_at: Option<u64>,
    /// Ends the run as soon as no batch is half-way.
    failure: Option<EngineError>,
}

/// What a stage is given beside the model.
pub(super) struct Surroundings<'a> {
    pub(super) input: &'a Input,
    pub(super) links: Links,
    /// Several learners; none for one.
    pub(super) team: Option<&'a Team>,
}

/// Neighbours are gone; one of them knows why.
struct Gone;

impl<'a> Stage<'a> {
    pub(super) fn new(
        model: Model,
        options: &'a EngineOptions,
        positions: Positions,
        Surroundings { input, links, team }: Surroundings<'a>,
    ) -> Self {
        let counters = model.learner().counters();
        let (counted, first_examples, records) = (counters, counters.examples, counters.records);
        let (life_seconds, cut_at) = (model.seconds(), positions.clone());
        let mut stage = Self {
            model,
            options,
            positions,
            links: Some(links),
            started: Instant::now(),
            life_seconds,
            bytes: 0,
            input,
            errors: 0,
            first_examples,
            counted,
            next_loss: Instant::now(),
            records,
            waiting: 0,
            in_flight: false,
            cut_seconds: None,
            next_records: None,
            next_time: None,
            cut_at,
            outcomes: Outcomes::default(),
            team,
            settled: 0,
            closed_at: None,
            failure: None,
        };
        stage.plan_next();
        stage
    }

    /// Learns all there is, then makes it durable. An error of a record's making is returned after what came before it
    /// is safe.
    pub(super) fn run(&mut self, observer: &mut dyn Observer) -> Result<(), EngineError> {
        let Some(links) = self.links.take() else { return Ok(()) };
        let _open = OpenAtEnd(self.team);
        let learned = self.learn_all(&links, observer);
        if let Some(team) = self.team {
            team.joined(self.model.learner_mut(), |_| ());
        }
        match learned {
            Ok(Err(Gone)) => Ok(()),
            Ok(Ok(())) => {
                let _ = self.final_cut(&links, self.input.ended.load(Ordering::Acquire));
                Ok(())
            }
            Err(error) => {
                // After a learner's own error the state is not that of any position.
                if matches!(error, EngineError::TooManyErrors { .. }) {
                    let _ = self.final_cut(&links, false);
                }
                Err(error)
            }
        }
    }

    /// The summary and the model.
    pub(super) fn finish(mut self) -> Finished {
        self.model.set_seconds(self.cut_seconds.unwrap_or_else(|| self.seconds()));
        self.model.set_positions(self.positions.clone());
        Finished { summary: self.model.summary(), model: self.model, positions: self.positions }
    }

    fn seconds(&self) -> f64 {
        self.life_seconds + self.started.elapsed().as_secs_f64()
    }

    fn learn_all(
        &mut self,
        links: &Links,
        observer: &mut dyn Observer,
    ) -> Result<Result<(), Gone>, EngineError> {
        let mut rotation = 0;
        loop {
            let Some(parsed) = links.parsed.get(rotation) else { return Ok(Ok(())) };
            match parsed.recv_timeout(TICK) {
                Ok(work) => {
                    rotation = (rotation + 1) % links.parsed.len();
                    if let Err(gone) = self.learn_work(&work, links)? {
                        return Ok(Err(gone));
                    }
                    let _ = links.pool.send(work);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(gone) = self.cut_if_due(links) {
                        return Ok(Err(gone));
                    }
                }
                Err(RecvTimeoutError::Disconnected) if !self.is_lost() => {
                    return self.failure.take().map_or(Ok(Ok(())), Err);
                }
                Err(RecvTimeoutError::Disconnected) => {}
            }
            if self.is_lost() {
                return Ok(Err(Gone));
            }
            self.observe(observer);
            self.tell_losses();
            if self.failure.is_some() && self.is_alone() {
                return self.failure.take().map_or(Ok(Ok(())), Err);
            }
        }
    }

    /// Whether all since the last commit is void. Batches half-way need no care then: no cut will be taken of them.
    fn is_lost(&self) -> bool {
        self.input.lost.load(Ordering::Acquire)
    }

    fn observe(&self, observer: &mut dyn Observer) {
        let counters = self.model.learner().counters();
        observer.observe(&Status {
            counters,
            skipped: self.model.skipped(),
            bytes: self.bytes,
            total_bytes: self.input.total_bytes,
            elapsed: self.started.elapsed(),
            run_examples: counters.examples - self.first_examples,
            learner: self.model.learner(),
        });
    }

    /// Learns a batch, in segments that end where a cut by record count is due.
    fn learn_work(&mut self, work: &Work, links: &Links) -> Result<Result<(), Gone>, EngineError> {
        let pass = work.records.pass();
        if pass != self.positions.pass {
            self.positions = Positions { pass, ..Positions::default() };
        }
        let (mut entry, mut row) = (0, 0);
        while entry < work.entries.len() {
            let segment =
                if work.is_learned { 0..work.entries.len() } else { self.segment(work, entry, row) };
            let rows =
                work.entries[segment.clone()].iter().filter(|entry| matches!(entry, Entry::Row)).count();
            let mode = self.mode(pass);
            self.process(work, row..row + rows, mode)?;
            let scored = |outcome: &&Outcome| matches!(outcome, Outcome::Scored { .. });
            self.records += self.outcomes.rows.iter().filter(scored).count() as u64;
            let (lines, failure) = self.collect(work, segment.clone(), row, mode);
            if lines.is_some_and(|lines| links.lines.send(lines).is_err()) {
                return Ok(Err(Gone));
            }
            if let Some(record) = work.records.get(segment.end - 1) {
                self.positions.advance(record.source, record.after);
            }
            match failure {
                Some(error) if self.team.is_none() => return Err(error),
                Some(error) => _ = self.failure.get_or_insert(error),
                None => {}
            }
            (entry, row) = (segment.end, row + rows);
            if let Err(gone) = self.cut_if_due(links) {
                return Ok(Err(gone));
            }
        }
        if !work.records.source().is_empty() {
            self.positions.advance(work.records.source(), work.records.end());
        }
        self.bytes += work.records.byte_len() as u64 + work.records.len() as u64;
        self.count(work);
        self.settled += 1;
        if work.records.leaving().is_empty() {
            Ok(self.cut_if_due(links))
        } else {
            Ok(self.let_go(work.records.leaving(), links))
        }
    }

    fn count(&mut self, work: &Work) {
        let (now, before) = (self.model.learner().counters(), self.counted);
        let count = BatchCount {
            records: work.records.len() as u64,
            bytes: work.records.byte_len() as u64,
            examples: now.examples.saturating_sub(before.examples),
            features: now.features.saturating_sub(before.features),
            dropped_steps: now.dropped_steps.saturating_sub(before.dropped_steps),
        };
        self.input.metrics.batch(count, now.examples);
        self.counted = now;
    }

    fn tell_losses(&mut self) {
        let now = Instant::now();
        if now >= self.next_loss {
            self.next_loss = now + LOSS_EVERY;
            if let Some((life, window)) = losses(self.model.learner()) {
                self.input.metrics.loss(life, window);
            }
        }
    }

    /// Learns rows of a batch, or takes up what a member of the team has learned.
    fn process(&mut self, work: &Work, rows: Range<usize>, mode: Mode) -> Result<(), LearnerError> {
        let (learner, outcomes) = (self.model.learner_mut(), &mut self.outcomes);
        match self.team {
            None => learner.process(&work.batch, rows, mode, outcomes),
            Some(_) if work.is_learned => learner.settle(&work.batch, &work.learned, mode, outcomes),
            Some(team) => team.joined(learner, |learner| learner.process(&work.batch, rows, mode, outcomes)),
        }
    }

    fn mode(&self, pass: u32) -> Mode {
        match (self.options.task, pass) {
            (Task::Predict, _) => Mode::Predict,
            (Task::Train, 0) => Mode::Learn,
            (Task::Train, _) => Mode::Again,
        }
    }

    /// Entries from `first` on, whose rows start at `row`: up to the record after which a cut is due. The first labelled
    /// record of a model's life settles whether predictions are numbers or objects, so it begins a segment: else the
    /// lines of those before it would depend on where batches end.
    fn segment(&self, work: &Work, first: usize, mut row: usize) -> Range<usize> {
        let next = self.next_records.filter(|_| !self.in_flight).unwrap_or(u64::MAX);
        let mut room = next.saturating_sub(self.records).max(1);
        let mut settled = self.model.learner().state().shape != LabelShape::Unknown;
        let mut end = first;
        for entry in &work.entries[first..] {
            if matches!(entry, Entry::Row) {
                if !settled && !work.batch.targets(row).is_empty() {
                    if end > first {
                        break;
                    }
                    settled = true;
                }
                (room, row) = (room - 1, row + 1);
            }
            end += 1;
            if room == 0 {
                break;
            }
        }
        first..end
    }

    /// The lines of a segment whose rows start at `row`, and the error that ends the run, if there is one.
    fn collect(
        &mut self,
        work: &Work,
        segment: Range<usize>,
        row: usize,
        mode: Mode,
    ) -> (Option<Out>, Option<EngineError>) {
        let (mut predictions, mut dead_letters, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        let (mut next, mut failure) = (0, None);
        for index in segment {
            let Some(record) = work.records.get(index) else { continue };
            let bad = match &work.entries[index] {
                Entry::Bad(bad, reason) => Some((*bad, reason.clone())),
                Entry::Row => {
                    next += 1;
                    let id = work.batch.id(row + next - 1);
                    let refused = self.predicted(next - 1, id, mode, &mut predictions);
                    refused.map(|reason| (Bad::Learner, reason))
                }
            };
            let Some((bad, reason)) = bad.filter(|_| mode != Mode::Again) else { continue };
            self.input.metrics.bad(bad);
            if self.input.letters {
                letters.push(Letter::new(record, reason.clone()));
            } else {
                DeadLetter::new(record, reason.clone()).write(&mut dead_letters);
            }
            failure = failure.or(self.count_error(record, reason));
        }
        let some = !predictions.is_empty() || !dead_letters.is_empty() || !letters.is_empty();
        let results = Results { source: work.records.source_name(), predictions, letters };
        self.waiting += if self.input.publishes { results.byte_len() } else { 0 };
        (some.then_some(Out::Lines { dead_letters, results }), failure)
    }

    /// Writes the prediction of a row, or says why the learner refused it.
    fn predicted(
        &self,
        outcome: usize,
        id: Option<&[u8]>,
        mode: Mode,
        lines: &mut Vec<u8>,
    ) -> Option<String> {
        // Before the first label there are no names yet.
        let tasks = self.outcomes.tasks.as_deref().filter(|_| outcome >= self.outcomes.unnamed);
        match self.outcomes.rows.get(outcome)? {
            Outcome::Rejected(rejection) => return Some(rejection.to_string()),
            Outcome::Scored { number, predictions } if mode != Mode::Again && self.input.predictions => {
                let predictions = self.outcomes.predictions.get(predictions.clone())?;
                write_prediction(lines, id, *number, tasks, predictions);
            }
            Outcome::Scored { .. } => {}
        }
        None
    }

    fn count_error(&mut self, record: Record<'_>, reason: String) -> Option<EngineError> {
        self.errors += 1;
        self.model.skip(1);
        let limit = self.options.max_errors.filter(|&limit| self.errors > limit)?;
        let (source_name, line) = (record.source.to_owned(), record.at.lines + 1);
        Some(EngineError::TooManyErrors { count: self.errors, limit, source_name, line, reason })
    }
}

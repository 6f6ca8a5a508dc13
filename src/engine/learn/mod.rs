//! Learning: batches in the order of the input (`pending.rs`), predictions and dead letters out (`results.rs`), cuts when they are
//! due (`cut.rs`), figures for whoever looks (`tell.rs`).

mod cut;
mod pending;
mod results;
mod taught;
mod tell;

use super::insight::{Insight, tell_metrics};
use super::live::{Feed, Lesson};
use super::team::{OpenAtEnd, Team};
use super::work::{Entry, Parse, Work};
use super::write::Out;
use super::{EngineError, EngineOptions, Finished, Model, Observer, Status, Task};
use crate::learner::{Counters, LabelShape, Learner, LearnerError, Mode, Outcome, Outcomes, Piece};
use crate::metrics::{BatchCount, Metrics};
use crate::record::Positions;
use crossbeam_channel::{Receiver, Sender, never, select};
use pending::{Pending, Place, Span};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tell::Teller;

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
/// Labelled records of a network's life after which each of its tasks and fields must have occurred.
const SEEN_AFTER: u64 = 1000;
/// How often the insight is renewed: it is made on the learner's thread.
const INSIGHT_EVERY: Duration = Duration::from_secs(1);

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
    /// What the metrics have been told, and who tells them of losses.
    counted: Counters,
    teller: Teller,
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
    /// Something was learned beside the source since then.
    taught: bool,
    feed: Option<Feed>,
    outcomes: Outcomes,
    pending: Pending,
    parse: Option<Parse>,
    /// Whether what was declared is known to occur, or need not.
    is_seen: bool,
    finished: Vec<Work>,
    team: Option<&'a Team>,
    /// Batches settled, and where the gate was closed for a cut.
    settled: u64,
    closed_at: Option<u64>,
    /// Ends the run as soon as no batch is half-way; or why there was no cut.
    failure: Option<EngineError>,
    insight: Insight,
    next_insight: Instant,
}

/// What a stage is given beside the model.
pub(super) struct Surroundings<'a> {
    pub(super) input: &'a Input,
    pub(super) links: Links,
    /// For batches that come as they were read; none if threads have parsed them.
    pub(super) parse: Option<Parse>,
    /// Several learners; none for one.
    pub(super) team: Option<&'a Team>,
    /// Who asks meanwhile.
    pub(super) feed: Option<Feed>,
}

/// What the stage hears of next.
enum Next {
    Batch(Work),
    Taught(Lesson),
    Nothing,
    Ended,
}

/// Neighbours are gone; one of them knows why.
struct Gone;

impl<'a> Stage<'a> {
    pub(super) fn new(
        model: Model,
        options: &'a EngineOptions,
        positions: Positions,
        Surroundings { input, links, parse, team, feed }: Surroundings<'a>,
    ) -> Self {
        let counters = model.learner().counters();
        let (counted, first_examples, records) = (counters, counters.examples, counters.records);
        let learner = model.learner();
        let pending = Pending::new(learner.is_network().then(|| learner.batch()));
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
            teller: Teller::new(),
            records,
            waiting: 0,
            in_flight: false,
            cut_seconds: None,
            next_records: None,
            next_time: None,
            cut_at,
            taught: false,
            feed,
            outcomes: Outcomes::default(),
            pending,
            parse,
            is_seen: options.task == Task::Predict || options.allow_unseen || first_examples > 0,
            finished: Vec::new(),
            team,
            settled: 0,
            closed_at: None,
            failure: None,
            insight: Insight::default(),
            next_insight: Instant::now(),
        };
        stage.plan_next();
        stage
    }

    /// Tells `insight` what there is to see.
    pub(super) fn tell(&mut self, insight: Insight) {
        self.insight = insight;
    }

    /// Learns all there is, then makes it durable. An error of a record's making is returned after what came before it
    /// is safe.
    pub(super) fn run(&mut self, observer: &mut dyn Observer) -> Result<(), EngineError> {
        let Some(links) = self.links.take() else { return Ok(()) };
        let _open = OpenAtEnd(self.team);
        let learned = self.learn_all(&links, observer);
        self.next_insight = Instant::now();
        self.tell_insight();
        if let Some(team) = self.team {
            team.joined(self.model.learner_mut(), |_| ());
        }
        match learned {
            // A neighbour knows why, or the model could not be cut.
            Ok(Err(Gone)) => self.failure.take().map_or(Ok(()), Err),
            Ok(Ok(())) => {
                self.model.learner().write_back()?;
                let _ = self.final_cut(&links, self.input.ended.load(Ordering::Acquire));
                self.failure.take().map_or(Ok(()), Err)
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
            let went = match self.next(parsed) {
                Next::Batch(mut work) => {
                    self.parse.iter_mut().for_each(|parse| parse.parse(&mut work));
                    rotation = (rotation + 1) % links.parsed.len();
                    self.feed.iter_mut().for_each(Feed::learned);
                    self.take(work, links)?
                }
                Next::Taught(lesson) => {
                    self.feed.iter_mut().for_each(Feed::learned);
                    self.learn_taught(lesson, links)?
                }
                Next::Nothing => self.cut_if_due(links),
                Next::Ended if !self.is_lost() => return self.end(links),
                Next::Ended => Ok(()),
            };
            if went.is_err() || self.is_lost() {
                return Ok(Err(Gone));
            }
            self.observe(observer);
            if let Some(feed) = &mut self.feed {
                feed.tell(&self.model, self.team);
            }
            self.teller.tell(self.model.learner(), &self.input.metrics);
            self.tell_insight();
            if self.failure.is_some() && self.is_alone() {
                return self.failure.take().map_or(Ok(Ok(())), Err);
            }
        }
    }

    fn next(&self, parsed: &Receiver<Work>) -> Next {
        let nobody = never();
        let lessons = self.feed.as_ref().map_or(&nobody, |feed| &feed.lessons);
        select! {
            recv(parsed) -> work => work.map_or(Next::Ended, Next::Batch),
            recv(lessons) -> lesson => lesson.map_or(Next::Nothing, Next::Taught),
            default(TICK) => Next::Nothing,
        }
    }

    /// Nothing comes any more.
    fn end(&mut self, links: &Links) -> Result<Result<(), Gone>, EngineError> {
        if self.input.ended.load(Ordering::Acquire)
            && let Err(gone) = self.learn_rest(links)?
        {
            return Ok(Err(gone));
        }
        if let Err(gone) = self.end_taught(links)? {
            return Ok(Err(gone));
        }
        self.failure.take().map_or(Ok(Ok(())), Err)
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

    /// Takes up what was parsed, and learns what can be learned by now.
    fn take(&mut self, work: Work, links: &Links) -> Result<Result<(), Gone>, EngineError> {
        let pass = work.records.pass();
        if pass != self.positions.pass {
            if let Err(gone) = self.learn_rest(links)? {
                return Ok(Err(gone));
            }
            self.positions = Positions { pass, ..Positions::default() };
        }
        if !work.records.leaving().is_empty() {
            return self.drain(work, links);
        }
        if self.pending.push(work, is_good(self.model.learner(), self.mode(pass))) {
            let _ = links.pool.send(Work::default());
        }
        self.learn_pending(links)
    }

    /// Learns all that waits: nothing comes behind it.
    fn learn_rest(&mut self, links: &Links) -> Result<Result<(), Gone>, EngineError> {
        self.pending.end();
        let learned = self.learn_pending(links)?;
        self.check_seen(1)?;
        Ok(learned)
    }

    /// Ends the run if a task or a field of a network has occurred in none of `after` labelled records or more: most likely it is
    /// misspelt, and nothing would ever be learned of it.
    fn check_seen(&mut self, after: u64) -> Result<(), EngineError> {
        let examples = self.model.learner().counters().examples;
        if self.is_seen || examples < after {
            return Ok(());
        }
        self.is_seen = true;
        match self.model.learner().unseen() {
            Some(what) => Err(EngineError::Unseen { examples, what }),
            None => Ok(()),
        }
    }

    /// Lets go of sources: what is not learned of them by now, others will learn.
    fn drain(&mut self, work: Work, links: &Links) -> Result<Result<(), Gone>, EngineError> {
        let is_good = is_good(self.model.learner(), self.mode(work.records.pass()));
        self.pending.forget(work.records.leaving(), is_good, &mut self.finished);
        self.give_back(links);
        self.count(&work);
        self.settled += 1;
        let let_go = self.let_go(work.records.leaving(), links);
        let _ = links.pool.send(work);
        Ok(let_go)
    }

    /// Learns what waits, in segments that end where a cut by record count is due, or at a network's borders.
    fn learn_pending(&mut self, links: &Links) -> Result<Result<(), Gone>, EngineError> {
        while let Some(end) = self.segment() {
            let spans = self.pending.spans(end);
            let failure = match self.learn_spans(&spans, links)? {
                Ok(failure) => failure,
                Err(gone) => return Ok(Err(gone)),
            };
            self.advance(end);
            match failure {
                Some(error) if self.team.is_none() => return Err(error),
                Some(error) => _ = self.failure.get_or_insert(error),
                None => {}
            }
            if let Err(gone) = self.settle(links) {
                return Ok(Err(gone));
            }
        }
        self.advance(self.pending.behind(0, 0));
        Ok(self.settle(links))
    }

    /// Moves on to `end`, and the positions with it: those of works in the order in which they came, then that within the one
    /// which `end` lies in. What was learned in one go may begin in an earlier work of the same source.
    fn advance(&mut self, end: Place) {
        let before = self.finished.len();
        self.pending.advance(end, &mut self.finished);
        for work in self.finished.iter().skip(before).filter(|work| !work.records.source().is_empty()) {
            self.positions.advance(work.records.source(), work.records.end());
        }
        if let Some(record) = self.pending.last() {
            self.positions.advance(record.source, record.after);
        }
    }

    /// Learns `spans` and writes their results; the error of one bad record too many, if there was one.
    fn learn_spans(
        &mut self,
        spans: &[Span],
        links: &Links,
    ) -> Result<Result<Option<EngineError>, Gone>, EngineError> {
        let mode = self.mode(self.positions.pass);
        self.process(spans, mode)?;
        self.check_seen(SEEN_AFTER)?;
        let scored = |outcome: &&Outcome| matches!(outcome, Outcome::Scored { .. });
        self.records += self.outcomes.rows.iter().filter(scored).count() as u64;
        let (mut first, mut failure) = (0, None);
        for span in spans {
            let (lines, failed) = self.collect(span, first, mode);
            if lines.is_some_and(|lines| links.lines.send(lines).is_err()) {
                return Ok(Err(Gone));
            }
            let work = self.pending.works().get(span.work);
            if let (Some(work), Mode::Learn) = (work, mode) {
                self.model.see(&work.seen, &span.entries);
            }
            first += span.rows.len();
            failure = failure.or(failed);
        }
        Ok(Ok(failure))
    }

    /// Gives back what was learned to its end, and cuts if that is due.
    fn settle(&mut self, links: &Links) -> Result<(), Gone> {
        let finished = std::mem::take(&mut self.finished);
        for work in &finished {
            self.count(work);
            self.settled += 1;
        }
        let cut = self.cut_if_due(links);
        self.finished = finished;
        self.give_back(links);
        cut
    }

    /// Lets the finished ones circulate again, but for those that others have taken the place of.
    fn give_back(&mut self, links: &Links) {
        for work in self.finished.drain(..) {
            if self.pending.circulates() {
                let _ = links.pool.send(work);
            }
        }
    }

    fn count(&mut self, work: &Work) {
        self.bytes += work.records.byte_len() as u64 + work.records.len() as u64;
        self.tell_batch(work);
    }

    fn tell_batch(&mut self, work: &Work) {
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

    fn tell_insight(&mut self) {
        let now = Instant::now();
        if now < self.next_insight {
            return;
        }
        self.next_insight = now + INSIGHT_EVERY;
        if let Some(report) = self.model.insight() {
            tell_metrics(&self.input.metrics, &report);
            self.insight.renew(report);
        }
    }

    /// Learns records that wait, or takes up what a member of the team has learned.
    fn process(&mut self, spans: &[Span], mode: Mode) -> Result<(), LearnerError> {
        let (learner, outcomes, works) = (self.model.learner_mut(), &mut self.outcomes, self.pending.works());
        let pieces = spans.iter().filter_map(|span| Some((works.get(span.work)?, span.rows.clone())));
        if learner.is_network() {
            let pieces = pieces.map(|(work, rows)| Piece { batch: &work.encoded.fields, rows });
            return learner.process_fields(&pieces.collect::<Vec<_>>(), mode, outcomes);
        }
        for (work, rows) in pieces {
            let batch = &work.encoded.features;
            match self.team {
                None => learner.process(batch, rows, mode, outcomes)?,
                Some(_) if work.is_learned => learner.settle(batch, &work.learned, mode, outcomes)?,
                Some(team) => team.joined(learner, |learner| learner.process(batch, rows, mode, outcomes))?,
            }
        }
        Ok(())
    }

    fn mode(&self, pass: u32) -> Mode {
        match (self.options.task, pass) {
            (Task::Predict, _) => Mode::Predict,
            (Task::Train, 0) => Mode::Learn,
            (Task::Train, _) => Mode::Again,
        }
    }

    /// What is learned next: up to the record after which a cut is due. The first labelled record of a model's life settles
    /// whether predictions are numbers or objects, so it begins a segment: else the lines of those before it would
    /// depend on where batches end.
    fn segment(&self) -> Option<Place> {
        let next = self.next_records.filter(|_| !self.in_flight).unwrap_or(u64::MAX);
        let mut room = next.saturating_sub(self.records).max(1);
        if self.model.learner().is_network() {
            return self.pending.batches(room);
        }
        let (work, first, first_row) = self.pending.first()?;
        let mut settled = self.model.learner().state().shape != LabelShape::Unknown || work.is_learned;
        let (mut end, mut row) = (first, first_row);
        for entry in &work.entries[first..] {
            if matches!(entry, Entry::Row) {
                if !settled && !work.encoded.features.targets(row).is_empty() {
                    if end > first {
                        break;
                    }
                    settled = true;
                }
                (room, row) = (room - 1, row + 1);
            }
            end += 1;
            if room == 0 && !work.is_learned {
                break;
            }
            room = room.max(1);
        }
        Some(self.pending.behind(end - first, row - first_row))
    }
}

/// Tells of a row whether it counts among those of a batch.
fn is_good(learner: &Learner, mode: Mode) -> impl Fn(&Work, usize) -> bool + '_ {
    move |work, row| learner.refused(work.encoded.records(), row, mode).is_none()
}

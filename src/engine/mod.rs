//! Threads, bounded queues, back-pressure and the order of shutdown.
//!
//! ```text
//!                 ┌─▶ parse ─┐
//! source ─▶ read ─┼─▶ parse ─┼─▶ learn ─▶ write ─▶ save
//!    ▲            └─▶ parse ─┘     │     (lines)  (generations)
//!    └───────── empty batches ◀────┘
//! ```
//!
//! The reader deals batches to the parse threads in rotation and the learner takes them back in the same rotation, so
//! that records are learned in the order of the input for any number of threads, without sorting. A fixed set of
//! batches circulates: when the learner or a sink is slow, the reader waits for an empty one, and memory stays bounded.
//! A cut travels behind the lines that belong to it, so a generation is saved only after its lines are durable. When
//! the input ends, each stage ends when the one before it has; a stage that fails makes its neighbours end, and the
//! first error is what the run reports.
//!
//! What is sent on at once goes with the lines. What is published (Kafka) waits for the cut it belongs to: the saver hands it to the [`Publisher`] after the generation
//! is durable. A source whose partitions are wanted elsewhere asks for a drain: a batch with their names goes through all
//! stages, the learner makes a cut at it and waits until that is published, and its return tells the reader so.

mod encode;
mod explain;
mod follow;
mod insight;
mod learn;
mod live;
mod model;
mod read;
#[cfg(feature = "network")]
mod recommend;
mod summary;
mod team;
mod work;
mod write;

pub use explain::{Contribution, Explained, ExplainedOutput, MAX_EXPLAINED, ScoreUnit};
pub use follow::Follower;
pub use insight::{
    Change, ChangeCounts, CollisionReport, FieldCollisions, Insight, InsightOptions, InsightReport,
    KeyReport, KeyWindow, NamedFeature, NamesReport, SchemaChange, SchemaReport, TableReport,
};
pub use live::{Live, LiveError};
pub use model::{Model, ModelError, RecordError, Scored};
#[cfg(feature = "network")]
pub use recommend::{Asking, Catalogue, RecommendError, Recommended};
pub use summary::{Summary, TaskSummary};

use crate::checkpoint::{CheckpointError, Writer};
use crate::config::Every;
use crate::learner::{Counters, Figures, Learner, LearnerError};
use crate::metrics::{Metrics, Rebalance};
use crate::record::{Positions, Source, SourceError};
use crate::sink::{Emitter, LinesSink, PublishError, Publisher, SinkError, Wants};
use crossbeam_channel::{Receiver, bounded, unbounded};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;
use team::Team;
use work::{Parse, Work};

/// What a run does with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Predict, then learn.
    Train,
    /// Predict only.
    Predict,
}

/// Options of a run.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Predict or train.
    pub task: Task,
    /// Parse threads; with 0 the learner parses what it learns, which is best where there is one processor. Results do not depend on it.
    pub threads: usize,
    /// Learners, at least 1. With one, the default, a run is deterministic to the bit. More learn side by side on the same
    /// rows, each parsing what it learns (then `threads` plays no part): no record is lost or learned twice and no row is seen
    /// half changed, but who learned first depends on timing, so two runs differ a little.
    pub learners: usize,
    /// When to checkpoint, beside the end.
    pub checkpoint_every: Vec<Every>,
    /// Bad records before the run stops with an error.
    pub max_errors: Option<u64>,
    /// Go on though a task or a field of a network occurs in none of the first records of its life.
    pub allow_unseen: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            task: Task::Train,
            threads: 1,
            learners: 1,
            checkpoint_every: Vec::new(),
            max_errors: None,
            allow_unseen: false,
        }
    }
}

/// Where results go.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Prediction lines.
    pub predictions: Option<LinesSink>,
    /// Bad records.
    pub dead_letters: Option<LinesSink>,
    /// Takes results and positions with each commit. Then the positions count that the source itself goes by, not
    /// those stored with the model.
    pub publisher: Option<Box<dyn Publisher>>,
    /// Takes results at once.
    pub emitter: Option<Box<dyn Emitter>>,
}

/// A run that failed. What was learned before it is in the last generation.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The input cannot be read.
    #[error("{}", with_cause(.0))]
    Source(#[from] SourceError),
    /// A result cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A commit cannot be made.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A generation cannot be saved.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A record asks for what the learner cannot have.
    #[error(transparent)]
    Learner(#[from] LearnerError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Too many bad records.
    #[error(
        "{count} bad records, more than --max-errors {limit}; the last: {source_name}, line {line}: {reason}"
    )]
    TooManyErrors {
        /// Bad records in this run.
        count: u64,
        /// The limit.
        limit: u64,
        /// Source of the last one.
        source_name: String,
        /// Its line, from 1.
        line: u64,
        /// Why it is bad.
        reason: String,
    },
    /// A task or a field of a network that does not occur.
    #[error("after {examples} labelled records: {what} (--allow-unseen goes on)")]
    Unseen {
        /// Labelled records so far.
        examples: u64,
        /// What does not occur.
        what: String,
    },
    /// Several learners of a network.
    #[error("--learners: a network has one learner, got {0}")]
    NetworkLearners(usize),
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Spawn(std::io::Error),
    /// A thread ended by a panic: a bug.
    #[error("the {0} thread panicked: this is a bug; the last generation is intact")]
    Panicked(&'static str),
}

fn with_cause(error: &SourceError) -> String {
    match &error.cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// How a run stands, for progress displays.
#[derive(Debug)]
pub struct Status<'a> {
    /// Counts over the model's life.
    pub counters: Counters,
    /// Bad records over the model's life.
    pub skipped: u64,
    /// Bytes consumed in this run.
    pub bytes: u64,
    /// Bytes of the whole input, if known.
    pub total_bytes: Option<u64>,
    /// Since the run began.
    pub elapsed: Duration,
    /// Examples learned in this run.
    pub run_examples: u64,
    learner: &'a Learner,
}

impl Status<'_> {
    /// Figures over the model's life and over the last window, of the first task.
    pub fn figures(&self) -> (Figures, Figures) {
        let (whole, window) = self.learner.reports().next().unwrap_or_default();
        (whole.figures, window.figures)
    }
}

/// Watches a run from the learner's thread, after each batch and when idle: must be quick.
pub trait Observer {
    /// Called often; most calls should return at once.
    fn observe(&mut self, status: &Status<'_>);
}

impl Observer for () {
    fn observe(&mut self, _: &Status<'_>) {}
}

/// What a run leaves.
#[derive(Debug)]
pub struct Finished {
    /// The figures.
    pub summary: Summary,
    /// The model as it is now.
    pub model: Model,
    /// How far the input was consumed.
    pub positions: Positions,
}

/// A run, ready to go: see the [module](self).
#[derive(Debug)]
pub struct Engine {
    model: Model,
    options: EngineOptions,
    outputs: Outputs,
    store: Option<Writer>,
    positions: Positions,
    metrics: Metrics,
    live: Option<Live>,
    insight: Insight,
}

/// Batches in flight per parse thread, and beside them: with less slack stages sleep and wake each other at every batch.
const WORK_PER_THREAD: usize = 2;
const WORK_BESIDE: usize = 8;
/// Batches of lines waiting to be written.
const LINES_WAITING: usize = 4;

impl Engine {
    /// A run of `model`. With `store`, its state is saved there; it goes on from the positions the model was saved at.
    pub fn new(model: Model, options: EngineOptions, outputs: Outputs, store: Option<Writer>) -> Self {
        let positions = model.positions().clone();
        Self {
            model,
            options,
            outputs,
            store,
            positions,
            metrics: Metrics::default(),
            live: None,
            insight: Insight::default(),
        }
    }

    /// Counts with `metrics`, which somebody else can read meanwhile.
    pub fn with_metrics(mut self, metrics: &Metrics) -> Self {
        self.metrics = metrics.clone();
        self
    }

    /// Lets `live` answer by the model while it learns, and give it records to learn.
    pub fn with_live(mut self, live: &Live) -> Self {
        self.live = Some(live.clone());
        self
    }

    /// Tells `insight`, which somebody else can read meanwhile, what there is to see. What is watched is the model's matter.
    pub fn with_insight(mut self, insight: &Insight) -> Self {
        self.insight = insight.clone();
        self
    }

    fn input(&self, source: &dyn Source, wanted: Wants) -> learn::Input {
        let emitted = self.outputs.emitter.as_ref().map_or_else(Wants::default, |emitter| emitter.wants());
        let any = wanted.or(emitted);
        learn::Input {
            total_bytes: source.size_hint(),
            predictions: any.predictions || self.outputs.predictions.is_some(),
            letters: any.letters,
            publishes: wanted != Wants::default(),
            metrics: self.metrics.clone(),
            ..learn::Input::default()
        }
    }

    /// Several learners, if there are any, and how many threads parse; none if the learner does.
    fn team(&self) -> (Option<Team>, usize) {
        let (learners, predict) = (self.options.learners.max(1), self.options.task == Task::Predict);
        let team = (learners > 1).then(|| Team::new(self.model.learner(), learners, predict));
        (team, if learners > 1 { learners } else { self.options.threads })
    }

    /// Checks what goes together, and takes the source to where it was left.
    fn begin(&self, source: &mut dyn Source) -> Result<(), EngineError> {
        if self.options.learners > 1 && self.model.learner().is_network() {
            return Err(EngineError::NetworkLearners(self.options.learners));
        }
        source.resume(&self.positions)?;
        if let Some(store) = &self.store {
            let generation = store.manifest().map_or(0, |manifest| manifest.generation);
            self.metrics.saves(generation);
            self.live.iter().for_each(|live| live.saved(generation));
        }
        Ok(())
    }

    /// Where cuts go.
    fn destination(&mut self) -> write::Destination {
        write::Destination {
            store: self.store.take(),
            publisher: self.outputs.publisher.take(),
            metrics: self.metrics.clone(),
            live: self.live.take(),
        }
    }

    /// Runs to the end of `source`, or until `stop` is set; then saves what was learned.
    pub fn run(
        mut self,
        mut source: Box<dyn Source>,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Finished, EngineError> {
        self.begin(source.as_mut())?;
        let wanted =
            self.outputs.publisher.as_ref().map_or_else(Wants::default, |publisher| publisher.wants());
        let shared = &self.input(source.as_ref(), wanted);
        if self.outputs.publisher.is_some() {
            self.positions.sources.clear(); // each comes back with the source's first batch of it
        }
        let (team, threads) = self.team();
        let team = team.as_ref();
        let (pool_in, pool) = unbounded();
        for _ in 0..threads * WORK_PER_THREAD + WORK_BESIDE {
            let _ = pool_in.send(Work::default());
        }
        let (acknowledge, acknowledged) = unbounded();
        let (lines, to_write) = bounded(LINES_WAITING);
        let (cuts, to_save) = bounded(1);
        let (saved_in, saved) = unbounded();
        let (parsers, dealt): (Vec<_>, Vec<_>) = (0..threads.max(1)).map(|_| unbounded()).unzip();
        let feed = self.live.as_ref().map(|live| live.attach(&self.model, self.options.task == Task::Train));
        let destination = self.destination();
        let keeps = destination.keeps();
        let eye = self.model.eye().filter(|_| self.options.task == Task::Train);
        let record_reader = self.model.reader();
        let parse = || Parse::new(Arc::clone(&record_reader), eye.clone());
        thread::scope(|scope| {
            let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
            let links = read::Links { parsers, pool, durable: acknowledged, stop, input: shared };
            let reader = spawn("read").spawn_scoped(scope, move || read::run(source, links));
            let reader = reader.map_err(EngineError::Spawn)?;
            let (parsed, parse_threads, parse) = match threads {
                0 => (dealt, Vec::new(), Some(parse())),
                _ => {
                    let (parsed, started) = start_parsing(scope, dealt, parse, team)?;
                    (parsed, started, None)
                }
            };
            let outputs = self.outputs;
            let writer =
                spawn("write").spawn_scoped(scope, move || write::run(outputs, wanted, &to_write, &cuts));
            let writer = writer.map_err(EngineError::Spawn)?;
            let saver = spawn("save")
                .spawn_scoped(scope, move || write::save(destination, &to_save, &saved_in, &acknowledge));
            let saver = saver.map_err(EngineError::Spawn)?;
            let links = learn::Links { parsed, pool: pool_in, lines, saved, keeps };
            let links = learn::Surroundings { input: shared, links, parse, team, feed };
            let mut stage = learn::Stage::new(self.model, &self.options, self.positions, links);
            stage.tell(self.insight);
            let learned = stage.run(observer);
            let finished = stage.finish();
            let stages = [join(reader, "read"), join(writer, "write"), join(saver, "save")];
            let parsed = parse_threads.into_iter().map(|thread| join(thread, "parse"));
            let parsed = parsed.collect::<Result<Vec<()>, _>>();
            let ended = first_error(learned, stages, parsed);
            if let Err(EngineError::Publish(PublishError::Lost)) = &ended {
                self.metrics.rebalanced(Rebalance::Lost);
            }
            ended.map(|()| finished)
        })
    }
}

/// A stage that runs beside the learner's.
type StageThread<'scope> = thread::ScopedJoinHandle<'scope, Result<(), EngineError>>;

/// Starts a thread for each of the queues that batches are `dealt` to; returns the queues they come out of, parsed.
fn start_parsing<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    dealt: Vec<Receiver<Work>>,
    parse: impl Fn() -> Parse,
    team: Option<&'env Team>,
) -> Result<(Vec<Receiver<Work>>, Vec<StageThread<'scope>>), EngineError> {
    let start = |(index, input): (usize, Receiver<Work>)| {
        let (output, parsed) = unbounded();
        let (parse, member) = (parse(), team.map(|team| (team, index)));
        let thread = thread::Builder::new().name("parse".to_owned());
        let thread = thread.spawn_scoped(scope, move || work::run(parse, member, &input, &output));
        Ok((parsed, thread.map_err(EngineError::Spawn)?))
    };
    let started: Vec<_> = dealt.into_iter().enumerate().map(start).collect::<Result<_, EngineError>>()?;
    Ok(started.into_iter().unzip())
}

fn join<T>(
    thread: thread::ScopedJoinHandle<'_, Result<T, EngineError>>,
    name: &'static str,
) -> Result<T, EngineError> {
    thread.join().unwrap_or(Err(EngineError::Panicked(name)))
}

/// A stage that fails makes others end early; its own error is the one to report. The learner only reports that its
/// neighbours are gone (`Ok(false)`), so theirs come first.
fn first_error(
    learned: Result<(), EngineError>,
    stages: [Result<(), EngineError>; 3],
    parsed: Result<Vec<()>, EngineError>,
) -> Result<(), EngineError> {
    let [read, write, save] = stages;
    write?;
    save?;
    parsed?;
    learned?;
    read
}

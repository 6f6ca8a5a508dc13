//! A model that answers while it learns, or until its next generation has been loaded.
//!
//! A [`Live`] is a handle that threads share. What it answers by is *published*: a [`Viewer`] of the model and what belongs to it. A
//! request takes what is published when it begins and keeps it to its end, so it never mixes two. Who publishes:
//!
//! - [`Live::publish`] puts a whole model in the place of the one before, which goes when its last request has ended;
//! - an engine ([`Engine::with_live`](super::Engine::with_live)) its model while it learns. Rows are read where they are, as they are
//!   by then; the heads, which are small, are copied anew when somebody has asked since the last time, at most every 50 ms. With nobody
//!   asking that costs one load a batch. What is learned is the same whoever asks.
//!
//! Records can also be given to be learned ([`Live::learn`]): they are read here, wait in a bounded queue, and are learned between two
//! batches of the run in the order in which they came.

use super::encode::{Beside, Encoded, Reader, ReaderScratch};
use super::summary::Summary;
use super::team::Team;
use super::work::{self, Work};
use super::{Model, RecordError};
use crate::learner::{LearnerError, Outcomes, Piece, Viewer};
use crate::record::Position;
use crate::sink::{Answers, write_embedding, write_prediction};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering, lock, wait_briefly};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records predicted together.
const CHUNK: usize = 256;
/// How often heads are published at most.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);
/// Heads older than this are waited for, so long at most, and not again before some time has passed.
const STALE: Duration = Duration::from_millis(150);
const FORBEARANCE: Duration = Duration::from_secs(1);
/// Requests that may wait to be learned, and bytes of their records.
const LESSONS_WAITING: usize = 64;
const LESSON_BYTES: usize = 32 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// No model yet.
    #[error("the model is not loaded yet")]
    NotReady,
    /// Too much waits to be learned.
    #[error("too many records wait to be learned: try again")]
    Busy,
    /// Nothing is learned: a model that is only served, or a run that has ended.
    #[error("nothing is learned here: a run that trains does, until it ends")]
    NoLearning,
    /// Vectors asked of a model without.
    #[error("this model has no embeddings: train one with --head fm")]
    NoEmbeddings,
    /// What the model refuses in spite of all.
    #[error(transparent)]
    Learner(#[from] LearnerError),
}

/// What the figures of a model are asked for.
#[derive(Debug, Clone, Serialize)]
struct About {
    version: &'static str,
    learning: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    config: serde_json::Value,
    summary: Summary,
}

/// What answers.
#[derive(Debug)]
struct Published {
    /// Reads records and does not look at labels.
    reader: Arc<Reader>,
    original: Mutex<Viewer>,
    /// Of threads that are done with a request.
    seats: Mutex<Vec<Seat>>,
    version: u64,
    at: Instant,
}

/// What a thread needs to predict.
#[derive(Debug)]
struct Seat {
    viewer: Viewer,
    scratch: ReaderScratch,
    encoded: Encoded,
    outcomes: Outcomes,
}

/// Published, and when somebody last waited for it in vain.
#[derive(Debug, Default)]
struct Current {
    published: Option<Arc<Published>>,
    about: Option<(u64, Arc<About>)>,
    in_vain: Option<Instant>,
    /// Of a run that learns.
    lessons: Option<Lessons>,
}

#[derive(Debug, Clone)]
struct Lessons {
    queue: Sender<Lesson>,
    reader: Arc<Reader>,
}

#[derive(Debug)]
struct Shared {
    current: Mutex<Current>,
    fresh: Condvar,
    /// Batches that were learned since the model is published: what is published is as new as the batches it knows.
    version: AtomicU64,
    /// Somebody asked since heads, or figures, were last published.
    asked: AtomicBool,
    asked_about: AtomicBool,
    generation: AtomicU64,
    record_limit: usize,
    /// Records and bytes that came to be learned; the bytes are those that wait.
    came: AtomicU64,
    waiting: Arc<AtomicUsize>,
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Live(Arc<Shared>);

/// Records to be learned, read already.
pub(super) struct Lesson {
    pub(super) work: Work,
    /// Takes the predictions made before they were learned.
    pub(super) done: Box<dyn FnOnce(Answers) + Send>,
    _held: Held,
}

impl fmt::Debug for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lesson").field("records", &self.work.records.len()).finish_non_exhaustive()
    }
}

/// Bytes that wait, until it is dropped.
#[derive(Debug)]
struct Held(Arc<AtomicUsize>, usize);

impl Held {
    fn take(waiting: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        let before = waiting.fetch_add(bytes, Ordering::Relaxed);
        let held = Self(Arc::clone(waiting), bytes);
        (before == 0 || before + bytes <= LESSON_BYTES).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Live {
    /// A handle with no model yet. `record_limit`: the longest record that is read, in bytes.
    pub fn new(record_limit: usize) -> Self {
        Self(Arc::new(Shared {
            current: Mutex::default(),
            fresh: Condvar::new(),
            version: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            asked_about: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            record_limit,
            came: AtomicU64::new(0),
            waiting: Arc::default(),
        }))
    }

    /// Answers by `model` from now on, the stored `generation`: labels are not looked at.
    pub fn publish(&self, model: &Model, generation: Option<u64>) {
        self.saved(generation.unwrap_or(0));
        let reader = Arc::new(model.reader().for_prediction());
        self.put(reader, model.learner().view(), 0);
        self.put_about(model, 0, false);
    }

    /// Predicts `records`, of which none is learned; an answer is what a prediction line is. Records without an id are
    /// numbered from 0, the good ones.
    ///
    /// # Errors
    /// No model yet.
    pub fn predict(&self, records: &[&[u8]]) -> Result<Answers, LiveError> {
        self.ask(records, |seat, _, errors, next, answers| {
            seat.predict()?;
            seat.answer(errors, next, answers);
            Ok(())
        })
    }

    /// The vectors of `records`: `{"id":…,"embedding":[…]}`.
    ///
    /// # Errors
    /// No model yet, or one without.
    pub fn embed(&self, records: &[&[u8]]) -> Result<Answers, LiveError> {
        self.ask(records, |seat, _, errors, next, answers| {
            let dim = seat.viewer.dim();
            if dim == 0 {
                return Err(LiveError::NoEmbeddings);
            }
            let batch = &seat.encoded.features;
            let vectors = seat.viewer.embed(batch);
            let mut vectors = vectors.chunks(dim).enumerate();
            for error in errors {
                match (error, vectors.next()) {
                    (Some(error), _) => answers.bad(error),
                    (None, Some((row, vector))) => {
                        answers.good(|out| write_embedding(out, batch.id(row), *next, vector));
                        *next += 1;
                    }
                    (None, None) => {}
                }
            }
            Ok(())
        })
    }

    /// Hands `records` to the run that learns: each is predicted, then learned, and `done` gets the predictions. They are durable
    /// with the next generation. Dropped without a call if the run ends before that.
    ///
    /// # Errors
    /// Nobody learns, or too much waits.
    pub fn learn(&self, records: &[&[u8]], done: Box<dyn FnOnce(Answers) + Send>) -> Result<(), LiveError> {
        let current = lock(&self.0.current);
        let Some(Lessons { queue, reader }) = current.lessons.clone() else {
            let is_there = current.published.is_some();
            return Err(if is_there { LiveError::NoLearning } else { LiveError::NotReady });
        };
        drop(current);
        let bytes = records.iter().map(|record| record.len() + 64).sum();
        let held = Held::take(&self.0.waiting, bytes).ok_or(LiveError::Busy)?;
        let mut work = Work::default();
        work.records.reset(&SOURCE.into(), 0, Position::default());
        let mut at = self.0.came.fetch_add(records.len() as u64, Ordering::Relaxed);
        for record in records {
            let position = |lines| Position { lines, offset: lines };
            let kept = record.get(..self.0.record_limit).unwrap_or(record);
            work.records.push(kept, record.len() as u64, position(at), position(at + 1));
            at += 1;
        }
        work::parse(&reader, &mut ReaderScratch::default(), &mut work);
        match queue.try_send(Lesson { work, done, _held: held }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(LiveError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(LiveError::NoLearning),
        }
    }

    /// Options, counters, figures and generation of the model as JSON; no secret is among them.
    ///
    /// # Errors
    /// No model yet.
    pub fn about(&self) -> Result<Vec<u8>, LiveError> {
        self.0.asked_about.store(true, Ordering::Relaxed);
        self.wait(|current, version| current.about.as_ref().is_some_and(|(known, _)| *known == version));
        let about = lock(&self.0.current).about.clone().map(|(_, about)| about);
        let mut about = About::clone(about.ok_or(LiveError::NotReady)?.as_ref());
        about.generation =
            Some(self.0.generation.load(Ordering::Relaxed)).filter(|&generation| generation > 0);
        let mut json = serde_json::to_vec(&about).unwrap_or_default();
        json.push(b'\n');
        Ok(json)
    }

    /// Encodes `records` some at a time, with why each that is bad is so, and lets `work` answer.
    fn ask(
        &self,
        records: &[&[u8]],
        mut work: impl FnMut(
            &mut Seat,
            &Reader,
            &[Option<String>],
            &mut u64,
            &mut Answers,
        ) -> Result<(), LiveError>,
    ) -> Result<Answers, LiveError> {
        let published = self.current().ok_or(LiveError::NotReady)?;
        let mut seat = published.seat();
        let (mut answers, mut next) = (Answers::default(), 0);
        for chunk in records.chunks(CHUNK) {
            let errors = seat.read(&published.reader, self.0.record_limit, chunk);
            work(&mut seat, &published.reader, &errors, &mut next, &mut answers)?;
        }
        lock(&published.seats).push(seat);
        Ok(answers)
    }

    /// What is published; newer, if that is old and the learner has gone on.
    fn current(&self) -> Option<Arc<Published>> {
        let current = lock(&self.0.current).published.clone()?;
        if current.version == self.0.version.load(Ordering::Relaxed) {
            return Some(current);
        }
        self.0.asked.store(true, Ordering::Relaxed);
        if current.at.elapsed() < STALE {
            return Some(current);
        }
        self.wait(|now, version| {
            now.published.as_ref().is_some_and(|now| now.version == version || now.at > current.at)
        });
        lock(&self.0.current).published.clone()
    }

    /// Waits until `is_fresh` of what is published and the learner's version, some time at most.
    fn wait(&self, is_fresh: impl Fn(&Current, u64) -> bool) {
        let Shared { current, fresh, version, .. } = &*self.0;
        let mut guard = lock(current);
        let (began, mut left) = (Instant::now(), STALE);
        if guard.in_vain.is_some_and(|then| began < then + FORBEARANCE) {
            return;
        }
        while !is_fresh(&guard, version.load(Ordering::Relaxed)) {
            if left.is_zero() {
                guard.in_vain = Some(Instant::now());
                return;
            }
            guard = wait_briefly(fresh, current, guard, left);
            left = STALE.saturating_sub(began.elapsed());
        }
    }

    fn put(&self, reader: Arc<Reader>, viewer: Viewer, version: u64) {
        let (original, seats, at) = (Mutex::new(viewer), Mutex::default(), Instant::now());
        let published = Arc::new(Published { reader, original, seats, version, at });
        let mut current = lock(&self.0.current);
        self.0.version.store(version, Ordering::Relaxed);
        let before = current.published.replace(published);
        current.in_vain = None;
        drop(current);
        self.0.fresh.notify_all();
        drop(before); // a whole table perhaps: not under the lock
    }

    fn put_about(&self, model: &Model, version: u64, learning: bool) {
        let about = About {
            version: env!("CARGO_PKG_VERSION"),
            learning,
            generation: None,
            config: serde_json::to_value(model.flags()).unwrap_or_default(),
            summary: model.summary(),
        };
        lock(&self.0.current).about = Some((version, Arc::new(about)));
        self.0.fresh.notify_all();
    }

    /// The newest durable generation.
    pub(super) fn saved(&self, generation: u64) {
        self.0.generation.store(generation, Ordering::Relaxed);
    }

    /// Answers by the model of a run that begins, and takes records to be learned if it `learns`.
    pub(super) fn attach(&self, model: &Model, learns: bool) -> Feed {
        let (queue, lessons) = bounded(LESSONS_WAITING);
        let reader = Arc::new(model.reader().for_prediction());
        self.put(Arc::clone(&reader), model.learner().view(), 0);
        self.put_about(model, 0, learns);
        if learns {
            lock(&self.0.current).lessons = Some(Lessons { queue, reader: model.reader() });
        }
        Feed {
            live: self.clone(),
            reader,
            lessons,
            version: 0,
            told: Instant::now(),
            told_about: Instant::now(),
        }
    }
}

/// The name of what came to be learned, where sources have theirs.
const SOURCE: &str = "http";

impl Published {
    fn seat(&self) -> Seat {
        let spare = lock(&self.seats).pop();
        spare.unwrap_or_else(|| Seat {
            viewer: lock(&self.original).again(),
            scratch: ReaderScratch::default(),
            encoded: Encoded::default(),
            outcomes: Outcomes::default(),
        })
    }
}

impl Seat {
    /// Reads records; returns why each that is bad is so.
    fn read(&mut self, reader: &Reader, limit: usize, records: &[&[u8]]) -> Vec<Option<String>> {
        self.encoded.clear();
        let read = |record: &&[u8]| {
            let length = record.len();
            if length > limit {
                return Some(format!(
                    "expected a record within the limit of {limit} bytes, found one of {length}"
                ));
            }
            let (scratch, encoded) = (&mut self.scratch, &mut self.encoded);
            let read: Result<(), RecordError> = reader.read(scratch, encoded, record, Beside::default());
            read.err().map(|error| error.to_string())
        };
        records.iter().map(read).collect()
    }

    fn predict(&mut self) -> Result<(), LearnerError> {
        let Self { viewer, encoded, outcomes, .. } = self;
        let rows = 0..encoded.records().len();
        if viewer.is_network() {
            return viewer.predict_fields(&[Piece { batch: &encoded.fields, rows }], outcomes);
        }
        viewer.predict(&encoded.features, rows, outcomes)
    }

    fn answer(&self, errors: &[Option<String>], next: &mut u64, answers: &mut Answers) {
        let mut row = 0;
        for error in errors {
            match (error, self.outcomes.row(row)) {
                (Some(error), _) => answers.bad(error),
                (None, Some(mut predicted)) => {
                    predicted.number = *next;
                    answers.good(|out| write_prediction(out, self.encoded.records().id(row), &predicted));
                    (*next, row) = (*next + 1, row + 1);
                }
                (None, None) => row += 1,
            }
        }
    }
}

#[cfg(feature = "serve")]
mod answering {
    //! What an HTTP server asks.

    use super::{Live, LiveError};
    use crate::serve::{Done, Refusal, Service};
    use crate::sink::Answers;

    impl From<LiveError> for Refusal {
        fn from(error: LiveError) -> Self {
            let why = error.to_string();
            match error {
                LiveError::NotReady | LiveError::Busy => Self::Later(why),
                LiveError::NoLearning | LiveError::NoEmbeddings => Self::Absent(why),
                LiveError::Learner(_) => Self::Failed(why),
            }
        }
    }

    impl Service for Live {
        fn predict(&self, records: &[&[u8]]) -> Result<Answers, Refusal> {
            Ok(Self::predict(self, records)?)
        }

        fn embed(&self, records: &[&[u8]]) -> Result<Answers, Refusal> {
            Ok(Self::embed(self, records)?)
        }

        fn learn(&self, records: &[&[u8]], done: Done) -> Result<(), Refusal> {
            Ok(Self::learn(self, records, done)?)
        }

        fn about(&self) -> Result<Vec<u8>, Refusal> {
            Ok(Self::about(self)?)
        }
    }
}

/// The learning stage's end of a [`Live`].
#[derive(Debug)]
pub(super) struct Feed {
    live: Live,
    reader: Arc<Reader>,
    pub(super) lessons: Receiver<Lesson>,
    version: u64,
    told: Instant,
    told_about: Instant,
}

impl Feed {
    /// A batch was learned.
    pub(super) fn learned(&mut self) {
        self.version += 1;
        self.live.0.version.store(self.version, Ordering::Relaxed);
    }

    /// Publishes what somebody has asked for, now and then: to be called after each batch, and when idle.
    pub(super) fn tell(&mut self, model: &Model, team: Option<&Team>) {
        let Shared { asked, asked_about, .. } = &*self.live.0;
        if asked.load(Ordering::Relaxed) && self.told.elapsed() >= PUBLISH_EVERY {
            asked.store(false, Ordering::Relaxed);
            let viewer = team.map_or_else(|| model.learner().view(), |team| team.view(model.learner()));
            self.live.put(Arc::clone(&self.reader), viewer, self.version);
            self.told = Instant::now();
        }
        if asked_about.load(Ordering::Relaxed) && self.told_about.elapsed() >= PUBLISH_EVERY {
            asked_about.store(false, Ordering::Relaxed);
            self.live.put_about(model, self.version, true);
            self.told_about = Instant::now();
        }
    }

    /// No more records come to be learned, but those that wait.
    pub(super) fn close(&self) {
        lock(&self.live.0.current).lessons = None;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.close();
    }
}

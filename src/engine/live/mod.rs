//! A model that answers while it learns, or until its next generation has been loaded.
//!
//! A [`Live`] is a handle that threads share. What it answers by is *published*: a [`Viewer`] of the model and what belongs to it. A
//! request takes what is published when it begins and keeps it to its end, so it never mixes two. Who publishes:
//!
//! - [`Live::publish`] puts a whole model in the place of the one before, which goes when its last request has ended;
//! - an engine ([`Engine::with_live`](super::Engine::with_live)) its model while it learns. Rows are read where they are, as they are
//!   by then; the heads, which are small, are copied anew when somebody has asked since the last time, at most every 50 ms, and a
//!   request that finds them older than 150 ms waits for new ones. With nobody asking that costs one load a batch. What is learned is the
//!   same whoever asks.
//!
//! Records can also be given to be learned ([`Live::learn`]): they are read here, wait in a bounded queue, and are learned between two
//! batches of the run in the order in which they came.

mod feed;
mod lessons;
mod seat;
#[cfg(feature = "serve")]
mod service;

pub(super) use feed::{Feed, Lesson};

use super::encode::Reader;
use super::summary::Summary;
use super::{Model, RecordError};
use crate::learner::{LearnerError, Viewer};
use crate::sink::Answers;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering, lock, wait_briefly};
use crossbeam_channel::bounded;
use feed::Held;
use lessons::Lessons;
use seat::{Published, Wish};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Heads older than this are waited for, so long at most, and not again before some time has passed.
const STALE: Duration = Duration::from_millis(150);
const FORBEARANCE: Duration = Duration::from_secs(1);
/// Requests that may wait to be learned.
const LESSONS_WAITING: usize = 64;

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

/// Published, and when somebody last waited for it in vain.
#[derive(Debug, Default)]
struct Current {
    published: Option<Arc<Published>>,
    about: Option<(u64, Arc<About>)>,
    in_vain: Option<Instant>,
    /// Of a run that learns.
    lessons: Option<Arc<Lessons>>,
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
    /// Bytes that wait to be learned.
    waiting: Arc<AtomicUsize>,
}

/// A model that answers while it learns, or until its next generation has been loaded: a handle that threads share.
#[derive(Debug, Clone)]
pub struct Live(Arc<Shared>);

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
            waiting: Arc::default(),
        }))
    }

    /// Answers by `model` from now on, the stored `generation`: labels are not looked at.
    pub fn publish(&self, model: &Model, generation: Option<u64>) {
        self.saved(generation.unwrap_or(0));
        let reader = model.prediction_reader();
        self.put(reader, model.learner().view(), 0);
        self.put_about(model, 0, false);
    }

    /// Predicts `records`, of which none is learned; an answer is what a prediction line is. Records without an id are
    /// numbered from 0, the good ones.
    ///
    /// # Errors
    /// No model yet.
    pub fn predict(&self, records: &[&[u8]]) -> Result<Answers, LiveError> {
        self.current()?.answer(records, Wish::Predictions, self.0.record_limit)
    }

    /// The vectors of records: `{"id":…,"embedding":[…]}`.
    ///
    /// # Errors
    /// No model yet, or one without.
    pub fn embed(&self, records: &[&[u8]]) -> Result<Answers, LiveError> {
        self.current()?.answer(records, Wish::Vectors, self.0.record_limit)
    }

    /// What the features of records contributed to their predictions, as [`Model::explain`] says it.
    ///
    /// # Errors
    /// No model yet.
    pub fn explain(&self, records: &[&[u8]]) -> Result<Answers, LiveError> {
        Ok(self.current()?.explain(records, self.0.record_limit))
    }

    /// Hands `records` to the run that learns: each is predicted, then learned, and `done` gets the predictions. They are durable
    /// with the next generation. Dropped without a call if the run ends before that.
    ///
    /// # Errors
    /// Nobody learns, or too much waits.
    pub fn learn(&self, records: &[&[u8]], done: Box<dyn FnOnce(Answers) + Send>) -> Result<(), LiveError> {
        let current = lock(&self.0.current);
        let Some(lessons) = current.lessons.clone() else {
            let is_there = current.published.is_some();
            return Err(if is_there { LiveError::NoLearning } else { LiveError::NotReady });
        };
        drop(current);
        let bytes = records.iter().map(|record| record.len() + 64).sum();
        let held = Held::take(&self.0.waiting, bytes).ok_or(LiveError::Busy)?;
        lessons.give(records, self.0.record_limit, (done, held))
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

    /// What is published; newer, if that is old and the learner has gone on.
    fn current(&self) -> Result<Arc<Published>, LiveError> {
        let published = || lock(&self.0.current).published.clone().ok_or(LiveError::NotReady);
        let current = published()?;
        if current.version == self.0.version.load(Ordering::Relaxed) {
            return Ok(current);
        }
        self.0.asked.store(true, Ordering::Relaxed);
        if current.at.elapsed() < STALE {
            return Ok(current);
        }
        self.wait(|now, version| {
            now.published.as_ref().is_some_and(|now| now.version == version || now.at > current.at)
        });
        published()
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
        let published = Arc::new(Published::new(reader, viewer, version));
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
        let reader = model.prediction_reader();
        self.put(Arc::clone(&reader), model.learner().view(), 0);
        self.put_about(model, 0, learns);
        if learns {
            lock(&self.0.current).lessons = Some(Arc::new(Lessons::new(model, queue)));
        }
        Feed::new(self, reader, lessons)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelFlags;
    use crate::hash::HashKey;

    fn model() -> Model {
        let flags = ModelFlags { buckets: Some(1 << 10), ..ModelFlags::default() };
        Model::new(&flags, &HashKey::default()).unwrap()
    }

    #[test]
    fn so_much_may_wait_to_be_learned_and_no_more() {
        let live = Live::new(1 << 20);
        let learn = |record: &[u8]| live.learn(&[record], Box::new(drop));
        assert!(matches!(learn(b"{}"), Err(LiveError::NotReady)));
        let feed = live.attach(&model(), true);
        for _ in 0..LESSONS_WAITING {
            learn(b"{\"label\":1}").unwrap();
        }
        assert!(matches!(learn(b"{}"), Err(LiveError::Busy)));
        drop(feed.lessons.recv().unwrap());
        learn(b"{}").unwrap();
        while let Ok(lesson) = feed.lessons.try_recv() {
            drop(lesson);
        }
        // By bytes too, but one may be as large as it is.
        let large = vec![b' '; 20 << 20];
        learn(&large).unwrap();
        assert!(matches!(learn(&large), Err(LiveError::Busy)));
        learn(b"{}").unwrap();
        drop(feed);
        assert!(matches!(learn(b"{}"), Err(LiveError::NoLearning)));
    }

    #[test]
    fn a_model_takes_the_place_of_the_one_before_and_that_one_goes() {
        let live = Live::new(100);
        assert!(matches!(live.predict(&[b"{}"]), Err(LiveError::NotReady)));
        let mut first = model();
        (0..50).for_each(|_| drop(first.learn_json(br#"{"label":1,"features":{"a":1}}"#).unwrap()));
        let record: &[u8] = br#"{"features":{"a":1}}"#;
        live.publish(&first, Some(1));
        let before = live.predict(&[record]).unwrap();
        let table = Arc::downgrade(first.learner().tables()[0].1);
        drop(first);
        assert!(table.upgrade().is_some());
        live.publish(&model(), Some(2));
        assert!(table.upgrade().is_none(), "its rows take memory still");
        assert_ne!(live.predict(&[record]).unwrap(), before);
        let about: serde_json::Value = serde_json::from_slice(&live.about().unwrap()).unwrap();
        assert_eq!((&about["generation"], &about["summary"]["examples"]), (&2.into(), &0.into()));
    }
}

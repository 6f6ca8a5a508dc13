//! The learning stage's side: what is to be learned, and what others may know of the model.

use super::{Live, Shared};
use crate::engine::Model;
use crate::engine::encode::Reader;
use crate::engine::team::Team;
use crate::engine::work::Work;
use crate::sink::Answers;
use crate::sync::{AtomicUsize, Ordering, lock};
use crossbeam_channel::Receiver;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often heads are published at most.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);
/// Bytes of records that may wait to be learned.
const LESSON_BYTES: usize = 32 << 20;

/// Records to be learned, read already.
pub(in crate::engine) struct Lesson {
    pub(in crate::engine) work: Work,
    /// Takes the predictions made before they were learned.
    pub(in crate::engine) done: Box<dyn FnOnce(Answers) + Send>,
    pub(super) _held: Held,
}

impl fmt::Debug for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lesson").field("records", &self.work.records.len()).finish_non_exhaustive()
    }
}

/// Bytes that wait, until it is dropped.
#[derive(Debug)]
pub(super) struct Held(Arc<AtomicUsize>, usize);

impl Held {
    pub(super) fn take(waiting: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
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

/// The learning stage's end of a [`Live`].
#[derive(Debug)]
pub(in crate::engine) struct Feed {
    live: Live,
    reader: Arc<Reader>,
    pub(in crate::engine) lessons: Receiver<Lesson>,
    version: u64,
    told: Instant,
    told_about: Instant,
}

impl Feed {
    pub(super) fn new(live: &Live, reader: Arc<Reader>, lessons: Receiver<Lesson>) -> Self {
        let (live, now) = (live.clone(), Instant::now());
        Self { live, reader, lessons, version: 0, told: now, told_about: now }
    }

    /// A batch was learned.
    pub(in crate::engine) fn learned(&mut self) {
        self.version += 1;
        self.live.0.version.store(self.version, Ordering::Relaxed);
    }

    /// Publishes what somebody has asked for, now and then: to be called after each batch, and when idle.
    pub(in crate::engine) fn tell(&mut self, model: &Model, team: Option<&Team>) {
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
    pub(in crate::engine) fn close(&self) {
        lock(&self.live.0.current).lessons = None;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.close();
    }
}

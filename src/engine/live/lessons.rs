//! Where records that come to be learned are read.
//!
//! One request at a time: so they are numbered in the order in which they will be learned, over the model's life, and what is seen
//! of them beside learning, of which the sample goes by these numbers, depends on that order alone. They are learned by one thread
//! and take longer there, so none waits for this in the end.

use super::feed::{Held, Lesson};
use super::{LESSONS_WAITING, LiveError};
use crate::engine::Model;
use crate::engine::work::{Parse, Work};
use crate::record::Position;
use crate::sink::Answers;
use crate::sync::{Mutex, lock};
use crossbeam_channel::{Sender, TrySendError};

/// The name of what came to be learned, where sources have theirs.
const SOURCE: &str = "http";

/// The way to the learning stage of a run.
#[derive(Debug)]
pub(super) struct Lessons {
    desk: Mutex<Desk>,
}

#[derive(Debug)]
struct Desk {
    queue: Sender<Lesson>,
    parse: Parse,
    /// Records that came before the next one.
    came: u64,
}

impl Lessons {
    pub(super) fn new(model: &Model, queue: Sender<Lesson>) -> Self {
        let parse = Parse::new(model.reader(), model.eye());
        Self { desk: Mutex::new(Desk { queue, parse, came: model.taught() }) }
    }

    /// Reads records, none longer than `limit` bytes, and hands them on.
    pub(super) fn give(
        &self,
        records: &[&[u8]],
        limit: usize,
        (done, held): (Box<dyn FnOnce(Answers) + Send>, Held),
    ) -> Result<(), LiveError> {
        let Desk { queue, parse, came } = &mut *lock(&self.desk);
        if queue.len() >= LESSONS_WAITING {
            return Err(LiveError::Busy);
        }
        let mut work = Work::default();
        work.records.reset(&SOURCE.into(), 0, Position::default());
        let position = |lines| Position { lines, offset: lines };
        for (at, record) in (*came..).zip(records) {
            let kept = record.get(..limit).unwrap_or(record);
            work.records.push(kept, record.len() as u64, position(at), position(at + 1));
        }
        parse.parse(&mut work);
        match queue.try_send(Lesson { work, done, _held: held }) {
            Ok(()) => *came += records.len() as u64,
            Err(TrySendError::Full(_)) => return Err(LiveError::Busy),
            Err(TrySendError::Disconnected(_)) => return Err(LiveError::NoLearning),
        }
        Ok(())
    }
}

//! Trying again: how long, how loudly, and until when after a signal.

use crate::sync::{AtomicBool, Ordering};
use std::fmt;
use std::time::{Duration, Instant};

/// Between two tries: the first pause, doubled each time up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// Between two log lines about the same trouble.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// One thing that is tried until it succeeds.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    stop: &'a AtomicBool,
    /// For all tries together.
    limit: Duration,
    /// For those after a signal to stop.
    grace: Duration,
    pause: Duration,
    began: Instant,
    said: Option<Instant>,
    stopped: Option<Instant>,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(stop: &'a AtomicBool, limit: Duration, grace: Duration) -> Self {
        Self { stop, limit, grace, pause: FIRST_PAUSE, began: Instant::now(), said: None, stopped: None }
    }

    /// Whether it was tried long enough.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            let stopped = *self.stopped.get_or_insert_with(Instant::now);
            if stopped.elapsed() >= self.grace {
                return true;
            }
        }
        self.began.elapsed() >= self.limit
    }

    /// After a failure: waits a little and returns true if it is to be tried again.
    pub(crate) fn again(&mut self, doing: &str, cause: &dyn fmt::Display) -> bool {
        if self.is_over() {
            return false;
        }
        // A first failure is often the last; only what stays is worth a line.
        let since = self.said.unwrap_or(self.began);
        if since.elapsed() >= if self.said.is_some() { SAY_EVERY } else { SAY_EVERY / 5 } {
            self.said = Some(Instant::now());
            let seconds = self.began.elapsed().as_secs();
            tracing::warn!("{doing}: {cause}; trying again, since {seconds} s");
        }
        std::thread::sleep(self.pause);
        self.pause = LAST_PAUSE.min(self.pause * 2);
        true
    }
}

//! When the learner cuts: after a number of records, after a time, when too much waits to be published, when partitions are let go of, and at
//! the end. A cut travels behind the lines that belong to it; the next is not begun before it is durable.

use super::{Gone, Keeps, Links, Out, Stage};
use crate::checkpoint::{Progress, Snapshot};
use crate::config::Every;
use crossbeam_channel::TryRecvError;
use std::time::Instant;

/// Bytes of results that may wait for a cut to be published with; more make one due at once.
const WAITING_BYTES: usize = 32 << 20;

impl Stage<'_> {
    pub(super) fn plan_next(&mut self) {
        let records = self.records;
        (self.next_records, self.next_time) = (None, None);
        for every in &self.options.checkpoint_every {
            match *every {
                Every::Records(n) => {
                    let next = (records / n + 1) * n;
                    self.next_records = Some(self.next_records.map_or(next, |known| known.min(next)));
                }
                Every::Time(time) => {
                    let next = Instant::now() + time;
                    self.next_time = Some(self.next_time.map_or(next, |known| known.min(next)));
                }
            }
        }
    }

    /// Starts a cut if one is due and the one before is on disk. Too much waiting to be published makes one due, and is
    /// worth waiting for the one before.
    pub(super) fn cut_if_due(&mut self, links: &Links) -> Result<(), Gone> {
        if links.keeps == Keeps::Nothing {
            return Ok(());
        }
        let full = self.waiting > WAITING_BYTES;
        if self.in_flight {
            let wait = || links.saved.recv().map_err(|_| TryRecvError::Disconnected);
            let saved = if full { wait() } else { links.saved.try_recv() };
            match saved {
                Ok(()) => self.in_flight = false,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
        let due = full
            || self.next_records.is_some_and(|next| self.records >= next)
            || self.next_time.is_some_and(|next| Instant::now() >= next);
        if !due || self.in_flight || !self.is_alone() {
            return Ok(());
        }
        if self.cut_at == self.positions && !self.taught {
            self.plan_next();
            self.go_on();
            return Ok(());
        }
        self.cut(links, false)
    }

    /// Whether every batch that began to be learned has been settled. If not, no other one begins until it is so.
    pub(super) fn is_alone(&mut self) -> bool {
        let Some(team) = self.team else { return true };
        let closed_at = *self.closed_at.get_or_insert_with(|| team.close());
        self.settled >= closed_at
    }

    fn go_on(&mut self) {
        self.closed_at = None;
        if let Some(team) = self.team {
            team.open();
        }
    }

    fn cut(&mut self, links: &Links, finished: bool) -> Result<(), Gone> {
        if let Some(team) = self.team {
            team.joined(self.model.learner_mut(), |_| ());
        }
        let cut = self.take_cut(links, finished);
        // One that was due and had to wait is this one, whatever it is taken for.
        self.plan_next();
        self.go_on();
        cut
    }

    fn take_cut(&mut self, links: &Links, finished: bool) -> Result<(), Gone> {
        self.in_flight = true;
        self.taught = false;
        self.waiting = 0;
        self.cut_at.clone_from(&self.positions);
        let seconds = self.seconds();
        self.cut_seconds = Some(seconds);
        let snapshot = match links.keeps {
            Keeps::Generations => match self.model.snapshot(&self.positions, seconds, finished) {
                Ok(snapshot) => snapshot,
                Err(error) => {
                    self.failure.get_or_insert(error.into());
                    return Err(Gone);
                }
            },
            Keeps::Nothing | Keeps::Positions => {
                let progress =
                    Progress { positions: self.positions.clone(), finished, ..Progress::default() };
                Snapshot { progress, ..Snapshot::default() }
            }
        };
        links.lines.send(Out::Cut(Box::new(snapshot))).map_err(|_| Gone)
    }

    /// The state at the end, durable when this returns; a neighbour that failed says so itself.
    pub(super) fn final_cut(&mut self, links: &Links, finished: bool) -> Result<(), Gone> {
        if links.keeps == Keeps::Nothing {
            return Ok(());
        }
        if self.in_flight {
            links.saved.recv().map_err(|_| Gone)?;
        }
        self.cut(links, finished)?;
        links.saved.recv().map_err(|_| Gone)?;
        self.in_flight = false;
        Ok(())
    }

    /// Makes all that was learned durable, then forgets the positions of `sources`: whoever has them next moves them.
    /// The reader deals nothing behind the batch that names them until it is back, so that batch is the last of all that
    /// began: several learners are alone here without closing the gate.
    pub(super) fn let_go(&mut self, sources: &[String], links: &Links) -> Result<(), Gone> {
        debug_assert!(self.team.is_none_or(|team| team.begun() == self.settled), "a batch behind a drain");
        self.final_cut(links, false)?;
        sources.iter().for_each(|source| self.positions.forget(source));
        self.cut_at.clone_from(&self.positions);
        Ok(())
    }
}

//! Several learners: each parse thread also learns what it has parsed, beside the others.
//!
//! ```text
//!                 ┌─▶ parse, learn apart ─┐
//! source ─▶ read ─┼─▶ parse, learn apart ─┼─▶ learn: numbers, figures, lines, cuts
//!                 └─▶ parse, learn apart ─┘
//! ```
//!
//! Batches come back to the learning stage in the order of the input and it settles them one by one, so all that follows it is
//! as with one learner. A cut must see whole batches only, all up to one and none behind it: the *gate* is closed, which
//! lets no batch begin to be learned that has not begun; once the others have been settled, the heads are joined, the cut is
//! taken, the replicas start afresh from the joined heads, and the gate opens.

use super::work::Work;
use crate::learner::{Learner, Mode, Replica, Viewer};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// What the learning stage and the members share.
pub(super) struct Team {
    gate: Mutex<Gate>,
    opened: Condvar,
    replicas: Vec<Mutex<Replica>>,
    predict: bool,
}

/// Batches below `limit` may begin; those below `begun` have.
struct Gate {
    limit: u64,
    begun: u64,
}

impl Team {
    /// `members` replicas of `learner`.
    pub(super) fn new(learner: &Learner, members: usize, predict: bool) -> Self {
        let replicas = (0..members).map(|_| Mutex::new(learner.replica(members))).collect();
        let gate = Mutex::new(Gate { limit: u64::MAX, begun: 0 });
        Self { gate, opened: Condvar::new(), replicas, predict }
    }

    /// Learns a parsed batch as member `index`, when the gate lets it.
    pub(super) fn learn(&self, index: usize, work: &mut Work) {
        self.wait(work.number);
        let Some(replica) = self.replicas.get(index) else { return };
        // The figures of a further pass are told from the first by the stage; learning is the same.
        let mode = if self.predict { Mode::Predict } else { Mode::Learn };
        work.is_learned = lock(replica).learn(&work.encoded.features, mode, &mut work.learned);
    }

    fn wait(&self, number: u64) {
        let mut gate = lock(&self.gate);
        while number >= gate.limit {
            self.opened.wait(&mut gate);
        }
        gate.begun = gate.begun.max(number + 1);
    }

    /// Closes the gate: returns the number of the first batch that has not begun.
    pub(super) fn close(&self) -> u64 {
        let mut gate = lock(&self.gate);
        gate.limit = gate.begun;
        gate.limit
    }

    /// Batches that have begun.
    pub(super) fn begun(&self) -> u64 {
        lock(&self.gate).begun
    }

    /// Opens the gate.
    pub(super) fn open(&self) {
        lock(&self.gate).limit = u64::MAX;
        self.opened.notify_all();
    }

    /// One that predicts, with the heads of a member: those of `learner` are as old as the last cut.
    pub(super) fn view(&self, learner: &Learner) -> Viewer {
        match self.replicas.first() {
            Some(replica) => learner.view_by(&lock(replica)),
            None => learner.view(),
        }
    }

    /// Joins the heads in `learner`, lets it do `alone`, and starts the replicas afresh. Waits for batches that are being
    /// learned.
    pub(super) fn joined<T>(&self, learner: &mut Learner, alone: impl FnOnce(&mut Learner) -> T) -> T {
        let mut replicas: Vec<MutexGuard<'_, Replica>> = self.replicas.iter().map(lock).collect();
        learner.merge(&replicas.iter().map(|replica| &**replica).collect::<Vec<_>>());
        let result = alone(learner);
        for replica in &mut replicas {
            **replica = learner.replica(self.replicas.len());
        }
        result
    }
}

/// Opens the gate when the stage ends, however it ends: members must not wait for ever.
pub(super) struct OpenAtEnd<'a>(pub(super) Option<&'a Team>);

impl Drop for OpenAtEnd<'_> {
    fn drop(&mut self) {
        if let Some(team) = self.0 {
            team.open();
        }
    }
}

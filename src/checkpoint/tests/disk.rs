//! A disk that fails at the n-th operation, or loses its power there.

use super::*;
use crate::checkpoint::storage::{Hook, Storage};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

/// Which of the new names a power cut undoes: the system may write them in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    All,
    AllButTheLast,
}

/// What happens at the n-th operation, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Healthy,
    /// That one fails, as on a full disk.
    FailAt(u64),
    /// That one fails and all after it: the process is gone.
    CrashAt(u64),
}

#[derive(Debug)]
pub(super) struct Disk {
    state: Mutex<State>,
    ahead: bool,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    count: u64,
    hit: bool,
    /// Files with content that was never fsynced.
    unsynced: BTreeSet<PathBuf>,
    /// New names since the folder was last fsynced, oldest first.
    renamed: Vec<PathBuf>,
}

impl State {
    fn new(plan: Plan) -> Self {
        Self { plan, count: 0, hit: false, unsynced: BTreeSet::new(), renamed: Vec::new() }
    }
}

fn temporary(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.tmp", path.display()))
}

impl Disk {
    pub(super) fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::new(plan)), ahead: false })
    }

    /// One on which even small files have columns that are written ahead.
    pub(super) fn ahead(plan: Plan) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::new(plan)), ahead: true })
    }

    pub(super) fn storage(self: &Arc<Self>, folder: &Path) -> Storage {
        let disk = Arc::clone(self);
        let hook: Hook = Arc::new(move |operation, path: &Path| disk.step(operation, path));
        let storage = Storage::with_hook(folder, hook);
        if self.ahead { storage.gathering(16) } else { storage }
    }

    /// Replaces the plan; operations are counted from here.
    pub(super) fn plan(&self, plan: Plan) {
        let mut state = self.state.lock().unwrap();
        (state.plan, state.count, state.hit) = (plan, 0, false);
    }

    pub(super) fn hit(&self) -> bool {
        self.state.lock().unwrap().hit
    }

    fn step(&self, operation: Operation, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.count += 1;
        let fails = match state.plan {
            Plan::Healthy => false,
            Plan::FailAt(n) => state.count == n,
            Plan::CrashAt(n) => state.count >= n,
        };
        if fails {
            state.hit = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        match operation {
            Operation::Create | Operation::Write => {
                state.unsynced.insert(path.to_owned());
            }
            Operation::Sync | Operation::Remove => {
                state.unsynced.remove(path);
            }
            Operation::Rename => {
                if state.unsynced.remove(&temporary(path)) {
                    state.unsynced.insert(path.to_owned());
                }
                state.renamed.push(path.to_owned());
            }
            Operation::SyncFolder => state.renamed.clear(),
            Operation::Read | Operation::Lock => {}
        }
        Ok(())
    }

    /// The worst that a power cut may do: contents that were not fsynced are half gone, new names that were not are
    /// the old ones again, and every removal has happened.
    pub(super) fn cut_power(&self, lost: Lost) {
        let mut state = self.state.lock().unwrap();
        for path in std::mem::take(&mut state.unsynced) {
            if let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) {
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
        }
        let spared = usize::from(lost == Lost::AllButTheLast);
        for path in std::mem::take(&mut state.renamed).into_iter().rev().skip(spared) {
            if path.exists() {
                std::fs::rename(&path, temporary(&path)).unwrap();
            }
        }
    }
}

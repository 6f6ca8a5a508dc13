//! The features that come most often, by name: no vocabulary, for no more than so many are kept.

use crate::sketch::{Heavy, Kept};
use serde::{Deserialize, Serialize};

/// Most names that can be asked for.
pub(in crate::engine) const MAX_NAMES: usize = 100_000;
/// Longest name in bytes, `…` aside.
const NAME_BYTES: usize = 120;

/// A feature that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) table: u16,
    /// Its rows, one for each hash.
    pub(super) slots: Vec<u32>,
}

impl Feature {
    pub(super) fn rows(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        self.slots.iter().map(|&slot| (self.table, slot))
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Names(Heavy<Feature>);

#[derive(Serialize, Deserialize)]
struct Stored {
    limit: usize,
    turns: u64,
    /// Key, count, error and turn of each, and what it is.
    kept: Vec<(u64, u64, u64, u64, Feature)>,
}

impl Names {
    pub(super) fn new(limit: usize) -> Self {
        Self(Heavy::new(limit.min(MAX_NAMES)))
    }

    pub(super) fn limit(&self) -> usize {
        self.0.limit()
    }

    pub(super) fn len(&self) -> usize {
        self.0.kept().len()
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &Kept<Feature>> {
        self.0.kept().iter()
    }

    /// Counts a feature; `name` is asked for if it is taken up.
    pub(super) fn add(
        &mut self,
        key: u64,
        times: u64,
        (table, slots): (u16, &[u32]),
        name: impl FnOnce() -> String,
    ) {
        self.0.add(key, times, || {
            let mut name = name();
            let shown = crate::engine::explain::cut(&name, NAME_BYTES).len();
            if shown < name.len() {
                name.truncate(shown);
                name.push('…');
            }
            Feature { name, table, slots: slots.to_vec() }
        });
    }

    pub(super) fn state(&self) -> serde_json::Value {
        let kept = self.kept().map(|kept| (kept.key, kept.count, kept.error, kept.turn, kept.value.clone()));
        let stored = Stored { limit: self.limit(), turns: self.0.turns(), kept: kept.collect() };
        serde_json::to_value(stored).unwrap_or_default()
    }

    pub(super) fn restore(state: serde_json::Value) -> Option<Self> {
        let Stored { limit, turns, kept } = Deserialize::deserialize(state).ok()?;
        let kept =
            kept.into_iter().map(|(key, count, error, turn, value)| Kept { key, count, error, turn, value });
        let fits = limit <= MAX_NAMES;
        Heavy::restore(limit, turns, kept.collect()).filter(|_| fits).map(Self)
    }
}

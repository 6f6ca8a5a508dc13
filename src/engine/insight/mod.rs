//! What there is to see in a stream while it is learned, beside losses: who shares rows, what heavy features are called, and how
//! the keys of the records change.

mod fields;
mod names;
mod observe;
mod owned;
mod report;
mod schema;
mod told;
mod watch;

pub use report::{
    Change, ChangeCounts, CollisionReport, FieldCollisions, InsightReport, KeyReport, KeyWindow,
    NamedFeature, NamesReport, SchemaChange, SchemaReport, TableReport,
};

pub(super) use owned::Shape;
pub(super) use told::tell_metrics;
pub(super) use watch::{Eye, Seen, Watch};

use crate::sync::{Mutex, lock};
use std::sync::Arc;

/// What is looked at beside learning: who shares rows, how many keys there are, how the keys of records change; and more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InsightOptions {
    /// Features kept by name, those that come most often, 100,000 at most; 0 for none.
    pub names: usize,
    /// Whether the keys of the records are left alone, and only features are looked at.
    pub without_keys: bool,
}

/// A handle on the [`InsightReport`] of a run, to be cloned and read by whoever shows it; the run renews it about once a second
/// and at its end. Give it to a run by [`Engine::with_insight`](super::Engine::with_insight).
#[derive(Clone, Default)]
pub struct Insight(Arc<Mutex<Arc<InsightReport>>>);

impl std::fmt::Debug for Insight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Insight").finish_non_exhaustive()
    }
}

impl Insight {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was last seen.
    pub fn report(&self) -> Arc<InsightReport> {
        Arc::clone(&lock(&self.0))
    }

    pub(super) fn renew(&self, report: InsightReport) {
        *lock(&self.0) = Arc::new(report);
    }
}

//! A model folder, followed: its newest generation answers.

use super::model::ModelError;
use super::{Insight, Live, Model};
use crate::checkpoint::ModelDir;
use crate::metrics::Metrics;

/// Loads a folder's generations as they come and has a [`Live`] answer by the newest. Takes no lock: a trainer writes and prunes meanwhile.
/// The next generation is loaded beside the one that answers, so that for a while there are two in memory.
#[derive(Debug)]
pub struct Follower {
    folder: ModelDir,
    live: Live,
    metrics: Metrics,
    insight: Insight,
    /// The generation that answers.
    current: Option<u64>,
    /// One that could not be loaded, or none if the folder could not be read, once that was said.
    failed: Option<Option<u64>>,
}

impl Follower {
    /// Follows `folder`; nothing is loaded before [`Follower::look`].
    pub fn new(folder: ModelDir, live: &Live, metrics: &Metrics) -> Self {
        Self {
            folder,
            live: live.clone(),
            metrics: metrics.clone(),
            insight: Insight::new(),
            current: None,
            failed: None,
        }
    }

    /// Tells `insight` what each generation has seen.
    #[must_use]
    pub fn with_insight(mut self, insight: &Insight) -> Self {
        self.insight = insight.clone();
        self
    }

    /// The generation that answers; none before the first one.
    pub fn generation(&self) -> Option<u64> {
        self.current
    }

    /// Loads the newest generation if it is another one than that which answers, and returns its number. To be called now and then.
    ///
    /// # Errors
    /// A folder or generation that cannot be read: the one before goes on answering.
    pub fn look(&mut self) -> Result<Option<u64>, ModelError> {
        let (newest, looked) = match self.folder.newest() {
            Ok(newest) if newest.is_none() || newest == self.current => return Ok(None),
            Ok(newest) => (newest, self.load()),
            Err(error) => (None, Err(error.into())),
        };
        if let Err(error) = &looked
            && self.failed != Some(newest)
        {
            self.failed = Some(newest);
            self.metrics.loaded(None);
            tracing::warn!(generation = newest, "cannot be loaded: {error}");
        }
        looked
    }

    fn load(&mut self) -> Result<Option<u64>, ModelError> {
        let Some(mut generation) = self.folder.latest()? else { return Ok(None) };
        let number = generation.manifest().generation;
        let key = self.folder.hash_key()?.unwrap_or_default();
        let model = Model::load(&mut generation, &key)?;
        self.live.publish(&model, Some(number));
        if let Some(report) = model.insight() {
            self.insight.renew(report);
        }
        self.metrics.loaded(Some(number));
        (self.current, self.failed) = (Some(number), None);
        Ok(Some(number))
    }
}

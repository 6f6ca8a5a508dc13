//! What a model is asked to look at, and asked about what it saw.

use super::InsightOptions;
use super::names::MAX_NAMES;
use super::report::{InsightReport, NamedFeature};
use super::watch::{Eye, Seen, Watch};
use crate::checkpoint::Generation;
use crate::config::ConfigError;
use crate::engine::model::{INSIGHT, Model, ModelError};
use crate::learner::LearnerError;
use std::ops::Range;

impl Model {
    pub(in crate::engine) fn load_watch(
        &mut self,
        generation: &mut Generation,
        seen: &[u64],
    ) -> Result<(), ModelError> {
        let (shapes, declared) = self.reader().shapes();
        let mut watch = Watch::new(shapes, declared).map_err(LearnerError::Table)?;
        for (name, table) in watch.tables() {
            generation.load_table(&name, table)?;
        }
        if !watch.restore(seen) {
            return Err(LearnerError::State(INSIGHT.to_owned()).into());
        }
        self.watch = Some(Box::new(watch));
        Ok(())
    }

    /// Looks at the records of the [`Engine`](crate::engine::Engine)'s runs from now on, beside learning them, those that came by
    /// [`Live::learn`](crate::engine::Live::learn) too; what it saw is saved with the model. Learning does not change by a bit. Records that are learned one at a time are not looked at.
    ///
    /// # Errors
    /// More names than can be kept; no memory for a byte a row.
    pub fn observe(&mut self, options: InsightOptions) -> Result<(), ModelError> {
        if options.names > MAX_NAMES {
            let reason = format!("expected at most {MAX_NAMES}, got {}", options.names);
            return Err(ConfigError::Option { option: "names".to_owned(), reason }.into());
        }
        let mut watch = match self.watch.take() {
            Some(watch) => watch,
            None => {
                let (shapes, declared) = self.reader().shapes();
                Box::new(Watch::new(shapes, declared).map_err(LearnerError::Table)?)
            }
        };
        watch.turn(true);
        watch.keep_names(options.names);
        watch.leave_keys(options.without_keys);
        self.watch = Some(watch);
        Ok(())
    }

    /// Looks at nothing from now on. What was seen stays with the model.
    pub fn rest(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.turn(false);
        }
    }

    /// How many features it keeps by name; none if it does not look at records.
    pub fn names_kept(&self) -> Option<usize> {
        self.watch.as_ref().map(|watch| watch.names_limit())
    }

    /// What was seen so far; none of a model that never looked.
    pub fn insight(&self) -> Option<InsightReport> {
        self.watch.as_ref().map(|watch| watch.report(self.learner()))
    }

    /// The `top` features with the largest weights among those that are kept by name.
    pub fn heaviest(&self, top: usize) -> Vec<NamedFeature> {
        self.watch.as_ref().map_or(Vec::new(), |watch| watch.heaviest(self.learner(), top))
    }

    /// Share, 0 to 1, of the sum of all weights' magnitudes that is in rows of features kept by name; none if no names are kept or
    /// nothing was learned. Walks the whole table. Of several tasks, the first.
    pub fn named_share(&self) -> Option<f64> {
        self.watch.as_ref()?.named_share(self.learner())
    }

    pub(in crate::engine) fn eye(&self) -> Option<Eye> {
        self.watch.as_ref()?.eye()
    }

    /// Takes up what was seen of these entries of a batch.
    pub(in crate::engine) fn see(&mut self, seen: &Seen, entries: &Range<usize>) {
        if let Some(watch) = &mut self.watch {
            watch.take(seen, entries);
        }
    }
}

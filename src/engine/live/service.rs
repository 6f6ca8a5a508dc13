//! What an HTTP server asks.

use super::{Live, LiveError};
use crate::engine::Insight;
use crate::serve::{Done, Refusal, Service, Sight};
use crate::sink::Answers;

impl From<LiveError> for Refusal {
    fn from(error: LiveError) -> Self {
        let why = error.to_string();
        match error {
            LiveError::NotReady | LiveError::Busy => Self::Later(why),
            LiveError::NoLearning | LiveError::NoEmbeddings => Self::Absent(why),
            LiveError::Learner(_) => Self::Failed(why),
        }
    }
}

impl Service for Live {
    fn predict(&self, records: &[&[u8]]) -> Result<Answers, Refusal> {
        Ok(Self::predict(self, records)?)
    }

    fn embed(&self, records: &[&[u8]]) -> Result<Answers, Refusal> {
        Ok(Self::embed(self, records)?)
    }

    fn explain(&self, records: &[&[u8]]) -> Result<Answers, Refusal> {
        Ok(Self::explain(self, records)?)
    }

    fn learn(&self, records: &[&[u8]], done: Done) -> Result<(), Refusal> {
        Ok(Self::learn(self, records, done)?)
    }

    fn about(&self) -> Result<Vec<u8>, Refusal> {
        Ok(Self::about(self)?)
    }
}

impl Sight for Insight {
    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self.report().as_ref()).unwrap_or_default()
    }
}

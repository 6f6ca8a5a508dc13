//! How far a partition's end is ahead of what is committed: told to the metrics about once a second, when the client's own
//! figures have come. The end is what the brokers said with the last records, so it stands still while none are fetched.

use super::{KafkaSource, Reading};
use crate::record::Positions;
use rdkafka::consumer::Consumer;

impl KafkaSource {
    pub(super) fn note_committed(&mut self, positions: &Positions) {
        for reading in &mut self.readings {
            if let Some(at) = positions.sources.get(&*reading.name) {
                reading.committed = at.offset;
            }
        }
    }

    pub(super) fn tell_lag(&self) {
        let context = self.member.consumer().context();
        if !context.has_news() {
            return;
        }
        for reading in &self.readings {
            let Some(end) = context.end(&reading.name) else { continue };
            let mut at = reading.committed;
            // Behind the last record there may be marks of transactions, which nobody ever hands over or commits.
            if at >= reading.next && self.ahead.is_empty() {
                at = at.max(context.fetched(&reading.name).unwrap_or(0));
            }
            let (topic, number) = (&reading.partition.topic, reading.partition.number);
            self.options.metrics.lag(topic, number, Some(end.saturating_sub(at)));
        }
    }

    /// For partitions that are ours no more.
    pub(super) fn forget_lag(&self, which: impl Fn(&Reading) -> bool) {
        for reading in self.readings.iter().filter(|reading| which(reading)) {
            self.options.metrics.lag(&reading.partition.topic, reading.partition.number, None);
        }
    }
}

//! What the cluster knows: topics, ends, committed offsets; and the starts and gaps that follow from it.

use super::start::Facts;
use super::{CALL, KafkaSource, Partition, Patience, position};
use crate::record::SourceError;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;
use std::sync::Arc;
use std::time::Duration;

/// An end that lies before where the group stands is asked for again: a broker that has just started may not know better.
const SECOND_LOOKS: usize = 20;

impl KafkaSource {
    /// Tries a call to the cluster until it succeeds; none if told to stop meanwhile.
    fn ask<T>(
        &self,
        doing: &str,
        limit: Duration,
        mut call: impl FnMut() -> KafkaResult<T>,
    ) -> Result<Option<T>, SourceError> {
        let mut patience = Patience::new(&self.stop, limit, Duration::ZERO);
        loop {
            match call() {
                Ok(answer) => return Ok(Some(answer)),
                Err(_) if self.member.is_lost() => return Ok(None),
                Err(error) => {
                    if !patience.again(&format!("{}: {doing}", self.cluster()), &error) {
                        let stopped = self.stop.load(std::sync::atomic::Ordering::Relaxed);
                        let what = format!("{doing}: {error}; is the address right, and the cluster up?");
                        return if stopped { Ok(None) } else { Err(self.failure(self.cluster(), what)) };
                    }
                }
            }
        }
    }

    /// At the start: the topics are there, and where they end.
    pub(super) fn look_around(&mut self) -> Result<(), SourceError> {
        for topic in self.options.topics.clone() {
            let Some(count) = self.partition_count(&topic, self.options.wait)? else { return Ok(()) };
            if count == 0 {
                return Err(self.failure(self.cluster(), format!("topic {topic:?} does not exist")));
            }
            if !self.options.until_end {
                continue;
            }
            for number in 0..count {
                let partition = Partition::new(&topic, number);
                if let Some((_, end)) = self.watermarks(&partition)? {
                    self.ends.push((partition, end));
                }
            }
        }
        Ok(())
    }

    /// Partitions of `topic`, 0 if there is no such topic.
    fn partition_count(&self, topic: &str, limit: Duration) -> Result<Option<i32>, SourceError> {
        let consumer = self.member.consumer();
        let answer = self.ask("no answer", limit, || consumer.fetch_metadata(Some(topic), CALL))?;
        let Some(metadata) = answer else { return Ok(None) };
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(Some(found.map_or(0, |found| i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))))
    }

    fn watermarks(&self, partition: &Partition) -> Result<Option<(u64, u64)>, SourceError> {
        let consumer = self.member.consumer();
        let doing = format!("looking up the ends of {partition}");
        let marks = || consumer.fetch_watermarks(&partition.topic, partition.number, CALL);
        let marks = self.ask(&doing, Duration::MAX, marks)?;
        Ok(marks.map(|(low, high)| (u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0))))
    }

    /// The group's committed offsets, in the order of `partitions`. Waits for transactions that are being decided.
    fn committed(&self, partitions: &[Partition]) -> Result<Option<Vec<Option<u64>>>, SourceError> {
        let consumer = self.member.consumer();
        let call = || consumer.committed_offsets(Partition::without_offsets(partitions), CALL);
        let Some(list) = self.ask("looking up committed offsets", Duration::MAX, call)? else {
            return Ok(None);
        };
        let offset =
            |partition: &Partition| match list.find_partition(&partition.topic, partition.number)?.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            };
        Ok(Some(partitions.iter().map(offset).collect()))
    }

    /// Where to take up `partitions`; none if told to stop.
    pub(super) fn starts(
        &self,
        partitions: &[Partition],
    ) -> Result<Option<Vec<(Partition, u64)>>, SourceError> {
        let mut starts = Vec::with_capacity(partitions.len());
        if partitions.is_empty() {
            return Ok(Some(starts));
        }
        let Some(committed) = self.committed(partitions)? else { return Ok(None) };
        for (partition, committed) in partitions.iter().zip(committed) {
            let known = self.known.sources.get(&partition.to_string()).map(|at| at.offset);
            let unknown = committed.is_none() && known.is_none();
            let topic_known = unknown && self.is_topic_known(&partition.topic)?;
            let Some(facts) = self.facts(partition, committed, known, topic_known)? else { return Ok(None) };
            let start = facts.decide(self.reset, self.options.on_gap);
            let start = start.map_err(|what| self.failure(partition, what))?;
            match &start.note {
                Some(note) => tracing::warn!("{partition}: {note}"),
                None => tracing::info!("{partition}: starts at {}", start.at),
            }
            starts.push((partition.clone(), start.at));
        }
        Ok(Some(starts))
    }

    fn facts(
        &self,
        partition: &Partition,
        committed: Option<u64>,
        known: Option<u64>,
        topic_known: bool,
    ) -> Result<Option<Facts>, SourceError> {
        let mut look = 0;
        loop {
            let Some((low, high)) = self.watermarks(partition)? else { return Ok(None) };
            let facts = Facts { committed, known, topic_known, low, high };
            look += 1;
            if committed.or(known).is_none_or(|offset| offset <= high) || look == SECOND_LOOKS {
                return Ok(Some(facts));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether the group has an offset in any partition of `topic`.
    fn is_topic_known(&self, topic: &str) -> Result<bool, SourceError> {
        let Some(count) = self.partition_count(topic, Duration::MAX)? else { return Ok(false) };
        let all: Vec<Partition> = (0..count).map(|number| Partition::new(topic, number)).collect();
        Ok(self.committed(&all)?.is_some_and(|offsets| offsets.iter().any(Option::is_some)))
    }

    /// Some partition's next offset is not there any more: finds which, and goes on as `on_gap` says.
    pub(super) fn close_gaps(&mut self) -> Result<(), SourceError> {
        let places: Vec<_> = self.readings.iter().map(|r| (r.partition.clone(), r.next)).collect();
        for (index, (partition, next)) in places.into_iter().enumerate() {
            let Some(facts) = self.facts(&partition, Some(next), None, true)? else { return Ok(()) };
            let start = facts.decide(self.reset, self.options.on_gap);
            let start = start.map_err(|what| self.failure(&partition, what))?;
            let Some(note) = start.note else { continue };
            tracing::warn!("{partition}: {note}");
            let offset = Offset::Offset(i64::try_from(start.at).unwrap_or(i64::MAX));
            let consumer = self.member.consumer();
            let sought = consumer.seek(&partition.topic, partition.number, offset, CALL);
            sought.map_err(|error| self.failure(&partition, format!("cannot seek: {error}")))?;
            if let Some(reading) = self.readings.get_mut(index) {
                reading.next = start.at;
                self.announced.push_back((Arc::clone(&reading.name), position(start.at)));
            }
        }
        Ok(())
    }
}

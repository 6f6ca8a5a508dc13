//! Messages into batches: those of one partition a batch, as many as have arrived.

use super::{KafkaSource, Member, Reading, headers, position};
use crate::record::{Fetch, RecordBatch, SourceError};
use crate::source::CUT_BYTES;
use rdkafka::message::{Message, OwnedMessage};
use std::time::Duration;

impl KafkaSource {
    /// Resets `batch` for messages like this one; false if its partition is not read.
    pub(super) fn begin(&mut self, message: &impl Message, batch: &mut RecordBatch) -> bool {
        if !self.find(message) {
            return false;
        }
        let Some(reading) = self.readings.get(self.current) else { return false };
        batch.reset(&reading.name, 0, position(reading.next));
        true
    }

    /// Makes the message's partition the current one.
    fn find(&mut self, message: &impl Message) -> bool {
        let is = |reading: &Reading| reading.partition.is(message.topic(), message.partition());
        if self.readings.get(self.current).is_some_and(is) {
            return true;
        }
        match self.readings.iter().position(is) {
            Some(index) => {
                self.current = index;
                true
            }
            None => false,
        }
    }

    /// Adds what has arrived of the same partition. A message of another one is kept for the next batch.
    pub(super) fn fill(&mut self, member: &Member, batch: &mut RecordBatch) -> Result<(), SourceError> {
        while batch.byte_len() < self.options.batch_bytes {
            match member.consumer().poll(Duration::ZERO) {
                None => break,
                Some(Err(error)) => {
                    self.on_error(&error)?;
                    break;
                }
                Some(Ok(message)) => {
                    let same = self.readings.get(self.current);
                    if !same.is_some_and(|r| r.partition.is(message.topic(), message.partition())) {
                        self.ahead.push_back(message.detach());
                        break;
                    }
                    self.push(&message, batch);
                }
            }
        }
        Ok(())
    }

    /// The same from the messages that were polled before.
    pub(super) fn fill_from_ahead(&mut self, batch: &mut RecordBatch) -> Fetch {
        let Some(first) = self.ahead.pop_front() else { return Fetch::Idle };
        if !self.begin(&first, batch) {
            return Fetch::Idle;
        }
        self.push(&first, batch);
        while batch.byte_len() < self.options.batch_bytes {
            let Some(reading) = self.readings.get(self.current) else { break };
            let same = |m: &&OwnedMessage| reading.partition.is(m.topic(), m.partition());
            if self.ahead.front().filter(same).is_none() {
                break;
            }
            let Some(message) = self.ahead.pop_front() else { break };
            self.push(&message, batch);
        }
        Fetch::Records
    }

    pub(super) fn push(&mut self, message: &impl Message, batch: &mut RecordBatch) {
        let limit = self.options.record_limit;
        let Some(reading) = self.readings.get_mut(self.current) else { return };
        let offset = u64::try_from(message.offset()).unwrap_or(0);
        if reading.until.is_some_and(|until| offset >= until) {
            reading.done = true;
            return;
        }
        let (at, after) = (position(offset), position(offset + 1));
        match message.payload() {
            None => batch.set_end(after), // a tombstone
            Some(payload) => {
                let length = payload.len();
                let kept = if length > limit { limit.min(CUT_BYTES) } else { length };
                batch.push(payload.get(..kept).unwrap_or(payload), length as u64, at, after);
                if let Some(key) = message.key() {
                    batch.set_key(key);
                }
                if self.options.headers {
                    headers::push(message, batch);
                }
            }
        }
        reading.next = offset + 1;
        reading.done = reading.until.is_some_and(|until| reading.next >= until);
    }
}

//! The control record: which generation of a model counts.
//!
//! One compacted topic for all groups of a cluster; key `group/model id`, value `{"generation":7,"incarnation":"…"}`. It is
//! written in the transaction that commits the offsets, so it names the generation that has learned up to them. The
//! incarnation is drawn by each process at its start: who reads another one than its own has been replaced.
//!
//! **Reading.** A committed record of ours may stand *behind* a transaction of another model that is not decided yet, and
//! `read_committed` stops before that. So the reader first waits until everything that is in the topic is decided;
//! for one whose process died that takes its `transaction.timeout.ms`.

use crate::source::kafka::{CALL, KafkaOptions, Patience, Quiet, explain};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Small segments: what is compacted away is never in the newest one, and every start reads the topic.
pub(super) const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("segment.ms", "600000"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// The partition of the topic that is used, however many it has.
pub(super) const PARTITION: i32 = 0;

/// What a control record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Control {
    /// The generation that counts; 0: none yet.
    pub(super) generation: u64,
    /// Who wrote it.
    pub(super) incarnation: String,
}

/// The newest committed record under `key`. Call it after `init_transactions`, which decides what was under way.
pub(super) fn read(
    options: &KafkaOptions,
    topic: &str,
    key: &str,
    patience: &mut Patience<'_>,
) -> Result<Option<Control>, String> {
    loop {
        match try_read(options, topic, key) {
            Ok(found) => return Ok(found),
            Err(cause) => {
                if !patience.again(&format!("reading the control topic {topic}"), &cause) {
                    return Err(cause);
                }
            }
        }
    }
}

fn try_read(options: &KafkaOptions, topic: &str, key: &str) -> Result<Option<Control>, String> {
    let text = |error: KafkaError| explain(&error);
    let decided: BaseConsumer<Quiet> = options.reader().create_with_context(Quiet).map_err(text)?;
    let all: BaseConsumer<Quiet> =
        options.observer("read_uncommitted").create_with_context(Quiet).map_err(text)?;
    let (_, end) = all.fetch_watermarks(topic, PARTITION, CALL).map_err(text)?;
    let (start, stable) = decided.fetch_watermarks(topic, PARTITION, CALL).map_err(text)?;
    if stable < end {
        return Err(format!("{} entries are of transactions that are not decided yet", end - stable));
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, PARTITION, Offset::Offset(start)).map_err(text)?;
    decided.assign(&list).map_err(text)?;
    let mut newest = None;
    if start == end {
        return Ok(None);
    }
    loop {
        match decided.poll(Duration::from_secs(10)) {
            Some(Ok(message)) if message.key() == Some(key.as_bytes()) => {
                let value = message.payload().map(serde_json::from_slice).transpose();
                newest = value.map_err(|error| format!("the control record of {key}: {error}"))?;
            }
            Some(Ok(_)) => {}
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(newest),
            Some(Err(error)) => return Err(text(error)),
            None => return Err("no answer for 10 seconds".to_owned()),
        }
    }
}

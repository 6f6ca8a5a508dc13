//! A partition of a topic, and its name among the sources: `topic[partition]`.

use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::fmt;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.number)
    }
}

impl Partition {
    pub(crate) fn new(topic: &str, number: i32) -> Self {
        Self { topic: Arc::from(topic), number }
    }

    /// The partition of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (topic, number) = name.strip_suffix(']')?.rsplit_once('[')?;
        Some(Self::new(topic, number.parse().ok()?))
    }

    pub(super) fn is(&self, topic: &str, number: i32) -> bool {
        self.number == number && &*self.topic == topic
    }

    pub(super) fn list(list: &TopicPartitionList) -> Vec<Self> {
        list.elements().iter().map(|element| Self::new(element.topic(), element.partition())).collect()
    }

    pub(crate) fn without_offsets(partitions: &[Self]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&partition.topic, partition.number);
        }
        list
    }

    pub(crate) fn with_offsets(partitions: &[(Self, u64)]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (partition, offset) in partitions {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            list.add_partition_offset(&partition.topic, partition.number, offset)?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_the_partition() {
        for (topic, number) in [("clicks", 0), ("a.b-c_d", 117)] {
            let partition = Partition::new(topic, number);
            assert_eq!(Partition::parse(&partition.to_string()), Some(partition));
        }
        for name in ["-", "clicks", "clicks[", "clicks[x]", "clicks[1", "/data/in.jsonl"] {
            assert_eq!(Partition::parse(name), None, "{name}");
        }
    }
}

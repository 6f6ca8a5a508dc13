//! Reading from a Kafka cluster instead of files.

use super::{ConfigError, Every, RunFlags};
use crate::sink::{Delivery, KafkaOutputs};
use crate::source::{KafkaOptions, OnGap, Properties};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What stands before a topic where a path could be.
const TOPIC: &str = "kafka:";

/// Commits fall due this often unless told otherwise.
const EVERY: Duration = Duration::from_secs(1);

/// Options of a run that reads topics. `None`: not given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Kafka"))]
pub struct KafkaFlags {
    /// Read topics of this cluster instead of files: host:port, several with commas
    #[cfg_attr(feature = "cli", arg(long, value_name = "BROKERS"))]
    pub kafka: Option<String>,
    /// Topic to read; may be given several times
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOPIC"))]
    pub topic: Vec<String>,
    /// Consumer group; its members share the partitions, each with a model folder of its own
    #[cfg_attr(feature = "cli", arg(long, value_name = "GROUP"))]
    pub group: Option<String>,
    /// Any property of the client (librdkafka); may be given several times. Passwords belong in --kafka-config
    #[cfg_attr(feature = "cli", arg(long, short = 'X', value_name = "KEY=VALUE"))]
    pub property: Vec<String>,
    /// A file of such properties, one a line
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub kafka_config: Option<PathBuf>,
    /// Stop at the ends that the partitions have at the start
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true"))]
    pub until_end: Option<bool>,
    /// Where records are missing, deleted or in a topic made anew: stop, earliest, latest [default: stop]
    #[cfg_attr(feature = "cli", arg(long, value_parser = super::named::<OnGap>))]
    pub on_gap: Option<OnGap>,
    /// Compacted topic of control records, which say what was committed [default: flexihash-commits]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOPIC"))]
    pub control_topic: Option<String>,
    /// No control record knows this model: go by the newest generation in its folder
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true"))]
    pub adopt: Option<bool>,
    /// When results in topics are visible: exactly-once, with the commit of their generation; at-least-once, at once, but after a
    /// fault some are there twice [default: exactly-once]
    #[cfg_attr(feature = "cli", arg(long, value_parser = super::named::<Delivery>))]
    pub delivery: Option<Delivery>,
    /// How long to wait at the start for a cluster that does not answer [default: 5min]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DURATION"))]
    pub kafka_wait: Option<String>,
}

/// A place for results: a path, or a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A file, or `-`.
    Path(&'a PathBuf),
    /// A topic.
    Topic(&'a str),
}

impl<'a> Place<'a> {
    /// What `path` stands for: `kafka:TOPIC` is a topic.
    pub fn of(path: &'a PathBuf) -> Self {
        match path.to_str().and_then(|text| text.strip_prefix(TOPIC)) {
            Some(topic) => Self::Topic(topic),
            None => Self::Path(path),
        }
    }

    /// The topic, if it is one.
    pub fn topic(path: Option<&'a PathBuf>) -> Option<String> {
        match path.map(Self::of) {
            Some(Place::Topic(topic)) => Some(topic.to_owned()),
            _ => None,
        }
    }

    /// The path, if it is one.
    pub fn path(path: Option<&'a PathBuf>) -> Option<PathBuf> {
        match path.map(Self::of) {
            Some(Place::Path(path)) => Some(path.clone()),
            _ => None,
        }
    }
}

fn option(option: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Option { option: option.to_owned(), reason: reason.into() }
}

impl KafkaFlags {
    /// The options of the source; none if this is no run on Kafka. `record_limit`: in bytes.
    pub fn options(&self, record_limit: Option<usize>) -> Result<Option<KafkaOptions>, ConfigError> {
        let Some(brokers) = &self.kafka else {
            let needs = [
                ("topic", !self.topic.is_empty()),
                ("group", self.group.is_some()),
                ("property", !self.property.is_empty()),
                ("kafka-config", self.kafka_config.is_some()),
                ("until-end", self.until_end == Some(true)),
                ("on-gap", self.on_gap.is_some()),
                ("control-topic", self.control_topic.is_some()),
                ("adopt", self.adopt == Some(true)),
                ("delivery", self.delivery.is_some()),
                ("kafka-wait", self.kafka_wait.is_some()),
            ];
            return match needs.into_iter().find(|(_, given)| *given) {
                Some((name, _)) => Err(option(name, "needs --kafka, the cluster to read from")),
                None => Ok(None),
            };
        };
        let group = self.group.as_deref().filter(|group| !group.is_empty());
        let group =
            group.ok_or_else(|| option("kafka", "needs --group, whose members share the partitions"))?;
        let topics: Vec<&str> = self.topic.iter().map(String::as_str).collect();
        if topics.is_empty() || topics.contains(&"") {
            return Err(option("kafka", "needs --topic, what to read"));
        }
        let mut options = KafkaOptions::new(brokers, &topics, group);
        options.properties = self.properties()?;
        options.record_limit = record_limit.unwrap_or(options.record_limit);
        options.until_end = self.until_end == Some(true);
        options.on_gap = self.on_gap.unwrap_or_default();
        if let Some(wait) = &self.kafka_wait {
            let wait = humantime::parse_duration(wait);
            options.wait = wait.map_err(|error| option("kafka-wait", error.to_string()))?;
        }
        Ok(Some(options))
    }

    /// The file's properties, and the flags' over them.
    fn properties(&self) -> Result<Properties, ConfigError> {
        let mut properties = Properties::default();
        let wrong = |error: crate::source::PropertyError| option("kafka", error.to_string());
        if let Some(path) = &self.kafka_config {
            properties.read(path).map_err(wrong)?;
        }
        for text in &self.property {
            properties.set("-X", text).map_err(wrong)?;
        }
        Ok(properties)
    }

    /// Where results go that go to topics.
    pub fn outputs(
        &self,
        predictions: Option<&PathBuf>,
        dead_letters: Option<&PathBuf>,
    ) -> Result<KafkaOutputs, ConfigError> {
        let mut outputs = KafkaOutputs {
            predictions: Place::topic(predictions),
            dead_letters: Place::topic(dead_letters),
            delivery: self.delivery.unwrap_or_default(),
            ..KafkaOutputs::default()
        };
        let topics = outputs.predictions.is_some() || outputs.dead_letters.is_some();
        if outputs.delivery == Delivery::AtLeastOnce && !topics {
            return Err(option(
                "delivery",
                "says how results get into topics: give --predictions kafka:TOPIC",
            ));
        }
        if let Some(control) = &self.control_topic {
            outputs.control.clone_from(control);
        }
        Ok(outputs)
    }

    /// When to commit: as `run` says, else every second.
    pub fn commit_every(run: &RunFlags) -> Vec<Every> {
        if run.checkpoint_every.is_empty() { vec![Every::Time(EVERY)] } else { run.checkpoint_every.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_on_kafka_needs_a_cluster_a_topic_and_a_group() {
        let fails = |flags: &KafkaFlags, expected: &str| {
            let error = flags.options(None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let mut flags = KafkaFlags::default();
        assert!(flags.options(None).unwrap().is_none());
        flags.topic = vec!["clicks".to_owned()];
        fails(&flags, "--topic: needs --kafka");
        flags.kafka = Some("localhost:9092".to_owned());
        fails(&flags, "needs --group");
        flags.group = Some("g".to_owned());
        assert_eq!(flags.options(Some(7)).unwrap().unwrap().record_limit, 7);
        flags.property = vec!["group.id=x".to_owned()];
        fails(&flags, "group.id cannot be set: say --group");
        flags.topic.clear();
        fails(&flags, "needs --topic");
    }

    #[test]
    fn delivery_is_about_topics() {
        let flags = KafkaFlags { delivery: Some(Delivery::AtLeastOnce), ..KafkaFlags::default() };
        let (topic, path) = (PathBuf::from("kafka:clicks"), PathBuf::from("clicks"));
        assert_eq!(flags.outputs(Some(&topic), None).unwrap().delivery, Delivery::AtLeastOnce);
        let error = flags.outputs(Some(&path), None).unwrap_err().to_string();
        assert!(error.contains("--delivery: says how results get into topics"), "{error}");
        assert_eq!(KafkaFlags::default().outputs(None, None).unwrap().delivery, Delivery::ExactlyOnce);
    }

    #[test]
    fn a_topic_is_told_from_a_path() {
        let (topic, path) = (PathBuf::from("kafka:clicks"), PathBuf::from("kafka/clicks"));
        assert_eq!(Place::topic(Some(&topic)).as_deref(), Some("clicks"));
        assert_eq!(Place::path(Some(&topic)), None);
        assert_eq!(Place::topic(Some(&path)), None);
        assert_eq!(Place::path(Some(&path)), Some(path.clone()));
    }
}

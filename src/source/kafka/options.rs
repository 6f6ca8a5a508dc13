//! What a run wants of a cluster: where it is, which topics, as whom, and any property of the client.
//!
//! Properties are librdkafka's own and are passed through as they are, but for those that the commit point stands on:
//! a run that committed by itself, read what was never committed or shared a transactional id would count records twice.

use crate::metrics::Metrics;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Properties a run decides itself, and where to say the same.
const OWN: [(&str, &str); 11] = [
    ("bootstrap.servers", "say --kafka"),
    ("metadata.broker.list", "say --kafka"),
    ("group.id", "say --group"),
    ("enable.auto.commit", "offsets are committed with the model"),
    ("auto.commit.enable", "offsets are committed with the model"),
    ("enable.auto.offset.store", "offsets are committed with the model"),
    ("enable.partition.eof", "it would be told nobody"),
    ("isolation.level", "only committed records are read: else a record could be learned that never was"),
    ("transactional.id", "it is made of the group and the model's own id"),
    ("enable.idempotence", "transactions need it"),
    ("enable.gapless.guarantee", "transactions decide it"),
];

/// Client properties by name. Passwords may be among them, so they are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A property that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum PropertyError {
    /// Not `name=value`. What it was is not repeated: it may be a password.
    #[error("{place}: expected name=value")]
    Form {
        /// The option, or file and line.
        place: String,
    },
    /// One that the run decides itself.
    #[error("{place}: {name} cannot be set: {reason}")]
    Own {
        /// The option, or file and line.
        place: String,
        /// The property.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A file that cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

impl Properties {
    /// Takes `name=value`, said at `place`.
    pub fn set(&mut self, place: &str, text: &str) -> Result<(), PropertyError> {
        let form = || PropertyError::Form { place: place.to_owned() };
        let (name, value) = text.split_once('=').ok_or_else(form)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return Err(form());
        }
        if let Some((_, reason)) = OWN.iter().find(|(own, _)| *own == name) {
            return Err(PropertyError::Own { place: place.to_owned(), name: name.to_owned(), reason });
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Takes a file of such lines; empty ones and those that begin with `#` are passed over.
    pub fn read(&mut self, path: &Path) -> Result<(), PropertyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| PropertyError::Read { path: path.to_owned(), cause })?;
        for (index, line) in text.lines().enumerate() {
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                self.set(&format!("{}:{}", path.display(), index + 1), line)?;
            }
        }
        Ok(())
    }

    /// The value of a property that was set.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// What to do where records are missing: deleted before they were read, or the topic is another one by now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnGap {
    /// Stop with an error.
    #[default]
    Stop,
    /// Go on with the first record there is.
    Earliest,
    /// Go on with what comes from now on.
    Latest,
}

/// Where to start in a partition that nobody knows anything about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    Earliest,
    Latest,
    Stop,
}

/// A cluster, a group and what to read there.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Topics to read, at least one.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Any other property of the client.
    pub properties: Properties,
    /// Longest record in bytes. Of a longer one the first [`super::super::CUT_BYTES`] are handed over, as with lines.
    pub record_limit: usize,
    /// Bytes of records after which a batch is handed over.
    pub batch_bytes: usize,
    /// Hand over the messages' headers too.
    pub headers: bool,
    /// Stop at the ends that the partitions had at the start.
    pub until_end: bool,
    /// What to do where records are missing.
    pub on_gap: OnGap,
    /// How long to wait for a cluster that does not answer at the start.
    pub wait: Duration,
    /// Hears of partitions, lag and brokers.
    pub metrics: Metrics,
}

impl KafkaOptions {
    /// Reads `topics` as `group`, with everything else by default.
    pub fn new(brokers: &str, topics: &[&str], group: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            group: group.to_owned(),
            properties: Properties::default(),
            record_limit: 16 << 20,
            batch_bytes: 64 << 10,
            headers: false,
            until_end: false,
            on_gap: OnGap::default(),
            wait: Duration::from_secs(300),
            metrics: Metrics::default(),
        }
    }

    pub(super) fn reset(&self) -> Result<Reset, String> {
        match self.properties.value("auto.offset.reset") {
            None | Some("earliest" | "smallest" | "beginning") => Ok(Reset::Earliest),
            Some("latest" | "largest" | "end") => Ok(Reset::Latest),
            Some("error") => Ok(Reset::Stop),
            Some(other) => {
                Err(format!("auto.offset.reset: expected earliest, latest or error, got {other:?}"))
            }
        }
    }

    /// What every client of the run has in common.
    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "flexihash");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties.0 {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// The member of the group.
    ///
    /// Rates: librdkafka's own waits a second before it fetches again once its queue was full.
    pub(super) fn consumer(&self) -> ClientConfig {
        let new_protocol = self.properties.value("group.protocol") == Some("consumer");
        let mut defaults = vec![
            ("fetch.queue.backoff.ms", "10"),
            ("queued.min.messages", "1000000"),
            ("fetch.message.max.bytes", "10485760"),
            ("topic.metadata.refresh.interval.ms", "30000"),
            ("statistics.interval.ms", "1000"),
        ];
        if !new_protocol {
            defaults.push(("partition.assignment.strategy", "cooperative-sticky"));
        }
        let mut config = self.client(&defaults);
        config.set("group.id", &self.group);
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("isolation.level", "read_committed").set("auto.offset.reset", "error");
        config.set("enable.partition.eof", "false");
        if self.until_end {
            config.set("statistics.interval.ms", "200");
        }
        config
    }

    /// A client that looks at topics, in no group.
    pub(crate) fn observer(&self, isolation: &str) -> ClientConfig {
        let mut config = self.client(&[]);
        for group in ["group.protocol", "group.instance.id", "partition.assignment.strategy"] {
            config.remove(group);
        }
        config.set("isolation.level", isolation);
        config
    }

    /// A reader of one partition from the start. It joins no group, but the client wants one named.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.observer("read_committed");
        config.set("group.id", format!("{}-control", self.group)).set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true");
        // A fetch at the end is answered at once: a start waits for it.
        config.set("fetch.wait.max.ms", "5");
        config
    }

    /// The producer that commits.
    ///
    /// A transaction lasts milliseconds: it begins when all that belongs to it is at hand. The timeout is how long others
    /// wait for one whose process died.
    pub(crate) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let defaults = [
            ("transaction.timeout.ms", "15000"),
            ("queue.buffering.max.messages", "500000"),
            ("linger.ms", "1"),
        ];
        let mut config = self.client(&defaults);
        config.set("transactional.id", transactional_id).set("enable.idempotence", "true");
        config
    }

    /// The producer of results that are seen at once.
    ///
    /// It never gives a result up: while the broker is away, its bounded queue fills and the run waits.
    pub(crate) fn emitter(&self) -> ClientConfig {
        let defaults =
            [("linger.ms", "1"), ("queue.buffering.max.kbytes", "65536"), ("message.timeout.ms", "0")];
        let mut config = self.client(&defaults);
        config.remove("transaction.timeout.ms");
        config.set("enable.idempotence", "true");
        config
    }

    /// A client for administration.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.client(&[])
    }
}

/// The client's error, without the value of a property, which may be a password; and what to do about a client built without TLS.
pub(crate) fn explain(error: &KafkaError) -> String {
    let why = match error {
        KafkaError::ClientConfig(_, why, name, value) => {
            let hidden = if value.is_empty() { why.clone() } else { why.replace(value, "…") };
            format!("property {name}: {hidden}")
        }
        other => other.to_string(),
    };
    let lacks_tls =
        ["not available at build time", "recompile librdkafka"].iter().any(|text| why.contains(text));
    if lacks_tls && cfg!(not(feature = "kafka-ssl")) {
        return "TLS and SASL/SCRAM need a build with --features kafka-ssl".to_owned();
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_passed_through_but_for_those_of_the_commit_point() {
        let mut properties = Properties::default();
        properties.set("-X", "sasl.password = a=b ").unwrap();
        assert_eq!(properties.value("sasl.password"), Some("a=b"));
        for own in ["group.id=g", "enable.auto.commit=true", "isolation.level=read_uncommitted"] {
            let error = properties.set("-X", own).unwrap_err().to_string();
            assert!(error.contains("cannot be set"), "{error}");
        }
        assert!(properties.set("-X", "secret").unwrap_err().to_string() == "-X: expected name=value");
    }

    #[test]
    fn values_are_never_shown() {
        let mut options = KafkaOptions::new("localhost:9092", &["t"], "g");
        options.properties.set("-X", "ssl.key.password=hunter2").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[cfg(not(feature = "kafka-ssl"))]
    #[test]
    fn a_client_without_tls_says_how_to_get_one_with_it() {
        let scram = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-256"];
        for properties in [&["security.protocol=SASL_SSL"][..], &scram] {
            let mut options = KafkaOptions::new("localhost:9092", &["t"], "g");
            properties.iter().for_each(|property| options.properties.set("-X", property).unwrap());
            for property in ["sasl.username=a", "sasl.password=b"] {
                options.properties.set("-X", property).unwrap();
            }
            let client = options.observer("read_committed").create::<rdkafka::consumer::BaseConsumer>();
            let error = explain(&client.err().unwrap());
            assert!(error.contains("--features kafka-ssl"), "{error}");
        }
    }

    #[test]
    fn an_error_of_the_client_does_not_show_a_value() {
        for property in ["sasl.pasword=hunter2", "session.timeout.ms=hunter2", "security.protocol=hunter2"] {
            let mut options = KafkaOptions::new("localhost:9092", &["t"], "g");
            options.properties.set("-X", property).unwrap();
            let error = options.observer("read_committed").create_native_config().err().unwrap();
            assert!(error.to_string().contains("hunter2"), "else there is nothing to hide: {error}");
            let name = property.split('=').next().unwrap();
            assert!(explain(&error).contains(name) && !explain(&error).contains("hunter2"));
        }
    }

    #[test]
    fn a_file_names_the_line_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.properties");
        std::io::Write::write_all(
            &mut std::fs::File::create(&path).unwrap(),
            b"# cluster\n\nsecurity.protocol=ssl\nnonsense\n",
        )
        .unwrap();
        let mut properties = Properties::default();
        let error = properties.read(&path).unwrap_err().to_string();
        assert!(error.ends_with("client.properties:4: expected name=value"), "{error}");
        assert_eq!(properties.value("security.protocol"), Some("ssl"));
    }

    #[test]
    fn the_new_protocol_gets_no_assignment_strategy() {
        let mut options = KafkaOptions::new("localhost:9092", &["t"], "g");
        assert_eq!(options.consumer().get("partition.assignment.strategy"), Some("cooperative-sticky"));
        options.properties.set("-X", "group.protocol=consumer").unwrap();
        assert_eq!(options.consumer().get("partition.assignment.strategy"), None);
        assert_eq!(options.reader().get("group.protocol"), None);
    }
}

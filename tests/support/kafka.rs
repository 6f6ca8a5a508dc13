//! A real broker for a test binary, and a plain client that knows nothing of flexihash.
//!
//! The broker is that of `fixtures/kafka/up.sh --hold`: it ends when its standard input is closed, which the system does
//! when this process ends, however that comes about. `FLEXIHASH_KAFKA=host:port` uses one that is there; tests that kill
//! the broker then fail, and say so.

use super::Dice;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

const CALL: Duration = Duration::from_secs(20);

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kafka").join(name)
}

pub(crate) struct Broker {
    pub(crate) address: String,
    /// None for one that is not ours.
    folder: Option<tempfile::TempDir>,
    holder: Option<Child>,
}

/// Its processes end before their folder goes.
impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(holder) = &mut self.holder {
            drop(holder.stdin.take());
            let _ = holder.wait();
        }
    }
}

/// A message as a reader of committed records sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Read {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.value.clone()).unwrap()
    }
}

impl Broker {
    pub(crate) fn start() -> Self {
        if let Ok(address) = std::env::var("FLEXIHASH_KAFKA") {
            return Self { address, folder: None, holder: None };
        }
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(script("up.sh"));
        command.arg("--hold").arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.contains(':'), "no broker: see above for what fixtures/kafka/up.sh says");
        Self { address: address.trim().to_owned(), folder: Some(folder), holder: Some(holder) }
    }

    /// Ends the broker as a power cut would.
    pub(crate) fn kill(&self) {
        self.signal("-9");
    }

    /// Where it keeps its data and its log.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().expect("this test looks into the broker: run it without FLEXIHASH_KAFKA").path()
    }

    /// A broker that answers for a tenth of the time, in small pieces, as long as this lasts.
    pub(crate) fn slow(&self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.signal("-STOP");
            thread::sleep(Duration::from_millis(450));
            self.signal("-CONT");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder().join("broker.pid")).unwrap();
        let status = Command::new("kill").args([signal, pid.trim()]).status().unwrap();
        assert!(status.success());
    }

    /// Starts it again on its data.
    pub(crate) fn restart(&self) {
        // The process may take a moment to be gone.
        thread::sleep(Duration::from_millis(200));
        let status = Command::new(script("up.sh")).arg(self.folder()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub(crate) fn topic(&self, name: &str, partitions: i32) {
        let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made =
            wait(self.admin().create_topics([&new], &AdminOptions::new().operation_timeout(Some(CALL))));
        made.unwrap().remove(0).unwrap();
        // Until every request knows of it.
        let reader: BaseConsumer = self.client().create().unwrap();
        let began = Instant::now();
        while (0..partitions).any(|number| reader.fetch_watermarks(name, number, CALL).is_err()) {
            assert!(began.elapsed() < CALL, "topic {name} does not come up");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn has_topic(&self, name: &str) -> bool {
        let reader: BaseConsumer = self.client().create().unwrap();
        let metadata = reader.fetch_metadata(Some(name), CALL).unwrap();
        metadata.topics().iter().any(|topic| topic.name() == name && !topic.partitions().is_empty())
    }

    pub(crate) fn producer(&self) -> ThreadedProducer<DefaultProducerContext> {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "5");
        config.set("queue.buffering.max.messages", "1000000").set("message.max.bytes", "20000000");
        config.create().unwrap()
    }

    /// Sends lines to the partition of `topic`, in order, and waits until they are there.
    pub(crate) fn send<'a>(&self, topic: &str, partition: i32, lines: impl IntoIterator<Item = &'a [u8]>) {
        let producer = self.producer();
        for line in lines {
            push(&producer, BaseRecord::to(topic).partition(partition).payload(line));
        }
        producer.flush(CALL).unwrap();
    }

    /// All committed messages of `topic`, partition by partition.
    pub(crate) fn read(&self, topic: &str) -> Vec<Read> {
        let mut config = self.client();
        config.set("group.id", "reader").set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        let reader: BaseConsumer = config.create().unwrap();
        let metadata = again(|| reader.fetch_metadata(Some(topic), CALL));
        let mut all = Vec::new();
        for partition in metadata.topics()[0].partitions() {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
            reader.assign(&list).unwrap();
            loop {
                match reader.poll(CALL) {
                    Some(Ok(message)) => all.push(Read {
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key().map(|key| String::from_utf8(key.to_vec()).unwrap()),
                        value: message.payload().unwrap_or_default().to_vec(),
                        headers: headers(&message),
                    }),
                    Some(Err(KafkaError::PartitionEOF(_))) => break,
                    Some(Err(error)) => panic!("{topic}: {error}"),
                    None => panic!("{topic}: no end of partition {}", partition.id()),
                }
            }
        }
        all
    }

    /// Committed offsets of the group, by partition; -1 where there is none.
    pub(crate) fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<i64> {
        let mut config = self.client();
        config.set("group.id", group);
        let reader: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let list = again(|| reader.committed_offsets(list.clone(), CALL));
        list.elements()
            .iter()
            .map(|element| element.offset().to_raw().filter(|raw| *raw >= 0).unwrap_or(-1))
            .collect()
    }
}

/// A call that a broker which has just started may not answer yet.
fn again<T>(mut call: impl FnMut() -> Result<T, KafkaError>) -> T {
    let began = Instant::now();
    loop {
        match call() {
            Ok(answer) => return answer,
            Err(error) => assert!(began.elapsed() < 3 * CALL, "{error}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn headers(message: &impl Message) -> BTreeMap<String, String> {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    headers
        .map(|h| (h.key.to_owned(), String::from_utf8_lossy(h.value.unwrap_or_default()).into_owned()))
        .collect()
}

/// Sends one record; waits where the queue is full.
pub(crate) fn push(
    producer: &ThreadedProducer<DefaultProducerContext>,
    mut record: BaseRecord<'_, [u8], [u8]>,
) {
    while let Err((error, back)) = producer.send(record) {
        assert!(error.to_string().contains("Queue full"), "{error}");
        thread::sleep(Duration::from_millis(5));
        record = back;
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a call of the administration client.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(Duration::from_secs(1)),
        }
    }
}

/// A name that no other test has.
pub(crate) fn fresh(name: &str) -> String {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    format!("{name}-{}-{}", std::process::id(), Dice(u64::from(seed) + 1).roll(1 << 30))
}

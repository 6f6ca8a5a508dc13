//! A member of a consumer group: the client, and which partitions are its own at this instant.
//!
//! The source reads through it in one thread while the publisher commits through it in another. What both must agree on is
//! here: an offset may be committed only for a partition that is owned *now*, and nothing at all once the
//! assignment was lost. The broker holds the same line: it refuses a commit with the group's metadata of an
//! earlier membership. Metadata are read *before* the check for a loss, so that one of the two always sees it.

use super::CALL;
use super::partition::Partition;
use crate::metrics::Metrics;
use crate::record::Positions;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::{Broker, Statistics};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(10);

/// What the group asks for.
#[derive(Debug)]
pub(super) enum Event {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
}

/// Takes what the client calls back with: rebalances are only noted, since what they ask for takes time.
#[derive(Debug, Default)]
pub(crate) struct Context {
    events: Mutex<VecDeque<Event>>,
    lost: AtomicBool,
    /// Nobody will handle events any more.
    closing: AtomicBool,
    /// By partition's name: the offset that the client fetches next while its queue is empty, and how often in a row it
    /// reported the same.
    fetched: Mutex<BTreeMap<String, (i64, u32)>>,
    /// By partition's name: where it ends, as the brokers said last; and whether that is news.
    ends: Mutex<BTreeMap<String, u64>>,
    news: AtomicBool,
    /// Brokers that there is a connection to, and whether it was said that there is none.
    up: AtomicUsize,
    away: AtomicBool,
    metrics: Metrics,
}

impl Context {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone(), ..Self::default() }
    }

    /// Where the partition ends, if that was heard.
    pub(super) fn end(&self, name: &str) -> Option<u64> {
        lock(&self.ends).get(name).copied()
    }

    /// Whether figures have come since the last call.
    pub(super) fn has_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    /// One line when the last broker goes, one when the first is back.
    fn count_brokers(&self, brokers: &std::collections::HashMap<String, Broker>) {
        let up = brokers.values().filter(|broker| broker.nodeid >= 0 && broker.state == "UP");
        let up = up.map(|broker| broker.nodeid).collect::<BTreeSet<i32>>().len();
        self.metrics.brokers_up(up);
        let before = self.up.swap(up, Ordering::AcqRel);
        if before > 0 && up == 0 {
            self.away.store(true, Ordering::Release);
            tracing::warn!("no broker answers; waiting for one");
        } else if up > 0 && self.away.swap(false, Ordering::AcqRel) {
            tracing::info!(brokers = up, "brokers are back");
        }
    }

    /// All before this offset was fetched and handed over, marks of transactions too, which never show otherwise. Said
    /// only of what was reported twice: the first report after an assignment may still be of an earlier one.
    pub(super) fn fetched(&self, name: &str) -> Option<u64> {
        let fetched = lock(&self.fetched);
        fetched.get(name).filter(|(_, times)| *times > 1).and_then(|(offset, _)| u64::try_from(*offset).ok())
    }

    pub(super) fn forget_fetched(&self, name: &str) {
        lock(&self.fetched).remove(name);
    }
}

/// Log lines of the client under our own names.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // A property of the other kind of client: each is told all of them.
        _ if facility == "CONFWARN" => tracing::debug!(target: "librdkafka", "{facility} {message}"),
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::warn!(target: "librdkafka", "{facility} {message}"),
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::info!(target: "librdkafka", "{facility} {message}");
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", "{facility} {message}");
        }
    }
}

/// Takes what a client without a group calls back with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    /// Brokers that are away are told of by who asks; not so why we are not let in.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let refused = ["authentication", "SSL handshake"].iter().any(|text| message.contains(text));
        let level = if facility == "FAIL" && !refused { RDKafkaLogLevel::Debug } else { level };
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::info!(target: "librdkafka", "{error}: {reason}");
    }

    fn stats(&self, figures: Statistics) {
        self.count_brokers(&figures.brokers);
        let mut ends = lock(&self.ends);
        let mut fetched = lock(&self.fetched);
        for (topic, figures) in figures.topics {
            for (number, figures) in figures.partitions {
                let name = Partition::new(&topic, number).to_string();
                let next = figures.next_offset;
                if let Ok(end) = u64::try_from(figures.hi_offset) {
                    ends.insert(name.clone(), end);
                }
                let times = match fetched.get(&name) {
                    Some((before, times)) if *before == next && figures.fetchq_cnt == 0 => times + 1,
                    _ => u32::from(figures.fetchq_cnt == 0),
                };
                fetched.insert(name, (next, times));
            }
        }
        self.news.store(true, Ordering::Release);
    }
}

impl ConsumerContext for Context {
    /// The client waits, and fetches on, until the source answers with (un)assign: after the drain.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if consumer.assignment_lost() {
            self.lost.store(true, Ordering::Release);
        }
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let answered = if assigned { take_none(consumer) } else { let_go(consumer, partitions) };
            if let Err(error) = answered {
                tracing::debug!("leaving the group: {error}");
            }
            return;
        }
        let list = Partition::list(partitions);
        let event = if assigned { Event::Assigned(list) } else { Event::Revoked(list) };
        lock(&self.events).push_back(event);
    }
}

/// Answers an assignment.
fn take(consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(partitions),
    }
}

/// The same where nobody wants it any more: the client waits for an answer, at its end too.
fn take_none(consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
    take(consumer, &TopicPartitionList::new())
}

fn let_go(consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

/// See the [module](self).
pub(crate) struct Member {
    consumer: BaseConsumer<Context>,
    owned: Mutex<BTreeMap<String, Partition>>,
    pub(crate) group: String,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("group", &self.group).field("owned", &lock(&self.owned)).finish()
    }
}

impl Member {
    pub(super) fn new(consumer: BaseConsumer<Context>, group: &str) -> Arc<Self> {
        Arc::new(Self { consumer, owned: Mutex::new(BTreeMap::new()), group: group.to_owned() })
    }

    pub(crate) fn consumer(&self) -> &BaseConsumer<Context> {
        &self.consumer
    }

    pub(super) fn next_event(&self) -> Option<Event> {
        lock(&self.consumer.context().events).pop_front()
    }

    /// Whether partitions went to others without our letting go of them. Stays so.
    pub(crate) fn is_lost(&self) -> bool {
        let lost = &self.consumer.context().lost;
        if self.consumer.assignment_lost() {
            lost.store(true, Ordering::Release);
        }
        lost.load(Ordering::Acquire)
    }

    /// Starts to fetch from `partitions`, which are ours from now on.
    pub(super) fn assign(&self, partitions: &[(Partition, u64)]) -> KafkaResult<()> {
        take(&self.consumer, &Partition::with_offsets(partitions)?)?;
        let named = partitions.iter().map(|(partition, _)| (partition.to_string(), partition.clone()));
        lock(&self.owned).extend(named);
        Ok(())
    }

    /// Lets go of `partitions`: not ours before anybody else may have them.
    pub(super) fn unassign(&self, partitions: &[Partition]) -> KafkaResult<()> {
        let mut owned = lock(&self.owned);
        for partition in partitions {
            owned.remove(&partition.to_string());
        }
        drop(owned);
        let_go(&self.consumer, &Partition::without_offsets(partitions))
    }

    /// Offsets to commit for `positions`: those of partitions that are ours, and that moved since `before`.
    pub(crate) fn offsets(&self, positions: &Positions, before: &Positions) -> Vec<(Partition, u64)> {
        let owned = lock(&self.owned);
        let moved = positions.sources.iter().filter(|(name, at)| before.sources.get(*name) != Some(at));
        moved.filter_map(|(name, at)| Some((owned.get(name)?.clone(), at.offset))).collect()
    }

    /// Whether these are the group's committed offsets.
    pub(crate) fn has_committed(&self, offsets: &[(Partition, u64)]) -> KafkaResult<bool> {
        let partitions: Vec<Partition> = offsets.iter().map(|(partition, _)| partition.clone()).collect();
        let list = self.consumer.committed_offsets(Partition::without_offsets(&partitions), CALL)?;
        Ok(offsets.iter().all(|(partition, offset)| {
            let found = list.find_partition(&partition.topic, partition.number);
            found.is_some_and(|found| found.offset().to_raw() == i64::try_from(*offset).ok())
        }))
    }

    /// Who we are in the group; none if that was lost. See the [module](self) for why it is asked in this order.
    pub(crate) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        let metadata = self.consumer.group_metadata();
        if self.is_lost() { None } else { metadata }
    }

    /// Leaves the group, in a thread of its own: an answer waits for the client without an end, and where the group's part of the client
    /// came to its own end just before, it waits for nobody. A client that does not close in time is left to the end of the process, with
    /// that thread: a member that was told to stop must stop.
    pub(super) fn close(self: &Arc<Self>, leaving: &[Partition]) {
        self.consumer.context().closing.store(true, Ordering::Release);
        lock(&self.owned).clear();
        let (member, leaving, (done, left)) = (Arc::clone(self), leaving.to_vec(), mpsc::channel());
        let leave = move || {
            member.leave(&leaving);
            drop(member);
            // Nobody listens any more where it took too long.
            let _ = done.send(());
        };
        let leaving = std::thread::Builder::new().name("leave".to_owned()).spawn(leave);
        if leaving.is_err() || left.recv_timeout(LEAVE).is_err() {
            tracing::warn!(group = self.group, "the group does not answer; leaving without its word");
            std::mem::forget(Arc::clone(self));
        }
    }

    /// Nobody will handle events any more: what the client still waits for, `leaving` and what it has told since, is answered here and
    /// now, all else it asks at its end as it asks.
    fn leave(&self, leaving: &[Partition]) {
        let mut answers = Vec::new();
        if !leaving.is_empty() {
            answers.push(let_go(&self.consumer, &Partition::without_offsets(leaving)));
        }
        while let Some(event) = self.next_event() {
            answers.push(match event {
                Event::Revoked(partitions) => {
                    let_go(&self.consumer, &Partition::without_offsets(&partitions))
                }
                Event::Assigned(_) => take_none(&self.consumer),
            });
        }
        answers.push(self.consumer.close_queue());
        for error in answers.into_iter().filter_map(Result::err) {
            tracing::debug!("leaving the group: {error}");
        }
        while !self.consumer.closed() {
            self.consumer.poll(Duration::from_millis(100));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use std::time::Instant;

    /// The group gives partitions to a member that nobody polls for any more.
    fn closes(protocol: &str) {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "g");
        config.set("partition.assignment.strategy", protocol);
        let consumer = config.create_with_context(Context::new(&Metrics::default())).unwrap();
        let member = Member::new(consumer, "g");
        member.consumer().subscribe(&["t"]).unwrap();
        let began = Instant::now();
        // Members are counted when the client has been told of its part, and the call for it waits in its queue.
        while member.consumer().group_metadata().is_none() || began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(50));
        }
        member.close(&[]);
        let (done, closed) = mpsc::channel();
        std::thread::spawn(move || {
            drop(member);
            done.send(()).unwrap();
        });
        closed.recv_timeout(Duration::from_secs(20)).expect("the client never closes");
    }

    #[test]
    fn a_member_closes_that_was_given_partitions_when_it_had_stopped_asking() {
        closes("range");
        closes("cooperative-sticky");
    }
}

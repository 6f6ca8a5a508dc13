//! Records from the topics of a Kafka cluster, as a member of a consumer group.
//!
//! The client (librdkafka) fetches in threads of its own; the source polls it in the reader's thread and hands over what has
//! arrived, the messages of one partition a batch. It never commits: [`crate::sink::KafkaPublisher`] does, in one
//! transaction with the results, through the [`Member`] that both share.
//!
//! **Rebalance.** The client only notes what the group asks for; the source answers between two batches. Partitions
//! *assigned*: each start is looked up (`start.rs`), the client is told, and an empty batch carries the
//! position into the pipeline. Partitions *revoked*: [`Fetch::Drain`], and [`Source::release`] lets go when all that
//! was read is committed; the group waits meanwhile. *Lost* (others have them already): [`Fetch::Lost`], the run ends at
//! once and is started again from the last commit. Eager, cooperative-sticky and the new protocol differ only in which
//! partitions they name.
//!
//! **Back-pressure.** The client's queue is bounded (`queued.max.messages.kbytes`); when the engine has no room for a second,
//! partitions are paused and the client is polled on ([`Source::hold`]), so that the group does not take a slow
//! disk for a dead member.

mod fill;
mod headers;
mod lag;
mod member;
mod options;
mod partition;
mod patience;
mod start;
mod starts;

pub(crate) use member::{Member, Quiet, log};
pub(crate) use options::explain;
pub use options::{KafkaOptions, OnGap, Properties, PropertyError};
pub(crate) use partition::Partition;
pub(crate) use patience::Patience;

use crate::metrics::Rebalance;
use crate::record::{Fetch, Position, Positions, RecordBatch, Source, SourceError};
use crate::sync::AtomicBool;
use member::{Context, Event};
use options::Reset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message, OwnedMessage};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long a fetch waits for a first message, and a call to the cluster for an answer.
const POLL: Duration = Duration::from_millis(50);
pub(crate) const CALL: Duration = Duration::from_secs(5);

/// A partition that is being read.
#[derive(Debug)]
struct Reading {
    partition: Partition,
    name: Arc<str>,
    /// The offset after the last message handed over.
    next: u64,
    /// The offset up to which all is committed.
    committed: u64,
    /// Where to stop.
    until: Option<u64>,
    /// Nothing before `until` is left.
    done: bool,
}

/// Records of topics, read as a member of a consumer group. It never commits: [`crate::sink::KafkaPublisher`] does.
#[derive(Debug)]
pub struct KafkaSource {
    member: Arc<Member>,
    options: KafkaOptions,
    reset: Reset,
    stop: Arc<AtomicBool>,
    readings: Vec<Reading>,
    /// Place in `readings` of the last message's partition.
    current: usize,
    /// Where the model left its partitions.
    known: Positions,
    /// Ends that the partitions had at the start, for `until_end`.
    ends: Vec<(Partition, u64)>,
    /// Positions that the pipeline is to hear of before any message.
    announced: VecDeque<(Arc<str>, Position)>,
    /// Messages polled but not handed over yet.
    ahead: VecDeque<OwnedMessage>,
    leaving: Vec<Partition>,
    assigned: bool,
    paused: bool,
}

fn position(offset: u64) -> Position {
    Position { lines: offset, offset }
}

impl KafkaSource {
    /// A member of the group of `options`. Waits for a cluster that does not answer as long as they say, or until `stop`.
    /// Fails for properties the client does not know and topics that are not there.
    pub fn open(options: KafkaOptions, stop: &Arc<AtomicBool>) -> Result<Self, SourceError> {
        let failure =
            |what: String| SourceError { name: format!("kafka {}", options.brokers), what, cause: None };
        let reset = options.reset().map_err(&failure)?;
        let created = options.consumer().create_with_context(Context::new(&options.metrics));
        let consumer = created.map_err(|error| failure(format!("no client: {}", explain(&error))))?;
        let member = Member::new(consumer, &options.group);
        let mut source = Self {
            member,
            options,
            reset,
            stop: Arc::clone(stop),
            readings: Vec::new(),
            current: 0,
            known: Positions::default(),
            ends: Vec::new(),
            announced: VecDeque::new(),
            ahead: VecDeque::new(),
            leaving: Vec::new(),
            assigned: false,
            paused: false,
        };
        source.look_around()?;
        source.options.metrics.partitions(0);
        Ok(source)
    }

    /// What the publisher shares with the source.
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// What was read, by name.
    pub fn options(&self) -> &KafkaOptions {
        &self.options
    }

    fn failure(&self, name: impl ToString, what: impl Into<String>) -> SourceError {
        SourceError { name: name.to_string(), what: what.into(), cause: None }
    }

    fn cluster(&self) -> String {
        format!("kafka {}", self.options.brokers)
    }

    /// What the group asked for, if anything.
    fn on_event(&mut self, event: Event, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        match event {
            Event::Assigned(partitions) => {
                tracing::info!(group = self.options.group, partitions = names(&partitions), "assigned");
                self.options.metrics.rebalanced(Rebalance::Assigned);
                self.take_up(partitions)?;
                Ok(Fetch::Idle)
            }
            Event::Revoked(partitions) if partitions.is_empty() => {
                self.leaving = partitions;
                self.release()?;
                Ok(Fetch::Idle)
            }
            Event::Revoked(partitions) => {
                tracing::info!(group = self.options.group, partitions = names(&partitions), "revoked");
                self.options.metrics.rebalanced(Rebalance::Revoked);
                batch.reset(&Arc::from(""), 0, Position::default());
                batch.leave(partitions.iter().map(Partition::to_string).collect());
                self.leaving = partitions;
                Ok(Fetch::Drain)
            }
        }
    }

    fn take_up(&mut self, partitions: Vec<Partition>) -> Result<(), SourceError> {
        let Some(starts) = self.starts(&partitions)? else { return Ok(()) }; // told to stop
        match self.member.assign(&starts) {
            Err(_) if self.member.is_lost() => return Ok(()),
            Err(error) => return Err(self.failure(self.cluster(), format!("cannot be assigned: {error}"))),
            Ok(()) => {}
        }
        self.assigned = true;
        for (partition, at) in starts {
            let name: Arc<str> = Arc::from(partition.to_string());
            self.member.consumer().context().forget_fetched(&name);
            self.announced.push_back((Arc::clone(&name), position(at)));
            let end = self.ends.iter().find(|(other, _)| *other == partition).map(|(_, end)| *end);
            // One that was not there at the start has nothing to be read.
            let until = self.options.until_end.then_some(end.unwrap_or(at));
            let done = until.is_some_and(|until| at >= until);
            self.readings.retain(|reading| reading.partition != partition);
            self.readings.push(Reading { partition, name, next: at, committed: at, until, done });
        }
        self.options.metrics.partitions(self.readings.len());
        Ok(())
    }

    fn poll(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        let member = Arc::clone(&self.member);
        match member.consumer().poll(POLL) {
            None => {
                // Its queue is empty: all that it has fetched was handed over.
                self.look_for_ends();
                Ok(Fetch::Idle)
            }
            Some(Err(error)) => self.on_error(&error).map(|()| Fetch::Idle),
            Some(Ok(message)) => {
                if self.begin(&message, batch) {
                    self.push(&message, batch);
                    self.fill(&member, batch)?;
                    return Ok(Fetch::Records);
                }
                Ok(Fetch::Idle)
            }
        }
    }

    fn on_error(&mut self, error: &KafkaError) -> Result<(), SourceError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset) => self.close_gaps(),
            Some(
                code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::InconsistentGroupProtocol
                | RDKafkaErrorCode::InvalidGroupId
                | RDKafkaErrorCode::FencedInstanceId
                | RDKafkaErrorCode::UnsupportedAssignor
                | RDKafkaErrorCode::Fatal),
            ) => Err(self.failure(self.cluster(), format!("cannot be read: {code}"))),
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                Err(self.failure(self.cluster(), format!("cannot be read: {error}")))
            }
            // The client goes on by itself, and logs what lasts.
            _ => {
                tracing::info!("{}: {error}", self.cluster());
                Ok(())
            }
        }
    }

    /// Behind the last record there may be nothing but the marks of transactions, which are never handed over. The
    /// client's figures say when it has seen those too.
    fn look_for_ends(&mut self) {
        let context = self.member.consumer().context();
        for reading in self.readings.iter_mut().filter(|reading| !reading.done) {
            let fetched = context.fetched(&reading.name);
            reading.done = reading.until.is_some_and(|until| fetched.is_some_and(|offset| offset >= until));
        }
    }

    fn is_finished(&self) -> bool {
        self.options.until_end && self.assigned && self.readings.iter().all(|reading| reading.done)
    }

    fn pause(&mut self, pause: bool) {
        if pause == self.paused {
            return;
        }
        let partitions: Vec<Partition> = self.readings.iter().map(|r| r.partition.clone()).collect();
        let list = Partition::without_offsets(&partitions);
        let consumer = self.member.consumer();
        let done = if pause { consumer.pause(&list) } else { consumer.resume(&list) };
        match done {
            Ok(()) => self.paused = pause,
            Err(error) => tracing::debug!("pausing or resuming: {error}"),
        }
    }
}

impl Source for KafkaSource {
    /// Joins the group. `positions` are used only where the group has no offset any more.
    fn resume(&mut self, positions: &Positions) -> Result<(), SourceError> {
        self.known.clone_from(positions);
        let topics: Vec<&str> = self.options.topics.iter().map(String::as_str).collect();
        let subscribed = self.member.consumer().subscribe(&topics);
        subscribed.map_err(|error| self.failure(self.cluster(), format!("cannot subscribe: {error}")))
    }

    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        if self.member.is_lost() {
            tracing::warn!(group = self.options.group, "partitions lost: others go on from the last commit");
            return Ok(Fetch::Lost);
        }
        self.pause(false);
        self.tell_lag();
        // In this order: a position comes before the messages after it, and these before the partition goes.
        if let Some((name, at)) = self.announced.pop_front() {
            batch.reset(&name, 0, at);
            return Ok(Fetch::Records);
        }
        if !self.ahead.is_empty() {
            return Ok(self.fill_from_ahead(batch));
        }
        if let Some(event) = self.member.next_event() {
            return self.on_event(event, batch);
        }
        if self.is_finished() {
            return Ok(Fetch::End);
        }
        self.poll(batch)
    }

    fn acknowledge(&mut self, positions: &Positions) -> Result<(), SourceError> {
        self.note_committed(positions);
        Ok(())
    }

    fn release(&mut self) -> Result<(), SourceError> {
        let leaving = std::mem::take(&mut self.leaving);
        self.forget_lag(|reading| leaving.contains(&reading.partition));
        self.readings.retain(|reading| !leaving.contains(&reading.partition));
        self.ahead.retain(|m| !leaving.iter().any(|partition| partition.is(m.topic(), m.partition())));
        self.options.metrics.partitions(self.readings.len());
        self.current = 0;
        match self.member.unassign(&leaving) {
            Err(error) if !self.member.is_lost() => {
                Err(self.failure(self.cluster(), format!("partitions cannot be let go of: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn hold(&mut self) -> Result<(), SourceError> {
        self.pause(true);
        self.tell_lag();
        let member = Arc::clone(&self.member);
        // What was under way when the partitions were paused still comes.
        while let Some(polled) = member.consumer().poll(Duration::ZERO) {
            match polled {
                Ok(message) => self.ahead.push_back(BorrowedMessage::detach(&message)),
                Err(error) => self.on_error(&error)?,
            }
        }
        Ok(())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.forget_lag(|_| true);
        self.options.metrics.partitions(0);
        self.member.close(&self.leaving);
    }
}

fn names(partitions: &[Partition]) -> String {
    partitions.iter().map(Partition::to_string).collect::<Vec<_>>().join(" ")
}

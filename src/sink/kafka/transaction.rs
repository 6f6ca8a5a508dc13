//! One transaction, from begin to commit, and what each failure means.
//!
//! | the client says | so |
//! |---|---|
//! | retriable | the same call again |
//! | abort required | abort, and the whole transaction again: all that belongs to it is still at hand |
//! | fatal (fenced, or timed out at the broker) | a new producer under the same id, which ends what was under way; then the control record tells whether it was committed after all |
//! | not a member any more | the partitions are lost, whether the client has noticed or not: while it waits for us to let go of some it does not |
//! | an earlier membership | a rebalance came between: again, with that of now; lost if that does not help for long |
//! | refused for good (too large, not allowed) | the run stops |

use crate::source::kafka::{CALL, KafkaOptions, Patience, explain, log};
use crate::sync::{Mutex, lock};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was aborted: try it again.
    Again(String),
    /// It was aborted, since the group has moved on: try it again as the member that we are now, if we still are.
    Stale(String),
    /// The producer is of no more use, and whether it was committed is not known.
    Renew(String),
    /// It will never be accepted.
    Refused(String),
    /// The partitions are others' by now.
    Lost,
}

/// Notes what the broker refused.
#[derive(Debug, Default, Clone)]
pub(super) struct Delivery {
    failed: Arc<Mutex<Option<RDKafkaErrorCode>>>,
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::info!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            *lock(&self.failed) = error.rdkafka_error_code();
        }
    }
}

/// A producer that has fenced all others of its id.
pub(super) struct Transactor {
    producer: ThreadedProducer<Delivery>,
    delivery: Delivery,
}

impl fmt::Debug for Transactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactor").finish_non_exhaustive()
    }
}

impl Transactor {
    /// Fences others of this id and ends their transaction, if one is under way.
    pub(super) fn open(
        options: &KafkaOptions,
        id: &str,
        patience: &mut Patience<'_>,
    ) -> Result<Self, String> {
        let delivery = Delivery::default();
        let created = options.producer(id).create_with_context(delivery.clone());
        let producer: ThreadedProducer<Delivery> = created.map_err(|error| explain(&error))?;
        loop {
            match producer.init_transactions(CALL) {
                Ok(()) => return Ok(Self { producer, delivery }),
                Err(KafkaError::Transaction(error)) if error.is_fatal() => return Err(error.to_string()),
                Err(error) => {
                    if refused(error.rdkafka_error_code())
                        || !patience.again("waiting for the transaction coordinator", &error)
                    {
                        return Err(error.to_string());
                    }
                }
            }
        }
    }

    pub(super) fn begin(&self) -> Result<(), Fault> {
        *lock(&self.delivery.failed) = None;
        self.producer.begin_transaction().map_err(|error| self.fault(&error))
    }

    /// Adds a record. Waits while the client's queue is full.
    pub(super) fn send(
        &self,
        mut record: BaseRecord<'_, [u8], [u8]>,
        patience: &mut Patience<'_>,
    ) -> Result<(), Fault> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    if !full || self.producer.client().fatal_error().is_some() {
                        return Err(self.fault(&error));
                    }
                    if lock(&self.delivery.failed).is_some() {
                        return Err(Fault::Again(error.to_string()));
                    }
                    std::thread::sleep(Duration::from_millis(2));
                    if patience.is_over() {
                        return Err(Fault::Again("the broker takes no more".to_owned()));
                    }
                    record = back;
                }
            }
        }
    }

    /// Adds offsets, on behalf of a membership of a group: the broker refuses those of an earlier one.
    pub(super) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
        patience: &mut Patience<'_>,
    ) -> Result<(), Fault> {
        self.repeat(patience, "committing offsets", || {
            self.producer.send_offsets_to_transaction(offsets, group, CALL)
        })
    }

    /// Commits. Whether the broker did when no answer comes is found out by asking again.
    pub(super) fn commit(&self, patience: &mut Patience<'_>) -> Result<(), Fault> {
        self.wait_until_sent();
        self.repeat(patience, "committing", || self.producer.commit_transaction(CALL))
    }

    /// Waits until the broker has answered for all that was sent, one call's time at most. The client's own way to wait
    /// for that, which committing falls back on, looks ten times a second.
    fn wait_until_sent(&self) {
        let began = Instant::now();
        while self.producer.in_flight_count() > 0 && began.elapsed() < CALL {
            let long = began.elapsed() > Duration::from_millis(20);
            std::thread::sleep(if long { Duration::from_millis(5) } else { Duration::from_micros(200) });
        }
    }

    /// Takes everything back.
    pub(super) fn abort(&self, patience: &mut Patience<'_>) -> Result<(), Fault> {
        self.wait_until_sent();
        if self.producer.in_flight_count() > 0 {
            // The broker is away: nothing of this is wanted any more.
            self.producer.purge(PurgeConfig::default().queue().inflight());
            self.wait_until_sent();
        }
        self.repeat(patience, "taking a transaction back", || self.producer.abort_transaction(CALL))
    }

    fn repeat(
        &self,
        patience: &mut Patience<'_>,
        doing: &'static str,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), Fault> {
        loop {
            let error = match call() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let retriable = match &error {
                KafkaError::Transaction(error) => error.is_retriable() && !error.txn_requires_abort(),
                KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
                _ => false,
            };
            if !retriable {
                return Err(self.fault(&error));
            }
            if !patience.again(doing, &error) {
                return Err(Fault::Refused(format!("{doing}: {error}")));
            }
        }
    }

    fn fault(&self, error: &KafkaError) -> Fault {
        let text = match *lock(&self.delivery.failed) {
            Some(code) => format!("{error} ({code})"),
            None => error.to_string(),
        };
        let fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
        if fatal || self.producer.client().fatal_error().is_some() {
            return Fault::Renew(text);
        }
        let failed = *lock(&self.delivery.failed);
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::FencedInstanceId
                | RDKafkaErrorCode::FencedMemberEpoch,
            ) => Fault::Lost,
            Some(
                RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::StaleMemberEpoch
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => Fault::Stale(text),
            code if refused(failed) || refused(code) => Fault::Refused(text),
            _ => Fault::Again(text),
        }
    }
}

/// What no second try changes.
fn refused(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::InvalidTransactionTimeout
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::UnsupportedVersion
        )
    )
}

//! A producer, and what became of that which was handed to it.

use crate::source::kafka::{Patience, explain, log};
use crate::sync::{Mutex, lock};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why something was not sent, or a transaction not committed.
#[derive(Debug)]
pub(super) enum Fault {
    /// Whether it counts is not known, and the producer is of no more use.
    Again(String),
    /// The same, since the group has moved on: as the member that we are now, if we still are.
    Stale(String),
    /// It will never be accepted.
    Refused(String),
    /// The partitions are others' by now.
    Lost,
}

/// Notes what the broker refused.
#[derive(Debug, Default, Clone)]
pub(super) struct Reports {
    failed: Arc<Mutex<Option<RDKafkaErrorCode>>>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::info!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            *lock(&self.failed) = error.rdkafka_error_code();
        }
    }
}

/// A client that sends. Its thread serves it.
pub(super) struct Outbox {
    pub(super) producer: ThreadedProducer<Reports>,
    reports: Reports,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

impl Outbox {
    pub(super) fn open(config: &ClientConfig) -> Result<Self, String> {
        let reports = Reports::default();
        let created = config.create_with_context(reports.clone());
        Ok(Self { producer: created.map_err(|error| explain(&error))?, reports })
    }

    /// Forgets what was refused so far.
    pub(super) fn forget(&self) {
        *lock(&self.reports.failed) = None;
    }

    /// The last refusal, if there was one.
    pub(super) fn refusal(&self) -> Option<RDKafkaErrorCode> {
        *lock(&self.reports.failed)
    }

    /// Records that the broker has not answered for yet.
    pub(super) fn waiting(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// A short sleep between two looks at something that began then and mostly takes no longer than a millisecond.
    pub(super) fn nap(began: Instant) {
        let long = began.elapsed() > Duration::from_millis(20);
        std::thread::sleep(if long { Duration::from_millis(5) } else { Duration::from_micros(200) });
    }

    /// Hands a record over. Waits while the client's queue is full.
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
                    if self.refusal().is_some() {
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

    /// What an error of the client means.
    pub(super) fn fault(&self, error: &KafkaError) -> Fault {
        let text = match *lock(&self.reports.failed) {
            Some(code) => format!("{error} ({code})"),
            None => error.to_string(),
        };
        let fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
        if fatal || self.producer.client().fatal_error().is_some() {
            return Fault::Again(text);
        }
        let failed = *lock(&self.reports.failed);
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
pub(super) fn refused(code: Option<RDKafkaErrorCode>) -> bool {
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

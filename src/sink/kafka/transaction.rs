//! One transaction, from begin to commit, and what each failure means.
//!
//! | the client says | so |
//! |---|---|
//! | retriable | the same call again |
//! | anything else, from abort required to fatal | a new producer under the same id; the control record tells whether it was committed after all; if not, the whole transaction again: all that belongs to it is still at hand |
//! | not a member any more | the partitions are lost, whether the client has noticed or not: while it waits for us to let go of some it does not |
//! | an earlier membership | a rebalance came between: again, with that of now; lost if that does not help for long |
//! | refused for good (too large, not allowed) | the run stops |
//!
//! Nothing is taken back by the producer that sent it. A produce request that the broker had not answered when its
//! connection broke may come behind the abort and open the transaction anew, for ever; and a client that gives up a commit
//! may report it as taken back though the broker made it true. A new producer's epoch ends what is under way, refuses
//! what comes late, and after it the control record does not change any more.

use super::outbox::{Fault, Outbox, refused};
use crate::source::kafka::{CALL, KafkaOptions, Patience};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::fmt;
use std::time::Instant;

/// A producer that has fenced all others of its id.
pub(super) struct Transactor {
    outbox: Outbox,
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
        let outbox = Outbox::open(&options.producer(id))?;
        loop {
            match outbox.producer.init_transactions(CALL) {
                Ok(()) => return Ok(Self { outbox }),
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
        self.outbox.forget();
        self.outbox.producer.begin_transaction().map_err(|error| self.outbox.fault(&error))
    }

    /// Adds a record. Waits while the client's queue is full.
    pub(super) fn send(
        &self,
        record: BaseRecord<'_, [u8], [u8]>,
        patience: &mut Patience<'_>,
    ) -> Result<(), Fault> {
        self.outbox.send(record, patience)
    }

    /// Adds offsets, on behalf of a membership of a group: the broker refuses those of an earlier one.
    pub(super) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
        patience: &mut Patience<'_>,
    ) -> Result<(), Fault> {
        self.repeat(patience, "committing offsets", || {
            self.outbox.producer.send_offsets_to_transaction(offsets, group, CALL)
        })
    }

    /// Commits. Whether the broker did when no answer comes is found out by asking again.
    pub(super) fn commit(&self, patience: &mut Patience<'_>) -> Result<(), Fault> {
        self.wait_until_sent();
        self.repeat(patience, "committing", || self.outbox.producer.commit_transaction(CALL))
    }

    /// Waits until the broker has answered for all that was sent, one call's time at most. The client's own way to wait
    /// for that, which committing falls back on, looks ten times a second.
    fn wait_until_sent(&self) {
        let began = Instant::now();
        while self.outbox.waiting() > 0 && began.elapsed() < CALL {
            Outbox::nap(began);
        }
    }

    /// Takes back what it can, so that readers need not wait for the transaction's timeout. The producer is of no use after.
    pub(super) fn give_up(&self) {
        if let Err(error) = self.outbox.producer.abort_transaction(CALL) {
            tracing::debug!("a transaction is left to its timeout: {error}");
        }
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
                return Err(self.outbox.fault(&error));
            }
            if !patience.again(doing, &error) {
                return Err(Fault::Refused(format!("{doing}: {error}")));
            }
        }
    }
}

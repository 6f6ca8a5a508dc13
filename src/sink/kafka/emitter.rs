//! Results into topics at once, outside of transactions: at least once.
//!
//! Before a generation is saved the broker has answered for every result of it, as files are synced before; so none is
//! missing whatever dies when. What was sent after the last commit is sent again by whoever goes on from there. The producer
//! is idempotent: its own second tries double nothing and keep the order of a partition.

use super::outbox::{Fault, Outbox};
use super::{GRACE, KafkaOutputs, records, refused};
use crate::sink::publish::{Emitter, PublishError, Results, Wants};
use crate::source::kafka::{KafkaOptions, Patience};
use crate::sync::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sends results to their topics at once, at least once each.
#[derive(Debug)]
pub struct KafkaEmitter {
    outbox: Outbox,
    outputs: KafkaOutputs,
    letter_partitions: i32,
    stop: Arc<AtomicBool>,
}

fn not_taken(cause: impl Into<String>) -> PublishError {
    refused("results", "they were not taken", cause.into())
}

impl KafkaEmitter {
    pub(super) fn open(
        options: &KafkaOptions,
        outputs: &KafkaOutputs,
        letter_partitions: i32,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, PublishError> {
        let outbox = Outbox::open(&options.emitter()).map_err(not_taken)?;
        Ok(Self { outbox, outputs: outputs.clone(), letter_partitions, stop: Arc::clone(stop) })
    }

    fn check(&self) -> Result<(), PublishError> {
        self.outbox.refusal().map_or(Ok(()), |code| Err(not_taken(code.to_string())))
    }
}

impl Emitter for KafkaEmitter {
    fn wants(&self) -> Wants {
        self.outputs.wants()
    }

    fn emit(&mut self, results: &Results) -> Result<(), PublishError> {
        self.check()?;
        let mut patience = Patience::new(&self.stop, Duration::MAX, GRACE);
        let sent = records::of(results, &self.outputs, self.letter_partitions, |record| {
            self.outbox.send(record, &mut patience)
        });
        sent.map_err(|fault| match fault {
            Fault::Again(cause) | Fault::Stale(cause) | Fault::Refused(cause) => not_taken(cause),
            Fault::Lost => PublishError::Lost,
        })
    }

    fn flush(&mut self) -> Result<(), PublishError> {
        let began = Instant::now();
        let mut stopped = None;
        while self.outbox.waiting() > 0 {
            self.check()?;
            if self.stop.load(Ordering::Relaxed) {
                let stopped: &Instant = stopped.get_or_insert_with(Instant::now);
                if stopped.elapsed() > GRACE {
                    let waiting = self.outbox.waiting();
                    return Err(not_taken(format!("the broker has not answered for {waiting} of them")));
                }
            }
            Outbox::nap(began);
        }
        self.check()
    }
}

//! Topics that a run writes to: there, made if they are not, and with the partitions they need.

use crate::source::kafka::{CALL, KafkaOptions, Patience, Quiet, explain};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the one kind of call that the client answers with a future.
fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(Duration::from_secs(1)),
        }
    }
}

/// Partitions of `topic`; 0 if there is none.
pub(super) fn partitions(
    options: &KafkaOptions,
    topic: &str,
    patience: &mut Patience<'_>,
) -> Result<i32, String> {
    loop {
        let cause = match ask(options, topic) {
            Ok(found) => return Ok(found),
            Err(error @ (KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))) => {
                return Err(explain(&error)); // no second try makes it better
            }
            Err(error) => error.to_string(),
        };
        if !patience.again(&format!("topic {topic}"), &cause) {
            return Err(cause);
        }
    }
}

/// Asks as a consumer, since a producer that asks creates it.
fn ask(options: &KafkaOptions, topic: &str) -> Result<i32, KafkaError> {
    let consumer: BaseConsumer<Quiet> = options.observer("read_committed").create_with_context(Quiet)?;
    let metadata = consumer.fetch_metadata(Some(topic), CALL).inspect_err(|_| hear(&consumer))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map_or(0, |found| i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)))
}

/// Lets the client say what it has to say, which it does only when it is polled: for one, that we are not let in.
fn hear(consumer: &BaseConsumer<Quiet>) {
    for _ in std::iter::from_fn(|| consumer.poll(Duration::ZERO)).take(1000) {}
}

/// Makes `topic` if it is not there, and returns how many partitions it has.
pub(super) fn ensure(
    options: &KafkaOptions,
    topic: &str,
    count: i32,
    settings: &[(&str, &str)],
    patience: &mut Patience<'_>,
) -> Result<i32, String> {
    loop {
        let found = partitions(options, topic, patience)?;
        if found > 0 {
            return Ok(found);
        }
        match create(options, topic, count, settings) {
            Ok(()) => thread::sleep(Duration::from_millis(50)), // until the metadata know
            Err(cause) => {
                if !patience.again(&format!("topic {topic}"), &cause) {
                    return Err(cause);
                }
            }
        }
    }
}

fn create(options: &KafkaOptions, topic: &str, count: i32, settings: &[(&str, &str)]) -> Result<(), String> {
    let client: AdminClient<Quiet> =
        options.admin().create_with_context(Quiet).map_err(|error| explain(&error))?;
    // -1: as many copies as the cluster makes by itself.
    let mut new = NewTopic::new(topic, count, TopicReplication::Fixed(-1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let admin = AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL));
    match wait(client.create_topics([&new], &admin)) {
        Err(error) => Err(error.to_string()),
        Ok(results) => match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => {
                tracing::info!("topic {topic} made, with {count} partitions");
                Ok(())
            }
            Some(Err((_, code))) => Err(format!("topic {topic} is not there and cannot be made: {code}")),
        },
    }
}

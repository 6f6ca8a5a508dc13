//! Results as messages: a prediction to the partition its record came from, under its id; a bad record as it came, with
//! headers that say where from and why. Records that came to be learned beside the input are of no partition: the bad ones among them
//! go to all in turn, and `flexihash.source` stands in the place of topic and partition.

use super::KafkaOutputs;
use super::outbox::Fault;
use crate::sink::prediction::id_of;
use crate::sink::publish::{Letter, Results};
use crate::source::kafka::Partition;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;

/// Bytes of a value or key that every broker takes unless it was told otherwise (1 MiB with everything around it). More of
/// a bad record is cut off.
const RECORD_BYTES: usize = 900_000;

/// Hands the messages of `results` to `send`, one after the other.
pub(super) fn of(
    results: &Results,
    outputs: &KafkaOutputs,
    letter_partitions: i32,
    mut send: impl FnMut(BaseRecord<'_, [u8], [u8]>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let from = Partition::parse(&results.source);
    if let (Some(topic), Some(from)) = (&outputs.predictions, &from) {
        for line in results.predictions.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let id = id_of(line).filter(|id| id.len() + line.len() <= RECORD_BYTES);
            if line.len() > RECORD_BYTES {
                let bytes = line.len();
                return Err(Fault::Refused(format!(
                    "{from}: a prediction line of {bytes} bytes, for its id"
                )));
            }
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(from.number).payload(line);
            record.key = id.as_deref();
            send(record)?;
        }
    }
    if let Some(topic) = &outputs.dead_letters {
        let count = letter_partitions.max(1);
        for letter in &results.letters {
            let to = match &from {
                Some(from) => from.number.rem_euclid(count),
                None => (letter.offset % u64::from(count.unsigned_abs())) as i32,
            };
            let headers = headers(&results.source, from.as_ref(), letter);
            send(message(&Partition::new(topic, to), headers, letter))?;
        }
    }
    Ok(())
}

/// Where a letter came from, and why it is one.
fn headers(source: &str, from: Option<&Partition>, letter: &Letter) -> OwnedHeaders {
    let header =
        |headers: OwnedHeaders, key: &str, value: &str| headers.insert(Header { key, value: Some(value) });
    let mut headers = OwnedHeaders::new();
    headers = match from {
        Some(from) => {
            let topic = header(headers, "flexihash.topic", &from.topic);
            header(topic, "flexihash.partition", &from.number.to_string())
        }
        None => header(headers, "flexihash.source", source),
    };
    headers = header(headers, "flexihash.offset", &letter.offset.to_string());
    let reason: String = letter.reason.chars().take(1000).collect();
    headers = header(headers, "flexihash.reason", &reason);
    if payload(letter).len() as u64 != letter.length {
        headers = header(headers, "flexihash.truncated", &letter.length.to_string());
    }
    headers
}

fn key(letter: &Letter) -> Option<&[u8]> {
    letter.key.as_deref().filter(|key| key.len() < RECORD_BYTES / 2)
}

/// As much of the record as a message holds beside its key.
fn payload(letter: &Letter) -> &[u8] {
    let room = RECORD_BYTES - key(letter).map_or(0, <[u8]>::len);
    letter.bytes.get(..room).unwrap_or(&letter.bytes)
}

fn message<'a>(to: &'a Partition, headers: OwnedHeaders, letter: &'a Letter) -> BaseRecord<'a, [u8], [u8]> {
    let record = BaseRecord::<[u8], [u8]>::to(&to.topic).partition(to.number);
    let mut record = record.payload(payload(letter)).headers(headers);
    record.key = key(letter);
    record
}

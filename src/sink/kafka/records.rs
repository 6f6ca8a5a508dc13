//! Results as messages: a prediction to the partition its record came from, under its id; a bad record as it came, with
//! headers that say where from and why.

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
    let Some(from) = Partition::parse(&results.source) else { return Ok(()) };
    if let Some(topic) = &outputs.predictions {
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
        let to = Partition::new(topic, from.number.rem_euclid(letter_partitions.max(1)));
        for letter in &results.letters {
            send(message(&to, &from, letter))?;
        }
    }
    Ok(())
}

fn message<'a>(to: &'a Partition, from: &Partition, letter: &'a Letter) -> BaseRecord<'a, [u8], [u8]> {
    let key = letter.key.as_deref().filter(|key| key.len() < RECORD_BYTES / 2);
    let room = RECORD_BYTES - key.map_or(0, <[u8]>::len);
    let bytes = letter.bytes.get(..room).unwrap_or(&letter.bytes);
    let reason: String = letter.reason.chars().take(1000).collect();
    let header =
        |headers: OwnedHeaders, key: &str, value: &str| headers.insert(Header { key, value: Some(value) });
    let mut headers = header(OwnedHeaders::new(), "flexihash.topic", &from.topic);
    headers = header(headers, "flexihash.partition", &from.number.to_string());
    headers = header(headers, "flexihash.offset", &letter.offset.to_string());
    headers = header(headers, "flexihash.reason", &reason);
    if bytes.len() as u64 != letter.length {
        headers = header(headers, "flexihash.truncated", &letter.length.to_string());
    }
    let mut record =
        BaseRecord::<[u8], [u8]>::to(&to.topic).partition(to.number).payload(bytes).headers(headers);
    record.key = key;
    record
}

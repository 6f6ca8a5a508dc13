//! Reading: batches from the source to the parse threads, in rotation.

use super::EngineError;
use super::learn::Input;
use super::work::Work;
use crate::record::{Fetch, Positions, Source};
use crate::sink::PublishError;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a source is left alone while there is no room for its records.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads until the source ends, `stop` is set or the learner is gone; then tells the source what became durable until
/// nothing more can.
pub(super) fn run(mut source: Box<dyn Source>, links: Links<'_>) -> Result<(), EngineError> {
    let read = deal(source.as_mut(), &links);
    let Links { parsers, durable, .. } = links;
    drop(parsers);
    for positions in durable {
        source.acknowledge(&positions)?;
    }
    read
}

/// Ends of the queues that the reader holds, and what it shares.
pub(super) struct Links<'a> {
    /// One for each parse thread, served in rotation.
    pub(super) parsers: Vec<Sender<Work>>,
    /// Empty batches.
    pub(super) pool: Receiver<Work>,
    /// Positions that became durable.
    pub(super) durable: Receiver<Positions>,
    pub(super) stop: &'a AtomicBool,
    pub(super) input: &'a Input,
}

fn deal(source: &mut dyn Source, links: &Links<'_>) -> Result<(), EngineError> {
    let mut rotation = links.parsers.iter().cycle();
    // Empty batches at hand: one that brought nothing, or those that came back during a drain.
    let mut spare = Vec::new();
    let mut number = 0;
    while !links.stop.load(Ordering::Relaxed) {
        while let Ok(positions) = links.durable.try_recv() {
            source.acknowledge(&positions)?;
        }
        if spare.is_empty() {
            spare.extend(room(source, links)?);
        }
        let Some(mut work) = spare.pop() else { break };
        let fetched = source.fetch(&mut work.records)?;
        match fetched {
            Fetch::End => {
                links.input.ended.store(true, Ordering::Release);
                break;
            }
            Fetch::Idle => spare.push(work),
            Fetch::Records | Fetch::Drain => {
                let Some(parser) = rotation.next() else { break };
                work.number = number;
                number += 1;
                if parser.send(work).is_err() {
                    break;
                }
                if fetched == Fetch::Drain && !drained(source, links, &mut spare)? {
                    break;
                }
            }
            Fetch::Lost => {
                links.input.lost.store(true, Ordering::Release);
                return Err(PublishError::Lost.into());
            }
        }
    }
    if links.stop.load(Ordering::Relaxed) {
        tracing::info!("stopping: what was read is learned and saved");
    }
    Ok(())
}

/// An empty batch, as soon as there is one; none if the learner is gone.
fn room(source: &mut dyn Source, links: &Links<'_>) -> Result<Option<Work>, EngineError> {
    loop {
        match links.pool.recv_timeout(PATIENCE) {
            Ok(work) => return Ok(Some(work)),
            Err(RecvTimeoutError::Timeout) => source.hold()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}

/// Waits until the batch that names the leaving sources comes back: the learner returns it when all before it is
/// durable. False if the learner is gone.
fn drained(source: &mut dyn Source, links: &Links<'_>, spare: &mut Vec<Work>) -> Result<bool, EngineError> {
    loop {
        let Some(work) = room(source, links)? else { return Ok(false) };
        let last = !work.records.leaving().is_empty();
        spare.push(work);
        if last {
            break;
        }
    }
    while let Ok(positions) = links.durable.try_recv() {
        source.acknowledge(&positions)?;
    }
    source.release()?;
    Ok(true)
}

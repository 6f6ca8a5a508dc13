//! Reading: batches from the source to the parse threads, in rotation.

use super::EngineError;
use super::learn::Input;
use super::work::Work;
use crate::record::{Fetch, Positions, Source};
use crossbeam_channel::{Receiver, Sender};
use std::sync::atomic::{AtomicBool, Ordering};

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
    let mut spare = None;
    let mut number = 0;
    while !links.stop.load(Ordering::Relaxed) {
        while let Ok(positions) = links.durable.try_recv() {
            source.acknowledge(&positions)?;
        }
        let Some(mut work) = spare.take().or_else(|| links.pool.recv().ok()) else { break };
        match source.fetch(&mut work.records)? {
            Fetch::End => {
                links.input.ended.store(true, Ordering::Release);
                break;
            }
            Fetch::Idle => spare = Some(work),
            Fetch::Records => {
                let Some(parser) = rotation.next() else { break };
                work.number = number;
                number += 1;
                if parser.send(work).is_err() {
                    break;
                }
            }
        }
    }
    Ok(())
}

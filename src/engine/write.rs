//! Writing: lines to their sinks, then generations to the model folder, then what is published with them.

use super::learn::Keeps;
use super::{EngineError, Live, Outputs};
use crate::checkpoint::{Snapshot, Writer};
use crate::metrics::Metrics;
use crate::record::Positions;
use crate::sink::{LinesSink, Publisher, Results, Wants};
use crossbeam_channel::{Receiver, Sender};
use std::time::Instant;

/// What the learner hands on, in order.
#[derive(Debug)]
pub(super) enum Out {
    /// Whole lines, and what may be published.
    Lines { dead_letters: Vec<u8>, results: Results },
    /// The state after all lines so far.
    Cut(Box<Snapshot>),
}

/// A cut on its way to the disk, and the results since the one before that are published with it.
#[derive(Debug)]
pub(super) struct Cut {
    snapshot: Box<Snapshot>,
    results: Vec<Results>,
}

/// Writes lines as they come; before a cut goes on to be saved, its lines are durable and their lengths noted, and what
/// was sent on at once has arrived. What is
/// `wanted` by the publisher waits for the cut: the learner sees to it that this is bounded.
pub(super) fn run(
    mut outputs: Outputs,
    wanted: Wants,
    input: &Receiver<Out>,
    cuts: &Sender<Cut>,
) -> Result<(), EngineError> {
    let mut waiting = Vec::new();
    for out in input {
        match out {
            Out::Lines { dead_letters, results } => {
                write(&mut outputs.predictions, &results.predictions)?;
                write(&mut outputs.dead_letters, &dead_letters)?;
                if let Some(emitter) = &mut outputs.emitter {
                    emitter.emit(&results)?;
                }
                if wanted != Wants::default() {
                    waiting.push(results);
                }
            }
            Out::Cut(mut snapshot) => {
                if let Some(emitter) = &mut outputs.emitter {
                    emitter.flush()?;
                }
                for sink in [&mut outputs.predictions, &mut outputs.dead_letters].into_iter().flatten() {
                    sink.sync()?;
                    if let Some(length) = sink.length() {
                        let path = sink.path().display().to_string();
                        snapshot.progress.outputs.insert(path, length);
                    }
                }
                let results = std::mem::take(&mut waiting);
                if cuts.send(Cut { snapshot, results }).is_err() {
                    break; // the saver is gone and says why
                }
            }
        }
    }
    for sink in [&mut outputs.predictions, &mut outputs.dead_letters].into_iter().flatten() {
        sink.sync()?;
    }
    Ok(())
}

fn write(sink: &mut Option<LinesSink>, lines: &[u8]) -> Result<(), EngineError> {
    match sink {
        Some(sink) if !lines.is_empty() => Ok(sink.write(lines)?),
        _ => Ok(()),
    }
}

/// Where cuts go: at least one of the two.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) store: Option<Writer>,
    pub(super) publisher: Option<Box<dyn Publisher>>,
    pub(super) metrics: Metrics,
    pub(super) live: Option<Live>,
}

impl Destination {
    pub(super) fn keeps(&self) -> Keeps {
        match (&self.store, &self.publisher) {
            (None, None) => Keeps::Nothing,
            (None, Some(_)) => Keeps::Positions,
            (Some(_), _) => Keeps::Generations,
        }
    }
}

/// Saves cuts as generations and publishes them, one at a time. `saved` hears of each; `durable` gets the positions it
/// stands for.
pub(super) fn save(
    destination: Destination,
    cuts: &Receiver<Cut>,
    saved: &Sender<()>,
    durable: &Sender<Positions>,
) -> Result<(), EngineError> {
    let Destination { mut store, mut publisher, metrics, live } = destination;
    if store.is_none() && publisher.is_none() {
        return Ok(());
    }
    for Cut { snapshot, results } in cuts {
        let positions = snapshot.progress.positions.clone();
        let mut generation = None;
        if let Some(store) = &mut store {
            let began = Instant::now();
            let manifest = store.commit(*snapshot)?;
            metrics.checkpointed(manifest.generation, began.elapsed());
            live.iter().for_each(|live| live.saved(manifest.generation));
            tracing::debug!(generation = manifest.generation, "checkpoint");
            generation = Some(manifest.generation);
        }
        if let Some(publisher) = &mut publisher {
            let began = Instant::now();
            publisher.publish(generation, &positions, &results)?;
            metrics.committed(began.elapsed());
        }
        let _ = (durable.send(positions), saved.send(()));
    }
    Ok(())
}

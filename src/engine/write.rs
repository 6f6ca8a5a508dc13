//! Writing: lines to their sinks, then generations to the model folder.

use super::{EngineError, Outputs};
use crate::checkpoint::{Snapshot, Writer};
use crate::record::Positions;
use crate::sink::LinesSink;
use crossbeam_channel::{Receiver, Sender};

/// What the learner hands on, in order.
#[derive(Debug)]
pub(super) enum Out {
    /// Whole lines.
    Lines { predictions: Vec<u8>, dead_letters: Vec<u8> },
    /// The state after all lines so far.
    Cut(Box<Snapshot>),
}

/// Writes lines as they come; before a cut goes on to be saved, its lines are durable and their lengths noted.
pub(super) fn run(
    mut outputs: Outputs,
    input: &Receiver<Out>,
    cuts: &Sender<Box<Snapshot>>,
) -> Result<(), EngineError> {
    for out in input {
        match out {
            Out::Lines { predictions, dead_letters } => {
                write(&mut outputs.predictions, &predictions)?;
                write(&mut outputs.dead_letters, &dead_letters)?;
            }
            Out::Cut(mut snapshot) => {
                for sink in [&mut outputs.predictions, &mut outputs.dead_letters].into_iter().flatten() {
                    sink.sync()?;
                    if let Some(length) = sink.length() {
                        let path = sink.path().display().to_string();
                        snapshot.progress.outputs.insert(path, length);
                    }
                }
                if cuts.send(snapshot).is_err() {
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

/// Saves cuts as generations, one at a time. `saved` hears of each; `durable` gets the positions it stands for.
pub(super) fn save(
    store: Option<Writer>,
    cuts: &Receiver<Box<Snapshot>>,
    saved: &Sender<()>,
    durable: &Sender<Positions>,
) -> Result<(), EngineError> {
    let Some(mut store) = store else { return Ok(()) };
    for snapshot in cuts {
        let positions = snapshot.progress.positions.clone();
        let manifest = store.commit(*snapshot)?;
        tracing::info!(generation = manifest.generation, "checkpoint");
        let _ = (durable.send(positions), saved.send(()));
    }
    Ok(())
}

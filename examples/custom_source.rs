//! Runs the engine over a source of one's own: here a channel that another thread fills, one JSON record a message.
//!
//! A source says how far it has been read ([`Position`]) and is handed the same value when a run is resumed; it hears
//! from [`Source::acknowledge`] what has become durable, which is the moment to tell a broker. This one counts messages
//! as lines; on resume it drops those that were learned before, as a queue that is replayed from its start needs.
//!
//! Run it with `cargo run --release --example custom_source`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use flexihash::checkpoint::Writer;
use flexihash::config::Every;
use flexihash::engine::{EngineOptions, Outputs};
use flexihash::record::{Fetch, Position, Positions, RecordBatch, Source, SourceError};
use flexihash::{Engine, HashKey, Model, ModelFlags};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

/// The name under which positions are stored.
static NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("orders"));
/// A batch is handed over when it has as many records, or when nothing more has arrived.
const BATCH: usize = 256;

struct ChannelSource {
    messages: Receiver<String>,
    at: Position,
    /// Messages to pass over after a resume.
    skip: u64,
    durable: Arc<AtomicU64>,
}

impl ChannelSource {
    fn push(&mut self, message: &str, batch: &mut RecordBatch) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let length = message.len() as u64;
        let after = Position { lines: self.at.lines + 1, offset: self.at.offset + length };
        batch.push(message.as_bytes(), length, self.at, after);
        self.at = after;
    }
}

impl Source for ChannelSource {
    fn resume(&mut self, positions: &Positions) -> Result<(), SourceError> {
        self.at = positions.of(&NAME);
        self.skip = self.at.lines;
        Ok(())
    }

    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        batch.reset(&NAME, 0, self.at);
        match self.messages.recv_timeout(Duration::from_millis(50)) {
            Ok(message) => self.push(&message, batch),
            Err(RecvTimeoutError::Timeout) => return Ok(Fetch::Idle),
            Err(RecvTimeoutError::Disconnected) => return Ok(Fetch::End),
        }
        while batch.len() < BATCH {
            let Ok(message) = self.messages.try_recv() else { break };
            self.push(&message, batch);
        }
        Ok(Fetch::Records)
    }

    fn acknowledge(&mut self, positions: &Positions) -> Result<(), SourceError> {
        self.durable.store(positions.of(&NAME).lines, Ordering::Relaxed);
        Ok(())
    }
}

/// A source of the first `count` orders, sent by another thread, and what it heard to be durable.
fn orders(count: u32) -> (Box<dyn Source>, Arc<AtomicU64>) {
    let (sender, messages) = sync_channel(1000);
    thread::spawn(move || {
        for n in 0..count {
            let late = u8::from(n % 3 == 0);
            let order = format!(r#"{{"id":{n},"label":{late},"features":{{"route":"r{}","n":{n}}}}}"#, n % 3);
            if sender.send(order).is_err() {
                break; // the run has ended
            }
        }
    });
    let durable = Arc::new(AtomicU64::new(0));
    let source = ChannelSource { messages, at: Position::default(), skip: 0, durable: Arc::clone(&durable) };
    (Box::new(source), durable)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model");
    let options = EngineOptions { checkpoint_every: vec![Every::Records(1000)], ..EngineOptions::default() };
    let stop = AtomicBool::new(false); // set it from a signal handler, for instance

    let flags = ModelFlags { buckets: Some(1 << 16), ..ModelFlags::default() };
    let model = Model::new(&flags, &HashKey::default())?;
    let engine =
        Engine::new(model, options.clone(), Outputs::default(), Some(Writer::create_or_open(&path, 2)?));
    let (source, durable) = orders(3000);
    let finished = engine.run(source, &stop, &mut ())?;
    println!("{} examples, loss {:.4}", finished.summary.examples, finished.summary.figures.loss);
    assert_eq!((finished.summary.examples, durable.load(Ordering::Relaxed)), (3000, 3000));

    // A second run is given the whole queue again and goes on behind the last one learned.
    let writer = Writer::create_or_open(&path, 2)?;
    let mut generation = writer.latest()?.ok_or("nothing was saved")?;
    let model = Model::load(&mut generation, &HashKey::default())?;
    let (source, durable) = orders(5000);
    let finished =
        Engine::new(model, options, Outputs::default(), Some(writer)).run(source, &stop, &mut ())?;
    println!("{} examples, loss {:.4}", finished.summary.examples, finished.summary.figures.loss);
    assert_eq!((finished.summary.examples, durable.load(Ordering::Relaxed)), (5000, 5000));
    assert_eq!(finished.summary.skipped, 0);
    assert!(finished.summary.figures.loss < 0.1);
    Ok(())
}

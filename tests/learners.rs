//! Several learners of one model: alone each is the model's own to the bit; together they lose no record and learn none twice,
//! through checkpoints, stops and restarts; what they learn is nearly as good.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use flexihash::checkpoint::Writer;
use flexihash::config::Every;
use flexihash::engine::{EngineError, EngineOptions, Finished, Observer, Outputs, Status};
use flexihash::learner::{HeadKind, Learned, LearnerOptions, Learning, Mode, Outcomes};
use flexihash::optim::{LearningRate, OptimizerKind, OptimizerOptions};
use flexihash::record::{Fetch, Position, Positions, RecordBatch, Source, SourceError};
use flexihash::sink::PublishError;
use flexihash::source::{LinesOptions, LinesSource};
use flexihash::{Engine, HashKey, Model, ModelFlags, sink::LinesSink};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use stream::{Stream, checksum, flights};

/// Both heads, each with a textbook optimizer and without.
fn each_head() -> impl Iterator<Item = LearnerOptions> {
    let adam = Learning::Given(OptimizerOptions { rate: 0.01, ..OptimizerOptions::new(OptimizerKind::Adam) });
    [Learning::Auto, adam].into_iter().flat_map(|learning| {
        [HeadKind::Linear, HeadKind::Fm].map(|head| LearnerOptions {
            head,
            learning,
            buckets: 1 << 16,
            ..LearnerOptions::default()
        })
    })
}

#[test]
fn one_replica_is_the_learner_itself_to_the_bit() {
    let lines = flights(3000);
    for options in each_head() {
        let what = format!("{:?} {:?}", options.head, options.learning);
        let (mut whole, mut apart) = (Stream::new(options.clone()), Stream::new(options));
        whole.learn(&lines, 500);
        apart.learn(&lines[..500], 500);
        let (mut replica, mut learned) = (apart.learner.replica(1), Learned::default());
        for chunk in lines[500..].chunks(500) {
            apart.read(chunk);
            assert!(replica.learn(&apart.batch, Mode::Learn, &mut learned));
            apart.learner.settle(&apart.batch, &learned, Mode::Learn, &mut apart.outcomes).unwrap();
        }
        apart.learner.merge(&[&replica]);
        assert_eq!(apart.learner.vectors(), whole.learner.vectors(), "{what}");
        assert_eq!(apart.learner.state(), whole.learner.state());
        assert_eq!(checksum(&apart.learner), checksum(&whole.learner));
    }
}

#[test]
fn a_viewer_predicts_as_its_learner_and_learns_nothing() {
    let lines = flights(2000);
    for options in each_head() {
        let what = format!("{:?} {:?}", options.head, options.learning);
        let mut stream = Stream::new(options);
        stream.learn(&lines[..1000], 500);
        let old = stream.learner.view();
        stream.learn(&lines[1000..1500], 500);
        let (mut now, mut outcomes) = (stream.learner.view(), Outcomes::default());
        let before = (stream.learner.vectors(), checksum(&stream.learner));
        stream.read(&lines[1500..]);
        let rows = 0..stream.batch.len();
        now.again().predict(&stream.batch, rows.clone(), &mut outcomes).unwrap();
        now.predict(&stream.batch, rows.clone(), &mut outcomes).unwrap();
        let vectors = now.embed(&stream.batch);
        assert_eq!((stream.learner.vectors(), checksum(&stream.learner)), before, "{what}");
        stream.learner.process(&stream.batch, rows.clone(), Mode::Predict, &mut stream.outcomes).unwrap();
        assert_eq!(outcomes.predictions, stream.outcomes.predictions, "{what}");
        assert_eq!(vectors, stream.learner.embed(&stream.batch), "{what}");
        // The rows of an older one are those of today, its head is not: it predicts, and is one of its own.
        old.again().predict(&stream.batch, rows, &mut outcomes).unwrap();
        assert_eq!(outcomes.predictions.len(), stream.outcomes.predictions.len());
        assert!(outcomes.predictions.iter().all(|prediction| prediction.is_finite()));
    }
}

/// With the median loss, labels out of reach and plain SGD at rate 2, each time a feature occurs its weight grows by 1: a weight
/// is the count of the records it was learned from.
fn counting() -> ModelFlags {
    ModelFlags {
        loss: Some(flexihash::config::LossName::Quantile),
        optimizer: Some(OptimizerKind::Sgd),
        learning_rate: Some(LearningRate::Rate(2.0)),
        buckets: Some(1 << 16),
        ..ModelFlags::default()
    }
}

const RECORDS: usize = 40_000;

/// Records with a feature that all share, one that some do and one of their own.
fn counted_lines() -> String {
    let line = |i: usize| {
        format!("{{\"label\":1e30,\"features\":{{\"all\":\"x\",\"some\":\"{}\",\"own\":\"{i}\"}}}}\n", i % 97)
    };
    (0..RECORDS).map(line).collect()
}

/// The weights of all rows together: constant, `all`, `some` and `own` once for each record.
fn occurrences(model: &Model) -> f64 {
    let mut sum = 0.0;
    model.learner().for_each_weight(0, |weight| sum += f64::from(weight));
    sum
}

/// Asks for a stop after some records.
struct StopAfter<'a>(u64, &'a AtomicBool);

impl Observer for StopAfter<'_> {
    fn observe(&mut self, status: &Status<'_>) {
        if status.run_examples >= self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

fn run(folder: &Path, options: EngineOptions, stop_after: u64) -> Result<Finished, EngineError> {
    let writer = Writer::create_or_open(folder.join("model"), 2).unwrap();
    let model = match writer.latest().unwrap() {
        Some(mut generation) => Model::load(&mut generation, &HashKey::default()).unwrap(),
        None => Model::new(&counting(), &HashKey::default()).unwrap(),
    };
    let kept = writer.manifest().map_or(0, |m| m.progress.outputs.values().copied().next().unwrap_or(0));
    let predictions = LinesSink::open(&folder.join("predictions"), kept).unwrap();
    let outputs = Outputs { predictions: Some(predictions), dead_letters: None, ..Outputs::default() };
    let lines = LinesOptions { batch_bytes: 8 << 10, ..LinesOptions::default() };
    let source = LinesSource::open(&[folder.join("lines")], lines).unwrap();
    let stop = AtomicBool::new(false);
    Engine::new(model, options, outputs, Some(writer)).run(
        Box::new(source),
        &stop,
        &mut StopAfter(stop_after, &stop),
    )
}

fn learners(learners: usize) -> EngineOptions {
    EngineOptions { learners, checkpoint_every: vec![Every::Records(1500)], ..EngineOptions::default() }
}

#[test]
fn every_record_is_learned_once_through_checkpoints_stops_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(folder.path().join("lines")).unwrap();
    file.write_all(counted_lines().as_bytes()).unwrap();
    let mut runs = 0;
    let finished = loop {
        runs += 1;
        let finished = run(folder.path(), learners(3), 3000 * runs).unwrap();
        assert_eq!(occurrences(&finished.model), 4.0 * finished.summary.examples as f64, "run {runs}");
        if finished.summary.examples == RECORDS as u64 {
            break finished;
        }
    };
    assert!(runs > 2, "it was never stopped");
    assert_eq!(finished.summary.records, RECORDS as u64);
    let text = std::fs::read_to_string(folder.path().join("predictions")).unwrap();
    for (number, line) in text.lines().enumerate() {
        assert!(line.starts_with(&format!("{{\"id\":{number},")), "line {number}: {line}");
    }
    assert_eq!(text.lines().count(), RECORDS);
}

#[test]
fn too_many_bad_records_end_the_run_with_every_good_one_so_far_learned_once() {
    let folder = tempfile::tempdir().unwrap();
    let bad = |(i, line): (usize, &str)| if i % 1000 == 999 { "{\n".to_owned() } else { format!("{line}\n") };
    let text: String = counted_lines().lines().enumerate().map(bad).collect();
    let mut file = std::fs::File::create(folder.path().join("lines")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let options = EngineOptions { max_errors: Some(10), ..learners(2) };
    let error = run(folder.path(), options, u64::MAX).unwrap_err();
    assert!(matches!(error, EngineError::TooManyErrors { .. }), "{error}");
    let mut generation =
        Writer::create_or_open(folder.path().join("model"), 2).unwrap().latest().unwrap().unwrap();
    let model = Model::load(&mut generation, &HashKey::default()).unwrap();
    assert!(model.learner().counters().examples > 10_000);
    assert_eq!(occurrences(&model), 4.0 * model.learner().counters().examples as f64);
}

const PARTITIONS: [&str; 2] = ["t[0]", "t[1]"];

/// Lines as two partitions by turns. Every few batches the one whose turn it is is wanted elsewhere, and comes back later.
struct Partitions {
    lines: std::vec::IntoIter<String>,
    at: [Position; 2],
    batches: usize,
    durable: Positions,
    leaving: usize,
    released: Arc<AtomicU64>,
    /// Batches after which others have all partitions.
    lost_after: usize,
}

impl Source for Partitions {
    fn resume(&mut self, _: &Positions) -> Result<(), SourceError> {
        Ok(())
    }

    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        let turn = self.batches % 2;
        batch.reset(&Arc::from(PARTITIONS[turn]), 0, self.at[turn]);
        self.batches += 1;
        if self.batches > self.lost_after {
            return Ok(Fetch::Lost);
        }
        if self.batches.is_multiple_of(7) {
            self.leaving = turn;
            batch.leave(vec![PARTITIONS[turn].to_owned()]);
            return Ok(Fetch::Drain);
        }
        for line in self.lines.by_ref().take(100) {
            let at = self.at[turn];
            let after = Position { lines: at.lines + 1, offset: at.offset + 1 };
            batch.push(line.as_bytes(), line.len() as u64, at, after);
            self.at[turn] = after;
        }
        Ok(if batch.is_empty() { Fetch::End } else { Fetch::Records })
    }

    fn acknowledge(&mut self, positions: &Positions) -> Result<(), SourceError> {
        self.durable = positions.clone();
        Ok(())
    }

    fn release(&mut self) -> Result<(), SourceError> {
        let name = PARTITIONS[self.leaving];
        assert_eq!(self.durable.of(name), self.at[self.leaving], "let go before all of it was durable");
        self.released.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Runs three learners over partitions that come and go; also says how often one was let go.
fn run_partitions(folder: &Path, lost_after: usize) -> (Result<Finished, EngineError>, u64) {
    let writer = Writer::create_or_open(folder.join("model"), 2).unwrap();
    let model = Model::new(&counting(), &HashKey::default()).unwrap();
    let lines: Vec<String> = counted_lines().lines().take(10_000).map(str::to_owned).collect();
    let released = Arc::new(AtomicU64::new(0));
    let source = Partitions {
        lines: lines.into_iter(),
        at: [Position::default(); 2],
        batches: 0,
        durable: Positions::default(),
        leaving: 0,
        released: Arc::clone(&released),
        lost_after,
    };
    let engine = Engine::new(model, learners(3), Outputs::default(), Some(writer));
    let finished = engine.run(Box::new(source), &AtomicBool::new(false), &mut ());
    (finished, released.load(Ordering::Relaxed))
}

fn saved(folder: &Path) -> Model {
    let mut generation = Writer::create_or_open(folder.join("model"), 2).unwrap().latest().unwrap().unwrap();
    Model::load(&mut generation, &HashKey::default()).unwrap()
}

#[test]
fn a_partition_leaves_when_all_learners_have_made_it_durable() {
    let folder = tempfile::tempdir().unwrap();
    let (finished, released) = run_partitions(folder.path(), usize::MAX);
    let finished = finished.unwrap();
    assert_eq!((finished.summary.examples, released), (10_000, 16));
    assert_eq!(occurrences(&finished.model), 40_000.0);
    assert_eq!(occurrences(&saved(folder.path())), 40_000.0);
}

#[test]
fn nothing_is_saved_after_partitions_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    // The 49th batch is a drain, after 4200 records; the 200 after it are nobody's.
    let (finished, released) = run_partitions(folder.path(), 51);
    assert!(matches!(finished, Err(EngineError::Publish(PublishError::Lost))), "{finished:?}");
    assert_eq!(released, 7);
    let model = saved(folder.path());
    assert_eq!(model.learner().counters().examples, 4200);
    assert_eq!(occurrences(&model), 4.0 * 4200.0);
}

#[test]
fn two_learners_are_nearly_as_good_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let lines = flights(60_000);
    let mut file = std::fs::File::create(folder.path().join("lines")).unwrap();
    for line in &lines {
        file.write_all(line.as_ref()).unwrap();
        file.write_all(b"\n").unwrap();
    }
    let loss = |learners: usize| {
        let flags = ModelFlags { buckets: Some(1 << 18), ..ModelFlags::default() };
        let model = Model::new(&flags, &HashKey::default()).unwrap();
        let options = EngineOptions { learners, ..EngineOptions::default() };
        let source = LinesSource::open(&[folder.path().join("lines")], LinesOptions::default()).unwrap();
        let stop = AtomicBool::new(false);
        let engine = Engine::new(model, options, Outputs::default(), None);
        engine.run(Box::new(source), &stop, &mut ()).unwrap().summary.figures.loss
    };
    // Neighbours in this stream are alike, and what the other learner has just seen of them is missed.
    let (one, two) = (loss(1), loss(2));
    assert!(two < 1.05 * one, "{two} beside {one}");
}

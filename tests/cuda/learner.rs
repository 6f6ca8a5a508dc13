//! What must hold on any machine for networks that learn there: what they predict, what they have learned and what they count is
//! that of the CPU, to the bit, whenever it is looked at and wherever a stored model goes on.

use super::Dice;
use flexihash::batch::Slot;
use flexihash::checkpoint::{ModelDir, Writer};
use flexihash::config::{ConfigFile, Every, ModelConfig, ModelFlags};
use flexihash::engine::{Engine, EngineError, EngineOptions, Model, Outputs};
use flexihash::field::{FieldBatch, FieldEncoder, FieldHasher, FieldScratch};
use flexihash::hash::HashKey;
use flexihash::kernel::cuda::{CudaError, Machine};
use flexihash::learner::{Learner, LearnerError, LearnerOptions, Mode, Outcomes, Piece};
use flexihash::parse::Parser;
use flexihash::source::{LinesOptions, LinesSource};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A machine that a learner can be moved to.
pub(crate) trait Anywhere: Machine + Send + Sync + 'static {}
impl<M: Machine + Send + Sync + 'static> Anywhere for M {}

/// Sums, one of them of two fields of one table, and biases whose rows all begin alike.
pub(crate) const DOT: &str = r#"
learning-rate = 0.2
batch = 7
[network]
kind = "dot"
dim = 5
objective = { loss = "squared" }
biases = true
[[fields]]
name = "user_id"
kind = "sum"
path = "user"
table = "shared"
buckets = 50
[[fields]]
name = "item_id"
kind = "id"
path = "item.id"
table = "shared"
[[fields]]
name = "user_bias"
kind = "id"
path = "user.id"
buckets = 300
init-mean = 1.5
init-scale = 0.0
[[fields]]
name = "item_bias"
kind = "sum"
path = "item"
buckets = 20
"#;

/// Stacked rows, lists that share tables, padding.
pub(crate) const RANKER: &str = r#"
learning-rate = 0.1
batch = 6
[network]
kind = "ranker"
dim = 6
user-hashes = 2
item-hashes = 2
author-hashes = 1
actions = ["liked", "loved"]
surfaces = 4
hidden = 5
[[fields]]
name = "history"
kind = "list"
max-items = 5
[[fields]]
name = "candidates"
kind = "list"
max-items = 5
[[fields]]
name = "user"
kind = "id"
path = "user.id"
buckets = 100
[[fields]]
name = "history_posts"
kind = "id"
path = "history.post"
table = "posts"
buckets = 60
separate = true
[[fields]]
name = "history_authors"
kind = "id"
path = "history.author"
table = "authors"
buckets = 30
[[fields]]
name = "history_actions"
kind = "numbers"
path = "history.actions"
names = ["liked", "loved"]
[[fields]]
name = "history_surfaces"
kind = "category"
path = "history.surface"
[[fields]]
name = "candidate_posts"
kind = "id"
path = "candidates.post"
table = "posts"
[[fields]]
name = "candidate_authors"
kind = "id"
path = "candidates.author"
table = "authors"
[[fields]]
name = "candidate_surfaces"
kind = "category"
path = "candidates.surface"
[[fields]]
name = "actions"
kind = "labels"
path = "candidates.actions"
"#;

/// Two fields of one record, smallest: for many steps.
const SMALL: &str = r#"
learning-rate = 0.1
batch = 4
[network]
kind = "dot"
dim = 3
[[fields]]
name = "user_id"
kind = "id"
path = "user.id"
table = "ids"
buckets = 40
[[fields]]
name = "item_id"
kind = "id"
path = "item.id"
table = "ids"
"#;

/// The rules that a machine has, with and without regularization.
pub(crate) const RULES: [&str; 5] = [
    "optimizer = \"sgd\"",
    "optimizer = \"sgd\"\nl1 = 0.001\nl2 = 0.01\nschedule = \"inverse-sqrt\"",
    "optimizer = \"adagrad\"",
    "optimizer = \"adagrad\"\nl1 = 0.001\nl2 = 0.01\ndense-optimizer = \"adam\"\ndense-learning-rate = 0.01",
    "optimizer = \"ftrl\"\nl1 = 0.001\nl2 = 0.01",
];

/// Ratings: users and items come again within a batch; some records have one of them, or nothing, or no label.
pub(crate) fn rated(count: usize) -> String {
    let mut dice = Dice(3);
    let one = |_| {
        let (user, item) = (dice.roll(12), dice.roll(9));
        let mut features = json!({
            "user": {"id": user.to_string(), "age": (user % 4) as f64 / 2.0, "kind": [format!("k{}", user % 3), "k0"]},
            "item": {"id": item.to_string(), "year": (item % 3).to_string()},
        });
        match dice.roll(12) {
            0 => features = json!({}),
            1 => features = json!({"user": {"id": user.to_string()}}),
            2 => features = json!({"item": features["item"]}),
            _ => {}
        }
        let mut record = json!({"label": 1 + (user * item + dice.roll(3)) % 5, "features": features});
        if dice.roll(10) == 0 {
            record["label"] = Value::Null;
        }
        record
    };
    lines((0..count).map(one))
}

/// Candidates, some of them without an answer, and histories from nothing to more than is kept.
pub(crate) fn shown(count: usize) -> String {
    let mut dice = Dice(4);
    let one = |_| {
        let user = dice.roll(15);
        let mut item = |answered: bool| {
            let post = dice.roll(25);
            let mut item =
                json!({"post": post.to_string(), "author": (post % 6).to_string(), "surface": post % 4});
            if answered {
                item["actions"] = json!({"liked": u8::from(post % 3 == user % 3), "loved": u8::from(post.is_multiple_of(5))});
            } else if post.is_multiple_of(2) {
                item["actions"] = json!(["liked"]);
            }
            item
        };
        let history: Vec<Value> = (0..user % 8).map(|_| item(false)).collect();
        let candidates: Vec<Value> = (0..user % 6).map(|at| item(at != 1)).collect();
        json!({"features": {"user": {"id": user}, "history": history, "candidates": candidates}})
    };
    lines((0..count).map(one))
}

fn lines(records: impl Iterator<Item = Value>) -> String {
    let mut out = String::new();
    records.for_each(|record| writeln!(out, "{record}").unwrap());
    out
}

/// The flags of a config file of this text.
pub(crate) fn flags(text: &str) -> ModelFlags {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.toml");
    std::fs::write(&path, text).unwrap();
    ConfigFile::read(&path).unwrap().model
}

pub(crate) fn config(rule: &str, model: &str) -> ModelConfig {
    flags(&format!("{rule}\n{model}")).resolve().unwrap()
}

/// `records` as the model's fields have them.
pub(crate) fn encoded(config: &ModelConfig, records: &str) -> FieldBatch {
    let fields = config.fields().unwrap();
    let hasher = FieldHasher::new(fields, &HashKey::default(), config.parse.labels).unwrap();
    let parser = Parser::new(config.parse.clone());
    let (mut batch, mut scratch) = (FieldBatch::default(), FieldScratch::default());
    for line in records.lines() {
        let mut encoder = FieldEncoder::new(&hasher, &mut scratch, &mut batch);
        parser.parse(line.as_bytes(), &mut encoder).unwrap();
        encoder.finish().unwrap();
    }
    batch
}

/// The bits of all predictions.
pub(crate) fn pass(
    learner: &mut Learner,
    batch: &FieldBatch,
    rows: std::ops::Range<usize>,
    mode: Mode,
) -> Vec<u32> {
    let mut outcomes = Outcomes::default();
    learner.process_fields(&[Piece { batch, rows }], mode, &mut outcomes).unwrap();
    outcomes.predictions.iter().map(|prediction| prediction.to_bits()).collect()
}

pub(crate) type Bits = Vec<(String, Vec<(Slot, Vec<u32>)>)>;

/// Every row that was learned, by table.
pub(crate) fn rows(learner: &Learner) -> Bits {
    let tables = learner.tables().into_iter().map(|(name, table)| {
        let mut rows = Vec::new();
        table.for_each_touched(|slot, row| {
            rows.push((slot, row.iter().map(|float| float.to_bits()).collect()));
        });
        (name, rows)
    });
    tables.collect()
}

/// All that is known by the one is known by the other.
pub(crate) fn assert_same(what: &str, learner: &Learner, expected: &Learner) {
    assert_eq!(learner.counters(), expected.counters(), "{what}");
    let bits = |learner: &Learner| {
        let vectors = learner.vectors().into_iter();
        vectors
            .map(|(name, values)| (name, values.into_iter().map(f64::to_bits).collect()))
            .collect::<Vec<(String, Vec<u64>)>>()
    };
    assert!(bits(learner) == bits(expected), "{what}: dense parameters or figures differ");
    let (found, expected) = (rows(learner), rows(expected));
    assert!(found.iter().all(|(_, rows)| !rows.is_empty()), "{what}: nothing learned");
    assert!(found == expected, "{what}: rows differ");
}

/// A learner on the machine and one on the CPU learn the same records, in calls of `piece` records.
fn learn_both<M: Anywhere>(
    machine: &Arc<M>,
    what: &str,
    config: &ModelConfig,
    (records, piece): (&str, usize),
) {
    let batch = encoded(config, records);
    let (mut there, mut here) = (config.learner().unwrap(), config.learner().unwrap());
    there.move_to_device(Arc::clone(machine)).unwrap();
    assert!(there.is_on_device() && !here.is_on_device());
    let count = batch.records().len();
    for (round, start) in (0..count).step_by(piece).enumerate() {
        let rows = start..(start + piece).min(count);
        let found = pass(&mut there, &batch, rows.clone(), Mode::Learn);
        assert_eq!(found, pass(&mut here, &batch, rows.clone(), Mode::Learn), "{what}, {rows:?}");
        if round % 3 == 1 {
            assert_same(what, &there, &here); // looked at, and learned on
        }
    }
    for mode in [Mode::Predict, Mode::Again, Mode::Predict] {
        assert_eq!(
            pass(&mut there, &batch, 0..count, mode),
            pass(&mut here, &batch, 0..count, mode),
            "{what}, {mode:?}"
        );
    }
    let viewed = |learner: &Learner| {
        let mut outcomes = Outcomes::default();
        learner.view().predict_fields(&[Piece { batch: &batch, rows: 0..count }], &mut outcomes).unwrap();
        outcomes.predictions
    };
    assert_eq!(viewed(&there), viewed(&here), "{what}, beside it");
    assert_same(what, &there, &here);
}

/// Every rule on sums, stacked rows, lists and shared tables.
pub(crate) fn networks_learn_as_on_the_cpu<M: Anywhere>(machine: &Arc<M>, records: usize) {
    for rule in RULES {
        learn_both(machine, &format!("dot, {rule}"), &config(rule, DOT), (&rated(records), 25));
        learn_both(machine, &format!("ranker, {rule}"), &config(rule, RANKER), (&shown(records / 2), 20));
    }
}

/// What is looked up of a record alone, where the CPU takes another way than for many.
pub(crate) fn records_by_themselves_are_learned_as_on_the_cpu<M: Anywhere>(machine: &Arc<M>) {
    let alone = |model: &str| model.replace("batch = ", "batch = 1 # ");
    learn_both(machine, "dot by one", &config(RULES[2], &alone(DOT)), (&rated(40), 10));
    learn_both(machine, "ranker by one", &config(RULES[4], &alone(RANKER)), (&shown(15), 5));
}

/// As many steps as that.
pub(crate) fn a_network_after<M: Anywhere>(machine: &Arc<M>, steps: usize) {
    let config = config(RULES[2], SMALL);
    let records = rated(400);
    let batch = encoded(&config, &records);
    let (mut there, mut here) = (config.learner().unwrap(), config.learner().unwrap());
    there.move_to_device(Arc::clone(machine)).unwrap();
    for round in 0..steps.div_ceil(100) {
        let mode = if round == 0 { Mode::Learn } else { Mode::Again };
        let found = pass(&mut there, &batch, 0..400, mode);
        assert_eq!(found, pass(&mut here, &batch, 0..400, mode), "after {round} hundred steps");
    }
    assert_same(&format!("{steps} steps"), &there, &here);
}

/// Steps that f32 cannot hold are dropped and counted by record of the batch.
pub(crate) fn steps_too_far_are_counted_as_on_the_cpu<M: Anywhere>(machine: &Arc<M>) {
    let wild = SMALL.replace("learning-rate = 0.1", "learning-rate = 3e39");
    let config = config(RULES[0], &wild);
    let batch = encoded(&config, &rated(20));
    let (mut there, mut here) = (config.learner().unwrap(), config.learner().unwrap());
    there.move_to_device(Arc::clone(machine)).unwrap();
    for learner in [&mut there, &mut here] {
        pass(learner, &batch, 0..20, Mode::Learn);
    }
    assert!(here.counters().dropped_steps >= 20, "{:?}", here.counters());
    assert_same("too far", &there, &here);
}

fn run(model: Model, store: Writer, input: &Path) -> Result<Model, EngineError> {
    let source = LinesSource::open(&[input.to_owned()], LinesOptions::default()).unwrap();
    let options = EngineOptions { checkpoint_every: vec![Every::Records(30)], ..EngineOptions::default() };
    let engine = Engine::new(model, options, Outputs::default(), Some(store));
    Ok(engine.run(Box::new(source), &AtomicBool::new(false), &mut ())?.model)
}

/// A model is stored while it learns on one side, and goes on, from what is stored, on the other; it is that of a run on the CPU alone.
pub(crate) fn a_stored_model_goes_on_on_the_other_side<M: Anywhere>(machine: &Arc<M>) {
    for (rule, model, records) in [(RULES[2], DOT, rated(160)), (RULES[4], RANKER, shown(80))] {
        let (flags, folder) = (flags(&format!("{rule}\n{model}")), tempfile::tempdir().unwrap());
        let lines: Vec<&str> = records.lines().collect();
        let parts: Vec<_> = lines.chunks(lines.len() / 2).take(2).enumerate().collect();
        for (index, part) in &parts {
            std::fs::write(folder.path().join(format!("part{index}")), part.join("\n") + "\n").unwrap();
        }
        let run = |there: [bool; 2]| {
            let path = folder.path().join(format!("model {there:?}"));
            for (index, there) in there.into_iter().enumerate() {
                let store = Writer::create_or_open(&path, 2).unwrap();
                let mut model = match store.latest().unwrap() {
                    Some(mut stored) => Model::load(&mut stored, &HashKey::default()).unwrap(),
                    None => Model::new(&flags, &HashKey::default()).unwrap(),
                };
                if there {
                    model.move_to_device(Arc::clone(machine)).unwrap();
                }
                run(model, store, &folder.path().join(format!("part{index}"))).unwrap();
            }
            let mut stored = ModelDir::open(&path).unwrap().latest().unwrap().unwrap();
            let config = stored.manifest().progress.config.clone();
            (Model::load(&mut stored, &HashKey::default()).unwrap(), config)
        };
        let (expected, config) = run([false, false]);
        assert!(expected.learner().counters().records >= 60);
        for there in [[true, true], [true, false], [false, true]] {
            let (found, as_stored) = run(there);
            assert_same(&format!("{there:?}, {rule}"), found.learner(), expected.learner());
            assert_eq!(as_stored, config, "where it learns is no part of a model");
        }
    }
}

/// What cannot be on a device is refused in one sentence, and goes on where it is.
pub(crate) fn learners_that_do_not_fit_are_refused<M: Anywhere>(machine: &Arc<M>) {
    let mut heads = Learner::new(LearnerOptions { buckets: 100, ..LearnerOptions::default() }).unwrap();
    let error = heads.move_to_device(Arc::clone(machine)).unwrap_err();
    assert!(error.to_string().contains("Leave --device out, or learn a network"), "{error}");
    for (rule, dim, expected) in [
        ("optimizer = \"adam\"", "dim = 5", "sgd, adagrad or ftrl, not by adam"),
        (RULES[0], "dim = 1025", "a dim of 1025: on a device 1 to 1024 are possible"),
    ] {
        let config = config(rule, &DOT.replace("dim = 5", dim));
        let (batch, mut learner) = (encoded(&config, &rated(10)), config.learner().unwrap());
        let error = learner.move_to_device(Arc::clone(machine)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!learner.is_on_device());
        assert_eq!(pass(&mut learner, &batch, 0..10, Mode::Learn).len(), 10);
    }
}

/// A network on a machine that has failed says so from then on, and is not saved: its rows may be half-way.
pub(crate) fn what_has_failed_is_not_saved<M: Anywhere>(machine: &Arc<M>, fail_after: impl Fn(usize)) {
    let flags = flags(&format!("{}\n{DOT}", RULES[2]));
    let folder = tempfile::tempdir().unwrap();
    let mut store = Writer::create_or_open(folder.path().join("model"), 2).unwrap();
    let mut model = Model::new(&flags, &HashKey::default()).unwrap();
    model.move_to_device(Arc::clone(machine)).unwrap();
    let records = rated(30);
    let (mut lines, mut learned) = (records.lines(), 0);
    for line in lines.by_ref().take(20) {
        learned += u64::from(model.learn_json(line.as_bytes()).is_ok());
    }
    assert_eq!(learned, 20);
    model.save(&mut store).unwrap();
    let before = rows(model.learner());
    model.learn_json(lines.next().unwrap().as_bytes()).unwrap();
    fail_after(0);
    let failed = |error: &dyn std::error::Error| assert!(error.to_string().contains("on purpose"), "{error}");
    failed(&model.learn_json(lines.next().unwrap().as_bytes()).unwrap_err());
    failed(&model.predict_json(lines.next().unwrap().as_bytes()).unwrap_err());
    failed(&model.save(&mut store).unwrap_err());
    assert!(matches!(model.learner().write_back(), Err(LearnerError::Cuda(CudaError::Driver { .. }))));
    assert!(rows(model.learner()) == before, "as they were written back last");
    drop(store);
    let mut stored = ModelDir::open(folder.path().join("model")).unwrap().latest().unwrap().unwrap();
    let stored = Model::load(&mut stored, &HashKey::default()).unwrap();
    assert_eq!(stored.learner().counters().records, 20);
    assert!(rows(stored.learner()) == before);
}

/// The run ends with the machine's error; what was stored before is whole, and goes on elsewhere as if nothing had happened.
pub(crate) fn a_run_on_a_machine_that_fails_goes_on_from_what_was_stored<M: Anywhere>(
    machine: &Arc<M>,
    fail_after: impl Fn(usize),
) {
    let (flags, folder) = (flags(&format!("{}\n{DOT}", RULES[2])), tempfile::tempdir().unwrap());
    let (input, key) = (folder.path().join("in"), HashKey::default());
    std::fs::write(&input, rated(300)).unwrap();
    let whole = Writer::create_or_open(folder.path().join("whole"), 2).unwrap();
    let expected = run(Model::new(&flags, &key).unwrap(), whole, &input).unwrap();
    let mut went_on = 0;
    for work in [600, 1100, 1500] {
        let path = folder.path().join(format!("after {work}"));
        fail_after(usize::MAX);
        let mut model = Model::new(&flags, &key).unwrap();
        model.move_to_device(Arc::clone(machine)).unwrap();
        fail_after(work);
        let error = run(model, Writer::create_or_open(&path, 2).unwrap(), &input).unwrap_err();
        assert!(error.to_string().contains("on purpose"), "{error}");
        let store = Writer::create_or_open(&path, 2).unwrap();
        let stored = store.latest().unwrap().map(|mut stored| Model::load(&mut stored, &key).unwrap());
        went_on += usize::from(stored.is_some());
        let model = stored.unwrap_or_else(|| Model::new(&flags, &key).unwrap());
        let found = run(model, store, &input).unwrap();
        assert_same(&format!("failed after {work}"), found.learner(), expected.learner());
    }
    assert!(went_on > 0, "nothing was ever stored");
}

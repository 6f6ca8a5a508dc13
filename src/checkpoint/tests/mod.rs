//! Tests of model folders: a small model beside which a plain map keeps what it must hold.

mod columns;
mod disk;
mod faults;
mod folder;
mod format;
mod ladder;
mod random;

use super::*;
use crate::batch::Slot;
use crate::record::Position;
use crate::table::{Init, StripeSet, Table, TableOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// SplitMix64: the same tests on every machine.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}

/// Rows by slot, as bits: a row of weights and its side column.
pub(super) type Rows = BTreeMap<u32, (Vec<u32>, Vec<u32>)>;

/// What a model holds at one instant. `step` counts the updates before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) step: u64,
    pub(super) tables: [Rows; 2],
}

const NAMES: [&str; 2] = ["main", "bias"];

fn options(index: usize) -> TableOptions {
    let wide = TableOptions {
        rows: 1000,
        width: 3,
        side: 2,
        init: Init::Normal { start: 0, columns: 2, mean: 0.0, scale: 1.0, tail: &[] },
        seed: 5,
    };
    let narrow = TableOptions { rows: 7, width: 1, side: 0, init: Init::Zeros, seed: 5 };
    if index == 0 { wide } else { narrow }
}

/// A model that learns nonsense, and the map that knows what it learned.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) tables: [Arc<Table>; 2],
    pub(super) state: State,
}

impl Default for Model {
    fn default() -> Self {
        let tables = [0, 1].map(|index| Arc::new(Table::new(options(index)).unwrap()));
        Self { tables, state: State::default() }
    }
}

impl Model {
    /// One update: overwrites a row of each table with values that name the step.
    pub(super) fn learn(&mut self, slot: u32) {
        self.state.step += 1;
        for (table, rows) in self.tables.iter().zip(&mut self.state.tables) {
            let slot = slot % table.options().rows as u32;
            let mut set = StripeSet::default();
            set.insert(table.stripe_of(Slot(slot)));
            let mut lease = table.lease(set);
            let (row, side) = lease.row_mut(Slot(slot));
            let values = (1_u64..).map(|i| (self.state.step * 8 + i) as f32);
            row.iter_mut().chain(side.iter_mut()).zip(values).for_each(|(float, value)| *float = value);
            let bits = |floats: &[f32]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
            rows.insert(slot, (bits(row), bits(side)));
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let cuts = NAMES.iter().zip(&self.tables).map(|(name, table)| TableCut::begin(*name, table));
        let step = self.state.step;
        let mut progress = Progress::default();
        progress.positions.advance("in.jsonl", Position { lines: step, offset: step * 100 });
        progress.outputs.insert("out.jsonl".to_owned(), step * 30);
        progress.counters = serde_json::json!({ "examples": step, "loss": 0.1 + step as f64 / 3.0 });
        let tensors = [
            ("step".to_owned(), Tensor::vector(TensorData::U64(vec![step, u64::MAX]))),
            ("mixer".to_owned(), Tensor { shape: vec![], data: TensorData::F32(vec![step as f32]) }),
        ];
        Snapshot { tables: cuts.collect(), tensors: tensors.into(), progress }
    }
}

/// Loads a generation into fresh tables and checks that its parts belong together.
pub(super) fn load(mut generation: Generation) -> Result<Model, CheckpointError> {
    let mut model = Model::default();
    let tensors = generation.load_tensors()?;
    let TensorData::U64(step) = &tensors["step"].data else { panic!("{tensors:?}") };
    model.state.step = step[0];
    for (index, name) in NAMES.iter().enumerate() {
        generation.load_table(name, &model.tables[index])?;
        model.state.tables[index] = rows_of(&model.tables[index]);
    }
    let progress = &generation.manifest().progress;
    let step = model.state.step;
    assert_eq!(progress.positions.of("in.jsonl").lines, step, "positions are those of the rows");
    assert_eq!(progress.outputs["out.jsonl"], step * 30);
    assert_eq!(progress.counters["loss"].as_f64(), Some(0.1 + step as f64 / 3.0), "exact to the last bit");
    Ok(model)
}

/// The newest generation, loaded; a fresh model if there is none.
pub(super) fn load_latest(path: &Path) -> Result<Model, CheckpointError> {
    ModelDir::open(path)?.latest()?.map_or_else(|| Ok(Model::default()), load)
}

fn rows_of(table: &Table) -> Rows {
    let mut slots = Vec::new();
    table.for_each_touched(|slot, _| slots.push(slot));
    let mut lease = table.lease_all();
    let bits = |floats: &[f32]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
    slots.into_iter().map(|slot| (slot.0, (bits(lease.row(slot)), bits(lease.side(slot))))).collect()
}

/// Names of all files of a folder.
pub(super) fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Asserts that a folder that nobody writes to holds the newest `keep` generations and nothing else.
pub(super) fn assert_nothing_left_over(path: &Path, keep: usize) {
    let dir = ModelDir::open(path).unwrap();
    let generations = dir.generations().unwrap();
    assert!(generations.len() <= keep, "{generations:?}");
    let mut expected: Vec<String> = vec!["LOCK".to_owned()];
    expected.extend(dir.hash_key().unwrap().map(|_| "hash.key".to_owned()));
    for &generation in &generations {
        expected.push(name::Name::Manifest(generation).to_string());
        let manifest = dir.manifest(generation).unwrap();
        expected.extend(manifest.files().into_iter().map(str::to_owned));
    }
    expected.sort();
    expected.dedup();
    assert_eq!(files(path), expected);
}

//! Random sequences of learning, commits, faults, power cuts and reopenings, beside a plain map.

use super::disk::{Disk, Lost, Plan};
use super::*;
use std::collections::BTreeMap as Map;

struct Run {
    folder: tempfile::TempDir,
    disk: Arc<Disk>,
    random: Random,
    model: Model,
    tried: Map<u64, State>,
    good: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tried = Map::from([(0, State::default())]);
        Self {
            folder,
            disk: if seed.is_multiple_of(2) { Disk::new(Plan::Healthy) } else { Disk::ahead(Plan::Healthy) },
            random: Random(seed),
            model: Model::default(),
            tried,
            good: 0,
        }
    }

    /// Opens the folder and goes on from what it holds.
    fn open(&mut self) -> Writer {
        self.disk.plan(Plan::Healthy);
        let path = self.folder.path();
        let mut writer = Writer::open_with(self.disk.storage(path), path, 2).unwrap();
        writer.max_deltas = 2;
        self.model = load_latest(path).unwrap();
        let step = self.model.state.step;
        assert!(step >= self.good, "generation {} is gone, {step} is there", self.good);
        assert_eq!(self.model.state, self.tried[&step]);
        self.good = step;
        self.tried = Map::from([(step, self.model.state.clone())]);
        writer
    }

    fn learn(&mut self) {
        // Few rows often, many rows rarely: chains of every shape.
        let range = if self.random.below(4) == 0 { 1000 } else { 30 };
        for _ in 0..self.random.below(40) {
            self.model.learn(self.random.below(range) as u32);
        }
    }

    fn commit(&mut self, writer: &mut Writer) {
        let snapshot = self.model.snapshot();
        let step = self.model.state.step;
        self.tried.insert(step, self.model.state.clone());
        self.learn();
        if writer.commit(snapshot).is_ok() {
            self.good = step;
        }
    }

    fn go(&mut self, steps: u64) {
        let mut writer = self.open();
        for _ in 0..steps {
            match self.random.below(12) {
                0..4 => self.learn(),
                4..8 => self.commit(&mut writer),
                8 => self.disk.plan(Plan::FailAt(1 + self.random.below(25))),
                9 => drop(writer.wait_for_fold()),
                10 => {
                    drop(writer);
                    writer = self.open();
                }
                _ => {
                    self.disk.plan(Plan::CrashAt(1 + self.random.below(40)));
                    self.commit(&mut writer);
                    self.commit(&mut writer);
                    drop(writer);
                    let lost = [Lost::All, Lost::AllButTheLast][self.random.below(2) as usize];
                    self.disk.cut_power(lost);
                    writer = self.open();
                }
            }
        }
        drop(writer);
        drop(self.open());
        if self.good > 0 {
            assert_nothing_left_over(self.folder.path(), 2);
        }
    }
}

#[test]
fn any_sequence_of_commits_faults_and_power_cuts_keeps_the_last_good_generation() {
    for seed in 0..60 {
        Run::new(seed).go(60);
    }
}

#[test]
fn a_long_run_keeps_its_chains_short() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
    let mut model = Model::default();
    let mut random = Random(3);
    (0..1000).for_each(|slot| model.learn(slot));
    let mut folds = 0;
    for _ in 0..120 {
        model.learn(random.below(1000) as u32);
        let manifest = writer.commit(model.snapshot()).unwrap();
        folds += usize::from(manifest.tables[0].chain.iter().any(|file| file.stored.file.starts_with('f')));
        for table in &manifest.tables {
            assert!(table.chain.len() <= 4 * fold::MAX_DELTAS + 2, "{}", table.chain.len());
        }
    }
    assert!(folds > 10, "{folds} generations with a folded file");
    writer.wait_for_fold().unwrap();
    let manifest = writer.commit(model.snapshot()).unwrap();
    assert!(manifest.chain_files() <= 2 * (fold::MAX_DELTAS + 2), "{}", manifest.chain_files());
    assert_eq!(load(writer.latest().unwrap().unwrap()).unwrap().state, model.state);
    drop(writer);
    assert_nothing_left_over(folder.path(), 2);
}

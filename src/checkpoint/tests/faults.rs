//! Every operation of a run fails in turn, or is the last before a power cut.

use super::disk::{Disk, Lost, Plan};
use super::*;
use crate::hash::HashKey;
use std::collections::BTreeMap as Map;

const KEEP: usize = 2;
const COMMITS: u64 = 6;

/// What a run left: the last commit that succeeded, and every one that was tried.
#[derive(Debug, Default)]
struct Outcome {
    tried: Map<u64, State>,
    good: u64,
    last: u64,
}

/// Opens a folder, commits a few times and folds after each. Whatever fails, the run goes on.
fn run(disk: &Arc<Disk>, path: &Path) -> Outcome {
    let mut outcome = Outcome::default();
    let open = || Writer::open_with(disk.storage(path), path, KEEP);
    let Ok(mut writer) = open().or_else(|_| open()) else { return outcome };
    writer.max_deltas = 1;
    let key = HashKey::from_bytes([7; 16]);
    let _ = writer.store_hash_key(&key).or_else(|_| writer.store_hash_key(&key));
    let mut model = Model::default();
    let mut random = Random(1);
    for commit in 0..COMMITS {
        for _ in 0..=commit % 3 * 4 {
            model.learn(random.below(40) as u32);
        }
        let snapshot = model.snapshot();
        let step = model.state.step;
        outcome.tried.insert(step, model.state.clone());
        outcome.last = step;
        model.learn(random.below(40) as u32); // while the commit is being written
        match writer.commit(snapshot) {
            Ok(manifest) => {
                outcome.good = step;
                assert_eq!(manifest.progress.positions.of("in.jsonl").lines, step);
            }
            Err(error) => assert!(error.to_string().contains("no storage space"), "{error}"),
        }
        let _ = writer.wait_for_fold();
    }
    outcome
}

/// Runs with a fault at the n-th operation, for every n there is, and lets `check` look at what is left; files are
/// written from first to last, then with columns written ahead, which takes more operations.
fn for_every_operation(plan: fn(u64) -> Plan, check: impl Fn(&Disk, &Path, &Outcome)) {
    let streamed = for_every_operation_of(|n| Disk::new(plan(n)), &check);
    let ahead = for_every_operation_of(|n| Disk::ahead(plan(n)), &check);
    assert!(streamed > 100 && ahead > streamed + 50, "only {streamed} and {ahead} operations");
}

fn for_every_operation_of(disk: impl Fn(u64) -> Arc<Disk>, check: impl Fn(&Disk, &Path, &Outcome)) -> u64 {
    for n in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(n);
        let outcome = run(&disk, folder.path());
        if !disk.hit() {
            return n - 1;
        }
        check(&disk, folder.path(), &outcome);
    }
    unreachable!()
}

/// The folder holds the last good generation, or one that was tried after it, exactly.
fn assert_whole(path: &Path, outcome: &Outcome) -> State {
    let state = load_latest(path).unwrap().state;
    assert!(state.step >= outcome.good, "generation {} is gone, {} is there", outcome.good, state.step);
    if state.step > 0 {
        assert_eq!(state, outcome.tried[&state.step]);
    }
    state
}

/// After all of it, the folder takes a new commit, keeps nothing it does not need, and loads.
fn assert_goes_on(path: &Path) {
    let mut model = load_latest(path).unwrap();
    let mut writer = Writer::create_or_open(path, KEEP).unwrap();
    let nothing_yet = ModelDir::open(path).unwrap().generations().unwrap().is_empty();
    if !nothing_yet {
        assert_nothing_left_over(path, KEEP);
    }
    model.learn(3);
    writer.commit(model.snapshot()).unwrap();
    drop(writer);
    assert_eq!(load_latest(path).unwrap().state, model.state);
}

#[test]
fn any_operation_may_fail_and_the_next_commit_holds_everything() {
    for_every_operation(Plan::FailAt, |_, path, outcome| {
        let state = assert_whole(path, outcome);
        if outcome.good == outcome.last {
            assert_eq!(state.step, outcome.last);
        }
        assert!(files(path).len() < 30, "{:?}", files(path));
        assert_goes_on(path);
    });
}

#[test]
fn power_may_go_at_any_operation() {
    for lost in [Lost::All, Lost::AllButTheLast] {
        for_every_operation(Plan::CrashAt, |disk, path, outcome| {
            disk.cut_power(lost);
            assert_whole(path, outcome);
            assert_goes_on(path);
        });
    }
}

/// A folder whose second commit failed at its very last fsync: the manifest is there, but nobody knows for how long.
fn unsure_of_its_last_commit(disk: &Arc<Disk>, path: &Path) -> (Writer, Model) {
    let mut writer = Writer::open_with(disk.storage(path), path, 1).unwrap();
    let mut model = Model::default();
    model.learn(1);
    writer.commit(model.snapshot()).unwrap();
    model.learn(2);
    // Three data files and a manifest of four operations each, and the folder.
    disk.plan(Plan::FailAt(18));
    let error = writer.commit(model.snapshot()).unwrap_err();
    assert!(matches!(error, CheckpointError::Io { operation: Operation::SyncFolder, .. }), "{error}");
    assert_eq!(writer.folder().generations().unwrap(), [1, 2]);
    (writer, model)
}

#[test]
fn a_generation_that_may_yet_vanish_replaces_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(Plan::Healthy);
    let (writer, _) = unsure_of_its_last_commit(&disk, folder.path());
    drop(writer);
    disk.cut_power(Lost::All);
    assert_eq!(load_latest(folder.path()).unwrap().state.step, 1);
}

#[test]
fn opening_a_folder_makes_sure_of_its_newest_generation_before_older_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(Plan::Healthy);
    let (writer, model) = unsure_of_its_last_commit(&disk, folder.path());
    drop(writer);
    drop(Writer::open_with(disk.storage(folder.path()), folder.path(), 1).unwrap());
    disk.cut_power(Lost::All);
    assert_eq!(load_latest(folder.path()).unwrap().state, model.state);
    assert_nothing_left_over(folder.path(), 1);
}

#[test]
fn a_process_may_be_killed_at_any_operation() {
    for_every_operation(Plan::CrashAt, |_, path, outcome| {
        assert_whole(path, outcome);
        assert_goes_on(path);
    });
}

#[test]
fn commits_that_keep_failing_leave_nothing_behind_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(Plan::Healthy);
    let mut writer = Writer::open_with(disk.storage(folder.path()), folder.path(), KEEP).unwrap();
    let mut model = Model::default();
    model.learn(1);
    writer.commit(model.snapshot()).unwrap();
    let before = files(folder.path());
    for n in 1..=9 {
        model.learn(n as u32 * 7);
        disk.plan(Plan::FailAt(n));
        assert!(writer.commit(model.snapshot()).is_err(), "operation {n}");
        assert_eq!(files(folder.path()), before);
    }
    let manifest = writer.commit(model.snapshot()).unwrap();
    assert!(manifest.generation > 9, "no number is used twice");
    assert_eq!(load_latest(folder.path()).unwrap().state, model.state);
}

#[test]
fn what_cannot_be_removed_does_not_fail_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(Plan::Healthy);
    let mut writer = Writer::open_with(disk.storage(folder.path()), folder.path(), 1).unwrap();
    let mut model = Model::default();
    writer.commit(model.snapshot()).unwrap();
    model.learn(1);
    let snapshot = model.snapshot();
    // Three data files and a manifest of four operations each, two fsyncs of the folder: then the removals.
    disk.plan(Plan::CrashAt(19));
    writer.commit(snapshot).unwrap();
    assert!(disk.hit());
    disk.plan(Plan::Healthy);
    writer.commit(model.snapshot()).unwrap();
    assert_nothing_left_over(folder.path(), 1);
}

#[test]
fn a_commit_that_panics_gives_its_rows_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), KEEP).unwrap();
    let hook: storage::Hook = Arc::new(|operation, path: &Path| {
        assert!(
            operation != Operation::Sync || !path.ends_with("g0000000001.1.rows.safetensors.tmp"),
            "boom"
        );
        Ok(())
    });
    let mut model = Model::default();
    model.learn(5);
    drop(writer);
    writer =
        Writer::open_with(storage::Storage::with_hook(folder.path(), hook), folder.path(), KEEP).unwrap();
    let commit = std::panic::AssertUnwindSafe(|| writer.commit(model.snapshot()));
    assert!(std::panic::catch_unwind(commit).is_err());
    drop(writer);
    let mut writer = Writer::create_or_open(folder.path(), KEEP).unwrap();
    writer.commit(model.snapshot()).unwrap();
    assert_eq!(load_latest(folder.path()).unwrap().state, model.state);
    drop(writer);
    assert_nothing_left_over(folder.path(), KEEP);
}

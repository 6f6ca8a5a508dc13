//! Who may open a folder, what a commit accepts, and reading while another writes.

#![expect(clippy::disallowed_methods, reason = "foreign files need not be durable")]

use super::*;
use crate::hash::HashKey;

fn touch(path: &Path, name: &str) {
    std::fs::write(path.join(name), "x").unwrap();
}

#[test]
fn a_second_trainer_is_told_who_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let first = Writer::create_or_open(folder.path(), 2).unwrap();
    let error = Writer::create_or_open(folder.path(), 2).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, CheckpointError::Locked { .. }), "{text}");
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    drop(first);
    Writer::create_or_open(folder.path(), 2).unwrap();
}

#[test]
fn a_missing_folder_is_created_with_those_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c");
    let writer = Writer::create_or_open(&path, 2).unwrap();
    assert!(writer.latest().unwrap().is_none());
    assert!(ModelDir::open(&path).unwrap().latest().unwrap().is_none());
}

#[test]
fn a_folder_of_other_things_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "thesis.tex");
    for error in [
        Writer::create_or_open(folder.path(), 2).map(drop).unwrap_err(),
        ModelDir::open(folder.path()).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, CheckpointError::NotAModel { .. }), "{error}");
        assert!(error.to_string().contains("thesis.tex"));
    }
    assert_eq!(files(folder.path()), ["thesis.tex"]);
}

#[test]
fn foreign_files_beside_a_model_are_never_removed_and_an_empty_volume_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("lost+found")).unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 1).unwrap();
    let foreign = ["notes.txt", "x.tmp", "g1.manifest.json", "model.rows.safetensors"];
    let left_over =
        ["g0000000009.0.rows.safetensors", "hash.key.tmp", "f0000000001-0000000002.0.rows.safetensors"];
    foreign.iter().chain(&left_over).for_each(|name| touch(folder.path(), name));
    writer.commit(Model::default().snapshot()).unwrap();
    let left = files(folder.path());
    assert!(foreign.iter().all(|name| left.iter().any(|found| found == name)), "{left:?}");
    assert!(!left_over.iter().any(|name| left.iter().any(|found| found == name)), "{left:?}");
}

#[test]
fn a_path_that_cannot_be_written_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "file");
    let error = Writer::create_or_open(folder.path().join("file"), 2).unwrap_err();
    assert!(error.to_string().contains("cannot create"), "{error}");
    let error = Writer::create_or_open(folder.path().join("file/model"), 2).unwrap_err();
    assert!(error.to_string().contains("cannot create"), "{error}");
    let error = ModelDir::open(folder.path().join("none")).unwrap_err();
    assert!(error.to_string().contains("cannot read"), "{error}");
}

#[test]
fn a_folder_where_no_file_can_be_created_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::Disk::new(disk::Plan::FailAt(1));
    let error = Writer::open_with(disk.storage(folder.path()), folder.path(), 2).unwrap_err();
    assert!(error.to_string().contains("cannot create"), "{error}");
}

#[cfg(unix)]
#[test]
fn the_key_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create_or_open(folder.path(), 2).unwrap();
    // A leftover that everybody may read must not lend its mode.
    touch(folder.path(), "hash.key.tmp");
    writer.store_hash_key(&HashKey::from_bytes([9; 16])).unwrap();
    let mode = std::fs::metadata(folder.path().join("hash.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_key_is_kept_and_no_other_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create_or_open(folder.path(), 2).unwrap();
    assert_eq!(writer.folder().hash_key().unwrap(), None);
    let key = HashKey::from_bytes([9; 16]);
    writer.store_hash_key(&key).unwrap();
    writer.store_hash_key(&key).unwrap();
    assert_eq!(ModelDir::open(folder.path()).unwrap().hash_key().unwrap(), Some(key));
    let error = writer.store_hash_key(&HashKey::default()).unwrap_err();
    assert!(matches!(error, CheckpointError::OtherKey { .. }), "{error}");
}

#[test]
fn a_broken_key_file_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create_or_open(folder.path(), 2).unwrap();
    std::fs::write(folder.path().join("hash.key"), "00112233445566778899aabbccddeeXX").unwrap();
    let error = writer.folder().hash_key().unwrap_err();
    assert!(matches!(error, CheckpointError::Key { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("0011"), "{error}");
}

#[test]
fn a_commit_refuses_what_could_not_be_loaded_and_loses_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
    let mut model = Model::default();
    model.learn(4);
    let mut wrong_count = model.snapshot();
    wrong_count.tables[0].rows += 1;
    assert!(matches!(writer.commit(wrong_count), Err(CheckpointError::Cut { announced: 2, found: 1, .. })));
    let mut wrong_shape = model.snapshot();
    let tensor = Tensor { shape: vec![2, 2], data: TensorData::F64(vec![0.0; 3]) };
    wrong_shape.tensors.insert("odd".to_owned(), tensor);
    assert!(matches!(writer.commit(wrong_shape), Err(CheckpointError::Tensor { values: 3, .. })));
    let mut twice = model.snapshot();
    twice.tables.push(TableCut { name: "main".to_owned(), table: Arc::clone(&model.tables[0]), rows: 0 });
    assert!(matches!(writer.commit(twice), Err(CheckpointError::TwiceTheSame { .. })));
    writer.commit(model.snapshot()).unwrap();
    assert_eq!(load_latest(folder.path()).unwrap().state, model.state);
}

#[test]
fn a_commit_refuses_a_number_that_is_not_finite() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
    let model = Model::default();
    model.tables[0].lease_all().row_mut(Slot(77)).1[1] = f32::INFINITY;
    let error = writer.commit(model.snapshot()).unwrap_err();
    assert!(matches!(error, CheckpointError::NotFinite { slot: 77, .. }), "{error}");
    assert!(writer.latest().unwrap().is_none());
}

#[test]
fn tables_must_be_those_of_the_generation_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
    let mut model = Model::default();
    model.learn(4);
    writer.commit(model.snapshot()).unwrap();
    let mut missing = model.snapshot();
    missing.tables.pop();
    assert!(matches!(
        writer.commit(missing),
        Err(CheckpointError::Shape { got: TableShape { rows: 0, .. }, .. })
    ));
    let mut other = model.snapshot();
    other.tables[0].table = Arc::new(Table::new(TableOptions { rows: 999, ..options(0) }).unwrap());
    assert!(matches!(writer.commit(other), Err(CheckpointError::Shape { .. })));
    // Order is free, and a new table may come.
    let mut more = model.snapshot();
    more.tables.reverse();
    more.tables.insert(0, TableCut::begin("new", &Arc::new(Table::new(options(0)).unwrap())));
    let manifest = writer.commit(more).unwrap();
    let names: Vec<_> = manifest.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["main", "bias", "new"], "a table keeps its place, and so its files their names");
}

#[test]
fn a_table_of_another_shape_or_name_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
    writer.commit(Model::default().snapshot()).unwrap();
    let mut generation = writer.latest().unwrap().unwrap();
    let table = Table::new(TableOptions { width: 4, ..options(0) }).unwrap();
    let error = generation.load_table("main", &table).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table \"main\": the model's is 1000 rows of 3+2 floats, got 1000 rows of 4+2 floats"
    );
    let error = generation.load_table("mian", &table).unwrap_err();
    assert!(matches!(error, CheckpointError::NoTable { .. }), "{error}");
}

#[test]
fn a_commit_writes_only_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
    let mut model = Model::default();
    (0..500).for_each(|slot| model.learn(slot));
    writer.commit(model.snapshot()).unwrap();
    model.learn(7);
    let manifest = writer.commit(model.snapshot()).unwrap();
    let rows: Vec<_> = manifest.tables[0].chain.iter().map(|file| file.rows).collect();
    assert_eq!(rows, [500, 1]);
    assert_eq!(manifest.tables[0].stored_rows(), 501);
    assert!(manifest.tables[0].chain[1].stored.bytes < 500);
    let manifest = writer.commit(model.snapshot()).unwrap();
    assert_eq!(manifest.tables[0].chain.len(), 2, "nothing changed, no file");
    let on_disk = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    assert_eq!(manifest.stored_bytes(), manifest.files().into_iter().map(on_disk).sum::<u64>());
}

#[test]
fn large_rows_and_many_of_them_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
    writer.max_deltas = 0;
    let wide = TableOptions { rows: 300, width: 40_000, side: 1, init: Init::Zeros, seed: 0 };
    let long = TableOptions { rows: 1 << 20, width: 1, side: 1, init: Init::Zeros, seed: 0 };
    let tables = [wide, long].map(|options| Arc::new(Table::new(options).unwrap()));
    let fill = |step: usize, value: f32| {
        for table in &tables {
            let mut lease = table.lease_all();
            for slot in (0..table.options().rows.min(200_000) as u32).step_by(step) {
                let (row, side) = lease.row_mut(Slot(slot));
                row.fill(value + slot as f32);
                side.fill(-value);
            }
        }
    };
    for (step, value) in [(3, 0.5), (2, 0.25), (1, 0.125)] {
        fill(step, value);
        let cuts = tables.iter().zip(["wide", "long"]).map(|(table, name)| TableCut::begin(name, table));
        writer.commit(Snapshot { tables: cuts.collect(), ..Snapshot::default() }).unwrap();
        writer.wait_for_fold().unwrap();
    }
    let mut generation = writer.latest().unwrap().unwrap();
    assert!(generation.manifest().tables.iter().any(|t| t.chain[0].stored.file.starts_with('f')));
    for (table, (name, options)) in tables.iter().zip([("wide", wide), ("long", long)]) {
        let loaded = Table::new(options).unwrap();
        generation.load_table(name, &loaded).unwrap();
        assert_eq!(loaded.touched(), table.touched());
        assert!(rows_of(&loaded) == rows_of(table), "{name}");
    }
}

#[test]
fn a_reader_sees_whole_generations_while_a_trainer_writes_and_prunes() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create_or_open(folder.path(), 1).unwrap();
    writer.max_deltas = 1;
    let mut model = Model::default();
    model.learn(0);
    writer.commit(model.snapshot()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut last, mut seen) = (0, 0);
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let state = load_latest(folder.path()).unwrap().state;
                let newest = state.tables[0].values().map(|(row, _)| f32::from_bits(row[0]) as u64 / 8).max();
                assert_eq!(newest, Some(state.step), "rows and progress are of one generation");
                assert!(state.step >= last);
                seen += u64::from(state.step > last);
                last = state.step;
            }
            seen
        });
        for slot in 0..300 {
            model.learn(slot % 50);
            writer.commit(model.snapshot()).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        let seen = reader.join().unwrap();
        assert!(seen > 5, "only {seen} generations were read");
    });
}

#[test]
fn a_writer_may_live_on_a_thread_of_its_own() {
    fn sent<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    sent::<Writer>();
    sent::<Snapshot>();
    shared::<Generation>();
    shared::<ModelDir>();
    shared::<CheckpointError>();
}

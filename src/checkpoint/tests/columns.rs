//! Columns written ahead: the same files, byte for byte, and an error where the disk did not keep them.

use super::disk::{Disk, Plan};
use super::*;
use std::io::{Seek, SeekFrom, Write};

/// Commits a few generations, and gives the names and bytes of all files.
fn committed(disk: &Arc<Disk>) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open_with(disk.storage(folder.path()), folder.path(), 9).unwrap();
    let (mut model, mut random) = (Model::default(), Random(2));
    for rows in [1, 3, 4, 5, 70, 0] {
        (0..rows).for_each(|_| model.learn(random.below(1000) as u32));
        writer.commit(model.snapshot()).unwrap();
        writer.wait_for_fold().unwrap();
    }
    assert_eq!(load_latest(folder.path()).unwrap().state, model.state);
    let names = files(folder.path()).into_iter().filter(|name| name != "LOCK");
    names.map(|name| (std::fs::read(folder.path().join(&name)).unwrap(), name)).map(|(a, b)| (b, a)).collect()
}

#[test]
fn columns_written_ahead_make_the_same_files_byte_for_byte() {
    let (streamed, ahead) = (Disk::new(Plan::Healthy), Disk::ahead(Plan::Healthy));
    let files = committed(&streamed);
    assert!(files.len() > 15, "{}", files.len());
    assert!(files == committed(&ahead));
}

#[test]
fn what_does_not_read_back_as_it_was_written_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let flipped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let done = Arc::clone(&flipped);
    // The first time that something is read back, its file loses what was written at its end.
    let hook: storage::Hook = Arc::new(move |operation, path: &Path| {
        if operation == Operation::Read && !done.swap(true, std::sync::atomic::Ordering::Relaxed) {
            let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
            file.seek(SeekFrom::End(-4))?;
            file.write_all(&[0xff; 4])?;
        }
        Ok(())
    });
    let storage = storage::Storage::with_hook(folder.path(), hook).gathering(16);
    let mut writer = Writer::open_with(storage, folder.path(), 2).unwrap();
    let mut model = Model::default();
    (0..40).for_each(|slot| model.learn(slot));
    let error = writer.commit(model.snapshot()).unwrap_err();
    assert!(error.to_string().contains("does not hold what was written to it"), "{error}");
    assert!(flipped.load(std::sync::atomic::Ordering::Relaxed));
    assert!(writer.latest().unwrap().is_none());
    writer.commit(model.snapshot()).unwrap();
    assert_eq!(load_latest(folder.path()).unwrap().state, model.state);
}

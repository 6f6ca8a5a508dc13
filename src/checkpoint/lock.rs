//! One process at a time: the folder, and who trains on it.

use super::error::CheckpointError;
use super::name::Name;
use super::storage::{self, Operation};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

/// Creates the folder at `path` and those above it that are missing, durably.
pub(super) fn create_folder(path: &Path) -> Result<(), CheckpointError> {
    let error = |operation, path: &Path| {
        let path = path.to_owned();
        move |cause| CheckpointError::Io { operation, path, cause }
    };
    let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let missing: Vec<_> = missing.collect();
    std::fs::create_dir_all(path).map_err(error(Operation::Create, path))?;
    for folder in missing {
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        storage::sync_folder(parent).map_err(error(Operation::SyncFolder, parent))?;
    }
    Ok(())
}

/// Takes the folder's lock. It goes with the process, however that ends; the file stays, since removing it would let
/// two processes hold two locks.
pub(super) fn lock(folder: &Path) -> Result<File, CheckpointError> {
    let path = folder.join(Name::Lock.to_string());
    let error = |operation| {
        let path = path.clone();
        move |cause| CheckpointError::Io { operation, path, cause }
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(error(Operation::Create))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(CheckpointError::Locked { path: folder.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(cause)) => return Err(error(Operation::Lock)(cause)),
    }
    let who = format!("pid {}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(who.as_bytes())).map_err(error(Operation::Write))?;
    Ok(file)
}

/// Who holds a lock, as far as its file says.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(64).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

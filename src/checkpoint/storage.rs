//! The one door to the disk for everything that changes a model folder.
//!
//! Durable means: write a sibling, flush, fsync, rename, fsync the folder. Each of these steps passes through
//! [`Storage`], so that tests can make the n-th of them fail, or be the last before a crash, for every n.

use super::error::CheckpointError;
use super::name::{Name, TEMPORARY};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A step that changes a folder, or reads from it. Part of an error's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reads a file or a folder.
    Read,
    /// Takes the lock.
    Lock,
    /// Creates a file or a folder.
    Create,
    /// Writes to a file.
    Write,
    /// Makes a file's content durable.
    Sync,
    /// Gives a file its name.
    Rename,
    /// Makes the names in a folder durable.
    SyncFolder,
    /// Removes a file.
    Remove,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Lock => "lock",
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "make durable",
            Self::Rename => "rename to",
            Self::SyncFolder => "make durable the folder",
            Self::Remove => "remove",
        })
    }
}

/// Asked before each step, with the path that it is about (for a rename: the new one). An error stops the step.
#[cfg(test)]
pub(super) type Hook = std::sync::Arc<dyn Fn(Operation, &Path) -> io::Result<()> + Send + Sync>;

/// A file as it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Name in the folder.
    pub file: String,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever the system's defaults allow.
    Default,
    /// The owner alone: mode 0600 from the first moment on, where the system knows modes.
    Owner,
}

/// A folder that is written to.
#[derive(Clone)]
pub(super) struct Storage {
    folder: PathBuf,
    /// Bytes of a column gathered before they are written ahead.
    gathered: usize,
    #[cfg(test)]
    hook: Option<Hook>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Storage").field(&self.folder).finish()
    }
}

impl Storage {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            gathered: BUFFER,
            #[cfg(test)]
            hook: None,
        }
    }

    #[cfg(test)]
    pub(super) fn with_hook(folder: &Path, hook: Hook) -> Self {
        Self { hook: Some(hook), ..Self::new(folder) }
    }

    /// Writes columns ahead as soon as they hold so many bytes, as large ones do.
    #[cfg(test)]
    pub(super) fn gathering(self, bytes: usize) -> Self {
        Self { gathered: bytes, ..self }
    }

    pub(super) fn path(&self, name: Name) -> PathBuf {
        self.folder.join(name.to_string())
    }

    /// Runs one step on `path`.
    fn step<T>(
        &self,
        operation: Operation,
        path: &Path,
        act: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, CheckpointError> {
        #[cfg(test)]
        let act = || match &self.hook {
            Some(hook) => hook(operation, path).and_then(|()| act()),
            None => act(),
        };
        act().map_err(|cause| CheckpointError::Io { operation, path: path.to_owned(), cause })
    }

    /// Runs one fsync. A test's disk keeps its own books of what is durable, and need not wait for the real one.
    fn sync(
        &self,
        operation: Operation,
        path: &Path,
        act: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), CheckpointError> {
        #[cfg(test)]
        let act = || if self.hook.is_some() { Ok(()) } else { act() };
        self.step(operation, path, act)
    }

    /// Starts the file `name` under its temporary name.
    pub(super) fn create(&self, name: Name, access: Access) -> Result<FileWriter<'_>, CheckpointError> {
        let path = self.path(name);
        let temporary = self.folder.join(format!("{name}{TEMPORARY}"));
        let file = self.step(Operation::Create, &temporary, || open_new(&temporary, access))?;
        let buffer = Vec::with_capacity(BUFFER);
        Ok(FileWriter {
            storage: self,
            file,
            name,
            path,
            temporary,
            buffer,
            sha: Sha256::new(),
            bytes: 0,
            done: false,
        })
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync_folder(&self) -> Result<(), CheckpointError> {
        self.sync(Operation::SyncFolder, &self.folder, || sync_folder(&self.folder))
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, name: &str) -> Result<(), CheckpointError> {
        let path = self.folder.join(name);
        self.step(Operation::Remove, &path, || match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        })
    }
}

fn open_new(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if access == Access::Default {
        return options.create(true).truncate(true).open(path);
    }
    // A leftover of another mode must not lend its mode to a secret.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => options.create_new(true),
    };
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in `folder` durable. Only Unix lets a folder be opened for that; elsewhere a rename is as durable
/// as the system makes it.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Bytes gathered before they are handed to the system.
const BUFFER: usize = 1 << 18;

/// A file being written under its temporary name, its checksum running along.
pub(super) struct FileWriter<'a> {
    storage: &'a Storage,
    file: File,
    name: Name,
    path: PathBuf,
    temporary: PathBuf,
    buffer: Vec<u8>,
    sha: Sha256,
    bytes: u64,
    done: bool,
}

impl Drop for FileWriter<'_> {
    /// A file that was not finished goes; if even that fails, the next opening of the folder removes it.
    fn drop(&mut self) {
        if !self.done {
            let remove = || std::fs::remove_file(&self.temporary);
            let _ = self.storage.step(Operation::Remove, &self.temporary, remove);
        }
    }
}

impl FileWriter<'_> {
    /// Appends `bytes`.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), CheckpointError> {
        while !bytes.is_empty() {
            let room = BUFFER - self.buffer.len().min(BUFFER);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Appends 32-bit words, little-endian.
    pub(super) fn append_words(&mut self, words: &[u32]) -> Result<(), CheckpointError> {
        if cfg!(target_endian = "little") {
            return self.append(bytemuck::cast_slice(words));
        }
        words.iter().try_for_each(|word| self.append(&word.to_le_bytes()))
    }

    /// Where the next byte appended will lie.
    pub(super) fn position(&self) -> u64 {
        self.bytes + self.buffer.len() as u64
    }

    /// Bytes of a column gathered before they are written ahead.
    pub(super) fn gathered(&self) -> usize {
        self.storage.gathered
    }

    /// Writes bytes that others will come before, at their place. [`FileWriter::take_in`] makes them part of the file.
    pub(super) fn write_ahead(&mut self, at: u64, bytes: &[u8]) -> Result<(), CheckpointError> {
        let file = &mut self.file;
        let write = || file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
        self.storage.step(Operation::Write, &self.temporary, write)
    }

    /// Appends the next `bytes` bytes, which were written ahead: reads them back for the checksum. `written` is their own.
    pub(super) fn take_in(&mut self, bytes: u64, written: &Sha256) -> Result<(), CheckpointError> {
        if bytes == 0 {
            return Ok(());
        }
        self.flush()?;
        let (mut read, end) = (Sha256::new(), self.bytes + bytes);
        while self.bytes < end {
            self.buffer.resize((end - self.bytes).min(BUFFER as u64) as usize, 0);
            let (file, buffer, at) = (&mut self.file, &mut self.buffer, SeekFrom::Start(self.bytes));
            let back = || file.seek(at).and_then(|_| file.read_exact(buffer));
            self.storage.step(Operation::Read, &self.temporary, back)?;
            read.update(&self.buffer);
            self.sha.update(&self.buffer);
            self.bytes += self.buffer.len() as u64;
        }
        self.buffer.clear();
        let same = || match read.finalize() == written.clone().finalize() {
            true => Ok(()),
            false => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "it does not hold what was written to it"))
            }
        };
        self.storage.step(Operation::Read, &self.temporary, same)
    }

    fn flush(&mut self) -> Result<(), CheckpointError> {
        let (file, buffer, at) = (&mut self.file, &self.buffer, SeekFrom::Start(self.bytes));
        let write = || file.seek(at).and_then(|_| file.write_all(buffer));
        self.storage.step(Operation::Write, &self.temporary, write)?;
        self.sha.update(buffer);
        self.bytes += buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the content durable and gives the file its name. The name is durable only after
    /// [`Storage::sync_folder`].
    pub(super) fn finish(mut self) -> Result<StoredFile, CheckpointError> {
        self.flush()?;
        self.storage.sync(Operation::Sync, &self.temporary, || self.file.sync_all())?;
        let rename = || std::fs::rename(&self.temporary, &self.path);
        self.storage.step(Operation::Rename, &self.path, rename)?;
        self.done = true;
        let sha256 = hex(&self.sha.finalize_reset());
        Ok(StoredFile { file: self.name.to_string(), sha256, bytes: self.bytes })
    }
}

/// SHA-256 of `bytes`, in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of all that `from` still holds, in hexadecimal digits, in bounded memory.
pub(super) fn sha256_of(from: &mut impl io::Read) -> io::Result<String> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hex(&sha.finalize())),
            Ok(read) => sha.update(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Commits: one process, one after the other.
//!
//! ```text
//! for each table: the cut's rows  → gG.T.rows.safetensors.tmp, fsync, rename      bounded memory: 16 MiB
//! the small tensors               → gG.state.safetensors.tmp,  fsync, rename
//! fsync the folder                  the names the manifest relies on
//! the manifest                    → gG.manifest.json.tmp,      fsync, rename      ← the commit point
//! fsync the folder                  only now is it true
//! remove what only older generations need; fold long chains in the background
//! ```
//!
//! The cost is that of the changed rows and, with one table, of five fsyncs. After the commit point nothing can fail
//! the commit any more: what cannot be removed or folded is a warning, and tried again after the next one.

use super::error::{CheckpointError, TableShape};
use super::fold::{Folded, Folding, Job, MAX_DELTAS};
use super::folder::{Generation, ModelDir};
use super::lock::{create_folder, lock};
use super::manifest::{Manifest, Progress, TableManifest};
use super::name::Name;
use super::rows;
use super::storage::{Access, Storage, StoredFile};
use super::sweep::Sweep;
use super::tensor::{self, Tensor};
use crate::hash::HashKey;
use crate::table::Table;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A table whose cut was begun.
pub struct TableCut {
    /// The table's name in the model.
    pub name: String,
    /// The table.
    pub table: Arc<Table>,
    /// What [`Table::begin_cut`] returned.
    pub rows: u64,
}

impl TableCut {
    /// Begins a cut of `table` at this instant.
    pub fn begin(name: impl Into<String>, table: &Arc<Table>) -> Self {
        let rows = table.begin_cut();
        Self { name: name.into(), table: Arc::clone(table), rows }
    }
}

impl fmt::Debug for TableCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableCut").field("name", &self.name).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Everything as it was at one instant.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// All tables of the model, their cuts begun at that instant.
    pub tables: Vec<TableCut>,
    /// Small state, by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// How far the run had come.
    pub progress: Progress,
}

/// Writes a model folder. Holds its lock.
#[derive(Debug)]
pub struct Writer {
    pub(super) folder: ModelDir,
    pub(super) storage: Storage,
    keep: usize,
    pub(super) max_deltas: usize,
    pub(super) current: Option<Manifest>,
    pub(super) next: u64,
    folding: Option<Folding>,
    folded: Vec<Folded>,
    /// Held until the folding thread is gone: fields are dropped after [`Writer::drop`].
    _lock: File,
}

impl Writer {
    /// Opens the folder at `path` to train, creating it if it is missing, and takes its lock. The newest `keep`
    /// generations (at least one) stay. Fails at once if another process trains on it, if nothing can be written there, if it
    /// holds other things and no model, or if its newest generation is damaged; leftovers are removed.
    pub fn create_or_open(path: impl Into<PathBuf>, keep: usize) -> Result<Self, CheckpointError> {
        let path = path.into();
        create_folder(&path)?;
        Self::open_with(Storage::new(&path), &path, keep)
    }

    pub(super) fn open_with(storage: Storage, path: &Path, keep: usize) -> Result<Self, CheckpointError> {
        let folder = ModelDir::open(path)?;
        let lock = lock(path)?;
        // Whether anything can be written is better known now than after an hour of learning.
        drop(storage.create(Name::Lock, Access::Default)?);
        // What the last process may have seen as its newest generation must be so after a power cut too, before older
        // ones go.
        storage.sync_folder()?;
        let current = folder.latest()?.map(|generation| generation.manifest().clone());
        let next = current.as_ref().map_or(0, |manifest| manifest.generation) + 1;
        let writer = Self {
            folder,
            storage,
            keep: keep.max(1),
            max_deltas: MAX_DELTAS,
            current,
            next,
            folding: None,
            folded: Vec::new(),
            _lock: lock,
        };
        writer.sweep(writer.keep);
        Ok(writer)
    }

    /// The folder, for reading.
    pub fn folder(&self) -> &ModelDir {
        &self.folder
    }

    /// The newest generation, to resume from; none in a fresh folder.
    pub fn latest(&self) -> Result<Option<Generation>, CheckpointError> {
        self.folder.latest()
    }

    /// The manifest of the newest generation.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.current.as_ref()
    }

    /// Stores the hash key, durably, readable by the owner alone. Belongs before the first commit. Storing the same key
    /// again does nothing; another one is refused, for the model would be worth nothing.
    pub fn store_hash_key(&self, key: &HashKey) -> Result<(), CheckpointError> {
        match self.folder.hash_key()? {
            Some(stored) if stored == *key => return Ok(()),
            Some(_) => return Err(CheckpointError::OtherKey { path: self.storage.path(Name::Key) }),
            None => {}
        }
        let mut file = self.storage.create(Name::Key, Access::Owner)?;
        file.append(key.to_hex().as_bytes())?;
        file.append(b"\n")?;
        file.finish()?;
        self.storage.sync_folder()
    }

    /// Makes `snapshot` durable as the next generation. The tables must be those of the generation before, in any
    /// order, and may be more. On error their cuts are abandoned: the next commit holds these rows too.
    pub fn commit(&mut self, snapshot: Snapshot) -> Result<Manifest, CheckpointError> {
        let Snapshot { tables, tensors, progress } = snapshot;
        let cuts = Cuts::new(tables);
        self.collect_folds();
        let tables = self.chains(&cuts)?;
        let generation = self.next;
        self.next += 1;
        let draft = Draft { generation, tables, tensors, progress };
        let manifest = match draft.store(&self.storage, &cuts) {
            Ok(manifest) => manifest,
            Err(error) => {
                // No manifest goes: if only the last fsync failed, the newest one may vanish in a power cut.
                self.sweep(usize::MAX);
                return Err(error);
            }
        };
        cuts.keep();
        self.folded.clear();
        self.current = Some(manifest.clone());
        self.sweep(self.keep);
        self.start_fold();
        Ok(manifest)
    }

    /// The chains that the next generation builds upon, one for each table of `cuts`.
    fn chains(&self, cuts: &Cuts) -> Result<Vec<TableManifest>, CheckpointError> {
        let mut tables = self.current.as_ref().map(|manifest| manifest.tables.clone()).unwrap_or_default();
        self.folded.iter().for_each(|folded| folded.adopt(&mut tables));
        let stored = tables.len();
        let mut given = vec![false; stored];
        for cut in &cuts.cuts {
            let (name, got) = (cut.name.clone(), rows::shape_of(&cut.table));
            match tables.iter().position(|table| table.name == name) {
                Some(index) if tables.get(index).is_some_and(|table| table.shape() != got) => {
                    let stored = tables.get(index).map_or(got, TableManifest::shape);
                    return Err(CheckpointError::Shape { name, stored, got });
                }
                Some(index) => match given.get_mut(index) {
                    Some(given) if !*given => *given = true,
                    _ => return Err(CheckpointError::TwiceTheSame { name }),
                },
                None => {
                    let TableShape { rows, width, side } = got;
                    tables.push(TableManifest { name, rows, width, side, chain: Vec::new() });
                    given.push(true);
                }
            }
        }
        match tables.iter().zip(given).find(|(_, given)| !given) {
            Some((table, _)) => Err(CheckpointError::Shape {
                name: table.name.clone(),
                stored: table.shape(),
                got: TableShape { rows: 0, width: 0, side: 0 },
            }),
            None => Ok(tables),
        }
    }

    /// Takes in what the folding thread has finished. Waits for it if it cannot keep up with the commits.
    fn collect_folds(&mut self) {
        let too_long = 4 * self.max_deltas;
        let tables = self.current.iter().flat_map(|manifest| &manifest.tables);
        let wait = tables.map(|table| table.chain.len()).any(|length| length > too_long);
        if let Some(folding) = self.folding.take_if(|folding| wait || folding.is_finished()) {
            match folding.join() {
                Ok(folded) => self.folded.extend(folded),
                Err(error) => tracing::warn!("older rows could not be folded, will try again: {error}"),
            }
        }
    }

    fn start_fold(&mut self) {
        if self.folding.is_some() {
            return;
        }
        let tables = self.current.iter().flat_map(|manifest| manifest.tables.iter().enumerate());
        let jobs: Vec<_> = tables.filter_map(|(i, table)| Job::of(i, table, self.max_deltas)).collect();
        if jobs.is_empty() {
            return;
        }
        match Folding::start(self.storage.clone(), self.folder.path().to_owned(), jobs) {
            Ok(folding) => self.folding = Some(folding),
            Err(error) => tracing::warn!("older rows could not be folded, will try again: {error}"),
        }
    }

    /// Waits for the folding thread; its results go into the next commit.
    #[cfg(test)]
    pub(super) fn wait_for_fold(&mut self) -> Result<(), super::fold::FoldError> {
        if let Some(folding) = self.folding.take() {
            self.folded.extend(folding.join()?);
        }
        Ok(())
    }

    pub(super) fn sweep(&self, keep: usize) {
        let folding = self.folding.iter().flat_map(|folding| folding.outputs.iter().cloned());
        let folded = self.folded.iter().map(|folded| folded.file().to_owned());
        let in_work = folding.chain(folded).collect();
        let sweep = Sweep { folder: &self.folder, storage: &self.storage, keep, in_work };
        if let Err(error) = sweep.run() {
            tracing::warn!("files that are no longer needed could not be removed, will try again: {error}");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(folding) = self.folding.take() {
            folding.stop();
        }
    }
}

/// Cuts in progress. Dropped before [`Cuts::keep`], on an error or a panic, they are abandoned.
struct Cuts {
    cuts: Vec<TableCut>,
    kept: bool,
}

impl Cuts {
    fn new(tables: Vec<TableCut>) -> Self {
        Self { cuts: tables, kept: false }
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Cuts {
    fn drop(&mut self) {
        if !self.kept {
            for cut in &self.cuts {
                cut.table.abandon_cut();
            }
        }
    }
}

/// A generation on its way to the disk.
struct Draft {
    generation: u64,
    tables: Vec<TableManifest>,
    tensors: BTreeMap<String, Tensor>,
    progress: Progress,
}

impl Draft {
    fn store(mut self, storage: &Storage, cuts: &Cuts) -> Result<Manifest, CheckpointError> {
        for cut in &cuts.cuts {
            self.store_rows(storage, cut)?;
        }
        let state = self.store_state(storage)?;
        storage.sync_folder()?;
        let Self { generation, tables, progress, .. } = self;
        let crate_version = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Manifest { generation, crate_version, progress, tables, state };
        let mut file = storage.create(Name::Manifest(generation), Access::Default)?;
        file.append(&manifest.encode().map_err(CheckpointError::Json)?)?;
        file.finish()?;
        storage.sync_folder()?;
        Ok(manifest)
    }

    fn store_rows(&mut self, storage: &Storage, cut: &TableCut) -> Result<(), CheckpointError> {
        let of_cut = |(_, table): &(usize, &mut TableManifest)| table.name == cut.name;
        let Some((index, table)) = self.tables.iter_mut().enumerate().find(of_cut) else { return Ok(()) };
        if cut.rows > 0 {
            let name = Name::Rows { generation: self.generation, table: index };
            table.chain.push(rows::write_cut(storage, name, cut)?);
        }
        Ok(())
    }

    fn store_state(&self, storage: &Storage) -> Result<StoredFile, CheckpointError> {
        let mut file = storage.create(Name::State(self.generation), Access::Default)?;
        file.append(&tensor::encode(&self.tensors)?)?;
        file.finish()
    }
}

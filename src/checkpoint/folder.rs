//! Reading a model folder, with or without someone who writes to it.
//!
//! A [`Generation`] opens all of its files at once: from then on a trainer may prune them, the open files stay. Only
//! between reading the manifest and opening the last file can one vanish; then there is a newer generation, and
//! that is opened instead.

use super::error::{CheckpointError, Damage};
use super::header;
use super::manifest::{self, Manifest};
use super::name::{self, Name};
use super::rows::{self, RowsReader};
use super::storage::Operation;
use super::tensor::{self, Tensor};
use crate::hash::{HashKey, KeyError};
use crate::table::Table;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A model folder, to be read. Takes no lock: a trainer may write and prune meanwhile.
#[derive(Debug, Clone)]
pub struct ModelDir {
    path: PathBuf,
}

impl ModelDir {
    /// The folder at `path`. Fails if there is none, or if it holds other things and no model.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, CheckpointError> {
        let folder = Self { path: path.into() };
        folder.check_ours()?;
        Ok(folder)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest generation, its files open; none if nothing was committed yet. Checks all but the contents of rows
    /// and tensors, which are checked when they are loaded.
    pub fn latest(&self) -> Result<Option<Generation>, CheckpointError> {
        loop {
            let Some(newest) = self.generations()?.pop() else { return Ok(None) };
            match Generation::open(self, newest) {
                Ok(generation) => return Ok(Some(generation)),
                Err((_, Damage::Missing)) if self.generations()?.last() != Some(&newest) => {}
                Err((file, damage)) => return Err(self.damaged(newest, &file, damage)),
            }
        }
    }

    /// The number of the newest generation, whole or not; none if nothing was committed yet.
    pub fn newest(&self) -> Result<Option<u64>, CheckpointError> {
        Ok(self.generations()?.pop())
    }

    /// The model's hash key, if one was stored.
    pub fn hash_key(&self) -> Result<Option<HashKey>, CheckpointError> {
        let path = self.path.join(Name::Key.to_string());
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_KEY_BYTES).read_to_end(&mut bytes)) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(CheckpointError::Io { operation: Operation::Read, path, cause }),
            Ok(_) => {}
        }
        let key = HashKey::from_hex(&String::from_utf8_lossy(&bytes));
        key.map(Some).map_err(|cause: KeyError| CheckpointError::Key { path, cause })
    }

    /// Numbers of all generations that have a manifest, ascending.
    pub(super) fn generations(&self) -> Result<Vec<u64>, CheckpointError> {
        let mut found = Vec::new();
        for name in self.list()? {
            if let Some(Name::Manifest(generation)) = Name::parse(&name) {
                found.push(generation);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Names of all entries of the folder.
    pub(super) fn list(&self) -> Result<Vec<String>, CheckpointError> {
        let list = || -> io::Result<Vec<_>> {
            let names = std::fs::read_dir(&self.path)?;
            names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        list().map_err(|cause| CheckpointError::Io {
            operation: Operation::Read,
            path: self.path.clone(),
            cause,
        })
    }

    /// Fails for a folder that holds something and nothing of ours.
    pub(super) fn check_ours(&self) -> Result<(), CheckpointError> {
        let names = self.list()?;
        // An empty volume, freshly mounted, is an empty folder.
        let foreign = names.iter().find(|name| !name::is_ours(name) && *name != "lost+found");
        match foreign {
            Some(found) if !names.iter().any(|name| name::is_ours(name)) => {
                Err(CheckpointError::NotAModel { path: self.path.clone(), found: found.clone() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn manifest(&self, generation: u64) -> Result<Manifest, Damage> {
        let path = self.path.join(Name::Manifest(generation).to_string());
        let (bytes, limit) =
            (std::fs::metadata(&path).map_err(header::unreadable)?.len(), manifest::MAX_BYTES);
        if bytes > limit {
            return Err(Damage::ManifestLength { bytes, limit });
        }
        let mut content = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut content))
            .map_err(header::unreadable)?;
        Manifest::decode(&content, generation)
    }

    /// The error for a damaged file of `generation`, with the way back. Reads older generations to the last byte.
    pub(super) fn damaged(&self, generation: u64, file: &str, damage: Damage) -> CheckpointError {
        let path = self.path.join(file);
        if let Damage::NewerFormat { found, supported } = damage {
            return CheckpointError::NewerFormat { path, found, supported };
        }
        let older = self.generations().unwrap_or_default().into_iter().rev();
        let whole = |older: &u64| Generation::open(self, *older).and_then(|g| g.verify()).is_ok();
        let older = older.filter(|older| *older < generation).find(whole);
        CheckpointError::Damaged { path, damage, manifest: Name::Manifest(generation).to_string(), older }
    }
}

/// A key file is 33 bytes; white space around the key is allowed.
const MAX_KEY_BYTES: u64 = 4096;

/// One generation of a model, its files open.
#[derive(Debug)]
pub struct Generation {
    folder: ModelDir,
    manifest: Manifest,
    tables: Vec<Vec<RowsReader>>,
    state: File,
}

/// A damaged file's name, and what is wrong with it.
type Failure = (String, Damage);

impl Generation {
    fn open(folder: &ModelDir, generation: u64) -> Result<Self, Failure> {
        let named = |name: &str| {
            let name = name.to_owned();
            move |damage| (name, damage)
        };
        let own = Name::Manifest(generation).to_string();
        let manifest = folder.manifest(generation).map_err(named(&own))?;
        let mut tables = Vec::with_capacity(manifest.tables.len());
        for table in &manifest.tables {
            let open = |file: &manifest::RowsFile| {
                RowsReader::open(&folder.path, file, table.shape()).map_err(named(&file.stored.file))
            };
            tables.push(table.chain.iter().map(open).collect::<Result<Vec<_>, _>>()?);
        }
        let state = rows::open_stored(&folder.path, &manifest.state.file, manifest.state.bytes)
            .map_err(named(&manifest.state.file))?;
        Ok(Self { folder: folder.clone(), manifest, tables, state })
    }

    fn verify(&self) -> Result<(), Failure> {
        for file in self.tables.iter().flatten() {
            file.verify().map_err(|damage| (file.name().to_owned(), damage))?;
        }
        let state = &self.manifest.state;
        rows::verify(&self.state, &state.sha256).map_err(|damage| (state.file.clone(), damage))
    }

    /// What the generation holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Puts the stored rows of the table `name` into `table`, fresh and of the stored shape. Reads each file twice,
    /// first for its checksum. After an error `table` holds some of the rows and must not be used.
    pub fn load_table(&mut self, name: &str, table: &Table) -> Result<(), CheckpointError> {
        let index = self.manifest.tables.iter().position(|stored| stored.name == name);
        let stored =
            index.and_then(|index| Some((self.manifest.tables.get(index)?, self.tables.get(index)?)));
        let Some((stored, files)) = stored else {
            return Err(CheckpointError::NoTable { name: name.to_owned() });
        };
        let (stored, got) = (stored.shape(), rows::shape_of(table));
        if stored != got {
            return Err(CheckpointError::Shape { name: name.to_owned(), stored, got });
        }
        for file in files {
            let loaded = file.verify().and_then(|()| file.restore_into(table));
            loaded.map_err(|damage| self.folder.damaged(self.manifest.generation, file.name(), damage))?;
        }
        Ok(())
    }

    /// The small tensors.
    pub fn load_tensors(&mut self) -> Result<BTreeMap<String, Tensor>, CheckpointError> {
        let (file, manifest) = (&mut self.state, &self.manifest);
        let loaded = rows::verify(file, &manifest.state.sha256).and_then(|()| {
            file.seek(SeekFrom::Start(0)).map_err(header::unreadable)?;
            tensor::decode(&mut io::BufReader::new(file), manifest.state.bytes)
        });
        loaded.map_err(|damage| self.folder.damaged(manifest.generation, &manifest.state.file, damage))
    }
}

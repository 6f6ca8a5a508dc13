//! The manifest of a generation: what belongs to it, checksummed to the last byte.
//!
//! The checksum covers the bytes of `body` as they stand in the file, so that it does not depend on how any release
//! writes JSON, and anyone can repeat it.

use super::error::{Damage, TableShape};
use super::name::Name;
use super::storage::{StoredFile, sha256};
use crate::record::Positions;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// The newest format this release writes and reads.
pub const FORMAT: u64 = 1;

/// Longest manifest that is read.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// How far a run has come: what a resumed run goes on from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// How far each source has been consumed.
    pub positions: Positions,
    /// Lengths in bytes of prediction and dead-letter files, by path as given.
    pub outputs: BTreeMap<String, u64>,
    /// Counters and progressive validation, as the learner describes them.
    pub counters: serde_json::Value,
    /// The full resolved configuration: hash kind, whether the key is the default one, options.
    pub config: serde_json::Value,
    /// True once the input was learned to its end.
    pub finished: bool,
}

/// A generation, as its manifest describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Number of the generation, from 1; numbers may be skipped, never used twice.
    pub generation: u64,
    /// Version of the crate that wrote it.
    pub crate_version: String,
    /// How far the run had come.
    #[serde(flatten)]
    pub progress: Progress,
    /// The tables and the files that hold their rows.
    pub tables: Vec<TableManifest>,
    /// The file that holds the small tensors.
    pub state: StoredFile,
}

/// A table of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableManifest {
    /// Its name.
    pub name: String,
    /// Rows of the table, stored or not.
    pub rows: u64,
    /// Floats in a row.
    pub width: usize,
    /// Floats per row in the side column.
    pub side: usize,
    /// Files of rows, oldest first. A row is what the last file that holds it says.
    pub chain: Vec<RowsFile>,
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsFile {
    /// The file.
    #[serde(flatten)]
    pub stored: StoredFile,
    /// Number of rows in it.
    pub rows: u64,
}

impl TableManifest {
    /// Rows in all files of the chain; a row that is in several counts each time.
    pub fn stored_rows(&self) -> u64 {
        self.chain.iter().map(|file| file.rows).sum()
    }

    /// Bytes of all files of the chain.
    pub fn stored_bytes(&self) -> u64 {
        self.chain.iter().map(|file| file.stored.bytes).sum()
    }

    pub(super) fn shape(&self) -> TableShape {
        TableShape { rows: self.rows, width: self.width, side: self.side }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<B> {
    format: u64,
    sha256: String,
    body: B,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u64,
}

impl Manifest {
    /// Names of all files of the generation but the manifest itself.
    pub(super) fn files(&self) -> BTreeSet<&str> {
        let chains = self.tables.iter().flat_map(|table| &table.chain);
        chains.map(|file| &file.stored).chain([&self.state]).map(|stored| stored.file.as_str()).collect()
    }

    /// Number of files of rows.
    pub fn chain_files(&self) -> usize {
        self.tables.iter().map(|table| table.chain.len()).sum()
    }

    /// Bytes of all files of the generation but the manifest itself.
    pub fn stored_bytes(&self) -> u64 {
        self.tables.iter().map(TableManifest::stored_bytes).sum::<u64>() + self.state.bytes
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let body = RawValue::from_string(serde_json::to_string_pretty(self)?)?;
        let sha256 = sha256(body.get().as_bytes());
        let mut bytes = serde_json::to_vec(&Envelope { format: FORMAT, sha256, body })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the manifest of `generation`.
    pub(super) fn decode(bytes: &[u8], generation: u64) -> Result<Self, Damage> {
        // The format first: a newer one may differ in everything else.
        let format = serde_json::from_slice::<FormatOnly>(bytes).map_err(Damage::Manifest)?.format;
        match format {
            FORMAT => {}
            0 => return Err(Damage::Format { found: format }),
            _ => return Err(Damage::NewerFormat { found: format, supported: FORMAT }),
        }
        let envelope: Envelope<&RawValue> = serde_json::from_slice(bytes).map_err(Damage::Manifest)?;
        let got = sha256(envelope.body.get().as_bytes());
        if got != envelope.sha256 {
            return Err(Damage::Checksum { expected: envelope.sha256, got });
        }
        let manifest: Self = serde_json::from_str(envelope.body.get()).map_err(Damage::Manifest)?;
        if manifest.generation != generation {
            return Err(Damage::Generation { expected: generation, got: manifest.generation });
        }
        manifest.check_names()?;
        Ok(manifest)
    }

    /// A name in a manifest is opened and, one day, removed: only ours will do.
    fn check_names(&self) -> Result<(), Damage> {
        let state = [(&self.state, false)];
        let rows = self.tables.iter().flat_map(|table| &table.chain).map(|file| (&file.stored, true));
        for (stored, rows) in rows.chain(state) {
            let fits = match Name::parse(&stored.file) {
                Some(name) if rows => name.holds_rows(),
                name => matches!(name, Some(Name::State(_))),
            };
            if !fits {
                return Err(Damage::ForeignName { name: stored.file.clone() });
            }
        }
        Ok(())
    }
}

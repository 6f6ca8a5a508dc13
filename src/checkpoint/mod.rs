//! Model folders: state and source positions, durable together or not at all.
//!
//! A commit takes a [`Snapshot`], everything as it was after one record, and makes it a *generation*: files that are
//! written beside what is there and count for nothing until the rename of one manifest makes them the model. A
//! crash at any instant leaves the generation before. A commit writes only the rows that changed since the last
//! one; files that pile up are folded in the background ([`Writer`] says how, and what it costs). One process trains
//! on a folder, a lock file says which; any number may read it meanwhile ([`ModelDir`]). What is read is trusted in
//! nothing: lengths, checksums, headers, shapes, order and values are checked, the cheapest first, and the first that
//! does not hold is named.
//!
//! This module knows tables, small tensors and progress, not what they mean: the learner composes and reads them.
//!
//! ```
//! use flexihash::batch::Slot;
//! use flexihash::checkpoint::{ModelDir, Snapshot, TableCut, Writer};
//! use flexihash::table::{Init, Table, TableOptions};
//! use std::sync::Arc;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("model");
//! let options = TableOptions { rows: 1 << 20, width: 8, side: 0, init: Init::Zeros, seed: 0 };
//! let table = Arc::new(Table::new(options)?);
//! table.lease_all().row_mut(Slot(42)).0.fill(0.5);
//!
//! let mut writer = Writer::create_or_open(&path, 2)?;
//! let tables = vec![TableCut::begin("main", &table)];
//! let manifest = writer.commit(Snapshot { tables, ..Snapshot::default() })?;
//! assert_eq!((manifest.generation, manifest.tables[0].stored_rows()), (1, 1));
//!
//! let mut generation = ModelDir::open(&path)?.latest()?.expect("a generation was committed");
//! let restored = Table::new(options)?;
//! generation.load_table("main", &restored)?;
//! assert_eq!(restored.lease_all().row(Slot(42)), [0.5; 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Consistency
//!
//! [`Writer::commit`] returns after the manifest is durable: its name is fsynced, after the names and contents of all
//! it refers to. If it returns an error, the folder's newest generation is the one before; or the new one, whole, if the very
//! last fsync failed and nobody can know. The rows of a failed commit belong to the next one.
//!
//! # Format 1
//!
//! A flat folder. Generations are numbered from 1; a number may be skipped (its commit failed) and is never used for
//! two commits that may both be seen.
//!
//! | file | what |
//! |---|---|
//! | `LOCK` | held (`flock`) by the process that trains; its text says who: `pid 1234` |
//! | `hash.key` | 32 hexadecimal digits and a line end; mode 0600 |
//! | `member.id` | 32 hexadecimal digits and a line end: what the model is called in its consumer group, if it ever was in one |
//! | `gGGGGGGGGGG.manifest.json` | the manifest of generation G, 10 digits |
//! | `gGGGGGGGGGG.T.rows.safetensors` | rows of table T (its place in the manifest, from 0) that changed in G |
//! | `fGGGGGGGGGG-HHHHHHHHHH.T.rows.safetensors` | rows of table T from the generations G to H, folded together |
//! | `gGGGGGGGGGG.state.safetensors` | the small tensors: F32, F64 and U64 of any shape, any bit pattern |
//! | `….tmp` | a file being written, or left over: never read |
//!
//! The manifest is one line of `{"format":1,"sha256":"…","body":{…}}`, the body itself indented; the checksum is over
//! the exact bytes of the body, from brace to brace. The body's keys: `generation`, `crate_version`, `positions`
//! (`pass`, `sources`), `outputs` (path → length), `counters`, `config`, `finished`, `tables` and `state`. A table is
//! `name`, `rows`, `width`, `side` and `chain`, the files with its rows, oldest first: `file`, `sha256`, `bytes`,
//! `rows`. `state` is `file`, `sha256`, `bytes`. Keys that a reader does not know are ignored; whatever an old reader
//! must not ignore raises `format`.
//!
//! A file of rows holds `slots` U32 `[n]`, ascending and below the table's `rows`; `rows` F32 `[n, width]`; and, if
//! `side` is not 0, `sides` F32 `[n, side]`; all finite. A row is what the last file of the chain that has it says; a
//! row that no file has holds its initial values. The newest manifest is the model.

mod back;
mod columns;
mod error;
mod fold;
mod folder;
mod header;
mod lock;
mod manifest;
mod name;
mod rows;
mod storage;
mod sweep;
mod tensor;
mod writer;

pub use error::{CheckpointError, Damage, TableShape};
pub use folder::{Generation, ModelDir};
pub use manifest::{FORMAT, Manifest, Progress, RowsFile, TableManifest};
pub use storage::{Operation, StoredFile};
pub use tensor::{Tensor, TensorData};
pub use writer::{Snapshot, TableCut, Writer};

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

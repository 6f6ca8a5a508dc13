//! What can go wrong with a model folder, each with what was expected, what was found and where.
//!
//! Two kinds: [`CheckpointError`] for a call that failed, [`Damage`] for what is wrong with a stored file. A damaged
//! file never leads to a silent fall-back: the message names the file and the way back. Each message is whole, the
//! system's words included: one line is enough.

use super::storage::Operation;
use crate::hash::KeyError;
use std::io;
use std::path::PathBuf;

/// A commit, a load or an opening that failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused an operation.
    #[error("cannot {operation} {}: {cause}", path.display())]
    Io {
        /// What was being done.
        operation: Operation,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process trains on this folder.
    #[error("{}: in use by {holder}; one process at a time may train on a model folder", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who holds the lock, as its lock file says.
        holder: String,
    },
    /// The folder holds other things than a model.
    #[error(
        "{}: not a model folder (it holds {found:?}); expected an empty or missing folder, or one with a model",
        path.display()
    )]
    NotAModel {
        /// The folder.
        path: PathBuf,
        /// One of the things found in it.
        found: String,
    },
    /// Written by a later release.
    #[error("{}: model format {found}, but this release reads formats up to {supported}: use a newer one", path.display())]
    NewerFormat {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format this release reads.
        supported: u64,
    },
    /// A stored file is not what was stored.
    #[error("{}: {damage}; {}", path.display(), way_back(manifest, *older))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
        /// The manifest of the generation that needs the file.
        manifest: String,
        /// The newest older generation that is whole, if there is one.
        older: Option<u64>,
    },
    /// The commit point names a generation that the folder does not hold.
    #[error(
        "{}: generation {wanted} was committed, but the folder holds {found:?}: was an older copy put in its place?",
        path.display()
    )]
    NoGeneration {
        /// The folder.
        path: PathBuf,
        /// The generation that was committed.
        wanted: u64,
        /// The generations that are there.
        found: Vec<u64>,
    },
    /// A file that should hold a member's id and holds something else.
    #[error("{}: expected 32 hexadecimal digits", path.display())]
    NotAnId {
        /// The file.
        path: PathBuf,
    },
    /// The generation has no table of this name.
    #[error("the model has no table {name:?}")]
    NoTable {
        /// The name asked for.
        name: String,
    },
    /// A table of another shape than the stored one, or one that is missing.
    #[error("table {name:?}: the model's is {stored}, got {got}")]
    Shape {
        /// The table's name.
        name: String,
        /// Shape in the model.
        stored: TableShape,
        /// Shape given; none if the table was not given.
        got: TableShape,
    },
    /// The same table twice in one snapshot.
    #[error("table {name:?} is twice in the snapshot")]
    TwiceTheSame {
        /// The table's name.
        name: String,
    },
    /// A cut that did not hold as many rows as it announced.
    #[error("the cut of table {name:?} announced {announced} rows and held {found}")]
    Cut {
        /// The table's name.
        name: String,
        /// What `begin_cut` returned.
        announced: u64,
        /// Rows taken.
        found: u64,
    },
    /// A weight that is not finite: it is refused here, because no load would accept it.
    #[error("table {name:?}: row {slot} holds a number that is not finite")]
    NotFinite {
        /// The table's name.
        name: String,
        /// The row.
        slot: u32,
    },
    /// A tensor whose data do not fill its shape, or with a reserved name.
    #[error("tensor {name:?} of shape {shape:?} with {values} values cannot be stored")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Number of its values.
        values: usize,
    },
    /// Progress that does not fit into JSON.
    #[error("the manifest or a header cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// A key file that holds no key.
    #[error("{}: {cause}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        cause: KeyError,
    },
    /// The folder has a key already, and it is not this one.
    #[error("{}: the model was made with another hash key", path.display())]
    OtherKey {
        /// The key file.
        path: PathBuf,
    },
}

fn way_back(manifest: &str, older: Option<u64>) -> String {
    match older {
        Some(older) => format!("generation {older} is whole: to go back to it, remove {manifest}"),
        None => "no older generation is whole".to_owned(),
    }
}

/// Shape of a table, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableShape {
    /// Rows; 0 for a table that is not there.
    pub rows: u64,
    /// Floats in a row.
    pub width: usize,
    /// Floats in the side column.
    pub side: usize,
}

impl std::fmt::Display for TableShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { rows: 0, .. } => f.write_str("none"),
            Self { rows, width, side } => write!(f, "{rows} rows of {width}+{side} floats"),
        }
    }
}

/// What is wrong with a stored file. In the order in which it is looked for.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is not there.
    #[error("the file is missing")]
    Missing,
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
    /// Not JSON, or not that of a manifest.
    #[error("not a manifest: {0}")]
    Manifest(serde_json::Error),
    /// A manifest longer than any could be.
    #[error("a manifest of {bytes} bytes, expected {limit} at most")]
    ManifestLength {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A format number no release ever wrote.
    #[error("model format {found} never existed")]
    Format {
        /// The number.
        found: u64,
    },
    /// Written by a later release.
    #[error("model format {found}, but this release reads formats up to {supported}")]
    NewerFormat {
        /// Its format.
        found: u64,
        /// The newest format this release reads.
        supported: u64,
    },
    /// A manifest whose name and content disagree.
    #[error("expected generation {expected}, got {got}")]
    Generation {
        /// From the name.
        expected: u64,
        /// From the content.
        got: u64,
    },
    /// A manifest that refers to something that is no file of a model.
    #[error("it refers to {name:?}, which is no model file's name")]
    ForeignName {
        /// The name.
        name: String,
    },
    /// Another length than the manifest says.
    #[error("expected {expected} bytes, got {got}")]
    Length {
        /// By the manifest.
        expected: u64,
        /// On disk.
        got: u64,
    },
    /// Another content than the manifest says.
    #[error("expected SHA-256 {expected}, got {got}")]
    Checksum {
        /// By the manifest.
        expected: String,
        /// Of the file.
        got: String,
    },
    /// A safetensors header that cannot be.
    #[error("a header of {got} bytes, expected {limit} at most")]
    HeaderLength {
        /// Bytes that the file announces.
        got: u64,
        /// The limit here.
        limit: u64,
    },
    /// A safetensors header that cannot be parsed, or whose offsets overlap or leave gaps.
    #[error("not a safetensors header: {0}")]
    Header(serde_json::Error),
    /// Tensors that end elsewhere than the file.
    #[error("tensors of {expected} bytes, got {got}")]
    DataLength {
        /// By the header.
        expected: u64,
        /// In the file.
        got: u64,
    },
    /// Other tensors than expected.
    #[error("expected the tensors {expected}, got {got}")]
    Tensors {
        /// Names, types and shapes by the manifest.
        expected: String,
        /// By the header.
        got: String,
    },
    /// A type that no release stores.
    #[error("tensor {name:?} is of type {got}, expected F32, F64 or U64")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type.
        got: String,
    },
    /// Slots out of order.
    #[error("slot {slot} follows {after}, expected ascending slots")]
    Order {
        /// The slot.
        slot: u32,
        /// The one before.
        after: u32,
    },
    /// A slot outside the table.
    #[error("slot {slot}, expected less than {rows}")]
    Slot {
        /// The slot.
        slot: u32,
        /// The table's rows.
        rows: u64,
    },
    /// A weight that is not finite.
    #[error("row {slot} holds a number that is not finite")]
    NotFinite {
        /// The row.
        slot: u32,
    },
}

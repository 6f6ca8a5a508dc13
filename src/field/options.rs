//! How a field is declared: as in a config file, each option named once and given or left out.

use crate::hash::HashKind;
use serde::{Deserialize, Serialize};

/// Most fields and lists of one model.
pub const MAX_FIELDS: usize = 256;

/// Largest [`FieldOptions::dim`] and [`FieldOptions::width`].
pub const MAX_WIDTH: usize = 1 << 16;

/// Largest [`FieldOptions::max_items`].
pub const MAX_ITEMS: usize = 1 << 16;

/// [`FieldOptions::max_items`] if none is given. Lists are padded to the longest of a batch, so a record of hostile
/// length costs all of its neighbours: the bound is low.
pub const DEFAULT_MAX_ITEMS: usize = 128;

/// [`FieldOptions::dim`] if none is given.
pub const DEFAULT_DIM: usize = 32;

/// [`FieldOptions::buckets`] if none is given.
pub const DEFAULT_BUCKETS: u32 = 1 << 20;

/// [`FieldOptions::init_scale`] if none is given.
pub const DEFAULT_INIT_SCALE: f32 = 0.1;

/// What a field makes of the values at and below its path, for a record or for an item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldKind {
    /// All features below the path, hashed as [`crate::hash`] does; their rows, scaled, are to be summed: `[dim]`.
    #[default]
    Sum,
    /// One id, a string or an integer: a row for each hash, side by side, `[hashes, dim]`. No id, no rows; two ids are an
    /// error. An integer is its decimal digits: 5 and `"5"` are one id.
    Id,
    /// Plain numbers, `[width]`: an array by place, one number at place 0, or, if there are names, an object by its
    /// keys and strings as a set (those that occur are 1). What is missing is 0.
    Numbers,
    /// One of few: an integer below the width, or one of the names. 0 if it is missing.
    Category,
    /// One id as 64 bits without a table: an integer, or a string of one, as itself; any other string as its keyed
    /// hash. 0 if it is missing.
    Raw,
    /// As numbers, but each may be unknown, and all are to be learned, not to be learned from: `null` is unknown, and so
    /// is everything where the path leads nowhere. They must be in the range that the loss accepts.
    Labels,
    /// An array, each element of which is an item; fields whose paths lie at or below its path are fields of its
    /// items. An element is an item whatever it holds; a value that is no array is one item.
    List,
}

impl FieldKind {
    /// Its name in a config file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Id => "id",
            Self::Numbers => "numbers",
            Self::Category => "category",
            Self::Raw => "raw",
            Self::Labels => "labels",
            Self::List => "list",
        }
    }

    /// Whether it takes rows from a table.
    pub fn is_looked_up(self) -> bool {
        matches!(self, Self::Sum | Self::Id)
    }
}

/// One declared field, or list. [`Fields::new`](super::Fields::new) checks a set of them and fills in what was left out.
///
/// ```
/// use flexihash::field::{FieldKind, FieldOptions};
/// let user = FieldOptions { path: Some("user.id".into()), ..FieldOptions::new("user", FieldKind::Id) };
/// assert_eq!((user.name.as_str(), user.dim), ("user", None));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FieldOptions {
    /// Its name, by which a model asks for it. No two are equal.
    pub name: String,
    /// What it is.
    pub kind: FieldKind,
    /// The keys from the feature object down to it, joined by dots; empty: the feature object itself. A key with a dot in
    /// it has no path. Default: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Paths below its path that are left out, as `user.id` of `user`. Of sums only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// The path that is hashed in place of its path: fields that share a table find the same rows for what they hash
    /// alike. Default: of a sum its own path, so that it is hashed as without fields; of an id nothing, so that the bare
    /// id is hashed. [`HashKind::Mmh3`] and [`HashKind::Modulo`] take the bare id anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The table its rows lie in. Fields that name the same one share it, and must agree in all of the eight options
    /// below; what one leaves out, it takes from the first that shares it. Default: the name, a table of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Floats of a row, 1 to [`MAX_WIDTH`]. Default [`DEFAULT_DIM`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    /// Buckets of a hash, 1 to 2^31. Default [`DEFAULT_BUCKETS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// Rows of a feature, each by an independent hash, 1 to 16. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<u32>,
    /// Which hash. Default [`HashKind::Siphash`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashKind>,
    /// Whether a bit of the hash flips a value's sign. Of sums only. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternate_sign: Option<bool>,
    /// Whether each hash has buckets of its own, a table `[hashes, buckets, dim]`, rather than all the same ones,
    /// `[buckets, dim]`. Of ids only. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separate: Option<bool>,
    /// What the floats of a row are about before they are learned. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_mean: Option<f32>,
    /// Their standard deviation, at least 0. Default [`DEFAULT_INIT_SCALE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_scale: Option<f32>,
    /// How many numbers, labels or categories, 1 to [`MAX_WIDTH`]. Default: as many as there are names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Names of the numbers, labels or categories, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Most items of a list in one record, 1 to [`MAX_ITEMS`]; further ones are cut off and counted, so the first are
    /// kept. Default [`DEFAULT_MAX_ITEMS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<usize>,
}

impl FieldOptions {
    /// A field with all options left out.
    pub fn new(name: &str, kind: FieldKind) -> Self {
        Self { name: name.to_owned(), kind, ..Self::default() }
    }
}

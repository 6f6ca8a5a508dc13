//! What is known of a stream and of a model beside its losses, as people and programs see it.
//!
//! **The shape of `GET /insight`**: keys may come, none goes or changes its meaning. Parts that nobody asked to be watched are
//! `null`. Names of features and keys come from the stream: whoever shows them escapes them.

use serde::Serialize;

/// Everything that is seen of a stream and a model beside its losses, as `GET /insight` answers it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct InsightReport {
    /// Records looked at over the model's life, good and bad, of first passes.
    pub records: u64,
    /// Of a table's rows and who shares them.
    pub collisions: Option<CollisionReport>,
    /// The heaviest features by name.
    pub names: Option<NamesReport>,
    /// The keys of the stream.
    pub schema: Option<SchemaReport>,
}

/// Features that share a row with another.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CollisionReport {
    /// Estimated number of different features, times their hashes' tables: relative error 1.6 % (one standard deviation).
    pub distinct_keys: u64,
    /// The tables, in the order in which they are stored; one of a head, however many tasks it has.
    pub tables: Vec<TableReport>,
    /// Share of all lookups, 0 to 1, that found a row whose first owner is another feature.
    pub rate: f64,
    /// What that share would be with twice the rows, by theory.
    pub rate_doubled: f64,
    /// The same by field, the highest rate first: a declared field of a network, else a key right below the features. At
    /// most 256, then all others together under the empty name.
    pub fields: Vec<FieldCollisions>,
}

/// How full a table is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableReport {
    /// Its name; empty for the table of a head.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Rows that a feature was looked up in.
    pub owned: u64,
    /// owned / rows.
    pub fill: f64,
}

/// Lookups of one field.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FieldCollisions {
    /// The field; empty: those beyond the number that is told apart.
    pub field: String,
    /// Estimated lookups, from a sample of the records.
    pub lookups: u64,
    /// Lookups of a row that another feature owns, corrected for fingerprints that are equal by chance.
    pub collisions: u64,
    /// collisions / lookups, at most 1.
    pub rate: f64,
}

/// The features that are kept by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NamesReport {
    /// Names kept.
    pub kept: usize,
    /// Most that are kept.
    pub limit: usize,
    /// Those with the largest weights, by magnitude, 50 at most.
    pub top: Vec<NamedFeature>,
}

/// A feature with its weight.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NamedFeature {
    /// Its name: the keys joined with `.`, with `=` and the string for a category; cut after 120 bytes.
    pub feature: String,
    /// Its table, as in [`TableReport::table`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub table: String,
    /// Estimated records that had it, never too low but for the sampling.
    pub count: u64,
    /// By how much `count` may be too high, beside the sampling.
    pub count_error: u64,
    /// The weight of its rows, of the first task; of a network and of factors the length of the vector.
    pub weight: f64,
}

/// The keys of a stream, in windows of a sample of its records.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SchemaReport {
    /// Sampled records of a full window.
    pub window: u64,
    /// One record in so many is sampled.
    pub sampled_every: u64,
    /// Sampled records so far.
    pub sampled: u64,
    /// The keys, in the order in which they came: paths from the top of the record, joined with `.`.
    pub keys: Vec<KeyReport>,
    /// Keys met in sampled records that there was no room for.
    pub untracked: u64,
    /// Changes ever seen: keys that came, that went, that hold another kind of value.
    pub changes: ChangeCounts,
    /// The last of them, newest first, 64 at most.
    pub latest: Vec<SchemaChange>,
}

/// Number of changes by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ChangeCounts {
    /// Keys that came after the first window.
    pub new: u64,
    /// Keys that were common in a window and absent from the next.
    pub vanished: u64,
    /// Keys that held a kind of value they had never held.
    pub r#type: u64,
}

/// A key.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct KeyReport {
    /// Its path.
    pub key: String,
    /// In the window that goes on; none if nothing was sampled in it.
    pub now: Option<KeyWindow>,
    /// In the last full window.
    pub before: Option<KeyWindow>,
}

/// A key in a window.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct KeyWindow {
    /// Share of the sampled records that have it, 0 to 1.
    pub present: f64,
    /// Share of those in which it is `null`, 0 to 1.
    pub null: f64,
    /// What else it is, by number of records: `number`, `string`, `bool`, `array`, `object`.
    pub kinds: Vec<(&'static str, u64)>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct SchemaChange {
    /// How.
    pub change: Change,
    /// Of which key.
    pub key: String,
    /// What it held before, in words; empty of a new key.
    pub was: String,
    /// What it holds now; empty of one that vanished.
    pub is: String,
    /// Records of the model's life before it was seen.
    pub at_record: u64,
}

/// How a key changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It came.
    New,
    /// It went.
    Vanished,
    /// It holds another kind of value.
    Type,
}

//! What is seen in a stream beside learning: collisions, distinct keys, schema.

use super::names::{Late, Names};
use super::{Labelled, Metrics, Real, whole};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Longest label value that comes from a stream, in bytes.
const LABEL_BYTES: usize = 128;

/// By a name from the configuration or the stream.
type Named = Family<[(&'static str, String); 1], Real>;

pub(super) struct Seen {
    distinct_keys: Late<Gauge>,
    collision_rate: Late<Real>,
    field_collision_rate: Named,
    table_fill: Named,
    schema_keys: Late<Gauge>,
    schema_changes: Labelled<Counter>,
    null_ratio: Named,
}

impl Seen {
    pub(super) fn new(named: &mut Names) -> Self {
        Self {
            distinct_keys: named.late("distinct_keys", "Estimated number of different features", None),
            collision_rate: named.late(
                "collision_rate_all",
                "Share of lookups of a row that another feature had first",
                None,
            ),
            field_collision_rate: named.plain("collision_rate", "The same, by field"),
            table_fill: named.plain("table_fill", "Share of a table's rows that a feature was looked up in"),
            schema_keys: named.late("schema_keys", "Keys of the stream that are followed", None),
            schema_changes: named
                .plain("schema_changes", "Keys that came, vanished or hold another kind of value"),
            null_ratio: named
                .plain("schema_null_ratio", "Share of the records with this key where it is null"),
        }
    }
}

impl Metrics {
    /// So many different features are estimated, and this share of all lookups found a row that another one had first.
    pub fn collisions(&self, distinct_keys: u64, rate: f64) {
        self.0.seen.distinct_keys.get().set(whole(distinct_keys));
        self.0.seen.collision_rate.get().set(rate);
    }

    /// The same share of the lookups of one field; the caller bounds how many there are.
    pub fn field_collisions(&self, field: &str, rate: f64) {
        self.0.seen.field_collision_rate.get_or_create(&[("field", label(field))]).set(rate);
    }

    /// This share of the rows of a table was looked up.
    pub fn table_fill(&self, table: &str, fill: f64) {
        self.0.seen.table_fill.get_or_create(&[("table", label(table))]).set(fill);
    }

    /// So many keys of the stream are followed.
    pub fn schema_keys(&self, count: usize) {
        self.0.seen.schema_keys.get().set(whole(count as u64));
    }

    /// So many changes there were over the model's life, by kind: `new`, `vanished`, `type`.
    pub fn schema_changes(&self, changes: [(&'static str, u64); 3]) {
        for (change, count) in changes {
            let counter = self.0.seen.schema_changes.get_or_create(&[("change", change)]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    /// This share of the records that have a key has `null` there, for each of `keys`; others are not there any more. The caller
    /// bounds how many there are.
    pub fn null_ratios<'k>(&self, keys: impl Iterator<Item = (&'k str, f64)>) {
        self.0.seen.null_ratio.clear();
        for (key, ratio) in keys {
            self.0.seen.null_ratio.get_or_create(&[("key", label(key))]).set(ratio);
        }
    }
}

/// A name from a stream as a label: short, and nothing in it that ends a line.
fn label(name: &str) -> String {
    let mut bytes = 0;
    let short = name.chars().take_while(|c| {
        bytes += c.len_utf8();
        bytes <= LABEL_BYTES
    });
    short.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

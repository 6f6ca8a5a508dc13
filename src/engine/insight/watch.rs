//! What is kept of the stream, and how parse threads tell it.
//!
//! Parse threads look ([`Eye`]) and note what they saw beside each batch ([`Seen`]); the learning stage takes it up, span by span
//! in the order of the records ([`Watch::take`]), so that a checkpoint holds what was seen up to its positions and no more.

use super::fields::{Counts, FieldCounts};
use super::names::Names;
use super::owned::{Owned, Shape};
use super::report::{
    CollisionReport, FieldCollisions, InsightReport, NamedFeature, NamesReport, TableReport,
};
use super::schema::{self, KeySights, Schema};
use crate::batch::MAX_BUCKETS;
use crate::collision::displaced;
use crate::hash::{Form, Sampled, SightField, Sights, Stranger};
use crate::learner::Learner;
use crate::sketch::{Distinct, Owners, fingerprint, next_sampled};
use crate::table::{Table, TableError};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// One record in so many tells all its features up to a record of its source: a short stream is seen whole, and from one that
/// goes on ever less of it says nothing new; behind 2¹⁸ records 4,576 have told.
const SAMPLE: [(u64, u64); 4] = [(FIRST, 1), (1 << 16, 32), (1 << 18, 128), (1 << 20, 512)];
/// The same from there on.
const REST: u64 = 1024;
/// The first records of a source, all of which are looked at in every way.
const FIRST: u64 = 1024;
/// Features in a report.
const TOP: usize = 50;

/// What a parse thread looks for.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Eye {
    /// By table.
    pub(in crate::engine) owners: Vec<Arc<Owners>>,
    without_keys: bool,
}

impl Eye {
    /// For how many records one stands that begins behind `lines` others of its source; none if it is not of the sample.
    pub(in crate::engine) fn weight(&self, lines: u64) -> Option<u32> {
        let (_, every) = stretch(lines);
        (next_sampled(lines, every) == lines).then_some(every as u32)
    }

    /// Whether its keys are looked at.
    pub(in crate::engine) fn walks(&self, lines: u64) -> bool {
        !self.without_keys && (lines < FIRST || next_sampled(lines, schema::EVERY) == lines)
    }

    /// Those from `lines` on that follow each other and of which neither is looked at.
    pub(in crate::engine) fn skipped(&self, lines: u64) -> Range<u64> {
        let (up_to, every) = stretch(lines);
        lines..next_sampled(lines, every).min(next_sampled(lines, schema::EVERY)).min(up_to)
    }
}

/// Up to where, and one record in how many, the sample is taken as behind `lines` records.
fn stretch(lines: u64) -> (u64, u64) {
    SAMPLE.into_iter().find(|(up_to, _)| lines < *up_to).unwrap_or((u64::MAX, REST))
}

/// What was seen of the records of a batch.
#[derive(Debug, Default)]
pub(in crate::engine) struct Seen {
    pub(in crate::engine) features: Sights,
    pub(in crate::engine) keys: KeySights,
}

impl Seen {
    pub(in crate::engine) fn clear(&mut self) {
        self.features.clear();
        self.keys.clear();
    }
}

/// See the module.
#[derive(Debug)]
pub(in crate::engine) struct Watch {
    /// Whether it goes on; if not, it only stays with the model.
    is_on: bool,
    without_keys: bool,
    records: u64,
    tables: Vec<Owned>,
    /// Names of declared fields, if there are any.
    declared: Vec<String>,
    distinct: Distinct,
    fields: FieldCounts,
    names: Option<Names>,
    schema: Schema,
}

/// All of it but the owners, as a checkpoint has it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    is_on: bool,
    without_keys: bool,
    records: u64,
    distinct: Vec<u8>,
    fields: (Vec<(String, Counts)>, Counts),
    names: Option<serde_json::Value>,
    schema: serde_json::Value,
}

impl Watch {
    pub(in crate::engine) fn new(shapes: Vec<Shape>, declared: Vec<String>) -> Result<Self, TableError> {
        Ok(Self {
            is_on: true,
            without_keys: false,
            records: 0,
            tables: shapes.into_iter().map(Owned::new).collect::<Result<_, _>>()?,
            declared,
            distinct: Distinct::default(),
            fields: FieldCounts::default(),
            names: None,
            schema: Schema::default(),
        })
    }

    /// Goes on or rests from now on.
    pub(in crate::engine) fn turn(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    /// Keeps the names of `limit` features, or of none.
    pub(in crate::engine) fn keep_names(&mut self, limit: usize) {
        if self.names_limit() != limit {
            self.names = (limit > 0).then(|| Names::new(limit));
        }
    }

    /// Leaves the keys of the records alone from now on, or watches them.
    pub(in crate::engine) fn leave_keys(&mut self, without_keys: bool) {
        self.without_keys = without_keys;
    }

    /// Names that are kept, at most.
    pub(in crate::engine) fn names_limit(&self) -> usize {
        self.names.as_ref().map_or(0, Names::limit)
    }

    /// What parse threads look with; none while it rests.
    pub(in crate::engine) fn eye(&self) -> Option<Eye> {
        let owners = self.tables.iter().map(|table| Arc::clone(&table.owners));
        self.is_on.then(|| Eye { owners: owners.collect(), without_keys: self.without_keys })
    }

    /// Takes up what was seen of `entries`.
    pub(in crate::engine) fn take(&mut self, seen: &Seen, entries: &Range<usize>) {
        if !self.is_on {
            return;
        }
        let Sights { strangers, sampled, .. } = &seen.features;
        let mut strangers = within(strangers, entries, |one| one.entry).iter().peekable();
        let mut sampled = within(sampled, entries, |one| one.entry).iter().peekable();
        // Record by record: else what comes first would depend on where batches end.
        let next = |strangers: Option<&&Stranger>, sampled: Option<&&Sampled>| {
            strangers.map(|one| one.entry).into_iter().chain(sampled.map(|one| one.entry)).min()
        };
        while let Some(entry) = next(strangers.peek(), sampled.peek()) {
            while let Some(one) = strangers.next_if(|one| one.entry == entry) {
                self.take_stranger(&seen.features, one);
            }
            while let Some(one) = sampled.next_if(|one| one.entry == entry) {
                self.take_sampled(&seen.features, one);
            }
        }
        self.schema.take(&seen.keys, entries, self.records);
        self.records += entries.len() as u64;
    }

    fn take_stranger(&mut self, sights: &Sights, stranger: &Stranger) {
        let Some(table) = self.tables.get_mut(usize::from(stranger.table)) else { return };
        let (mark, owner) = (fingerprint(stranger.hash), table.owners.get(stranger.slot));
        if owner == mark {
            return; // it became the owner since it was seen
        }
        if stranger.index == 0 {
            self.distinct.add(salted(stranger.hash, stranger.table));
        }
        if owner == 0 {
            return table.claim(stranger.slot, mark);
        }
        let field = name_of(&self.declared, sights.field_of(stranger));
        self.fields.of(field).strange += 1;
    }

    fn take_sampled(&mut self, sights: &Sights, one: &Sampled) {
        let (field, slots) = (sights.field_of_sampled(one), sights.slots(one));
        let field = name_of(&self.declared, field);
        self.fields.of(field).lookups += u64::from(one.weight) * slots.len() as u64;
        if let Some(names) = &mut self.names {
            let key = salted(one.hash, one.table);
            names.add(key, u64::from(one.weight), (one.table, slots), || match sights.form_of(one) {
                Form::Id => format!("{}={}", String::from_utf8_lossy(field), sights.name(one)),
                Form::Native | Form::Text => sights.name(one),
            });
        }
    }

    /// Tables that a checkpoint stores, with what was seen up to now.
    pub(in crate::engine) fn stored_tables(&mut self) -> Vec<(String, &Arc<Table>)> {
        self.tables.iter_mut().for_each(Owned::store);
        self.tables()
    }

    /// The same, to be filled.
    pub(in crate::engine) fn tables(&self) -> Vec<(String, &Arc<Table>)> {
        let tables = self.tables.iter().enumerate();
        tables.map(|(index, table)| (format!("insight.owners.{index}"), &table.stored)).collect()
    }

    /// All but the tables.
    pub(in crate::engine) fn state(&self) -> Vec<u64> {
        let stored = Stored {
            is_on: self.is_on,
            without_keys: self.without_keys,
            records: self.records,
            distinct: self.distinct.state(),
            fields: self.fields.state(),
            names: self.names.as_ref().map(Names::state),
            schema: serde_json::to_value(&self.schema).unwrap_or_default(),
        };
        let bytes = serde_json::to_vec(&stored).unwrap_or_default();
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [b' '; 8]; // white space behind JSON is none of it
        last.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
        words.iter().copied().chain([last]).map(u64::from_le_bytes).collect()
    }

    /// Takes up a state, after its tables were filled. `false`: it is none.
    pub(in crate::engine) fn restore(&mut self, state: &[u64]) -> bool {
        self.tables.iter_mut().for_each(Owned::load);
        let bytes: Vec<u8> = state.iter().flat_map(|word| word.to_le_bytes()).collect();
        let Ok(stored) = serde_json::from_slice::<Stored>(&bytes) else { return false };
        let distinct = Distinct::restore(&stored.distinct);
        let (fields, schema) = (FieldCounts::restore(stored.fields), Schema::restore(stored.schema));
        let (Some(distinct), Some(fields), Some(schema)) = (distinct, fields, schema) else { return false };
        self.names = match stored.names {
            None => None,
            Some(names) => match Names::restore(names) {
                None => return false,
                names => names,
            },
        };
        (self.is_on, self.without_keys, self.records) = (stored.is_on, stored.without_keys, stored.records);
        (self.distinct, self.fields, self.schema) = (distinct, fields, schema);
        true
    }

    pub(in crate::engine) fn report(&self, learner: &Learner) -> InsightReport {
        InsightReport {
            records: self.records,
            collisions: Some(self.collisions()),
            names: self.names.as_ref().map(|names| NamesReport {
                kept: names.len(),
                limit: names.limit(),
                top: self.heaviest(learner, TOP),
            }),
            schema: Some(self.schema.report()),
        }
    }

    fn collisions(&self) -> CollisionReport {
        let field = |(field, counts): (&str, Counts)| FieldCollisions {
            field: field.to_owned(),
            lookups: counts.lookups,
            collisions: counts.collisions().round() as u64,
            rate: counts.rate(),
        };
        let mut fields: Vec<_> = self.fields.all().map(field).collect();
        fields.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        let rate = self.fields.total().rate();
        let table = |table: &Owned| TableReport {
            table: table.name.clone(),
            rows: table.owners.rows() as u64,
            owned: table.count,
            fill: table.count as f64 / table.owners.rows().max(1) as f64,
        };
        CollisionReport {
            distinct_keys: self.distinct.estimate().round() as u64,
            tables: self.tables.iter().map(table).collect(),
            rate,
            rate_doubled: rate * self.doubled(),
            fields,
        }
    }

    /// How many times as many collisions there would be in tables of twice the rows: what theory says of as many keys as there
    /// are, both ways.
    fn doubled(&self) -> f64 {
        let (mut now, mut then) = (0.0, 0.0);
        for table in &self.tables {
            let rows = table.owners.rows() as f64;
            let keys = match self.tables.len() {
                1 => self.distinct.estimate() * f64::from(table.hashes),
                // Of one among several, from how many rows are owned (linear counting: Whang, Vander-Zanden & Taylor 1990).
                _ => -rows * libm::log1p(-(table.count as f64 / rows).min(1.0 - 0.5 / rows)),
            };
            now += keys * displaced(keys, rows);
            then += keys * displaced(keys, (2.0 * rows).min(f64::from(MAX_BUCKETS)));
        }
        if now > 0.0 { then / now } else { 1.0 }
    }

    /// The `top` named features with the largest weights.
    pub(in crate::engine) fn heaviest(&self, learner: &Learner, top: usize) -> Vec<NamedFeature> {
        let names = self.names.iter().flat_map(Names::kept);
        let mut all: Vec<NamedFeature> = names
            .map(|kept| NamedFeature {
                feature: kept.value.name.clone(),
                table: self
                    .tables
                    .get(usize::from(kept.value.table))
                    .map_or(String::new(), |t| t.name.clone()),
                count: kept.count,
                count_error: kept.error,
                weight: learner.feature_weight(usize::from(kept.value.table), &kept.value.slots),
            })
            .collect();
        let order = |a: &NamedFeature, b: &NamedFeature| {
            b.weight.abs().total_cmp(&a.weight.abs()).then_with(|| a.feature.cmp(&b.feature))
        };
        all.sort_by(order);
        all.truncate(top);
        all
    }

    /// Share of the weight mass, of the rows of all tables, that is in rows of named features; none if there is none.
    pub(in crate::engine) fn named_share(&self, learner: &Learner) -> Option<f64> {
        let names = self.names.as_ref()?;
        let mut rows: Vec<(u16, u32)> = names.kept().flat_map(|kept| kept.value.rows()).collect();
        rows.sort_unstable();
        rows.dedup();
        let named: f64 = rows.iter().map(|&(table, slot)| learner.row_mass(usize::from(table), slot)).sum();
        let mut all = 0.0;
        for table in 0..self.tables.len() {
            learner.for_each_weight(table, |weight| all += f64::from(weight.abs()));
        }
        (all > 0.0).then(|| named / all)
    }
}

/// The bits of a feature, told from the same in another table.
fn salted(hash: u64, table: u16) -> u64 {
    hash ^ u64::from(table).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn name_of<'a>(declared: &'a [String], field: SightField<'a>) -> &'a [u8] {
    match field {
        SightField::Declared(field) => declared.get(usize::from(field)).map_or(&[], String::as_bytes),
        SightField::Key(key) => key,
    }
}

/// Those of `all`, which ascend by entry, that belong to `entries`.
fn within<'a, T>(all: &'a [T], entries: &Range<usize>, entry: impl Fn(&T) -> u32) -> &'a [T] {
    let below = |limit: usize| all.partition_point(|one| (entry(one) as usize) < limit);
    all.get(below(entries.start)..below(entries.end)).unwrap_or_default()
}

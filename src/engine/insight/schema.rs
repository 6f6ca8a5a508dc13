//! The keys of a stream and what they hold, from a sample of its records as they were written.
//!
//! Parse threads walk the JSON of sampled records, apart from the parser, to whom `null` and `false` are nothing; the
//! learning stage takes up what they met in the order of the records. Windows count sampled records. A key that comes
//! after the first window, and a key that holds a kind of value it never held, are told when they are first met; one that
//! was common in a window and is absent from the whole next one, at the end of that. Everything is bounded: levels, keys of
//! a record, keys of an object (ids used as keys would crowd out all others), keys in all, and what one record costs.

use super::report::{Change, ChangeCounts, KeyReport, KeyWindow, SchemaChange, SchemaReport};
use crate::engine::explain::cut;
use crate::record::RecordBatch;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize as Read, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// One record in so many is walked, behind the first of a source, which all are.
pub(super) const EVERY: u64 = 128;
/// Sampled records of a window: with one in 128, 16,384 records.
const WINDOW: u64 = 128;
/// A key that this many of them had is missed when none has it: by chance that is below 10⁻⁷.
const COMMON: u64 = 16;
/// Keys that are followed, in all and right below one other.
const MAX_KEYS: usize = 1000;
const MAX_CHILDREN: usize = 100;
/// Keys of one record, and levels of nesting, that are looked at.
const MAX_MET: usize = 256;
const LEVELS: usize = 4;
/// Longest part of a path, in bytes, and longest record.
const KEY_BYTES: usize = 64;
const RECORD_BYTES: usize = 1 << 18;
/// Changes that are shown, and log lines of one window.
const LATEST: usize = 64;
const LINES: u64 = 8;

const KINDS: [&str; 5] = ["number", "string", "bool", "array", "object"];

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    /// A place in [`KINDS`].
    Value(u8),
}

/// A key of a sampled record.
#[derive(Debug, Clone)]
struct Met {
    entry: u32,
    path: Range<u32>,
    kind: Kind,
}

/// The keys of the sampled records of a batch.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct KeySights {
    /// Sampled records that were walked.
    entries: Vec<u32>,
    /// Sampled records that are to be.
    chosen: Vec<u32>,
    met: Vec<Met>,
    text: String,
}

impl KeySights {
    pub(in crate::engine) fn clear(&mut self) {
        self.entries.clear();
        self.chosen.clear();
        self.met.clear();
        self.text.clear();
    }

    /// Chooses record number `entry` of a batch, which follows those chosen before.
    #[inline]
    pub(in crate::engine) fn choose(&mut self, entry: u32) {
        self.chosen.push(entry);
    }

    /// Walks the chosen ones, all of a batch together: what is done so seldom is in no cache the first time. One that is no JSON, or
    /// very long, is as if it had not been chosen.
    pub(in crate::engine) fn walk(&mut self, records: &RecordBatch) {
        let (mut path, chosen) = (String::new(), std::mem::take(&mut self.chosen));
        for &entry in &chosen {
            let record = records.get(entry as usize).filter(|record| !record.is_cut());
            if let Some(record) = record.filter(|record| record.bytes.len() <= RECORD_BYTES) {
                self.walk_one(entry, record.bytes, &mut path);
            }
        }
        self.chosen = chosen;
    }

    fn walk_one(&mut self, entry: u32, record: &[u8], path: &mut String) {
        let (met, text) = (self.met.len(), self.text.len());
        let Ok(record) = std::str::from_utf8(record) else { return };
        let mut json = serde_json::Deserializer::from_str(record);
        path.clear();
        let walk = Value { sights: self, entry, path, levels: LEVELS, room: met + MAX_MET };
        let walked = walk.deserialize(&mut json).and_then(|_| json.end());
        if walked.is_err() {
            self.met.truncate(met);
            self.text.truncate(text);
            return;
        }
        self.entries.push(entry);
    }
}

/// A value below a path.
struct Value<'a> {
    sights: &'a mut KeySights,
    entry: u32,
    path: &'a mut String,
    levels: usize,
    /// Where the list of keys is full.
    room: usize,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Kind;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Kind, D::Error> {
        json.deserialize_any(self)
    }
}

/// A key, as the caller's path needs it.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if !self.0.is_empty() {
            self.0.push('.');
        }
        self.0.push_str(cut(key, KEY_BYTES));
        Ok(())
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind::Value(2))
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Kind, E> {
        Ok(Kind::Value(0))
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Kind, E> {
        Ok(Kind::Value(0))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Value(0))
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<Kind, E> {
        Ok(Kind::Value(1))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Kind, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Kind::Value(3))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let Self { sights, entry, path, levels, room } = self;
        let end = path.len();
        loop {
            if levels == 0 || sights.met.len() >= room {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                break;
            }
            if map.next_key_seed(Key(path))?.is_none() {
                break;
            }
            let start = sights.text.len() as u32;
            sights.text.push_str(path);
            let range = start..sights.text.len() as u32;
            let place = sights.met.len();
            sights.met.push(Met { entry, path: range, kind: Kind::Null });
            let below = Value { sights: &mut *sights, entry, path: &mut *path, levels: levels - 1, room };
            let kind = map.next_value_seed(below)?;
            if let Some(met) = sights.met.get_mut(place) {
                met.kind = kind;
            }
            path.truncate(end);
        }
        Ok(Kind::Value(4))
    }
}

/// Records of a window in which a key was so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Read)]
struct Counts {
    present: u64,
    null: u64,
    kinds: [u64; 5],
}

#[derive(Debug, Clone, PartialEq, Serialize, Read)]
struct Followed {
    key: String,
    now: Counts,
    before: Counts,
    /// A bit for each kind it ever held.
    held: u8,
    /// The window in which it came.
    since: u64,
    /// The last sampled record that had it: one that has it twice counts once.
    last: u64,
    /// It was told to have vanished.
    gone: bool,
}

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Read)]
#[serde(default)]
pub(super) struct Schema {
    sampled: u64,
    /// Of the window that goes on.
    in_window: u64,
    windows: u64,
    keys: Vec<Followed>,
    untracked: u64,
    changes: ChangeCounts,
    latest: Vec<SchemaChange>,
    lines: u64,
    #[serde(skip)]
    places: HashMap<String, usize>,
    #[serde(skip)]
    children: HashMap<String, usize>,
    /// Where the next key is likely to be.
    #[serde(skip)]
    guess: usize,
}

impl Schema {
    /// Finds its keys again after it was read.
    pub(super) fn index(&mut self) {
        self.places = self.keys.iter().enumerate().map(|(at, followed)| (followed.key.clone(), at)).collect();
        self.children.clear();
        for followed in &self.keys {
            *self.children.entry(parent(&followed.key).to_owned()).or_default() += 1;
        }
    }

    /// Takes up the sampled records among `entries`, of which the first is number `first` of the model's life.
    pub(super) fn take(&mut self, sights: &KeySights, entries: &Range<usize>, first: u64) {
        let from = sights.entries.partition_point(|&entry| (entry as usize) < entries.start);
        let mut met = sights.met.partition_point(|met| (met.entry as usize) < entries.start);
        for &entry in sights.entries.iter().skip(from).take_while(|&&entry| (entry as usize) < entries.end) {
            let at = first + (entry as usize - entries.start) as u64;
            self.sampled += 1;
            self.in_window += 1;
            while let Some(one) = sights.met.get(met).filter(|met| met.entry == entry) {
                let path = sights.text.get(one.path.start as usize..one.path.end as usize);
                self.meet(path.unwrap_or_default(), one.kind, at);
                met += 1;
            }
            if self.in_window == WINDOW {
                self.end_window(at);
            }
        }
    }

    fn meet(&mut self, key: &str, kind: Kind, at: u64) {
        let Some(place) = self.place(key, at) else {
            self.untracked += 1;
            return;
        };
        self.guess = place + 1;
        let sampled = self.sampled;
        let Some(followed) = self.keys.get_mut(place) else { return };
        if std::mem::replace(&mut followed.last, sampled) == sampled {
            return;
        }
        followed.now.present += 1;
        let is_back = std::mem::take(&mut followed.gone);
        self.count(place, kind, at);
        if is_back {
            self.tell(Change::New, (key.to_owned(), "vanished".to_owned(), String::new()), at);
        }
    }

    /// Counts what a key of a record holds.
    fn count(&mut self, place: usize, kind: Kind, at: u64) {
        let windows = self.windows;
        let Some(followed) = self.keys.get_mut(place) else { return };
        let Kind::Value(kind) = kind else {
            followed.now.null += 1;
            return;
        };
        if let Some(count) = followed.now.kinds.get_mut(usize::from(kind)) {
            *count += 1;
        }
        let held = followed.held;
        followed.held |= 1 << kind;
        // In its first window a key may hold whatever it likes.
        if held & (1 << kind) == 0 && held != 0 && followed.since < windows {
            let is = KINDS.get(usize::from(kind)).copied().unwrap_or_default().to_owned();
            let key = followed.key.clone();
            self.tell(Change::Type, (key, names(held), is), at);
        }
    }

    /// Where `key` is followed; none: there is no room.
    fn place(&mut self, key: &str, at: u64) -> Option<usize> {
        if self.keys.get(self.guess).is_some_and(|followed| followed.key == key) {
            return Some(self.guess);
        }
        if let Some(&place) = self.places.get(key) {
            return Some(place);
        }
        let children = self.children.get(parent(key)).copied().unwrap_or(0);
        if self.keys.len() >= MAX_KEYS || children >= MAX_CHILDREN {
            return None;
        }
        let (now, before) = (Counts::default(), Counts::default());
        let since = self.windows;
        self.keys.push(Followed { key: key.to_owned(), now, before, held: 0, since, last: 0, gone: false });
        self.places.insert(key.to_owned(), self.keys.len() - 1);
        *self.children.entry(parent(key).to_owned()).or_default() += 1;
        if self.windows > 0 {
            self.tell(Change::New, (key.to_owned(), String::new(), String::new()), at);
        }
        Some(self.keys.len() - 1)
    }

    fn end_window(&mut self, at: u64) {
        (self.windows, self.in_window, self.lines) = (self.windows + 1, 0, 0);
        let gone = self.keys.iter_mut().filter(|key| key.before.present >= COMMON && key.now.present == 0);
        let gone = gone.map(|followed| {
            followed.gone = true;
            (followed.key.clone(), names(followed.held), String::new())
        });
        let gone: Vec<_> = gone.collect();
        gone.into_iter().for_each(|change| self.tell(Change::Vanished, change, at));
        if self.keys.len() > MAX_KEYS / 4 * 3 {
            // What has not come for two windows makes room; if it comes again, it is new again.
            self.keys.retain(|followed| followed.before.present + followed.now.present > 0);
        }
        for followed in &mut self.keys {
            (followed.before, followed.now) = (followed.now, Counts::default());
        }
        self.index();
    }

    fn tell(&mut self, change: Change, (key, was, is): (String, String, String), at_record: u64) {
        let counts = &mut self.changes;
        let (count, what) = match change {
            Change::New => (&mut counts.new, "a new key"),
            Change::Vanished => (&mut counts.vanished, "a key vanished"),
            Change::Type => (&mut counts.r#type, "a key holds another kind of value"),
        };
        *count += 1;
        self.lines += 1;
        if self.lines <= LINES {
            tracing::warn!(key = %key.escape_debug(), was, is, record = at_record, "{what}");
        }
        self.latest.truncate(LATEST - 1);
        self.latest.insert(0, SchemaChange { change, key, was, is, at_record });
    }

    pub(super) fn report(&self) -> SchemaReport {
        let window = |counts: &Counts, records: u64| {
            (records > 0).then(|| KeyWindow {
                present: counts.present as f64 / records as f64,
                null: counts.null as f64 / counts.present.max(1) as f64,
                kinds: KINDS.into_iter().zip(counts.kinds).filter(|(_, count)| *count > 0).collect(),
            })
        };
        let key = |followed: &Followed| KeyReport {
            key: followed.key.clone(),
            now: window(&followed.now, self.in_window),
            before: window(&followed.before, if self.windows > 0 { WINDOW } else { 0 }),
        };
        SchemaReport {
            window: WINDOW,
            sampled_every: EVERY,
            sampled: self.sampled,
            keys: self.keys.iter().map(key).collect(),
            untracked: self.untracked,
            changes: self.changes,
            latest: self.latest.clone(),
        }
    }
}

/// The path above a key.
fn parent(key: &str) -> &str {
    key.rfind('.').and_then(|dot| key.get(..dot)).unwrap_or_default()
}

/// The kinds of these bits, in words.
fn names(held: u8) -> String {
    let names = KINDS.iter().enumerate().filter(|(bit, _)| held >> bit & 1 == 1);
    names.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// Tells a stored state from something else: what is read is indexed.
impl Schema {
    pub(super) fn restore(state: serde_json::Value) -> Option<Self> {
        let mut schema = <Self as Deserialize>::deserialize(state).ok()?;
        if schema.keys.len() > MAX_KEYS || schema.latest.len() > LATEST {
            return None;
        }
        schema.index();
        Some(schema)
    }
}

//! What a thread that hashes tells about the features it met: those that found a row nobody owns, or that another feature
//! owns, and, of a sample of the records, all of them by name.
//!
//! Owners are written by whoever takes the [`Sights`] up, in the order of the records, and only once a row. So an owner that is
//! read here, at any moment, is the true one or not there yet; and of the lookups that are not told, each found its own
//! fingerprint. What is made of sights is the same for any number of threads, and in steady state there are hardly any. Owners lie a cache
//! line apart, and reading them took most of the time: so a thread keeps the features that it has found to own their rows close
//! together ([`KnownOwners`]), and looks further for others only.

use super::lanes::EncodedFeatures;
use super::native::{CATEGORY, KEY, NUMBER};
use super::{FeatureHasher, siphash_1_3};
use crate::sketch::{KnownOwners, Owners, fingerprint};
use std::ops::Range;
use std::sync::Arc;

/// Longest field, and longest message, that is told, in bytes; longer ones are cut.
pub const FIELD_BYTES: usize = 64;
/// See [`FIELD_BYTES`].
pub const MESSAGE_BYTES: usize = 120;

/// A feature that found a row which it is not known to own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Which record.
    pub entry: u32,
    /// The table.
    pub table: u16,
    /// Which of the feature's hashes, from 0.
    pub index: u16,
    /// The row.
    pub slot: u32,
    /// 64 bits of the feature.
    pub hash: u64,
    field: Field,
}

/// A feature of a sampled record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampled {
    /// Which record.
    pub entry: u32,
    /// For how many records this one stands.
    pub weight: u32,
    /// The table.
    pub table: u16,
    /// 64 bits of the feature.
    pub hash: u64,
    field: Field,
    text: Range<u32>,
    is_cut: bool,
    form: Form,
    slots: Range<u32>,
}

/// How the bytes of a feature say what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In the native encoding.
    Native,
    /// As text: keys joined with `.`, `=` and the string.
    Text,
    /// Of an id: its text alone.
    Id,
}

/// What a lookup is counted under: a declared field, or bytes of [`Sights::text`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Declared(u16),
    Key(Range<u32>),
}

/// A field as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SightField<'a> {
    /// By its place among declared fields.
    Declared(u16),
    /// By the key right below the features, its first 64 bytes.
    Key(&'a [u8]),
}

/// What was told of some records, in their order.
#[derive(Debug, Clone, Default)]
pub struct Sights {
    /// Lookups of rows that are not known to be their own.
    pub strangers: Vec<Stranger>,
    /// Features of sampled records.
    pub sampled: Vec<Sampled>,
    text: Vec<u8>,
    slots: Vec<u32>,
}

/// How much of each list there is.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    strangers: usize,
    sampled: usize,
    text: usize,
    slots: usize,
}

impl Sights {
    fn mark(&self) -> Mark {
        let (strangers, sampled) = (self.strangers.len(), self.sampled.len());
        Mark { strangers, sampled, text: self.text.len(), slots: self.slots.len() }
    }

    fn truncate(&mut self, mark: Mark) {
        self.strangers.truncate(mark.strangers);
        self.sampled.truncate(mark.sampled);
        self.text.truncate(mark.text);
        self.slots.truncate(mark.slots);
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.truncate(Mark::default());
    }

    /// Takes over what `other` has, which is emptied.
    pub fn append(&mut self, other: &mut Self) {
        if self.text.is_empty() && self.strangers.is_empty() && self.sampled.is_empty() {
            return std::mem::swap(self, other);
        }
        let (text, slots) = (self.text.len() as u32, self.slots.len() as u32);
        for mut stranger in other.strangers.drain(..) {
            stranger.field.shift(text);
            self.strangers.push(stranger);
        }
        for mut sampled in other.sampled.drain(..) {
            sampled.field.shift(text);
            shift(&mut sampled.text, text);
            shift(&mut sampled.slots, slots);
            self.sampled.push(sampled);
        }
        self.text.append(&mut other.text);
        self.slots.append(&mut other.slots);
    }

    /// Puts what came field by field into the order of the records; within one, the order of coming stays.
    pub fn sort(&mut self) {
        self.strangers.sort_by_key(|stranger| stranger.entry);
        self.sampled.sort_by_key(|sampled| sampled.entry);
    }

    /// Under what a stranger is counted.
    pub fn field_of(&self, stranger: &Stranger) -> SightField<'_> {
        self.field(&stranger.field)
    }

    /// How the name of a sampled feature is to be read.
    pub fn form_of(&self, sampled: &Sampled) -> Form {
        sampled.form
    }

    /// Under what a sampled feature is counted.
    pub fn field_of_sampled(&self, sampled: &Sampled) -> SightField<'_> {
        self.field(&sampled.field)
    }

    fn field(&self, field: &Field) -> SightField<'_> {
        match field {
            Field::Declared(field) => SightField::Declared(*field),
            Field::Key(range) => SightField::Key(self.bytes(range)),
        }
    }

    /// The rows of a sampled feature, one for each of its hashes.
    pub fn slots(&self, sampled: &Sampled) -> &[u32] {
        self.slots.get(sampled.slots.start as usize..sampled.slots.end as usize).unwrap_or_default()
    }

    /// The name of a sampled feature: keys joined with `.`, `=` and the string for a category. Of an id that a declared
    /// field takes it is the text alone: the field's name goes before it.
    pub fn name(&self, sampled: &Sampled) -> String {
        let message = self.bytes(&sampled.text);
        let name = match sampled.form {
            Form::Native => native_name(message),
            Form::Text | Form::Id => String::from_utf8_lossy(message).into_owned(),
        };
        if sampled.is_cut {
            format!("{}…", name.trim_end_matches(char::REPLACEMENT_CHARACTER))
        } else {
            name
        }
    }

    fn bytes(&self, range: &Range<u32>) -> &[u8] {
        self.text.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// Keeps up to `limit` bytes.
    fn keep(&mut self, bytes: &[u8], limit: usize) -> Range<u32> {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes.get(..limit).unwrap_or(bytes));
        start..self.text.len() as u32
    }
}

impl Field {
    fn shift(&mut self, by: u32) {
        if let Self::Key(range) = self {
            shift(range, by);
        }
    }
}

fn shift(range: &mut Range<u32>, by: u32) {
    range.start += by;
    range.end += by;
}

/// Looks at what one thread hashes for one table, in a field or in all.
#[derive(Debug, Clone)]
pub struct Probe {
    owners: Arc<Owners>,
    known: KnownOwners,
    table: u16,
    /// A declared field; none: the key right below the features is the field.
    field: Option<u16>,
    entry: u32,
    weight: Option<u32>,
    sights: Sights,
    /// What there was before the record, if something was told of it.
    before: Option<Mark>,
}

/// A feature by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lone<'a> {
    /// 64 bits of it.
    pub(crate) hash: u64,
    /// What says its name and field, as its kind of hash writes it.
    pub(crate) message: &'a [u8],
}

impl Probe {
    /// A probe for `table`, whose rows' owners these are. `field`: the declared field; none, and the key right below the features
    /// is the field.
    pub fn new(owners: Arc<Owners>, table: u16, field: Option<u16>) -> Self {
        let (known, sights) = (KnownOwners::default(), Sights::default());
        Self { owners, known, table, field, entry: 0, weight: None, sights, before: None }
    }

    /// Record number `entry` of a batch begins. `weight`: it belongs to the sample, and stands for so many.
    #[inline]
    pub fn begin(&mut self, entry: u32, weight: Option<u32>) {
        (self.entry, self.weight, self.before) = (entry, weight, None);
    }

    /// Forgets what was told of the record.
    #[inline]
    pub fn retract(&mut self) {
        if let Some(before) = self.before.take() {
            self.sights.truncate(before);
        }
    }

    /// What was told since the last call.
    pub fn sights(&mut self) -> &mut Sights {
        &mut self.sights
    }

    /// Looks at features to which hash function `index` gave these hashes: whether there is something to [`tell`](Self::tell).
    #[inline(always)]
    pub(super) fn look(&self, index: u32, hashes: &[u64]) -> bool {
        !self.known.are_all(hashes) || (self.weight.is_some() && index == 0)
    }

    /// Tells of the features that do not own their rows, and of all if the record belongs to the sample.
    #[cold]
    #[inline(never)]
    pub(super) fn tell(
        &mut self,
        hasher: &FeatureHasher,
        index: u32,
        features: &EncodedFeatures,
        hashes: &[u64],
    ) {
        self.before.get_or_insert_with(|| self.sights.mark());
        let mut others = self.known.others(hashes);
        while others != 0 {
            let at = others.trailing_zeros() as usize;
            others &= others - 1;
            let Some(&hash) = hashes.get(at) else { break };
            let slot = hasher.place(hash).slot.0;
            if self.known.is_guest(hash) || self.owners.get(slot) == fingerprint(hash) {
                self.known.add(hash);
            } else {
                let feature = Lone { hash, message: features.message(at) };
                self.stranger(Form::Native, index, slot, feature);
            }
        }
        if index > 0 || self.weight.is_none() {
            return;
        }
        for (at, &hash) in hashes.iter().enumerate() {
            let message = features.message(at);
            let slots = (0..hasher.options.hashes).map(|index| match index {
                0 => hasher.place(hash).slot.0,
                _ => hasher.native(message, index).slot.0,
            });
            self.sample(Form::Native, Lone { hash, message }, slots);
        }
    }

    /// Looks at one feature with all its rows, each with the bits by which it is told from others there.
    pub(crate) fn look_alone(
        &mut self,
        form: Form,
        message: &[u8],
        rows: impl Iterator<Item = (u64, u32)> + Clone,
    ) {
        self.before.get_or_insert_with(|| self.sights.mark());
        for (index, (hash, slot)) in rows.clone().enumerate() {
            if self.owners.get(slot) != fingerprint(hash) {
                self.stranger(form, index as u32, slot, Lone { hash, message });
            }
        }
        if let (Some(_), Some((hash, _))) = (self.weight, rows.clone().next()) {
            self.sample(form, Lone { hash, message }, rows.map(|(_, slot)| slot));
        }
    }

    fn stranger(&mut self, form: Form, index: u32, slot: u32, feature: Lone<'_>) {
        let field = self.field_of(form, feature.message);
        let (entry, table, index) = (self.entry, self.table, index as u16);
        self.sights.strangers.push(Stranger { entry, table, index, slot, hash: feature.hash, field });
    }

    fn sample(&mut self, form: Form, feature: Lone<'_>, slots: impl Iterator<Item = u32>) {
        let Some(weight) = self.weight else { return };
        let field = self.field_of(form, feature.message);
        let text = self.sights.keep(feature.message, MESSAGE_BYTES);
        let start = self.sights.slots.len() as u32;
        self.sights.slots.extend(slots);
        let slots = start..self.sights.slots.len() as u32;
        let is_cut = feature.message.len() > MESSAGE_BYTES;
        let (entry, table, hash) = (self.entry, self.table, feature.hash);
        self.sights.sampled.push(Sampled { entry, weight, table, hash, field, text, is_cut, form, slots });
    }

    fn field_of(&mut self, form: Form, message: &[u8]) -> Field {
        if let Some(field) = self.field {
            return Field::Declared(field);
        }
        let key = match form {
            Form::Native => first_key(message),
            Form::Text | Form::Id => {
                message.split(|byte| matches!(byte, b'.' | b'=')).next().unwrap_or_default()
            }
        };
        Field::Key(self.sights.keep(key, FIELD_BYTES))
    }
}

/// 64 bits for a feature whose hash has fewer, or none: by a key of no secret, as these kinds of hash have none either.
pub(crate) fn bits_of(message: &[u8], index: u32) -> u64 {
    siphash_1_3(u64::from(index), 0, message)
}

/// The first key of a native encoding; nothing if it does not begin with one.
fn first_key(message: &[u8]) -> &[u8] {
    let Some((&KEY, rest)) = message.split_first() else { return &[] };
    let Some((length, rest)) = varint(rest) else { return &[] };
    rest.get(..length.min(rest.len())).unwrap_or_default()
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (at, &byte) in bytes.iter().enumerate().take(9) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

/// A native encoding, or its beginning, in words.
pub fn native_name(message: &[u8]) -> String {
    let (mut name, mut rest) = (Vec::new(), message);
    while let Some((&tag, behind)) = rest.split_first() {
        if !matches!(tag, NUMBER | CATEGORY) && !name.is_empty() {
            name.push(b'.');
        }
        rest = match tag {
            NUMBER => break,
            CATEGORY => {
                name.push(b'=');
                name.extend_from_slice(behind);
                break;
            }
            KEY => {
                let Some((length, behind)) = varint(behind) else { break };
                let (key, behind) = behind.split_at(length.min(behind.len()));
                name.extend_from_slice(key);
                behind
            }
            _ => {
                let Some((index, behind)) = varint(behind) else { break };
                name.extend_from_slice(index.to_string().as_bytes());
                behind
            }
        };
    }
    String::from_utf8_lossy(&name).into_owned()
}

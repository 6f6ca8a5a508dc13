//! Keys to slots, the same on every machine and in every release.
//!
//! The [`Encoder`] is the sink a parser talks to. It keeps the current path as bytes that grow and shrink with the
//! nesting, hashes the whole feature in one call when a value arrives, and writes slot and value into a
//! [`Batch`]. Four kinds: the native keyed SipHash over an injective encoding (`native`), scikit-learn's
//! FeatureHasher bit for bit, and `mmh3`/`modulo` as the published recommenders bucket their ids (`reference`).
//!
//! Slots come from 64 hashed bits by multiply-shift (Lemire 2019, "Fast random integer generation in an
//! interval"): `slot = (hash · buckets) >> 64`, for any number of buckets and without modulo bias.

mod key;
mod lanes;
mod murmur;
mod native;
mod probe;
mod reference;

pub use key::{HashKey, KeyError};
pub use lanes::EncodedFeatures;
pub use murmur::{murmur3_x64_128, murmur3_x86_32};
pub use native::{NativeValue, PathSegment, encode_native, siphash_1_3};
pub(crate) use probe::bits_of;
pub use probe::{
    FIELD_BYTES, Form, MESSAGE_BYTES, Probe, Sampled, SightField, Sights, Stranger, native_name,
};
pub use reference::{modulo_bucket, murmur_bucket, sklearn_column};

use crate::batch::{Batch, FeatureKind, MAX_BUCKETS, Slot, packed};
use crate::example::{ExampleSink, FeatureError, RecordSink};
use crate::kernel::Isa;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write as _;

/// Which hash turns a feature into a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKind {
    /// SipHash-1-3 with a secret key over an injective encoding of (path, type, value). The default.
    #[default]
    Siphash,
    /// scikit-learn's FeatureHasher: murmur3 x86_32, seed 0, over the path joined with `.`, `path=value` for strings.
    Sklearn,
    /// murmur3 x86_32 of the *value*, an id: `mmh3.hash(str(id)) % buckets`. The path plays no part.
    Mmh3,
    /// The *value* itself, an integer id: `id % buckets`. The path plays no part.
    Modulo,
}

/// How features become slots. Part of the model: two runs with different options cannot share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashOptions {
    /// The hash.
    pub kind: HashKind,
    /// Number of slots, 1 to 2^31.
    pub buckets: u32,
    /// Slots per feature, each by an independent hash, 1 to 16. The feature's embedding is the sum of their rows.
    pub hashes: u32,
    /// Whether a bit of the hash flips the value's sign, so that collisions cancel in expectation
    /// (Weinberger et al. 2009).
    pub alternate_sign: bool,
}

/// Most hashes per feature.
pub const MAX_HASHES: u32 = 16;

impl Default for HashOptions {
    fn default() -> Self {
        Self { kind: HashKind::Siphash, buckets: 1 << 22, hashes: 1, alternate_sign: false }
    }
}

/// Options outside their range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}: expected {expected}, got {got}")]
pub struct HashOptionError {
    /// The option's name.
    pub option: &'static str,
    /// Its range.
    pub expected: &'static str,
    /// What was given.
    pub got: u64,
}

impl HashOptions {
    /// Checks the ranges.
    pub fn validate(&self) -> Result<(), HashOptionError> {
        if self.buckets == 0 || self.buckets > MAX_BUCKETS {
            let got = u64::from(self.buckets);
            return Err(HashOptionError { option: "buckets", expected: "1 to 2147483648", got });
        }
        if self.hashes == 0 || self.hashes > MAX_HASHES {
            let got = u64::from(self.hashes);
            return Err(HashOptionError { option: "hashes", expected: "1 to 16", got });
        }
        Ok(())
    }
}

/// Where a hash sends one feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hashed {
    /// The row.
    pub slot: Slot,
    /// 1, or −1 if alternate signs are on and the hash says so.
    pub sign: f32,
}

/// The immutable part of hashing: share one among threads, give each its own [`Encoder`].
#[derive(Debug, Clone)]
pub struct FeatureHasher {
    options: HashOptions,
    keys: native::Keys,
}

impl FeatureHasher {
    /// A hasher for `options`; the key matters to [`HashKind::Siphash`] only.
    pub fn new(options: HashOptions, key: &HashKey) -> Result<Self, HashOptionError> {
        options.validate()?;
        Ok(Self { options, keys: native::Keys::derive(key, options.hashes) })
    }

    /// The options it was made with.
    pub fn options(&self) -> &HashOptions {
        &self.options
    }

    /// The 64 bits that hash function `index` gives the feature encoded by [`encode_native`], whatever the kind in
    /// the options; `None` if `index` is not below [`HashOptions::hashes`].
    pub fn native_hash(&self, feature: &[u8], index: u32) -> Option<u64> {
        (index < self.options.hashes).then(|| self.keys.hash(index, feature))
    }

    /// Slot and sign that hash function `index` gives the feature encoded by [`encode_native`]: where a model of
    /// kind [`HashKind::Siphash`] keeps it. `None` if `index` is not below [`HashOptions::hashes`].
    pub fn native_slot(&self, feature: &[u8], index: u32) -> Option<Hashed> {
        (index < self.options.hashes).then(|| self.native(feature, index))
    }

    fn native(&self, feature: &[u8], index: u32) -> Hashed {
        self.place(self.keys.hash(index, feature))
    }

    /// Where the native hash sends a feature to which it gives these 64 bits.
    #[inline(always)]
    pub fn place(&self, hash: u64) -> Hashed {
        let buckets = u64::from(self.options.buckets);
        // The upper 64 of the 128 bits of the product, in two steps that vectors have too: 2^31 buckets at most.
        let low = ((hash & 0xffff_ffff) * buckets) >> 32;
        let slot = Slot((((hash >> 32) * buckets + low) >> 32) as u32);
        // The slot is made of the high bits; the lowest is as good as independent of it.
        Hashed { slot, sign: self.sign(hash & 1 == 0) }
    }

    /// Slot and sign that FeatureHasher gives `name`, `seed` being the index of the hash function.
    pub(crate) fn signed_column(&self, name: &[u8], seed: u32) -> Hashed {
        let (slot, positive) = sklearn_column(name, seed, self.options.buckets);
        Hashed { slot, sign: self.sign(positive) }
    }

    fn murmur_id(&self, id: &str, seed: u32) -> Hashed {
        let hash = murmur3_x86_32(id.as_bytes(), seed) as i32;
        Hashed { slot: murmur_bucket(hash, self.options.buckets), sign: self.sign(hash >= 0) }
    }

    fn modulo_id(&self, id: i128) -> Hashed {
        Hashed { slot: modulo_bucket(id, self.options.buckets), sign: self.sign(true) }
    }

    #[inline(always)]
    fn sign(&self, positive: bool) -> f32 {
        if self.options.alternate_sign && !positive { -1.0 } else { 1.0 }
    }
}

/// The caller-owned scratch of one thread: the current path, encoded, and the features that wait to be hashed.
#[derive(Debug, Clone)]
pub struct EncoderScratch {
    path: Vec<u8>,
    ends: Vec<usize>,
    /// Features met and not yet hashed, with their values and kinds.
    features: EncodedFeatures,
    values: [f32; EncodedFeatures::CAPACITY],
    kinds: [FeatureKind; EncodedFeatures::CAPACITY],
    /// Looks at what is hashed, if somebody wants to know.
    pub(crate) probe: Option<Box<Probe>>,
}

impl Default for EncoderScratch {
    fn default() -> Self {
        let values = [0.0; EncodedFeatures::CAPACITY];
        let kinds = [FeatureKind::Category; EncodedFeatures::CAPACITY];
        Self {
            path: Vec::new(),
            ends: Vec::new(),
            features: EncodedFeatures::default(),
            values,
            kinds,
            probe: None,
        }
    }
}

/// Writes the example a parser tells it into a batch, keys hashed.
#[derive(Debug)]
pub struct Encoder<'a> {
    hasher: &'a FeatureHasher,
    scratch: &'a mut EncoderScratch,
    batch: &'a mut Batch,
}

impl<'a> Encoder<'a> {
    /// An encoder at the start of an example.
    pub fn new(hasher: &'a FeatureHasher, scratch: &'a mut EncoderScratch, batch: &'a mut Batch) -> Self {
        let mut encoder = Self { hasher, scratch, batch };
        encoder.restart();
        encoder
    }

    /// Goes on with an example that was begun with the same three.
    pub(crate) fn resume(
        hasher: &'a FeatureHasher,
        scratch: &'a mut EncoderScratch,
        batch: &'a mut Batch,
    ) -> Self {
        Self { hasher, scratch, batch }
    }

    /// Begins the row again; what is before it in the same record stays.
    pub(crate) fn reopen(&mut self) {
        self.scratch.path.clear();
        self.scratch.ends.clear();
        self.scratch.features.clear();
        self.batch.abandon_row();
    }

    /// Finishes the example: it is now a row of the batch. On an error the batch is as it was before the example.
    pub fn finish(mut self) -> Result<(), FeatureError> {
        self.hash_waiting();
        let finished = self.batch.finish_row();
        self.scratch.features.clear();
        finished
    }

    /// Whether the example has been told its id.
    pub fn has_id(&self) -> bool {
        self.batch.has_id()
    }

    /// Drops the example: the batch is as it was before it.
    pub fn abandon(self) {
        self.scratch.features.clear();
        self.batch.abandon_row();
    }

    /// Lets a native feature wait, if `push` can add it to the others.
    #[inline(always)]
    fn wait(
        &mut self,
        value: f32,
        kind: FeatureKind,
        push: impl FnOnce(&mut EncodedFeatures, &[u8]) -> bool,
    ) -> bool {
        if self.hasher.options.kind != HashKind::Siphash {
            return false;
        }
        if self.scratch.features.is_full() {
            self.hash_waiting();
            self.scratch.features.clear();
        }
        let at = self.scratch.features.len();
        let waits = push(&mut self.scratch.features, &self.scratch.path);
        if !waits {
            return false;
        }
        let EncoderScratch { values, kinds, .. } = &mut *self.scratch;
        if let (Some(to), Some(to_kind)) = (values.get_mut(at), kinds.get_mut(at)) {
            (*to, *to_kind) = (value, kind);
        }
        true
    }

    /// Hashes the features that wait: to be cleared next.
    #[inline(never)]
    fn hash_waiting(&mut self) {
        let EncoderScratch { features, values, kinds, probe, .. } = &mut *self.scratch;
        let isa = Isa::best();
        for index in 0..self.hasher.options.hashes {
            let Some(hashes) = features.hashes(self.hasher, index) else { break };
            let mut all = [0; EncodedFeatures::CAPACITY];
            isa.run(|| {
                let told = values.iter().zip(kinds.iter());
                for ((to, hash), (value, kind)) in all.iter_mut().zip(hashes).zip(told) {
                    let Hashed { slot, sign } = self.hasher.place(hash);
                    *to = packed(slot, sign * value, *kind);
                }
                self.batch.push_features(&all, features.len());
            });
            let Some(probe) = probe else { continue };
            let hashes = hashes.get(..features.len()).unwrap_or_default();
            if probe.look(index, hashes) {
                probe.tell(self.hasher, index, features, hashes);
            }
        }
    }

    /// Hashes the current path plus `tail` with each of the `hashes` functions.
    fn push_hashed(&mut self, tail: &[u8], value: f32, kind: FeatureKind) {
        let end = self.scratch.path.len();
        self.scratch.path.extend_from_slice(tail);
        let feature = self.scratch.path.as_slice();
        for index in 0..self.hasher.options.hashes {
            let hashed = match self.hasher.options.kind {
                HashKind::Siphash => self.hasher.native(feature, index),
                _ => self.hasher.signed_column(feature, index),
            };
            self.batch.push_feature(hashed.slot, hashed.sign * value, kind);
        }
        if let Some(probe) = &mut self.scratch.probe {
            let hasher = self.hasher;
            let is_native = hasher.options.kind == HashKind::Siphash;
            let rows = (0..hasher.options.hashes).map(|index| match is_native {
                true => (hasher.keys.hash(index, feature), hasher.native(feature, index).slot.0),
                false => (bits_of(feature, index), hasher.signed_column(feature, index).slot.0),
            });
            probe.look_alone(if is_native { Form::Native } else { Form::Text }, feature, rows);
        }
        self.scratch.path.truncate(end);
    }

    fn push_id(&mut self, id: impl fmt::Display, hash: impl Fn(&FeatureHasher, u32) -> Hashed) {
        for index in 0..self.hasher.options.hashes {
            let hashed = hash(self.hasher, index);
            self.batch.push_feature(hashed.slot, hashed.sign, FeatureKind::Category);
        }
        let EncoderScratch { path, probe, .. } = &mut *self.scratch;
        if let Some(probe) = probe {
            let hasher = self.hasher;
            let end = path.len();
            // Writing to a vector does not fail.
            let _ = write!(path, "={id}");
            let id = &path[end + 1..];
            let rows =
                (0..hasher.options.hashes).map(|index| (bits_of(id, index), hash(hasher, index).slot.0));
            probe.look_alone(Form::Text, path, rows);
            path.truncate(end);
        }
    }
}

impl RecordSink for Encoder<'_> {
    fn has_id(&self) -> bool {
        Encoder::has_id(self)
    }
    fn finish(self) -> Result<(), FeatureError> {
        Encoder::finish(self)
    }
    fn abandon(self) {
        Encoder::abandon(self);
    }
}

impl ExampleSink for Encoder<'_> {
    fn enter_key(&mut self, key: &str) {
        self.scratch.ends.push(self.scratch.path.len());
        match self.hasher.options.kind {
            HashKind::Siphash => native::push_key(&mut self.scratch.path, key),
            _ => reference::push_name(&mut self.scratch.path, self.scratch.ends.len(), key),
        }
    }

    fn enter_index(&mut self, index: usize) {
        self.scratch.ends.push(self.scratch.path.len());
        match self.hasher.options.kind {
            HashKind::Siphash => native::push_index(&mut self.scratch.path, index),
            _ => reference::push_name(&mut self.scratch.path, self.scratch.ends.len(), &index.to_string()),
        }
    }

    fn leave(&mut self) {
        if let Some(end) = self.scratch.ends.pop() {
            self.scratch.path.truncate(end);
        }
    }

    #[inline]
    fn can_restart(&self) -> bool {
        true
    }

    fn restart(&mut self) {
        self.reopen();
        if let Some(probe) = &mut self.scratch.probe {
            probe.retract();
        }
    }

    #[inline]
    fn number_at(&mut self, key: &str, value: f32) -> Result<(), FeatureError> {
        if self.wait(value, FeatureKind::Number, |all, path| all.push_at(path, key, NativeValue::Number)) {
            return Ok(());
        }
        self.enter_key(key);
        self.number(value)?;
        self.leave();
        Ok(())
    }

    #[inline]
    fn integer_at(&mut self, key: &str, value: i128, as_number: f32) -> Result<(), FeatureError> {
        if self.hasher.options.kind == HashKind::Siphash {
            return if as_number == 0.0 { Ok(()) } else { self.number_at(key, as_number) };
        }
        self.enter_key(key);
        self.integer(value, as_number)?;
        self.leave();
        Ok(())
    }

    #[inline]
    fn category_at(&mut self, key: &str, value: &str) -> Result<(), FeatureError> {
        let native = NativeValue::Category(value);
        if self.wait(1.0, FeatureKind::Category, |all, path| all.push_at(path, key, native)) {
            return Ok(());
        }
        self.enter_key(key);
        self.category(value)?;
        self.leave();
        Ok(())
    }

    fn number(&mut self, value: f32) -> Result<(), FeatureError> {
        if self.wait(value, FeatureKind::Number, |all, path| all.push(path, NativeValue::Number)) {
            return Ok(());
        }
        match self.hasher.options.kind {
            HashKind::Siphash => self.push_hashed(&[native::NUMBER], value, FeatureKind::Number),
            HashKind::Sklearn => self.push_hashed(&[], value, FeatureKind::Number),
            HashKind::Mmh3 | HashKind::Modulo => {
                return Err(FeatureError::NotAnId { found: value.to_string() });
            }
        }
        Ok(())
    }

    fn integer(&mut self, value: i128, as_number: f32) -> Result<(), FeatureError> {
        match self.hasher.options.kind {
            HashKind::Mmh3 => {
                let id = value.to_string();
                self.push_id(&id, |hasher, index| hasher.murmur_id(&id, index));
            }
            HashKind::Modulo => self.push_id(value, |hasher, _| hasher.modulo_id(value)),
            HashKind::Siphash | HashKind::Sklearn if as_number != 0.0 => return self.number(as_number),
            HashKind::Siphash | HashKind::Sklearn => {}
        }
        Ok(())
    }

    fn category(&mut self, value: &str) -> Result<(), FeatureError> {
        if self.wait(1.0, FeatureKind::Category, |all, path| all.push(path, NativeValue::Category(value))) {
            return Ok(());
        }
        match self.hasher.options.kind {
            HashKind::Siphash | HashKind::Sklearn => {
                let native = self.hasher.options.kind == HashKind::Siphash;
                let end = self.scratch.path.len();
                self.scratch.path.push(if native { native::CATEGORY } else { b'=' });
                self.push_hashed(value.as_bytes(), 1.0, FeatureKind::Category);
                self.scratch.path.truncate(end);
            }
            HashKind::Mmh3 => self.push_id(value, |hasher, index| hasher.murmur_id(value, index)),
            HashKind::Modulo => {
                let id = value.parse::<i128>();
                let id = id.map_err(|_| FeatureError::NotAnId { found: format!("{value:?}") })?;
                self.push_id(value, |hasher, _| hasher.modulo_id(id));
            }
        }
        Ok(())
    }

    fn id(&mut self, json: &str) {
        self.batch.set_id(json);
    }

    fn weight(&mut self, weight: f32) {
        self.batch.set_weight(weight);
    }

    fn target(&mut self, task: Option<&str>, value: f32) {
        self.batch.push_target(task, value);
    }
}

#[cfg(test)]
mod tests;

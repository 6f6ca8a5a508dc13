//! A dict's pairs to slots and values.
//!
//! Values stay f64 until the values of a slot are summed, as the reference does it; the encoder of the pipeline
//! takes f32. The values of a slot are summed in ascending order, so that the order of the pairs cannot change a
//! bit. Few slots occur twice in a dict, so only those are treated with that care. The native hash takes many features at
//! once: features wait for it, those of one dict beside those of the next.

use super::EmbeddingError;
use crate::batch::{Batch, FeatureKind, Slot};
use crate::example::FeatureValue;
use crate::hash::{
    EncodedFeatures, FeatureHasher, HashKind, Hashed, NativeValue, PathSegment, encode_native,
};

/// Collects one dict after the other; its memory is reused.
#[derive(Debug)]
pub(super) struct DictHasher<'a> {
    hasher: &'a FeatureHasher,
    name: Vec<u8>,
    /// Of the dicts from number `done` on; each pair has as many as there are hash functions.
    features: Vec<Feature>,
    /// Where the features of each finished dict end.
    ends: Vec<usize>,
    /// Dicts that are rows of the batch.
    done: usize,
    encoded: EncodedFeatures,
    /// The first feature of each pair that waits for its hashes, in the order of `encoded`.
    waiting: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Feature {
    slot: Slot,
    value: f64,
    kind: FeatureKind,
}

impl Feature {
    fn place(&mut self, Hashed { slot, sign }: Hashed) {
        self.slot = slot;
        self.value *= f64::from(sign);
    }
}

impl<'a> DictHasher<'a> {
    pub(super) fn new(hasher: &'a FeatureHasher) -> Self {
        Self {
            hasher,
            name: Vec::new(),
            features: Vec::new(),
            ends: Vec::new(),
            done: 0,
            encoded: EncodedFeatures::default(),
            waiting: Vec::new(),
        }
    }

    /// Adds a pair to the dict with index `dict`.
    #[inline]
    pub(super) fn push(
        &mut self,
        dict: usize,
        key: &str,
        value: FeatureValue<'_>,
    ) -> Result<(), EmbeddingError> {
        let (number, kind) = match value {
            FeatureValue::Number(0.0) => return Ok(()),
            FeatureValue::Number(found) if !(found as f32).is_finite() => {
                return Err(EmbeddingError::Value { dict, key: key.to_owned(), found });
            }
            FeatureValue::Number(number) => (number, FeatureKind::Number),
            FeatureValue::Category(_) => (1.0, FeatureKind::Category),
        };
        let (start, feature) = (self.features.len(), Feature { slot: Slot(0), value: number, kind });
        for _ in 0..self.hasher.options().hashes {
            self.features.push(feature);
        }
        if self.hasher.options().kind != HashKind::Siphash {
            self.place_reference(start, key, value);
            return Ok(());
        }
        let value = match value {
            FeatureValue::Number(_) => NativeValue::Number,
            FeatureValue::Category(text) => NativeValue::Category(text),
        };
        if self.encoded.is_full() {
            self.hash_waiting();
        }
        if self.encoded.push_at(&[], key, value) {
            self.waiting.push(start);
        } else {
            self.place_long(start, key, value);
        }
        Ok(())
    }

    /// The reference's columns: of the key, or `key=text`.
    #[inline]
    fn place_reference(&mut self, start: usize, key: &str, value: FeatureValue<'_>) {
        let name = match value {
            FeatureValue::Number(_) => key.as_bytes(),
            FeatureValue::Category(text) => {
                self.name.clear();
                self.name.extend_from_slice(key.as_bytes());
                self.name.push(b'=');
                self.name.extend_from_slice(text.as_bytes());
                &self.name
            }
        };
        for (feature, index) in self.features.iter_mut().skip(start).zip(0..) {
            feature.place(self.hasher.signed_column(name, index));
        }
    }

    /// A pair too long to wait beside others.
    #[cold]
    fn place_long(&mut self, start: usize, key: &str, value: NativeValue<'_>) {
        encode_native(&[PathSegment::Key(key)], value, &mut self.name);
        for (feature, index) in self.features.iter_mut().skip(start).zip(0..) {
            if let Some(hashed) = self.hasher.native_slot(&self.name, index) {
                feature.place(hashed);
            }
        }
    }

    /// Gives the features that wait their slots.
    fn hash_waiting(&mut self) {
        for index in 0..self.hasher.options().hashes {
            let Some(hashes) = self.encoded.hashes(self.hasher, index) else { break };
            for (&start, hash) in self.waiting.iter().zip(hashes) {
                if let Some(feature) = self.features.get_mut(start + index as usize) {
                    feature.place(self.hasher.place(hash));
                }
            }
        }
        self.encoded.clear();
        self.waiting.clear();
    }

    /// Ends the dict. It becomes a row of `batch` now or later.
    #[inline]
    pub(super) fn finish(&mut self, batch: &mut Batch) -> Result<(), EmbeddingError> {
        /// Features that wait for their row: what the first-level cache holds easily.
        const MOST: usize = 256;
        self.ends.push(self.features.len());
        if self.features.len() < MOST { Ok(()) } else { self.flush(batch) }
    }

    /// Makes all dicts that were finished rows of `batch`.
    pub(super) fn flush(&mut self, batch: &mut Batch) -> Result<(), EmbeddingError> {
        self.hash_waiting();
        let mut start = 0;
        for &end in &self.ends {
            let features = self.features.get_mut(start..end).unwrap_or_default();
            for feature in &*features {
                batch.push_feature(feature.slot, feature.value as f32, feature.kind);
            }
            let dict = self.done;
            if !batch.finish_distinct() {
                batch.abandon_row();
                push_summed(features, batch);
                batch.finish_row().map_err(|error| EmbeddingError::Feature { dict, error })?;
            }
            (start, self.done) = (end, self.done + 1);
        }
        self.features.drain(..start.min(self.features.len()));
        self.ends.clear();
        Ok(())
    }
}

/// Adds the features of a dict to the row that `batch` is building, the values of each slot summed.
fn push_summed(features: &mut [Feature], batch: &mut Batch) {
    features.sort_unstable_by(|a, b| a.slot.cmp(&b.slot).then(a.value.total_cmp(&b.value)));
    for same in features.chunk_by(|a, b| a.slot == b.slot) {
        let Some(first) = same.first() else { continue };
        let sum = same.iter().map(|feature| feature.value).sum::<f64>() as f32;
        let number = same.iter().any(|feature| feature.kind == FeatureKind::Number);
        let kind = if number { FeatureKind::Number } else { FeatureKind::Category };
        batch.push_feature(first.slot, sum, kind);
    }
}

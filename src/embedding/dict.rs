//! A dict's pairs to slots and values.
//!
//! Values stay f64 until the values of a slot are summed, as the reference does it; the encoder of the pipeline
//! takes f32. The values of a slot are summed in ascending order, so that the order of the pairs cannot change a
//! bit.

use super::EmbeddingError;
use crate::batch::{Batch, FeatureKind, Slot};
use crate::example::FeatureValue;
use crate::hash::{FeatureHasher, HashKind, Hashed, NativeValue, PathSegment, encode_native};

/// Collects one dict after the other; its memory is reused.
#[derive(Debug)]
pub(super) struct DictHasher<'a> {
    hasher: &'a FeatureHasher,
    name: Vec<u8>,
    features: Vec<Feature>,
}

#[derive(Debug, Clone, Copy)]
struct Feature {
    slot: Slot,
    value: f64,
    kind: FeatureKind,
}

impl<'a> DictHasher<'a> {
    pub(super) fn new(hasher: &'a FeatureHasher) -> Self {
        Self { hasher, name: Vec::new(), features: Vec::new() }
    }

    /// Adds a pair to the dict with index `dict`.
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
        self.encode(key, value);
        for index in 0..self.hasher.options().hashes {
            let Some(Hashed { slot, sign }) = self.hashed(index) else { break };
            self.features.push(Feature { slot, value: f64::from(sign) * number, kind });
        }
        Ok(())
    }

    /// Writes what the hash takes for a pair over `name`.
    fn encode(&mut self, key: &str, value: FeatureValue<'_>) {
        if self.hasher.options().kind == HashKind::Siphash {
            let value = match value {
                FeatureValue::Number(_) => NativeValue::Number,
                FeatureValue::Category(text) => NativeValue::Category(text),
            };
            return encode_native(&[PathSegment::Key(key)], value, &mut self.name);
        }
        self.name.clear();
        self.name.extend_from_slice(key.as_bytes());
        if let FeatureValue::Category(text) = value {
            self.name.push(b'=');
            self.name.extend_from_slice(text.as_bytes());
        }
    }

    fn hashed(&self, index: u32) -> Option<Hashed> {
        match self.hasher.options().kind {
            HashKind::Siphash => self.hasher.native_slot(&self.name, index),
            _ => Some(self.hasher.signed_column(&self.name, index)),
        }
    }

    /// Makes the dict a row of `batch` and starts the next.
    pub(super) fn finish(&mut self, dict: usize, batch: &mut Batch) -> Result<(), EmbeddingError> {
        self.features.sort_unstable_by(|a, b| a.slot.cmp(&b.slot).then(a.value.total_cmp(&b.value)));
        for same in self.features.chunk_by(|a, b| a.slot == b.slot) {
            let Some(first) = same.first() else { continue };
            let sum = same.iter().map(|feature| feature.value).sum::<f64>() as f32;
            let number = same.iter().any(|feature| feature.kind == FeatureKind::Number);
            let kind = if number { FeatureKind::Number } else { FeatureKind::Category };
            batch.push_feature(first.slot, sum, kind);
        }
        self.features.clear();
        batch.finish_row().map_err(|error| EmbeddingError::Feature { dict, error })
    }
}

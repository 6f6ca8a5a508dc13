//! The hashes of a set of fields.

use super::resolve::{Field, Fields};
use crate::batch::Slot;
use crate::example::LabelRange;
use crate::hash::{
    FeatureHasher, HashKey, HashKind, HashOptionError, HashOptions, NativeValue, PathSegment, encode_native,
    modulo_bucket, murmur_bucket, murmur3_x86_32,
};
use std::sync::Arc;

/// Fields and their hashes: immutable, share one among threads, and give each a [`FieldScratch`](super::FieldScratch).
#[derive(Debug, Clone)]
pub struct FieldHasher {
    fields: Arc<Fields>,
    labels: LabelRange,
    /// By field; of no use to those without a table, but raw ones.
    hashers: Vec<FeatureHasher>,
    /// By field: what stands before an id in what is hashed.
    prefixes: Vec<Vec<u8>>,
}

impl FieldHasher {
    /// A hasher for `fields`. `labels` is the range that the loss accepts; [`LabelRange::Ignored`] for predicting only.
    ///
    /// # Errors
    /// None for fields that were checked; the hash's own ranges are checked again.
    pub fn new(fields: Arc<Fields>, key: &HashKey, labels: LabelRange) -> Result<Self, HashOptionError> {
        let options = |index| fields.table_of(index).map_or(HashOptions::default(), |table| table.hash);
        let all = 0..fields.fields().len();
        let hashers = all.map(|index| FeatureHasher::new(options(index), key));
        let hashers = hashers.collect::<Result<Vec<_>, _>>()?;
        let prefixes = fields.fields().iter().zip(&hashers);
        let prefixes = prefixes.map(|(field, hasher)| prefix(field, hasher.options().kind)).collect();
        Ok(Self { fields, labels, hashers, prefixes })
    }

    /// The fields.
    pub fn fields(&self) -> &Arc<Fields> {
        &self.fields
    }

    /// The labels that are accepted.
    pub fn labels(&self) -> LabelRange {
        self.labels
    }

    /// The same for predicting only: labels are not looked at.
    #[must_use]
    pub fn for_prediction(self) -> Self {
        Self { labels: LabelRange::Ignored, ..self }
    }

    /// The hash of field `index`.
    pub fn hasher(&self, index: usize) -> Option<&FeatureHasher> {
        self.hashers.get(index)
    }

    /// Appends the slots, `[hashes]`, that field `index` gives the id written as `text`. False, and nothing is appended, if its
    /// hash cannot take it: `modulo` takes integers. `scratch` is memory to work in.
    ///
    /// This is where a known id has its rows: of an item that is to be recommended, for instance.
    pub fn id_slots(&self, index: usize, text: &str, scratch: &mut Vec<u8>, slots: &mut Vec<Slot>) -> bool {
        let Some(hasher) = self.hashers.get(index) else { return false };
        let HashOptions { kind, buckets, hashes, .. } = *hasher.options();
        let Some(id) = (if kind == HashKind::Modulo { text.parse::<i128>().ok() } else { Some(0) }) else {
            return false;
        };
        self.message(index, text, scratch);
        let stride =
            if self.fields.table_of(index).is_some_and(|table| table.separate) { buckets } else { 0 };
        slots.extend((0..hashes).map(|hash| {
            let slot = match kind {
                HashKind::Siphash => hasher.native_slot(scratch, hash).map_or(Slot(0), |hashed| hashed.slot),
                HashKind::Sklearn => hasher.signed_column(scratch, hash).slot,
                HashKind::Mmh3 => murmur_bucket(murmur3_x86_32(text.as_bytes(), hash) as i32, buckets),
                HashKind::Modulo => modulo_bucket(id, buckets),
            };
            Slot(hash * stride + slot.0)
        }));
        true
    }

    /// The 64 bits that stand for the id written as `text`: itself if it is an integer of 64 bits, in two's complement,
    /// as `i64` or `u64` writes it; else its native hash.
    pub(super) fn raw_id(&self, index: usize, text: &str, scratch: &mut Vec<u8>) -> i64 {
        let signed = text.parse::<i64>().ok();
        let id = signed.or_else(|| text.parse::<u64>().ok().map(|id| id as i64));
        // Digits in another form (`007`, `+7`) are another string.
        let plain = text == "0" || !text.trim_start_matches('-').starts_with(['0', '+']);
        if let Some(id) = id.filter(|_| plain) {
            return id;
        }
        self.message(index, text, scratch);
        let hash = self.hashers.get(index).and_then(|hasher| hasher.native_hash(scratch, 0));
        hash.unwrap_or_default() as i64
    }

    /// What is hashed of an id, written over `out`.
    fn message(&self, index: usize, text: &str, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.prefixes.get(index).map_or(&[][..], Vec::as_slice));
        out.extend_from_slice(text.as_bytes());
    }
}

/// What stands before an id: the scope as a path, and the sign of a string.
fn prefix(field: &Field, kind: HashKind) -> Vec<u8> {
    if kind == HashKind::Sklearn {
        return format!("{}=", field.scope.join(".")).into_bytes();
    }
    let scope: Vec<PathSegment<'_>> = field.scope.iter().map(|key| PathSegment::Key(key)).collect();
    let mut bytes = Vec::new();
    encode_native(&scope, NativeValue::Category(""), &mut bytes);
    bytes
}

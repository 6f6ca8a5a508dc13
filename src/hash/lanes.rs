//! Features encoded side by side, and hashed eight at a time.
//!
//! SipHash works on one message in a chain of rounds that each wait for the one before; several messages at once keep the
//! processor busy. So features are collected here as they are met, encoded into cells of the size and shape that
//! [`siphash_1_3_lanes`] takes, and hashed when [`EncodedFeatures::CAPACITY`] have come, or the record ends. Those that
//! do not fit into a cell are refused: hash them one by one, they are rare.

use super::FeatureHasher;
use super::native::{CATEGORY, KEY, NUMBER, NativeValue};
use crate::kernel::{Cell, Isa, SIP_LANES, siphash_1_3_lanes};

/// Up to [`EncodedFeatures::CAPACITY`] features in the encoding of [`encode_native`](super::encode_native).
#[derive(Debug, Clone)]
pub struct EncodedFeatures {
    cells: Box<[[Cell; SIP_LANES]; GROUPS]>,
    words: [[u8; SIP_LANES]; GROUPS],
    length: usize,
}

const GROUPS: usize = 2;

impl Default for EncodedFeatures {
    fn default() -> Self {
        let cells = Box::new([[Cell::EMPTY; SIP_LANES]; GROUPS]);
        Self { cells, words: [[0; SIP_LANES]; GROUPS], length: 0 }
    }
}

impl EncodedFeatures {
    /// How many features fit in.
    pub const CAPACITY: usize = GROUPS * SIP_LANES;

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// True if there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether there is no room for another one.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.length == Self::CAPACITY
    }

    /// Adds the feature `value` under `key`, below `path`: the encoding of the keys above it. False, and nothing is added,
    /// if there is no room or the feature's encoding is longer than a cell can hold.
    #[inline(always)]
    pub fn push_at(&mut self, path: &[u8], key: &str, value: NativeValue<'_>) -> bool {
        let (tag, text) = tagged(value);
        // A message that fits into a cell has a key so short that one byte of the encoding says its length.
        self.add([path, &[KEY, key.len() as u8], key.as_bytes(), &[tag], text.as_bytes()])
    }

    /// Adds the feature `value` at `path`, encoded. As [`push_at`](Self::push_at).
    #[inline]
    pub fn push(&mut self, path: &[u8], value: NativeValue<'_>) -> bool {
        let (tag, text) = tagged(value);
        self.add([path, &[tag], text.as_bytes()])
    }

    #[inline(always)]
    fn add<const N: usize>(&mut self, message: [&[u8]; N]) -> bool {
        let cell = self.cells.as_flattened_mut().get_mut(self.length);
        let words = self.words.as_flattened_mut().get_mut(self.length);
        let (Some(cell), Some(words)) = (cell, words) else { return false };
        let Some(count) = cell.set(message) else { return false };
        *words = count;
        self.length += 1;
        true
    }

    /// The 64 bits that hash function `index` gives each feature, in the order they were added; of no meaning from
    /// [`len`](Self::len) on. `None` if `index` is not below [`HashOptions::hashes`](super::HashOptions::hashes).
    #[inline]
    pub fn hashes(&self, hasher: &FeatureHasher, index: u32) -> Option<[u64; Self::CAPACITY]> {
        let key = hasher.keys.get(index)?;
        let isa = Isa::best();
        let mut hashes = [0; Self::CAPACITY];
        let groups = hashes.as_chunks_mut().0.iter_mut().zip(self.cells.iter()).zip(&self.words);
        for ((hashes, cells), words) in groups.take(self.length.div_ceil(SIP_LANES)) {
            *hashes = siphash_1_3_lanes(isa, key, cells, words);
        }
        Some(hashes)
    }

    /// The encoding of a feature, as it is hashed; nothing from [`len`](Self::len) on.
    pub(super) fn message(&self, at: usize) -> &[u8] {
        let cell = self.cells.as_flattened().get(at).filter(|_| at < self.length);
        let words = self.words.as_flattened().get(at).copied().unwrap_or_default();
        let bytes = cell.map_or(&[][..], |cell| &cell.0);
        // The last byte of its words says how long it is.
        let length = bytes.get(usize::from(words) * 8 - usize::from(words > 0)..).and_then(<[u8]>::first);
        bytes.get(..length.map_or(0, |&length| usize::from(length))).unwrap_or_default()
    }

    /// Makes room for new ones.
    #[inline]
    pub fn clear(&mut self) {
        for cell in self.cells.as_flattened_mut().iter_mut().take(self.length) {
            *cell = Cell::EMPTY;
        }
        self.length = 0;
    }
}

#[inline(always)]
fn tagged<'v>(value: NativeValue<'v>) -> (u8, &'v str) {
    match value {
        NativeValue::Number => (NUMBER, ""),
        NativeValue::Category(text) => (CATEGORY, text),
    }
}

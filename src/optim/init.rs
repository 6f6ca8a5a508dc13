//! Initial values: a function of (seed, slot) alone, the same on every machine.

use crate::batch::Slot;

/// What a row holds before it is first learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// `columns` floats from `start` on are N(`mean`, `scale`²), then come constants; the rest is 0.
    Normal {
        /// First random column.
        start: usize,
        /// Number of random columns.
        columns: usize,
        /// What they are about.
        mean: f32,
        /// Standard deviation.
        scale: f32,
        /// Constants right after the random columns.
        tail: &'static [f32],
    },
}

impl Init {
    /// Fills `row` with its initial values.
    pub fn fill(&self, seed: u64, slot: Slot, row: &mut [f32]) {
        row.fill(0.0);
        if let Self::Normal { start, columns, mean, scale, tail } = *self {
            let mut random = SplitMix64(mix(seed ^ mix(u64::from(slot.0).wrapping_add(GOLDEN))));
            for value in row.iter_mut().skip(start).take(columns) {
                *value = random.normal() * scale + mean;
            }
            for (value, &constant) in row.iter_mut().skip(start + columns).zip(tail) {
                *value = constant;
            }
        }
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 (Steele, Lea & Flood 2014). Its state is one word, and may be any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    /// The next 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in [0, 1): a multiple of 2⁻²⁴.
    #[cfg(feature = "network")]
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.word() >> 40) as f32 / 16_777_216.0
    }

    /// Standard normal by the sum of twelve uniforms (Irwin–Hall). No logarithm, no cosine: those differ between
    /// systems' libraries in the last bit, a sum does not. Tails end at ±6.
    pub(crate) fn normal(&mut self) -> f32 {
        let sum: u64 = (0..3).map(|_| quarters(self.word())).sum();
        ((sum as f64 + 6.0) / 65536.0 - 6.0) as f32
    }
}

fn quarters(word: u64) -> u64 {
    (0..4).map(|i| word >> (16 * i) & 0xffff).sum()
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

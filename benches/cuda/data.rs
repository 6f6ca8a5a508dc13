//! The same slots as in torch_bag.py.

use super::{ROWS, records};

/// Features of a record.
pub(super) const RECORD: usize = 16;

/// How slots are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Keys {
    Uniform,
    /// Rank r with a probability near 1 / r; ranks are spread over the table.
    Zipf,
}

impl Keys {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf",
        }
    }

    pub(super) fn slot(self, word: u64) -> u32 {
        let uniform = (word >> 11) as f64 / (1_u64 << 53) as f64;
        match self {
            Self::Uniform => (uniform * ROWS as f64) as u32,
            Self::Zipf => {
                let rank = (uniform * (ROWS as f64).ln()).exp() as u64 - 1;
                (rank.wrapping_mul(0x9e37_79b1) % ROWS) as u32
            }
        }
    }
}

/// Random words, always the same (SplitMix64).
pub(super) fn words() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(1_u64), |state| Some(state.wrapping_add(0x9e37_79b9_7f4a_7c15))).skip(1).map(
        |state| {
            let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        },
    )
}

/// A batch in compressed sparse rows.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) keys: Keys,
    pub(super) offsets: Vec<usize>,
    pub(super) slots: Vec<u32>,
    pub(super) values: Vec<f32>,
}

impl Work {
    pub(super) fn new(keys: Keys, features: usize) -> Self {
        let slots: Vec<u32> = words().take(features).map(|word| keys.slot(word)).collect();
        let offsets = (0..=records(features)).map(|record| record * RECORD).collect();
        Self { keys, offsets, slots, values: vec![1.0; features] }
    }

    pub(super) fn records(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many rows are used.
    pub(super) fn distinct(&self) -> usize {
        let mut slots = self.slots.clone();
        slots.sort_unstable();
        slots.dedup();
        slots.len()
    }
}

/// What the numbers above stand on.
pub(super) fn check() {
    for (keys, most) in [(Keys::Uniform, 0.95), (Keys::Zipf, 0.6)] {
        let work = Work::new(keys, 1 << 14);
        assert_eq!((work.records(), work.slots.len()), (1 << 10, 1 << 14));
        assert!(work.slots.iter().all(|slot| u64::from(*slot) < ROWS));
        let distinct = work.distinct() as f64 / work.slots.len() as f64;
        assert!((most - 0.3..most + 0.05).contains(&distinct), "{keys:?}: {distinct}");
    }
}

//! Small summaries of a large stream: bounded memory, one pass, mergeable into a checkpoint.
//!
//! [`Heavy`] keeps the keys that come most often, [`Distinct`] estimates how many different ones there are, [`Owners`] remembers
//! of each table row, in one byte, which feature was there first; a [`CalibrationBin`] sets predictions beside their labels. The middle two are written by one thread and read by many
//! while they are: a row's first owner never changes and a register only grows, so whoever reads an old value only does work
//! that turns out to be in vain, and what is kept does not depend on who read when.
//!
//! They are our own, because what makes them cheap here is not in the crates there are: registers and owners that other
//! threads filter by without a lock, taking 64 bits that are hashed already, and a state that goes on to the bit.

mod calibration;
mod distinct;
mod heavy;
mod owners;

pub use calibration::{CalibrationBin, calibration_bins};
pub use distinct::Distinct;
pub use heavy::{Heavy, Kept};
pub use owners::{CHANCE, KnownOwners, Owners, fingerprint};

/// Whether something with this number belongs to a sample of one in `every`, a power of two: by a hash of the number, so that
/// no rhythm of the stream is met or missed.
#[inline]
pub fn is_sampled(number: u64, every: u64) -> bool {
    // The finalizer of SplitMix64 (Steele, Lea & Flood 2014).
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & (every - 1) == 0
}

#[cfg(test)]
mod tests;

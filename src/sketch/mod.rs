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

/// The first number from `number` on that belongs to a sample of one in `every`: of as many that follow each other one does, by a hash of
/// them, so that no rhythm of a stream is met or missed.
pub fn next_sampled(number: u64, every: u64) -> u64 {
    let every = every.max(1);
    let of = |block: u64| block.saturating_mul(every).saturating_add(mixed(block) % every);
    let (this, next) = (of(number / every), of(number / every + 1));
    if this < number { next } else { this }
}

/// The finalizer of SplitMix64 (Steele, Lea & Flood 2014).
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;

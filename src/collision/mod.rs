//! How many ids end up with the same rows: what to expect, and what our own hashes do.
//!
//! A table of `buckets` rows, `hashes` rows an id, keeps no list of ids: two ids that are given the same rows are one id to
//! the model, whatever is learned. This module says how often that happens, so that buckets and hashes can be chosen
//! before anything is trained: [`Scheme::pair_probability`] and [`Scheme::expected_share`] are theory, [`measure`] hashes
//! ids as a [field](crate::field) of the engine does and counts.
//!
//! # What "the same rows" means
//!
//! An id's embedding is the sum of its rows, and a sum does not know the order of its terms. In one table shared by all
//! hashes ([`Tables::Shared`]) two ids are the same if they have the same rows as a *multiset*: in any order, a row that two
//! hashes of an id agree on counting twice. With a table for each hash ([`Tables::Separate`]) no row of one hash is a row of
//! another, so the rows must agree hash by hash. (A network that takes the rows side by side, `[hashes, dim]`, instead of
//! their sum, tells the orders apart also in a shared table; for it a pair is as rare as with separate tables.) Different
//! multisets whose sums happen to be equal are not counted: learned floats do not do that.
//!
//! # Theory
//!
//! Each of the k hashes of an id is taken as uniform over the B rows and independent of all others, which is what a keyed hash
//! is made for. Take a multiset of d different rows, met λ₁, …, λ_d times, Σλ = k. By the multinomial distribution an id has it
//! with probability
//!
//! ```text
//! q(λ) = k! / (λ₁! · … · λ_d!) / B^k
//! ```
//!
//! and there are
//!
//! ```text
//! N(λ) = B·(B−1)·…·(B−d+1) / (c₁! · c₂! · …)        c_j: how many of the λ are j
//! ```
//!
//! multisets with these multiplicities, one λ for each partition of k (231 for k = 16). ΣN·q = 1. So
//!
//! ```text
//! one given pair of ids    Σ N(λ) · q(λ)²
//! an id among n            Σ N(λ) · q(λ) · (1 − (1 − q(λ))^(n−1))
//! ```
//!
//! where the second says: whatever the id's multiset is, none of the n − 1 others has it with probability (1 − q)^(n−1). By
//! linearity of expectation it is also the expected share of the ids that share all their rows with another. Both are exact for any B
//! and k. For B well above k² almost all weight is on k different rows, and the pair's is k!/B^k: k hashes in one table of B rows are as
//! good as one hash in B^k/k!. B^2k times the pair's is the number of words w₁w₂ over B letters in which w₂ is a rearrangement of
//! w₁ (Richmond & Shallit 2009, "Counting abelian squares"); for one hash the share is the classical occupancy of urns
//! (Feller 1968, chapter II). Separate tables have one kind of outcome only, q = B^−k, N = B^k.
//!
//! ```
//! use flexihash::HashKey;
//! use flexihash::collision::{Scheme, Tables, measure};
//! use flexihash::hash::HashKind;
//! let one = Scheme::new(100_000, 1, Tables::Shared)?;
//! let two = Scheme::new(100_000, 2, Tables::Shared)?;
//! assert!(one.expected_share(10_000) > 0.09 && two.expected_share(10_000) < 3e-6);
//! let shared = measure(10_000, &one, HashKind::Siphash, &HashKey::default())?;
//! assert!((850..1050).contains(&shared));
//! # Ok::<(), flexihash::collision::CollisionError>(())
//! ```

mod measure;
mod theory;

#[cfg(test)]
mod tests;

pub use measure::{MAX_MEASURED, measure};

use crate::field::FieldError;
use crate::hash::{HashOptionError, HashOptions};

/// Whose rows the hashes of an id choose among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tables {
    /// All hashes choose among the same rows, `[buckets, dim]`.
    #[default]
    Shared,
    /// Each hash has rows of its own, `[hashes, buckets, dim]`.
    Separate,
}

/// How ids are given rows: k hashes into B buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    buckets: u32,
    hashes: u32,
    tables: Tables,
}

/// Why nothing can be said, or nothing be measured.
#[derive(Debug, thiserror::Error)]
pub enum CollisionError {
    /// Buckets or hashes outside their range.
    #[error(transparent)]
    Options(#[from] HashOptionError),
    /// A table that cannot be: `hashes · buckets` rows of separate tables are too many, modulo is one hash.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// More ids than can be measured.
    #[error("ids to measure: expected at most {limit}, 16 bytes each, got {got}")]
    TooMany {
        /// [`MAX_MEASURED`].
        limit: u64,
        /// What was asked for.
        got: u64,
    },
    /// The system has not enough memory for them.
    #[error("{ids} ids to measure: expected {bytes} bytes of memory, got none")]
    Memory {
        /// What was asked for.
        ids: u64,
        /// What it takes.
        bytes: u64,
    },
}

/// The expected share of `keys` different keys, 0 to 1, whose row another key had first, in a table of `rows` rows, each key being
/// given one of them: 1 − B·(1 − (1 − 1/B)^n)/n. A key of several hashes counts as many times. Both need not be whole: they may
/// be estimates.
pub fn displaced(keys: f64, rows: f64) -> f64 {
    theory::displaced(keys, rows)
}

impl Scheme {
    /// `hashes` (1 to 16) hashes into `buckets` (1 to 2^31) rows; with [`Tables::Separate`] so many for each hash.
    ///
    /// # Errors
    /// [`CollisionError::Options`] outside these ranges.
    pub fn new(buckets: u32, hashes: u32, tables: Tables) -> Result<Self, CollisionError> {
        HashOptions { buckets, hashes, ..HashOptions::default() }.validate()?;
        Ok(Self { buckets, hashes, tables })
    }

    /// Rows that one hash chooses among.
    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// Rows of an id.
    pub fn hashes(&self) -> u32 {
        self.hashes
    }

    /// Whether the hashes share their rows.
    pub fn tables(&self) -> Tables {
        self.tables
    }

    /// The probability that one given pair of different ids has the same rows. See the [module](self).
    pub fn pair_probability(&self) -> f64 {
        theory::pair_probability(self)
    }

    /// The expected share of `ids` different ids, 0 to 1, that have the same rows as at least one other of them. See the
    /// [module](self).
    pub fn expected_share(&self, ids: u64) -> f64 {
        theory::expected_share(self, ids)
    }
}

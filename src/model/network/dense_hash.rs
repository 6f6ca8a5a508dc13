//! An id as many numbers without any table: the deterministic encoding of deep hash embeddings.

use super::NetworkError;
use crate::optim::SplitMix64;

/// The dense encoding of Kang et al. 2021 ("Learning to embed categorical features without embedding tables"): k universal
/// hashes ((aᵢ·x + bᵢ) mod p) mod m with p = 2⁶¹ − 1, each scaled to [−1, 1].
///
/// x is the id as an unsigned number of 64 bits, mod p. The coefficients are drawn by SplitMix64 from the seed: aᵢ = 1 + word
/// mod (p − 1), bᵢ = word mod p. Nothing else enters, so the encoding is the same on every machine; the reference system draws
/// it anew at every call, which is a stub. `fixtures/oracle/dhe_encoding.json` holds its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenseHash {
    coefficients: Vec<(u64, u64)>,
    range: u64,
}

const PRIME: u64 = (1 << 61) - 1;

impl DenseHash {
    /// `count` hashes, each below `range`.
    ///
    /// # Errors
    /// No hash at all, or a range below 2.
    pub fn new(seed: u64, count: usize, range: u64) -> Result<Self, NetworkError> {
        let option =
            |name: &str, expected, got| NetworkError::Option { name: name.to_owned(), expected, got };
        if count == 0 {
            return Err(option("dense hash: hashes", "at least 1", 0.0));
        }
        if range < 2 {
            return Err(option("dense hash: range", "at least 2", range as f64));
        }
        let mut random = SplitMix64(seed);
        let draw = |_| (1 + random.word() % (PRIME - 1), random.word() % PRIME);
        Ok(Self { coefficients: (0..count).map(draw).collect(), range })
    }

    /// Hashes of an id.
    pub fn count(&self) -> usize {
        self.coefficients.len()
    }

    /// The coefficients (aᵢ, bᵢ).
    pub fn coefficients(&self) -> &[(u64, u64)] {
        &self.coefficients
    }

    /// The hashes of an id, `[count]`.
    pub fn hashes(&self, id: i64) -> impl Iterator<Item = u64> {
        let x = u128::from(id as u64 % PRIME);
        self.coefficients.iter().map(move |&(a, b)| {
            let sum = u128::from(a) * x + u128::from(b);
            (sum % u128::from(PRIME)) as u64 % self.range
        })
    }

    /// The encoding of an id, `[count]`: 2·hash/(m − 1) − 1, in f64 and then rounded.
    pub fn encode(&self, id: i64) -> impl Iterator<Item = f32> {
        let last = (self.range - 1) as f64;
        self.hashes(id).map(move |hash| (2.0 * hash as f64 / last - 1.0) as f32)
    }
}

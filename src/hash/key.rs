//! The hash key: a secret where input is hostile.
//!
//! Whoever knows the key can craft features that all fall into one row. The default key is public and documented:
//! right for input one trusts. A secret key comes from a file or the environment, is stored with the model in a
//! file of its own that only its owner can read, and is never printed: `Debug` hides it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A 128-bit SipHash key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HashKey([u8; 16]);

/// A key that is not 32 hexadecimal digits. Does not repeat what was given: it may be a secret with a typo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a hash key of 32 hexadecimal digits, got {length} characters{}", if *.hex { "" } else { ", not all hexadecimal" })]
pub struct KeyError {
    /// Characters found, surrounding white space aside.
    pub length: usize,
    /// Whether all of them were hexadecimal.
    pub hex: bool,
}

impl Default for HashKey {
    /// The public default: the bytes of `flexihash/native`.
    fn default() -> Self {
        Self(*b"flexihash/native")
    }
}

impl HashKey {
    /// A key from its 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 hexadecimal digits; white space around them is ignored.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim();
        let error =
            KeyError { length: digits.chars().count(), hex: digits.chars().all(|c| c.is_ascii_hexdigit()) };
        if error.length != 32 || !error.hex {
            return Err(error);
        }
        let value = u128::from_str_radix(digits, 16).map_err(|_| error)?;
        Ok(Self(value.to_be_bytes()))
    }

    /// The key as 32 hexadecimal digits: for the key file, never for a log.
    pub fn to_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    /// True for the public default key.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The two little-endian halves that SipHash takes.
    pub(super) fn halves(&self) -> (u64, u64) {
        let value = u128::from_le_bytes(self.0);
        (value as u64, (value >> 64) as u64)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_default() { "HashKey(default)" } else { "HashKey(secret)" })
    }
}

impl TryFrom<String> for HashKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::from_hex(&text)
    }
}

impl From<HashKey> for String {
    fn from(key: HashKey) -> Self {
        key.to_hex()
    }
}

//! Numbers, eight digits at a time, rounded as serde_json rounds them: to the nearest f64.

use super::Reader;
use crate::example::ExampleSink;

/// A number as the careful walk tells it: an integer of 64 bits but not −0, or another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer { value: i128, as_number: f32 },
    Other(f64),
}

/// Digits that surely fit into 64 bits.
const DIGITS: usize = 19;

/// Powers of ten that f64 holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

impl<S: ExampleSink> Reader<'_, S> {
    /// The number that starts here.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Option<Number> {
        let bytes = self.text.as_bytes();
        let (number, end) = read(bytes, self.at)?;
        let start = std::mem::replace(&mut self.at, end);
        match number {
            Read::Number(number) => Some(number),
            // The standard library rounds to the nearest too, at more cost. serde_json refuses what f64 does not hold.
            Read::Long => {
                let value: f64 = self.text.get(start..end)?.parse().ok()?;
                value.is_finite().then_some(Number::Other(value))
            }
        }
    }
}

enum Read {
    Number(Number),
    /// A fraction or power of ten that takes more than one rounding here.
    Long,
}

/// The number in `bytes` at `at`, and where it ends. `None` if none stands there, or an integer beyond 19 digits.
#[inline(always)]
fn read(bytes: &[u8], at: usize) -> Option<(Read, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let first = at + usize::from(negative);
    let mut digits = Digits { value: 0, end: first };
    digits.more(bytes);
    let whole = digits.end - first;
    if whole == 0 || whole > 1 && bytes.get(first) == Some(&b'0') {
        return None;
    }
    let mut count = whole;
    if let Some(b'.') = bytes.get(digits.end) {
        digits.end += 1;
        let point = digits.end;
        digits.more(bytes);
        if digits.end == point {
            return None;
        }
        count = digits.end - first - 1;
    } else if !matches!(bytes.get(digits.end), Some(b'e' | b'E')) {
        if whole > DIGITS {
            return None;
        }
        return Some((Read::Number(integer(negative, digits.value)?), digits.end));
    }
    let (power, end) = exponent(bytes, digits.end)?;
    let power = power - (count - whole) as i32;
    let exact = digits.value < 1 << 53 && count <= DIGITS;
    let mantissa = digits.value as i64 as f64;
    let Some(&scale) = POWERS.get(power.unsigned_abs() as usize).filter(|_| exact) else {
        return Some((Read::Long, end));
    };
    // Both are exact, so the one operation rounds to the nearest (Clinger 1990).
    let value = if power < 0 { mantissa / scale } else { mantissa * scale };
    let value = if negative { -value } else { value };
    Some((Read::Number(Number::Other(value)), end))
}

/// `None` for what has more than 64 bits.
#[inline(always)]
fn integer(negative: bool, value: u64) -> Option<Number> {
    if !negative {
        return Some(Number::Integer { value: value.into(), as_number: value as f32 });
    }
    if value == 0 {
        return Some(Number::Other(-0.0));
    }
    (value <= i64::MIN.unsigned_abs())
        .then(|| Number::Integer { value: -i128::from(value), as_number: -(value as f32) })
}

/// The power of ten that is written at `at`, 0 if none, and where it ends.
#[inline(always)]
fn exponent(bytes: &[u8], at: usize) -> Option<(i32, usize)> {
    if !matches!(bytes.get(at), Some(b'e' | b'E')) {
        return Some((0, at));
    }
    let sign = bytes.get(at + 1);
    let first = at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
    let mut digits = Digits { value: 0, end: first };
    digits.more(bytes);
    if digits.end == first || digits.end > first + 4 {
        return None;
    }
    let power = digits.value as i32;
    Some((if sign == Some(&b'-') { -power } else { power }, digits.end))
}

/// Digits read so far.
struct Digits {
    /// Their value, modulo 2^64.
    value: u64,
    end: usize,
}

impl Digits {
    /// Reads on as long as there are digits.
    #[inline(always)]
    fn more(&mut self, bytes: &[u8]) {
        loop {
            let (value, count) = leading_digits(eight(bytes, self.end));
            self.value = self.value.wrapping_mul(TENS[count]).wrapping_add(value);
            self.end += count;
            if count < 8 {
                return;
            }
        }
    }
}

const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Eight bytes from `at` on, zeros behind the end.
#[inline(always)]
fn eight(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// The digits at the start of `word`, first in the lowest byte: their value, and how many they are.
///
/// As one would by hand, but for all bytes at once: a byte is a digit if, with the bits of `'0'` taken away, nothing is
/// carried into its highest bit by adding 0x76; then pairs are joined, and pairs of pairs (Lemire & others 2018).
#[inline(always)]
fn leading_digits(word: u64) -> (u64, usize) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let values = word ^ (0x30 * ONES);
    // The lowest byte that is no digit is marked; those above it may be marked by its carry, which does not matter.
    let others = (values.wrapping_add(0x76 * ONES) | values) & (0x80 * ONES);
    let count = (others.trailing_zeros() / 8) as usize;
    // Those behind the last digit go; zeros come before the first.
    let padded = if count == 0 { 0 } else { values << (64 - 8 * count) };
    let pairs = padded.wrapping_mul(10).wrapping_add(padded >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let value = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    (value, count)
}

#[cfg(test)]
mod tests;

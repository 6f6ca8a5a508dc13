//! Numbers, eight digits at a time, rounded as serde_json rounds them: to the nearest f64.

use super::Reader;
use crate::example::ExampleSink;

/// A number as the careful walk tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(Integer),
    Other(f64),
}

/// An integer of 64 bits, but not −0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Integer {
    negative: bool,
    magnitude: u64,
}

impl Integer {
    #[inline(always)]
    pub(super) fn value(self) -> i128 {
        if self.negative { -i128::from(self.magnitude) } else { i128::from(self.magnitude) }
    }

    #[inline(always)]
    pub(super) fn as_f32(self) -> f32 {
        if self.negative { -(self.magnitude as f32) } else { self.magnitude as f32 }
    }
}

impl Number {
    /// As serde_json reads it where an f64 is asked for.
    #[inline(always)]
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Integer(Integer { negative: true, magnitude }) => -(magnitude as f64),
            Self::Integer(Integer { magnitude, .. }) => magnitude as f64,
            Self::Other(value) => value,
        }
    }
}

/// Digits that surely fit into 64 bits.
const DIGITS: usize = 19;

/// Powers of ten that f64 holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

impl<S: ExampleSink> Reader<'_, S> {
    /// A number.
    #[inline(always)]
    pub(super) fn number(&self, at: usize) -> Option<(Number, usize)> {
        let (number, end) = read(self.text.as_bytes(), at)?;
        match number {
            Read::Number(number) => Some((number, end)),
            // The standard library rounds to the nearest too, at more cost. serde_json refuses what f64 does not hold.
            Read::Long => {
                let value: f64 = self.text.get(at..end)?.parse().ok()?;
                value.is_finite().then_some((Number::Other(value), end))
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
    match short(bytes, first) {
        Some(short) => {
            let number = if short.fraction == 0 {
                integer(negative, short.digits)?
            } else {
                exact(negative, short.digits, -(short.fraction as i32))?
            };
            Some((Read::Number(number), short.end))
        }
        None => long(bytes, negative, first),
    }
}

/// A number of seven digits at most and no exponent: nearly all are.
struct Short {
    digits: u64,
    /// How many of them stand behind the point.
    fraction: usize,
    end: usize,
}

/// `None`: not short, or not well-formed.
#[inline(always)]
fn short(bytes: &[u8], first: usize) -> Option<Short> {
    let word = eight(bytes, first);
    let whole = count_digits(word);
    let zero = word as u8 == b'0';
    if whole == 0 || whole == 8 || zero && whole > 1 {
        return None;
    }
    let (mut digits, mut count, mut end) = (word, whole, first + whole);
    if (word >> (8 * whole)) as u8 == b'.' {
        // The digits behind the point move up to those before it.
        let before = (1 << (8 * whole)) - 1;
        digits = word & before | (word >> 8) & !before;
        count = count_digits(digits);
        if count == whole || count == 7 {
            return None;
        }
        end = first + count + 1;
    }
    let exponent = matches!(bytes.get(end), Some(b'e' | b'E'));
    (!exponent).then(|| Short { digits: value(digits, count), fraction: count - whole, end })
}

/// Any other number.
#[inline(never)]
fn long(bytes: &[u8], negative: bool, first: usize) -> Option<(Read, usize)> {
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
        let number = (whole <= DIGITS).then(|| integer(negative, digits.value))??;
        return Some((Read::Number(number), digits.end));
    }
    let (power, end) = exponent(bytes, digits.end)?;
    let power = power.checked_sub_unsigned(u32::try_from(count - whole).ok()?)?;
    let number = if count <= DIGITS { exact(negative, digits.value, power) } else { None };
    Some((number.map_or(Read::Long, Read::Number), end))
}

/// `digits · 10^power`, if both factors are exact in f64: then the one operation rounds to the nearest (Clinger 1990).
#[inline(always)]
fn exact(negative: bool, digits: u64, power: i32) -> Option<Number> {
    if digits >= 1 << 53 {
        return None;
    }
    let mantissa = if negative { -(digits as i64 as f64) } else { digits as i64 as f64 };
    let scale = *POWERS.get(power.unsigned_abs() as usize)?;
    Some(Number::Other(if power < 0 { mantissa / scale } else { mantissa * scale }))
}

/// `None` for what has more than 64 bits.
#[inline(always)]
fn integer(negative: bool, magnitude: u64) -> Option<Number> {
    if negative && magnitude == 0 {
        return Some(Number::Other(-0.0));
    }
    let fits = !negative || magnitude <= i64::MIN.unsigned_abs();
    fits.then_some(Number::Integer(Integer { negative, magnitude }))
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
            let word = eight(bytes, self.end);
            let count = count_digits(word);
            let Some(&ten) = TENS.get(count) else { return };
            self.value = self.value.wrapping_mul(ten).wrapping_add(value(word, count));
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

const ONES: u64 = 0x0101_0101_0101_0101;

/// How many bytes of `word` are digits, from the lowest on.
///
/// A byte is a digit if, with the bits of `'0'` taken away, adding 0x76 carries nothing into its highest bit. The lowest
/// byte that is none is marked; those above it may be marked wrongly by its carry, which does not matter.
#[inline(always)]
fn count_digits(word: u64) -> usize {
    let values = word ^ (0x30 * ONES);
    let others = (values.wrapping_add(0x76 * ONES) | values) & (0x80 * ONES);
    (others.trailing_zeros() / 8) as usize
}

/// The value of the first `count` digits of `word`, at most 8, the first in the lowest byte: neighbours are joined to
/// pairs, pairs to fours, fours to eight, all at once (Lemire & others 2018).
#[inline(always)]
fn value(word: u64, count: usize) -> u64 {
    // Those behind the last digit go; zeros come before the first.
    let values = (word ^ (0x30 * ONES)).checked_shl(64 - 8 * count as u32).unwrap_or(0);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

#[cfg(test)]
mod tests;

//! SipHash-1-3 of eight messages at once.
//!
//! A message of a dozen bytes takes six rounds, each waiting for the one before: one message at a time leaves most of the
//! processor idle. Eight messages stand side by side in the lanes of vectors; a lane whose message has ended keeps its
//! state while the others go on. The round is written once, over [`Word`]: 64 bits are the specification, AVX2 holds four
//! lanes, AVX-512 eight.

use super::isa::{Isa, Level};

/// Messages that are hashed together.
pub const SIP_LANES: usize = 8;
/// Bytes of a [`Cell`].
pub const CELL_BYTES: usize = 64;
const WORDS: usize = CELL_BYTES / 8;

/// Room for one message of up to 63 bytes, as SipHash takes it: the message, zeros, and in the last byte of its
/// `length / 8 + 1` words of 8 bytes the length.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Cell(pub [u8; CELL_BYTES]);

impl Cell {
    /// No message yet.
    pub const EMPTY: Self = Self([0; CELL_BYTES]);

    /// Makes `parts`, one behind the other, the message of a cell that was [`EMPTY`](Self::EMPTY): the number of its words.
    /// `None`, and nothing is written, if they are longer than 63 bytes.
    #[inline(always)]
    pub fn set<const N: usize>(&mut self, parts: [&[u8]; N]) -> Option<u8> {
        let length = parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()));
        let last = self.0.get_mut(length | 7)?;
        *last = length as u8;
        let mut to = self.0.as_mut_ptr();
        for part in parts {
            // SAFETY: `length` is below 64, as `last` exists, so the cell has room for all parts; they are not in it.
            unsafe { copy_short(part, to) };
            // SAFETY: as above.
            to = unsafe { to.add(part.len()) };
        }
        Some((length / 8 + 1) as u8)
    }

    fn word(&self, index: usize) -> u64 {
        self.0.as_chunks().0.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Copies `part` to `to`. Keys and values are short: two copies of a fixed size, which may overlap, cost less than a call.
///
/// # Safety
/// `to` can be written for as many bytes as `part` has, and is not part of it.
#[inline(always)]
unsafe fn copy_short(part: &[u8], to: *mut u8) {
    let (from, length) = (part.as_ptr(), part.len());
    // SAFETY, for each: it reads and writes within the first `length` bytes.
    match length {
        0 => {}
        // SAFETY: as above.
        1 => unsafe { copy_ends::<1>(from, to, length) },
        // SAFETY: as above.
        2..4 => unsafe { copy_ends::<2>(from, to, length) },
        // SAFETY: as above.
        4..8 => unsafe { copy_ends::<4>(from, to, length) },
        // SAFETY: as above.
        8..=16 => unsafe { copy_ends::<8>(from, to, length) },
        // SAFETY: as above.
        _ => unsafe { std::ptr::copy_nonoverlapping(from, to, length) },
    }
}

/// Copies the first `N` and the last `N` bytes of `length`.
///
/// # Safety
/// `N ≤ length`; `from` can be read and `to` written for `length` bytes, and they do not overlap.
#[inline(always)]
unsafe fn copy_ends<const N: usize>(from: *const u8, to: *mut u8, length: usize) {
    debug_assert!(N <= length && length <= 2 * N);
    // SAFETY: both are loads of `N ≤ length` bytes that end within `length`.
    let ends = unsafe { [from, from.add(length - N)].map(|end| end.cast::<[u8; N]>().read()) };
    // SAFETY: as above, stores.
    unsafe { to.cast::<[u8; N]>().write(ends[0]) };
    // SAFETY: as above.
    unsafe { to.add(length - N).cast::<[u8; N]>().write(ends[1]) };
}

/// What a lane, or several, can do.
trait Word: Copy {
    fn add(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    /// Rotates left by `L`; `R` is 64 − `L`.
    fn rotate<const L: i32, const R: i32>(self) -> Self;
}

impl Word for u64 {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }
    #[inline(always)]
    fn rotate<const L: i32, const R: i32>(self) -> Self {
        self << L | self >> R
    }
}

type State<W> = [W; 4];

/// The key and SipHash's constants.
fn start(k0: u64, k1: u64) -> State<u64> {
    [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ]
}

#[inline(always)]
fn round<W: Word>([mut v0, mut v1, mut v2, mut v3]: State<W>) -> State<W> {
    v0 = v0.add(v1);
    v1 = v1.rotate::<13, 51>().xor(v0);
    v0 = v0.rotate::<32, 32>();
    v2 = v2.add(v3);
    v3 = v3.rotate::<16, 48>().xor(v2);
    v0 = v0.add(v3);
    v3 = v3.rotate::<21, 43>().xor(v0);
    v2 = v2.add(v1);
    v1 = v1.rotate::<17, 47>().xor(v2);
    v2 = v2.rotate::<32, 32>();
    [v0, v1, v2, v3]
}

/// Takes in one word of the message.
#[inline(always)]
fn absorb<W: Word>([v0, v1, v2, v3]: State<W>, word: W) -> State<W> {
    let [v0, v1, v2, v3] = round([v0, v1, v2, v3.xor(word)]);
    [v0.xor(word), v1, v2, v3]
}

#[inline(always)]
fn finish<W: Word>([v0, v1, v2, v3]: State<W>, mark: W) -> W {
    let [v0, v1, v2, v3] = round(round(round([v0, v1, v2.xor(mark), v3])));
    v0.xor(v1).xor(v2.xor(v3))
}

/// SipHash-1-3 under the key `k0 ‖ k1` of the messages in `cells`, of which lane `i` has `words[i]` words, 8 at most.
#[inline]
pub fn siphash_1_3_lanes(
    isa: Isa,
    key: (u64, u64),
    cells: &[Cell; SIP_LANES],
    words: &[u8; SIP_LANES],
) -> [u64; SIP_LANES] {
    match isa.level() {
        Level::Scalar => plain(key, cells, words),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level is only made where the processor has these features.
        Level::Avx2 => unsafe { x86::avx2(key, cells, words) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { x86::avx512(key, cells, words) },
    }
}

/// The specification.
fn plain((k0, k1): (u64, u64), cells: &[Cell; SIP_LANES], words: &[u8; SIP_LANES]) -> [u64; SIP_LANES] {
    let mut hashes = [0; SIP_LANES];
    for ((hash, cell), &words) in hashes.iter_mut().zip(cells).zip(words) {
        let message = (0..usize::from(words).min(WORDS)).map(|index| cell.word(index));
        *hash = finish(message.fold(start(k0, k1), absorb), 0xff);
    }
    hashes
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Cell, SIP_LANES, State, WORDS, Word, absorb, finish, start};
    use std::arch::x86_64::*;

    /// Four lanes: only for code that runs with AVX2.
    #[derive(Clone, Copy)]
    struct Four(__m256i);

    // SAFETY, for each of its methods: `Four` is made in `avx2` alone, which runs with AVX2 only.
    impl Word for Four {
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_add_epi64(self.0, other.0) })
        }
        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_xor_si256(self.0, other.0) })
        }
        #[inline(always)]
        fn rotate<const L: i32, const R: i32>(self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                if L == 32 {
                    _mm256_shuffle_epi32::<0b10_11_00_01>(self.0)
                } else {
                    _mm256_or_si256(_mm256_slli_epi64::<L>(self.0), _mm256_srli_epi64::<R>(self.0))
                }
            })
        }
    }

    /// Eight lanes: only for code that runs with AVX-512 F.
    #[derive(Clone, Copy)]
    struct Eight(__m512i);

    // SAFETY, for each of its methods: `Eight` is made in `avx512` alone, which runs with AVX-512 only.
    impl Word for Eight {
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_add_epi64(self.0, other.0) })
        }
        #[inline(always)]
        fn xor(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_xor_si512(self.0, other.0) })
        }
        #[inline(always)]
        fn rotate<const L: i32, const R: i32>(self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_rol_epi64::<L>(self.0) })
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn avx2(
        key: (u64, u64),
        cells: &[Cell; SIP_LANES],
        words: &[u8; SIP_LANES],
    ) -> [u64; SIP_LANES] {
        let mut hashes = [0; SIP_LANES];
        for ((hashes, cells), words) in
            hashes.as_chunks_mut().0.iter_mut().zip(cells.as_chunks().0).zip(words.as_chunks().0)
        {
            let hash = four(key, cells, words);
            // SAFETY: four hashes of 8 bytes; this store needs no alignment.
            unsafe { _mm256_storeu_si256(hashes.as_mut_ptr().cast(), hash) };
            let _: &mut [u64; 4] = hashes;
        }
        hashes
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn four((k0, k1): (u64, u64), cells: &[Cell; 4], words: &[u8; 4]) -> __m256i {
        let most = usize::from(words.iter().copied().max().unwrap_or(0)).min(WORDS);
        let [w0, w1, w2, w3] = words.map(i64::from);
        let ends = _mm256_set_epi64x(w3, w2, w1, w0);
        let mut state: State<Four> = start(k0, k1).map(|v| Four(_mm256_set1_epi64x(v as i64)));
        for half in 0..most.div_ceil(4) {
            let message = quarter(cells, half);
            for (place, word) in message.into_iter().enumerate().take(most - 4 * half) {
                let active = _mm256_cmpgt_epi64(ends, _mm256_set1_epi64x((4 * half + place) as i64));
                let next = absorb(state, Four(word));
                for (old, new) in state.iter_mut().zip(next) {
                    *old = Four(_mm256_blendv_epi8(old.0, new.0, active));
                }
            }
        }
        finish(state, Four(_mm256_set1_epi64x(0xff))).0
    }

    /// Words `4 · half ..` of four cells, lane `i` from cell `i`: a transposed square.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn quarter(cells: &[Cell; 4], half: usize) -> [__m256i; 4] {
        debug_assert!(half < 2);
        // SAFETY: a cell is two halves of 32 bytes; these loads need no alignment.
        let [a, b, c, d] = cells
            .each_ref()
            .map(|cell| unsafe { _mm256_loadu_si256(cell.0.as_ptr().cast::<__m256i>().add(half)) });
        let (ab, cd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpacklo_epi64(c, d));
        let (ab_odd, cd_odd) = (_mm256_unpackhi_epi64(a, b), _mm256_unpackhi_epi64(c, d));
        [
            _mm256_permute2x128_si256::<0x20>(ab, cd),
            _mm256_permute2x128_si256::<0x20>(ab_odd, cd_odd),
            _mm256_permute2x128_si256::<0x31>(ab, cd),
            _mm256_permute2x128_si256::<0x31>(ab_odd, cd_odd),
        ]
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn avx512(
        (k0, k1): (u64, u64),
        cells: &[Cell; SIP_LANES],
        words: &[u8; SIP_LANES],
    ) -> [u64; SIP_LANES] {
        let packed = u64::from_le_bytes(*words);
        let ends = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128(packed as i64));
        let most = _mm512_reduce_max_epu64(ends).min(WORDS as u64) as usize;
        let mut state: State<Eight> = start(k0, k1).map(|v| Eight(_mm512_set1_epi64(v as i64)));
        for (place, word) in transposed(cells).into_iter().enumerate().take(most) {
            let active = _mm512_cmpgt_epu64_mask(ends, _mm512_set1_epi64(place as i64));
            let next = absorb(state, Eight(word));
            for (old, new) in state.iter_mut().zip(next) {
                *old = Eight(_mm512_mask_mov_epi64(old.0, active, new.0));
            }
        }
        let hash = finish(state, Eight(_mm512_set1_epi64(0xff)));
        let mut hashes = [0; SIP_LANES];
        // SAFETY: eight hashes of 8 bytes; this store needs no alignment.
        unsafe { _mm512_storeu_si512(hashes.as_mut_ptr().cast(), hash.0) };
        hashes
    }

    /// The words of eight cells, lane `i` from cell `i`: pairs of cells first, then quarters, then halves.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn transposed(cells: &[Cell; SIP_LANES]) -> [__m512i; WORDS] {
        let [a, b, c, d, e, f, g, h] =
            // SAFETY: a cell has 64 bytes; these loads need no alignment.
            cells.each_ref().map(|cell| unsafe { _mm512_loadu_si512(cell.0.as_ptr().cast()) });
        let square = |ab, cd, ef, gh| {
            let (low, low_odd) = (
                _mm512_shuffle_i64x2::<0b10_00_10_00>(ab, cd),
                _mm512_shuffle_i64x2::<0b11_01_11_01>(ab, cd),
            );
            let (high, high_odd) = (
                _mm512_shuffle_i64x2::<0b10_00_10_00>(ef, gh),
                _mm512_shuffle_i64x2::<0b11_01_11_01>(ef, gh),
            );
            [
                _mm512_shuffle_i64x2::<0b10_00_10_00>(low, high),
                _mm512_shuffle_i64x2::<0b10_00_10_00>(low_odd, high_odd),
                _mm512_shuffle_i64x2::<0b11_01_11_01>(low, high),
                _mm512_shuffle_i64x2::<0b11_01_11_01>(low_odd, high_odd),
            ]
        };
        let [w0, w2, w4, w6] = square(
            _mm512_unpacklo_epi64(a, b),
            _mm512_unpacklo_epi64(c, d),
            _mm512_unpacklo_epi64(e, f),
            _mm512_unpacklo_epi64(g, h),
        );
        let [w1, w3, w5, w7] = square(
            _mm512_unpackhi_epi64(a, b),
            _mm512_unpackhi_epi64(c, d),
            _mm512_unpackhi_epi64(e, f),
            _mm512_unpackhi_epi64(g, h),
        );
        [w0, w1, w2, w3, w4, w5, w6, w7]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(message: &[u8]) -> (Cell, u8) {
        let mut cell = Cell::EMPTY;
        let words = cell.set([message]).unwrap();
        (cell, words)
    }

    #[test]
    fn a_message_is_its_parts_then_zeros_then_its_length() {
        let bytes: Vec<u8> = (1..=80).collect();
        for length in 0..=bytes.len() {
            for cut in 0..=length {
                let mut cell = Cell::EMPTY;
                let words = cell.set([&bytes[..cut], &[], &bytes[cut..length]]);
                let mut expected = [0; CELL_BYTES];
                if length < CELL_BYTES {
                    expected[..length].copy_from_slice(&bytes[..length]);
                    expected[8 * (length / 8) + 7] = length as u8;
                }
                assert_eq!(words, (length < CELL_BYTES).then_some((length / 8 + 1) as u8));
                assert_eq!(cell.0, expected);
            }
        }
    }

    /// That the specification is SipHash is shown in `hash`, beside the published crate.
    #[test]
    fn lanes_of_every_length_hash_as_the_specification() {
        let bytes: Vec<u8> = (0..64_u8).map(|i| i.wrapping_mul(37) ^ 11).collect();
        for isa in Isa::available() {
            for shift in 0..64 {
                let (mut cells, mut words) = ([Cell::EMPTY; SIP_LANES], [0; SIP_LANES]);
                for lane in 0..SIP_LANES {
                    (cells[lane], words[lane]) = cell(&bytes[..(shift + lane * 11) % 64]);
                }
                let key = (shift as u64 * 77, !3);
                assert_eq!(
                    siphash_1_3_lanes(isa, key, &cells, &words),
                    plain(key, &cells, &words),
                    "{}",
                    isa.name()
                );
            }
        }
    }
}

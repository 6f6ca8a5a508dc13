//! Where the quotes of a JSON text stand: 64 bytes at a time.
//!
//! A reader that knows where every string ends need not look at the bytes of strings. So this first stage looks at all
//! bytes once, without branches, and keeps what can end a string or cannot stand in one. The specification is
//! [`Plain`], eight bytes of a number at a time; AVX2 and AVX-512 give the same masks.

use super::isa::{Isa, Level};
use std::str::Utf8Error;

/// Quotes that are found ahead at most.
const WINDOW: usize = 160;
const BLOCK: usize = 64;

/// What stands where in 64 bytes: bit `i` is byte `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    quotes: u64,
    backslashes: u64,
    /// Bytes below 0x20.
    controls: u64,
}

impl Marks {
    /// The marks from byte `first` on.
    #[inline(always)]
    fn from(self, first: usize) -> Self {
        let Self { quotes, backslashes, controls } = self;
        Self { quotes: quotes >> first, backslashes: backslashes >> first, controls: controls >> first }
    }
}

trait Mark {
    fn marks(block: &[u8; BLOCK]) -> Marks;

    /// Writes the places of the bits of `mask`, plus `base`, to the front of `out`; what follows them there is of no
    /// meaning.
    #[inline(always)]
    fn spread(mut mask: u64, base: u32, out: &mut [u32; BLOCK]) {
        for place in out {
            if mask == 0 {
                break;
            }
            *place = base.wrapping_add(mask.trailing_zeros());
            mask &= mask.wrapping_sub(1);
        }
    }
}

/// The specification.
struct Plain;

impl Mark for Plain {
    #[inline(always)]
    fn marks(block: &[u8; BLOCK]) -> Marks {
        let mut marks = Marks { quotes: 0, backslashes: 0, controls: 0 };
        for (group, bytes) in block.as_chunks().0.iter().enumerate() {
            let word = u64::from_le_bytes(*bytes);
            marks.quotes |= zeros(word ^ repeated(b'"')) << (8 * group);
            marks.backslashes |= zeros(word ^ repeated(b'\\')) << (8 * group);
            marks.controls |= zeros(word & repeated(0xe0)) << (8 * group);
        }
        marks
    }
}

const fn repeated(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Bit `i` is whether byte `i` is 0.
#[inline(always)]
fn zeros(word: u64) -> u64 {
    let low = repeated(0x7f);
    // The highest bit of a byte is set if any of its bits is: nothing is carried from one to the next.
    let set = (((word & low) + low) | word) & repeated(0x80);
    // The multiplication gathers the highest bits of eight bytes into the topmost byte.
    ((set ^ repeated(0x80)) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{BLOCK, Mark, Marks};
    use std::arch::x86_64::*;

    /// Only for code that runs with AVX2.
    pub(super) struct Avx2;

    impl Mark for Avx2 {
        #[inline(always)]
        fn marks(block: &[u8; BLOCK]) -> Marks {
            // SAFETY: this type is named by `search_avx2` alone, which runs with AVX2 only.
            unsafe { marks_avx2(block) }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn marks_avx2(block: &[u8; BLOCK]) -> Marks {
        let at = block.as_ptr().cast::<__m256i>();
        // SAFETY: the block has 64 bytes, two halves of 32; these loads need no alignment.
        let halves = unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] };
        let join = |masks: [__m256i; 2]| {
            let [low, high] = masks.map(|mask| u64::from(_mm256_movemask_epi8(mask) as u32));
            low | high << 32
        };
        let equal = |byte: u8| halves.map(|half| _mm256_cmpeq_epi8(half, _mm256_set1_epi8(byte as i8)));
        let last = _mm256_set1_epi8(0x1f);
        Marks {
            quotes: join(equal(b'"')),
            backslashes: join(equal(b'\\')),
            controls: join(halves.map(|half| _mm256_cmpeq_epi8(_mm256_max_epu8(half, last), last))),
        }
    }

    /// Only for code that runs with AVX-512 F and BW.
    pub(super) struct Avx512;

    impl Mark for Avx512 {
        #[inline(always)]
        fn marks(block: &[u8; BLOCK]) -> Marks {
            // SAFETY: this type is named by `search_avx512` alone, which runs with AVX-512 only.
            unsafe { marks_avx512(block) }
        }

        #[inline(always)]
        fn spread(mask: u64, base: u32, out: &mut [u32; BLOCK]) {
            // SAFETY: as above.
            unsafe { spread_avx512(mask, base, out) }
        }
    }

    /// Sixteen at a time, without a branch: all places are there, those of the mask are moved to the front.
    #[target_feature(enable = "avx512f,popcnt")]
    #[inline]
    fn spread_avx512(mask: u64, base: u32, out: &mut [u32; BLOCK]) {
        let first = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        let mut count = 0;
        for quarter in 0..4 {
            let bits = (mask >> (16 * quarter)) as u16;
            let places = _mm512_add_epi32(first, _mm512_set1_epi32(base as i32 + 16 * quarter));
            debug_assert!(count <= 16 * quarter as usize);
            // SAFETY: each of the quarters before brought 16 places at most, so there is room for 16 more; this store needs
            // no alignment.
            unsafe {
                let to = out.as_mut_ptr().add(count);
                _mm512_storeu_si512(to.cast(), _mm512_maskz_compress_epi32(bits, places));
            }
            count += bits.count_ones() as usize;
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn marks_avx512(block: &[u8; BLOCK]) -> Marks {
        // SAFETY: the block has 64 bytes; this load needs no alignment.
        let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        Marks {
            quotes: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'"' as i8)),
            backslashes: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'\\' as i8)),
            controls: _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(0x20)),
        }
    }
}

/// `bytes` as text, if they are UTF-8. Mostly they are ASCII, which is found out faster.
#[inline]
pub fn text(bytes: &[u8]) -> Result<&str, Utf8Error> {
    if is_ascii(bytes) {
        // SAFETY: all bytes are ASCII, which is UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes)
}

/// Whether all bytes are below 0x80. The standard library's walks through the last bytes one by one.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    const WORDS: usize = 4;
    let Some(last) = bytes.last_chunk::<{ 8 * WORDS }>() else { return bytes.is_ascii() };
    let mut all = [0; WORDS];
    for chunk in bytes.as_chunks().0.iter().chain(std::iter::once(last)) {
        for (all, word) in all.iter_mut().zip(chunk.as_chunks().0) {
            *all |= u64::from_ne_bytes(*word);
        }
    }
    all.iter().fold(0, |any, word| any | word) & repeated(0x80) == 0
}

/// The quotes of a text without backslashes, in order, found some hundred at a time.
///
/// Without backslashes every second quote ends a string, so it also knows what lies in strings: a control character
/// there, or a backslash anywhere, ends the search.
#[derive(Debug)]
pub struct Quotes<'t> {
    isa: Isa,
    text: &'t str,
    /// Bytes searched so far.
    searched: usize,
    /// Whether the bytes after `searched` start inside a string.
    inside: bool,
    found: [u32; WINDOW],
    next: usize,
    end: usize,
}

impl<'t> Quotes<'t> {
    /// The quotes of `text`; `None` if it is too long for places of 32 bits.
    #[inline]
    pub fn new(isa: Isa, text: &'t str) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        Some(Self { isa, text, searched: 0, inside: false, found: [0; WINDOW], next: 0, end: 0 })
    }

    /// The next string, without its quotes, if it starts `at` this byte. `None` if not, if no quote ends it, or if the
    /// quote that seems to may not.
    #[inline(always)]
    pub fn string(&mut self, at: usize) -> Option<&'t str> {
        if self.next + 2 > self.end {
            self.more()?;
        }
        let [open, close] = self.found.get(self.next..)?.first_chunk()?.map(|place: u32| place as usize);
        if open != at {
            return None;
        }
        self.next += 2;
        debug_assert!(open < close && self.text.as_bytes().get(close) == Some(&b'"'));
        // SAFETY: `found` holds places of quotes in this text, in ascending order: so the range lies in the text, and
        // starts and ends beside an ASCII byte, which is no part of another character.
        Some(unsafe { self.text.get_unchecked(open + 1..close) })
    }

    /// Searches on until two are found.
    #[inline(never)]
    fn more(&mut self) -> Option<()> {
        self.found.copy_within(self.next..self.end, 0);
        self.end -= self.next;
        self.next = 0;
        while self.end < 2 {
            if self.searched == self.text.len() {
                return None;
            }
            match self.isa.level() {
                Level::Scalar => self.search::<Plain>()?,
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Isa` of this level is only made where the processor has these features.
                Level::Avx2 => unsafe { self.search_avx2()? },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Level::Avx512 => unsafe { self.search_avx512()? },
            }
        }
        Some(())
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn search_avx2(&mut self) -> Option<()> {
        self.search::<x86::Avx2>()
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw")]
    fn search_avx512(&mut self) -> Option<()> {
        self.search::<x86::Avx512>()
    }

    /// Searches blocks as long as another one's quotes surely fit.
    #[inline(always)]
    fn search<M: Mark>(&mut self) -> Option<()> {
        while self.searched < self.text.len() {
            let Some(free) = self.found.get_mut(self.end..).and_then(<[u32]>::first_chunk_mut) else { break };
            let rest = self.text.as_bytes().get(self.searched..)?;
            let marks = match rest.first_chunk::<BLOCK>() {
                Some(block) => M::marks(block),
                None => match self.text.as_bytes().last_chunk::<BLOCK>() {
                    Some(last) => M::marks(last).from(BLOCK - rest.len()),
                    None => M::marks(&padded(rest)),
                },
            };
            let controls = marks.controls;
            if marks.backslashes != 0 || controls != 0 && controls & strings(marks.quotes, self.inside) != 0 {
                return None;
            }
            M::spread(marks.quotes, self.searched as u32, free);
            let count = marks.quotes.count_ones();
            self.inside ^= count & 1 == 1;
            self.end += count as usize;
            self.searched += rest.len().min(BLOCK);
        }
        Some(())
    }
}

/// Which bytes of a block lie in strings (opening quotes count): the parity of the quotes up to each. `inside`: whether
/// the block starts in a string.
fn strings(quotes: u64, inside: bool) -> u64 {
    let parity = [1, 2, 4, 8, 16, 32].iter().fold(quotes, |mask, shift| mask ^ mask << shift);
    if inside { !parity } else { parity }
}

/// A text shorter than a block, blanks behind it.
#[inline(always)]
fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    block.iter_mut().zip(rest).for_each(|(to, &from)| *to = from);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of the quotes of each string that is found; texts of quotes and other characters only.
    fn pairs(isa: Isa, text: &str) -> Vec<(usize, usize)> {
        let mut quotes = Quotes::new(isa, text).unwrap();
        expected(text)
            .iter()
            .map_while(|&(open, _)| quotes.string(open).map(|string| (open, open + 1 + string.len())))
            .collect()
    }

    fn expected(text: &str) -> Vec<(usize, usize)> {
        let places: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
        places.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
    }

    #[test]
    fn strings_are_found_at_every_place_of_texts_of_every_length() {
        for isa in Isa::available() {
            for length in 0..200 {
                for step in [1, 2, 3, 7, 64, 65] {
                    let text: String =
                        (0..length).map(|i| if i % step == 0 { '"' } else { ['a', 'é'][i % 2] }).collect();
                    assert_eq!(pairs(isa, &text), expected(&text), "{} {length} {step}", isa.name());
                }
            }
            let long = "\"".repeat(5001);
            assert_eq!(pairs(isa, &long), expected(&long));
            let blank = " ".repeat(3000);
            let sparse = format!("{blank}\"a\"{blank}\"\"");
            assert_eq!(pairs(isa, &sparse), expected(&sparse));
        }
    }

    #[test]
    fn a_string_is_given_only_where_it_starts() {
        for isa in Isa::available() {
            let mut quotes = Quotes::new(isa, r#""a" "b" ""#).unwrap();
            assert_eq!(quotes.string(1), None);
            assert_eq!(quotes.string(0), Some("a"));
            assert_eq!(quotes.string(0), None);
            assert_eq!(quotes.string(4), Some("b"));
            assert_eq!(quotes.string(8), None, "nothing ends it");
        }
    }

    #[test]
    fn every_byte_is_marked_the_same_everywhere() {
        for isa in Isa::available() {
            for byte in (0..=0x7f_u8).map(char::from).filter(|&byte| byte != '"') {
                for at in 0..130 {
                    let around = |before: &str, after: &str| {
                        let (left, right) = ("x".repeat(at), "x".repeat(129 - at));
                        format!("{before}{left}{byte}{right}{after}")
                    };
                    let inside = around("\"", "\"");
                    let found = Quotes::new(isa, &inside).unwrap().string(0);
                    assert_eq!(found.is_none(), byte < ' ' || byte == '\\', "{byte:?} at {at}");
                    let outside = around("", "\"\"");
                    let found = Quotes::new(isa, &outside).unwrap().string(130);
                    assert_eq!(found, (byte != '\\').then_some(""), "{byte:?} at {at}, outside");
                }
            }
        }
    }

    #[test]
    fn text_is_what_the_standard_library_takes() {
        for bytes in [&b""[..], b"abc", "aé\u{10ffff}".as_bytes(), b"a\x80", b"\xed\xa0\x80", b"\xc0\xaf"] {
            assert_eq!(text(bytes), std::str::from_utf8(bytes));
        }
        for at in 0..100 {
            let mut bytes = [b'a'; 100];
            bytes[at] = 0x80;
            assert!(text(&bytes).is_err() && text(&bytes[..at]).is_ok());
        }
    }
}

//! Sixteen numbers, sorted without a branch that depends on them.
//!
//! A comparison sort of sixteen random numbers guesses wrong a dozen times. Here every key is compared with every
//! other, as many at a time as a vector holds; how many are smaller is its place.

use super::isa::{Isa, Level};

/// How many numbers [`sort_distinct`] takes.
pub const SORT_LANES: usize = 16;

/// Sorts the first `count` of `row`, at most 16, by their upper 31 bits, if no two agree in these. False if two do, or if
/// one has all of them set and there are less than 16, and `row` is as it was. The rest of `row` is of no meaning after it.
#[inline]
pub fn sort_distinct(isa: Isa, row: &mut [u64; SORT_LANES], count: usize) -> bool {
    let count = count.min(SORT_LANES);
    let mut keys = [0; SORT_LANES];
    for (place, (key, &number)) in keys.iter_mut().zip(row.iter()).enumerate() {
        // Those behind the last are larger than all, so that the work below need not stop at it.
        *key = if place < count { (number >> 33) as i32 } else { i32::MAX };
    }
    let mut ranks = [0; SORT_LANES];
    match isa.level() {
        Level::Scalar => plain(&keys, count, &mut ranks),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level is only made where the processor has these features.
        Level::Avx2 => unsafe { x86::avx2(&keys, count, &mut ranks) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { x86::avx512(&keys, count, &mut ranks) },
    }
    // Equal keys have equal ranks, so that the sum falls short. Those behind the last have all ranks below them, unless
    // one of the keys is as large as they are: then the sum falls short too, and the row is sorted otherwise.
    let sum: i32 = ranks.iter().sum();
    if sum != (count * count.saturating_sub(1) / 2 + (SORT_LANES - count) * count) as i32 {
        return false;
    }
    let old = *row;
    for (&number, &rank) in old.iter().zip(&ranks) {
        if let Some(place) = row.get_mut(rank as usize) {
            *place = number;
        }
    }
    true
}

/// The specification: how many of the first `count` keys, none of them negative, are below each.
fn plain(keys: &[i32; SORT_LANES], count: usize, ranks: &mut [i32; SORT_LANES]) {
    for &key in keys.iter().take(count) {
        for (rank, &other) in ranks.iter_mut().zip(keys) {
            *rank += i32::from(key < other);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::SORT_LANES;
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2(keys: &[i32; SORT_LANES], count: usize, ranks: &mut [i32; SORT_LANES]) {
        let at = keys.as_ptr().cast::<__m256i>();
        // SAFETY: sixteen keys of 4 bytes are two halves of 32; these loads need no alignment.
        let halves = unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] };
        let mut sums = [_mm256_setzero_si256(); 2];
        for &key in keys.iter().take(count) {
            let key = _mm256_set1_epi32(key);
            for (sum, half) in sums.iter_mut().zip(halves) {
                // A comparison that holds is −1.
                *sum = _mm256_sub_epi32(*sum, _mm256_cmpgt_epi32(half, key));
            }
        }
        let to = ranks.as_mut_ptr().cast::<__m256i>();
        // SAFETY: as for the loads.
        unsafe { _mm256_storeu_si256(to, sums[0]) };
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(to.add(1), sums[1]) };
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(keys: &[i32; SORT_LANES], count: usize, ranks: &mut [i32; SORT_LANES]) {
        // SAFETY: sixteen keys of 4 bytes are 64; this load needs no alignment.
        let all = unsafe { _mm512_loadu_si512(keys.as_ptr().cast()) };
        let (mut sum, one) = (_mm512_setzero_si512(), _mm512_set1_epi32(1));
        for &key in keys.iter().take(count) {
            let below = _mm512_cmplt_epi32_mask(_mm512_set1_epi32(key), all);
            sum = _mm512_mask_add_epi32(sum, below, sum, one);
        }
        // SAFETY: as for the load.
        unsafe { _mm512_storeu_si512(ranks.as_mut_ptr().cast(), sum) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_length_are_sorted_unless_two_keys_are_equal() {
        let mut state = 1_u64;
        let mut random = |bits: u32| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // With few bits, the largest key is among them.
            (0x7fff_ffff - (state >> (64 - bits))) << 33 | state & 0x1_ffff_ffff
        };
        for isa in Isa::available() {
            for count in 0..=SORT_LANES {
                for bits in [2, 4, 6, 31, 31, 31] {
                    let row: [u64; SORT_LANES] = std::array::from_fn(|_| random(bits));
                    let mut expected = row[..count].to_vec();
                    expected.sort_unstable();
                    let largest = expected.last().is_some_and(|last| last >> 33 == i32::MAX as u64);
                    let distinct = expected.windows(2).all(|pair| pair[0] >> 33 < pair[1] >> 33)
                        && !(largest && count < SORT_LANES);
                    let mut sorted = row;
                    assert_eq!(sort_distinct(isa, &mut sorted, count), distinct, "{}", isa.name());
                    assert_eq!(sorted[..count], if distinct { expected } else { row[..count].to_vec() });
                }
            }
        }
    }
}

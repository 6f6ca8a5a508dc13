//! Short rows of numbers, sorted without a branch that depends on them.
//!
//! A comparison sort of sixteen random numbers guesses wrong a dozen times. Here every number is compared with every
//! other, eight at a time; how many are smaller is its place.

use super::isa::Isa;

/// Sorts, ascending.
#[inline]
pub fn sort_short(isa: Isa, row: &mut [u64]) {
    // Without vectors of 64-bit comparisons, the standard library's sort is faster.
    match row.len() {
        0 | 1 => {}
        2..=16 if isa > Isa::SCALAR => isa.run(|| by_rank::<16>(row)),
        17..=32 if isa > Isa::SCALAR => isa.run(|| by_rank::<32>(row)),
        _ => row.sort_unstable(),
    }
}

/// `row` has at most `N` numbers.
#[inline(always)]
fn by_rank<const N: usize>(row: &mut [u64]) {
    let mut keys = [u64::MAX; N];
    keys.iter_mut().zip(row.iter()).for_each(|(key, &number)| *key = number);
    let mut ranks = [0_u64; N];
    for &number in row.iter() {
        for (rank, &key) in ranks.iter_mut().zip(&keys) {
            *rank += u64::from(number < key);
        }
    }
    let length = row.len() as u64;
    // Equal numbers have equal ranks, so that the sum falls short.
    if ranks.iter().take(row.len()).sum::<u64>() != length * (length - 1) / 2 {
        return row.sort_unstable();
    }
    let places = row.len();
    for (&key, &rank) in keys.iter().zip(&ranks).take(places) {
        if let Some(place) = row.get_mut(rank as usize) {
            *place = key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_length_are_sorted_with_and_without_repeats() {
        let mut state = 1_u64;
        let mut random = |bits: u32| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> (64 - bits)
        };
        for isa in Isa::available() {
            for length in 0..50 {
                for bits in [1, 3, 6, 63, 64] {
                    let mut row: Vec<u64> = (0..length).map(|_| random(bits)).collect();
                    let mut expected = row.clone();
                    expected.sort_unstable();
                    sort_short(isa, &mut row);
                    assert_eq!(row, expected, "{}", isa.name());
                }
            }
            let mut row = [u64::MAX, 0, u64::MAX - 1];
            sort_short(isa, &mut row);
            assert_eq!(row, [0, u64::MAX - 1, u64::MAX]);
        }
    }
}

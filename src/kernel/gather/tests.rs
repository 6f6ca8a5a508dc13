//! Every instruction set against the specification, at every length.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy does not see a test in `not(loom)`"
)]

use super::*;

const DIMS: std::ops::RangeInclusive<usize> = 1..=300;

fn number(seed: usize) -> f32 {
    ((seed as f32 * 0.618).sin() * 1e3).sin() * 3.0
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

/// Offsets of records of 0, 1, 2, … and again 0 features, not from 0 on, and a value each.
fn records() -> (Vec<usize>, Vec<f32>) {
    let sizes = [0, 1, 2, 0, 0, 3, 7, 20, 1, 0];
    let offsets = std::iter::once(5).chain(sizes.iter().scan(5, |end, size| {
        *end += size;
        Some(*end)
    }));
    (offsets.collect(), (0..sizes.iter().sum()).map(|i: usize| number(i + 7)).collect())
}

/// The sums by a loop of its own, one float after the other.
fn expected(rows: &[&[f32]], features: Features<'_>, dim: usize) -> Vec<f32> {
    let first = features.offsets[0];
    let sum = |record: &[usize], column: usize| {
        (record[0] - first..record[1] - first).fold(0.0, |sum, i| sum + features.values[i] * rows[i][column])
    };
    let row = |record| (0..dim).map(move |column| sum(record, column));
    features.offsets.windows(2).flat_map(row).collect()
}

#[test]
fn sums_have_the_same_bits_on_every_instruction_set_at_every_dim() {
    let (offsets, values) = records();
    let features = Features { offsets: &offsets, values: &values };
    let records = offsets.len() - 1;
    for dim in DIMS {
        let table: Vec<f32> = (1..11 * dim + 4).map(number).collect();
        // Rows out of order, some twice, at every alignment.
        let rows: Vec<&[f32]> =
            (0..values.len()).map(|i| &table[i * 5 % 11 * dim + i % 4..][..dim]).collect();
        let list = RowList::new(dim, rows.iter().copied()).unwrap();
        let sums = expected(&rows, features, dim);
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; records * dim + 1];
            assert!(gather_sum(isa, &list, features, &mut out), "{} at dim {dim}", isa.name());
            assert_eq!(bits(&out[..records * dim]), bits(&sums), "{} at dim {dim}", isa.name());
            assert!(out[records * dim].is_nan(), "nothing is written beyond");
        }
    }
}

#[test]
fn what_is_not_finite_is_seen_in_any_column() {
    let features = Features { offsets: &[0, 2, 3], values: &[1.0, 2.0, 1.0] };
    for dim in DIMS {
        for bad in [f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for column in [0, dim / 2, dim - 1] {
                let mut table = vec![1.0; 3 * dim];
                table[dim + column] = bad;
                let list = RowList::new(dim, table.chunks(dim)).unwrap();
                for isa in Isa::available() {
                    let finite = gather_sum(isa, &list, features, &mut vec![0.0; 2 * dim]);
                    let place = format!("{bad} in column {column} of {dim}, {}", isa.name());
                    assert!(!finite, "{place}");
                }
            }
        }
    }
}

#[test]
fn too_few_rows_or_values_or_offsets_out_of_order_read_nothing_they_should_not() {
    let table = [1.0; 8 * 2];
    let list = RowList::new(8, table.chunks(8)).unwrap();
    assert!(RowList::new(9, table.chunks(8)).is_none());
    assert_eq!((list.len(), list.is_empty(), list.dim()), (2, false, 8));
    for isa in Isa::available() {
        let sum = |offsets: &[usize], values: &[f32]| {
            let mut out = [7.0; 16];
            gather_sum(isa, &list, Features { offsets, values }, &mut out);
            [out[0], out[8]]
        };
        assert_eq!(sum(&[0, 1, 9], &[1.0; 9]), [1.0, 1.0], "two rows for nine features");
        assert_eq!(sum(&[0, 2, 3], &[1.0]), [1.0, 0.0], "one value");
        assert_eq!(sum(&[5, 6, 2], &[1.0; 2]), [1.0, 1.0], "offsets that descend: {}", isa.name());
        assert_eq!(sum(&[0, usize::MAX, usize::MAX], &[1.0; 2]), [2.0, 0.0]);
        assert_eq!(sum(&[], &[]), [7.0, 7.0], "no records");
    }
}

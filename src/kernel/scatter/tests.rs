//! Every instruction set against a loop of its own, at every length.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy does not see a test in `not(loom)`"
)]

use super::*;
use std::cell::Cell;

fn number(seed: usize) -> f32 {
    ((seed as f32 * 0.618).sin() * 1e3).sin() * 3.0
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

const OFFSETS: [usize; 6] = [3, 5, 5, 6, 12, 13];
const FEATURES: usize = 10;

/// The row of a feature: some are named several times, also one after the other.
fn place(feature: usize, dim: usize) -> usize {
    [0, 3, 3, 1, 0, 2, 3, 1, 1, 4][feature] * dim
}

fn add(isa: Isa, table: &mut [f32], dim: usize, rate: f32, above: &[f32]) -> Result<(), Overflow> {
    let values: Vec<f32> = (0..FEATURES).map(|i| number(i + 3)).collect();
    let cells = Cell::from_mut(table).as_slice_of_cells();
    let rows = RowCells::new(dim, (0..FEATURES).map(|i| &cells[place(i, dim)..])).unwrap();
    scatter_add(isa, &rows, Features { offsets: &OFFSETS, values: &values }, rate, above)
}

/// The first `features` features added, one float after the other.
fn expected(table: &[f32], dim: usize, rate: f32, above: &[f32], features: usize) -> Vec<f32> {
    let mut table = table.to_vec();
    for i in 0..features {
        let record = OFFSETS.iter().filter(|&&offset| offset <= i + 3).count() - 1;
        for column in 0..dim {
            table[place(i, dim) + column] += (rate * number(i + 3)) * above[record * dim + column];
        }
    }
    table
}

#[test]
fn additions_have_the_same_bits_on_every_instruction_set_at_every_dim() {
    for dim in 1..=300 {
        let table: Vec<f32> = (0..5 * dim).map(number).collect();
        let above: Vec<f32> = (0..5 * dim).map(|i| number(i + 77)).collect();
        let moved = expected(&table, dim, -0.3, &above, FEATURES);
        for isa in Isa::available() {
            let mut got = table.clone();
            assert_eq!(add(isa, &mut got, dim, -0.3, &above), Ok(()));
            assert_eq!(bits(&got), bits(&moved), "{} at dim {dim}", isa.name());
        }
    }
}

#[test]
fn the_first_row_that_would_not_be_finite_ends_the_work_whole() {
    for dim in 1..=300 {
        for (column, bad) in [(0, f32::INFINITY), (dim / 2, f32::NAN), (dim - 1, f32::NEG_INFINITY)] {
            let table: Vec<f32> = (0..5 * dim).map(number).collect();
            let mut above: Vec<f32> = (0..5 * dim).map(|i| number(i + 77)).collect();
            // The record with the features 3 to 8.
            above[3 * dim + column] = bad;
            let moved = expected(&table, dim, 0.3, &above, 3);
            for isa in Isa::available() {
                let mut got = table.clone();
                let error = add(isa, &mut got, dim, 0.3, &above).unwrap_err();
                assert_eq!((error.feature, error.column), (3, column), "{} at dim {dim}", isa.name());
                assert!(!error.found.is_finite());
                assert_eq!(bits(&got), bits(&moved), "{} at dim {dim}", isa.name());
            }
        }
    }
}

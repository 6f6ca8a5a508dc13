//! Every instruction set against the specification, at every shape.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; clippy does not see one in `not(loom)`")]

use super::*;

fn number(seed: usize) -> f32 {
    ((seed as f32 * 0.618).sin() * 1e3).sin() * 1.5_f32.powi((seed % 17) as i32)
}

fn block(seed: usize) -> DotBlock {
    std::array::from_fn(|lane| number(seed * DOT_LANES + lane))
}

/// The specification, one float after the other.
fn expected(row: &[DotBlock], query: &[DotBlock], bias: f32) -> f32 {
    let mut lanes: [f32; DOT_LANES] =
        std::array::from_fn(|l| row.iter().zip(query).fold(0.0, |sum, (x, y)| sum + x[l] * y[l]));
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0] + bias
}

#[test]
fn scores_have_the_same_bits_on_every_instruction_set_at_every_shape() {
    for blocks in 1..=9 {
        let query: Vec<DotBlock> = (0..blocks).map(|i| block(i + 1000)).collect();
        for count in 0..=21 {
            let rows: Vec<DotBlock> = (0..count * blocks).map(block).collect();
            let bias: Vec<f32> = (0..count).map(|i| number(i + 77)).collect();
            let scores = rows.chunks(blocks).zip(&bias).map(|(row, bias)| expected(row, &query, *bias));
            let scores: Vec<u32> = scores.map(f32::to_bits).collect();
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; count];
                assert!(dot_rows(isa, &rows, &query, &bias, &mut out));
                let bits: Vec<u32> = out.iter().map(|score| score.to_bits()).collect();
                assert_eq!(bits, scores, "{count} rows of {blocks} blocks, {}", isa.name());
            }
        }
    }
}

#[test]
fn zeros_behind_a_row_do_not_change_its_bits() {
    let (rows, query): (Vec<DotBlock>, Vec<DotBlock>) =
        ((0..3).map(block).collect(), (5..8).map(block).collect());
    let padded = |blocks: &[DotBlock]| [blocks, &[[0.0; DOT_LANES]; 2]].concat();
    for isa in Isa::available() {
        let (mut plain, mut wide) = ([0.0], [0.0]);
        assert!(dot_rows(isa, &rows, &query, &[-0.0], &mut plain));
        assert!(dot_rows(isa, &padded(&rows), &padded(&query), &[-0.0], &mut wide));
        assert_eq!(plain[0].to_bits(), wide[0].to_bits());
        // Nothing but negative zeros is a positive one.
        assert!(dot_rows(isa, &[[-0.0; DOT_LANES]], &[[1.0; DOT_LANES]], &[-0.0], &mut plain));
        assert_eq!(plain[0].to_bits(), 0.0_f32.to_bits());
    }
}

#[test]
fn what_is_not_finite_is_seen_in_any_row() {
    for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX] {
        for row in 0..11 {
            let mut rows = vec![[1.0; DOT_LANES]; 11 * 2];
            rows[row * 2 + row % 2][row] = bad;
            for isa in Isa::available() {
                let finite = dot_rows(isa, &rows, &[[2.0; DOT_LANES]; 2], &[0.0; 11], &mut [0.0; 11]);
                assert!(!finite, "{bad} in row {row}, {}", isa.name());
            }
        }
    }
}

#[test]
fn the_shortest_decides_and_the_rest_stays() {
    let rows = [[1.0; DOT_LANES]; 5];
    for isa in Isa::available() {
        let scores = |query: &[DotBlock], bias: &[f32]| {
            let mut out = [7.0; 6];
            assert!(dot_rows(isa, &rows, query, bias, &mut out));
            out
        };
        let one = [[0.5; DOT_LANES]];
        assert_eq!(scores(&one, &[1.0; 6]), [9.0, 9.0, 9.0, 9.0, 9.0, 7.0], "five rows");
        assert_eq!(scores(&one, &[1.0; 2]), [9.0, 9.0, 7.0, 7.0, 7.0, 7.0], "two biases");
        let two = [[0.5; DOT_LANES]; 2];
        assert_eq!(scores(&two, &[1.0; 6]), [17.0, 17.0, 7.0, 7.0, 7.0, 7.0], "two rows and a half");
        assert_eq!(scores(&[], &[1.0; 6]), [1.0, 1.0, 1.0, 1.0, 1.0, 7.0], "no query");
    }
}

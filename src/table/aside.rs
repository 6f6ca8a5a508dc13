//! Old values of rows that changed while a cut still needed them.
//!
//! They are nearly all of the memory that a cut costs, so they lie in small pieces of one size: none is copied as they
//! become more, and little is held that is not in use.

use super::cut::CutRows;
use crate::batch::Slot;

/// Floats of a piece, unless a row has more. A cut that has just begun gets the first copies of every part at once: small
/// pieces take few pages that were never touched.
const PIECE: usize = 256;

/// Copies of rows, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Aside {
    slots: Vec<u32>,
    /// Rows `[width]`, each with its side column `[side]` behind it.
    pieces: Vec<Vec<f32>>,
}

impl Aside {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds a copy; all have the same lengths.
    pub(super) fn push(&mut self, slot: Slot, row: &[f32], side: &[f32]) {
        if self.slots.len().is_multiple_of(per_piece(row.len() + side.len())) {
            self.pieces.push(Vec::with_capacity(PIECE.max(row.len() + side.len())));
        }
        self.slots.push(slot.0);
        if let Some(piece) = self.pieces.last_mut() {
            piece.extend_from_slice(row);
            piece.extend_from_slice(side);
        }
    }

    /// Merges the copies, rows `[width]` and side columns `[side]`, into the ascending rows of `out`. Their slots are
    /// disjoint.
    pub(super) fn merge_into(self, out: &mut CutRows, width: usize, side: usize) {
        let (floats, more) = (width + side, self.len());
        let mut order: Vec<_> = self.slots.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut rest = out.slots.len();
        out.slots.resize(rest + more, 0);
        out.rows.resize((rest + more) * width, 0.0);
        out.sides.resize((rest + more) * side, 0.0);
        // From the end: what comes behind a copy moves to its place, then the copy gets its own.
        let per_piece = per_piece(floats);
        for (before, (slot, copy)) in order.into_iter().enumerate().rev() {
            let behind = out.slots[..rest].partition_point(|&other| other < slot);
            let to = behind + before + 1;
            out.slots.copy_within(behind..rest, to);
            out.rows.copy_within(behind * width..rest * width, to * width);
            out.sides.copy_within(behind * side..rest * side, to * side);
            rest = behind;
            let start = copy % per_piece * floats;
            let (row, sides) = self.pieces[copy / per_piece][start..start + floats].split_at(width);
            out.slots[to - 1] = slot;
            out.rows[(to - 1) * width..to * width].copy_from_slice(row);
            out.sides[(to - 1) * side..to * side].copy_from_slice(sides);
        }
    }
}

/// Copies of so many floats in a piece.
fn per_piece(floats: usize) -> usize {
    (PIECE / floats).max(1)
}

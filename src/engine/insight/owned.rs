//! First owners of a table's rows, and how they become durable.
//!
//! The bytes lie side by side for parse threads to read. For checkpoints they are copied into a table of their own, whose rows
//! hold 48 of them each, three in a float, which holds whole numbers below 2^24 exactly: so a generation writes only what is new since
//! the last one, like the rows of the model.

use crate::batch::Slot;
use crate::sketch::Owners;
use crate::table::{Init, Table, TableError, TableOptions};
use std::sync::Arc;

/// Owners in a float, and floats in a row.
const IN_FLOAT: u32 = 3;
const WIDTH: usize = 16;
const IN_ROW: u32 = IN_FLOAT * WIDTH as u32;
/// New owners that wait to be copied, unless a checkpoint comes first: bounds them.
const MOST_FRESH: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Owned {
    /// The table whose rows they are.
    pub(super) name: String,
    /// Slots that one feature has in it.
    pub(super) hashes: u32,
    pub(super) owners: Arc<Owners>,
    pub(super) stored: Arc<Table>,
    /// Rows that have an owner.
    pub(super) count: u64,
    fresh: Vec<u32>,
}

/// A table whose owners are noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Shape {
    pub(in crate::engine) name: String,
    pub(in crate::engine) rows: usize,
    pub(in crate::engine) hashes: u32,
}

impl Owned {
    pub(super) fn new(shape: Shape) -> Result<Self, TableError> {
        let Shape { name, rows, hashes } = shape;
        let memory = TableError::Memory { bytes: rows as u64 };
        let owners = Arc::new(Owners::new(rows).ok_or(memory)?);
        let rows = (rows as u64).div_ceil(u64::from(IN_ROW));
        let options = TableOptions { rows, width: WIDTH, side: 0, init: Init::Zeros, seed: 0 };
        let stored = Arc::new(Table::new(options)?);
        Ok(Self { name, hashes, owners, stored, count: 0, fresh: Vec::new() })
    }

    /// Notes the first owner of a row.
    pub(super) fn claim(&mut self, slot: u32, owner: u8) {
        self.owners.set(slot, owner);
        self.count += 1;
        self.fresh.push(slot);
        if self.fresh.len() >= MOST_FRESH {
            self.store();
        }
    }

    /// Copies what is new into the stored table.
    pub(super) fn store(&mut self) {
        self.fresh.sort_unstable();
        let stored = Arc::clone(&self.stored);
        for run in self.fresh.chunk_by(|a, b| a / IN_ROW == b / IN_ROW) {
            let Some(row) = run.first().map(|slot| Slot(slot / IN_ROW)) else { continue };
            while !stored.make_room() {}
            let Some(mut stripe) = stored.single(stored.stripe_of(row)) else { continue };
            let (floats, _) = stripe.row_mut(row);
            for slot in run {
                if let Some(float) = floats.get_mut((slot % IN_ROW / IN_FLOAT) as usize) {
                    let first = slot - slot % IN_ROW % IN_FLOAT;
                    let bytes = (0..IN_FLOAT).map(|at| u32::from(self.owners.get(first + at)) << (8 * at));
                    *float = bytes.sum::<u32>() as f32;
                }
            }
        }
        self.fresh.clear();
    }

    /// Takes up what the stored table holds.
    pub(super) fn load(&mut self) {
        let (owners, mut count) = (&self.owners, 0);
        self.stored.for_each_touched(|row, floats| {
            for (float, place) in floats.iter().zip((row.0 * IN_ROW..).step_by(IN_FLOAT as usize)) {
                let bytes = *float as u32;
                for at in 0..IN_FLOAT {
                    let owner = (bytes >> (8 * at)) as u8;
                    owners.set(place + at, owner);
                    count += u64::from(owner != 0 && ((place + at) as usize) < owners.rows());
                }
            }
        });
        self.count = count;
    }
}

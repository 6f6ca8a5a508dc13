//! Looking at a table while others learn on it, a little at a time: one stripe's lock, a bounded number of rows.

use super::Table;
use crate::sync::lock;

impl Table {
    /// Number of rows of stripe `index` that were ever changed.
    pub fn touched_in(&self, index: usize) -> u64 {
        self.stripes.get(index).map_or(0, |stripe| lock(stripe).touched())
    }

    /// Calls `visit` with touched rows `[width]` of a stripe, `most` at most, that follow each other in the order of slots, the
    /// stripe's lock held meanwhile. `place`: the stripe, and any number, from which the first of them is chosen.
    pub fn sample_touched(&self, place: (usize, usize), most: usize, mut visit: impl FnMut(&[f32])) {
        if let Some(stripe) = self.stripes.get(place.0) {
            lock(stripe).sample_touched(&self.index, place.1, most, &mut visit);
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Slot;
    use crate::optim::Init;
    use crate::table::TableOptions;

    #[test]
    fn stripes_together_are_the_table_and_samples_hold_touched_rows_alone() {
        let options = TableOptions { rows: 10_000, width: 3, side: 0, init: Init::Zeros, seed: 1 };
        let table = Table::new(options).unwrap();
        let changed: Vec<u32> = (0..10_000).filter(|slot| slot % 7 == 0).collect();
        for &slot in &changed {
            let slot = Slot(slot);
            table.lease_all().row_mut(slot).0[0] = slot.0 as f32 + 1.0;
        }
        let stripes = || 0..table.stripes();
        assert_eq!(stripes().map(|index| table.touched_in(index)).sum::<u64>(), changed.len() as u64);
        assert_eq!(table.touched_in(table.stripes()), 0);
        let mut all = Vec::new();
        for index in stripes() {
            let mut some = Vec::new();
            table.sample_touched((index, 3), 5, |row| some.push(row[0]));
            assert!(some.len() <= 5);
            table.sample_touched((index, index), usize::MAX, |row| all.push(row[0] as u32 - 1));
        }
        all.sort_unstable();
        assert_eq!(all, changed);
    }
}

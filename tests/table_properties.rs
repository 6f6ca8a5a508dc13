//! A table whose rows lie in the order of their first touch is to its users a map from slots to rows: whatever is done to
//! it, in whatever order, a plain map that copies everything says the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use flexihash::batch::Slot;
use flexihash::table::{CutRows, Init, StripeSet, Table, TableOptions};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SIDE: usize = 2;

#[derive(Debug, Clone)]
enum Op {
    /// One row, by its slot.
    Add(u32, f32),
    /// A run of rows found first, each added to twice by its place.
    AddRun(Vec<u32>, f32),
    Read(u32),
    Restore(u32, f32),
    /// Starts a cut, or takes the next stripe of the one in progress.
    Cut,
    Abandon,
}

fn ops(rows: u32) -> impl Strategy<Value = Vec<Op>> {
    // Near each other as often as far apart: blocks and flag words are shared.
    let slot = || prop_oneof![0..rows, 0..rows.min(40), rows.saturating_sub(9)..rows];
    let op = prop_oneof![
        6 => (slot(), -9.0_f32..9.0).prop_map(|(slot, value)| Op::Add(slot, value)),
        3 => (prop::collection::vec(slot(), 1..20), -9.0_f32..9.0).prop_map(|(run, value)| Op::AddRun(run, value)),
        2 => slot().prop_map(Op::Read),
        1 => (slot(), -9.0_f32..9.0).prop_map(|(slot, value)| Op::Restore(slot, value)),
        3 => Just(Op::Cut),
        1 => Just(Op::Abandon),
    ];
    prop::collection::vec(op, 1..80)
}

type Values = (Vec<f32>, [f32; SIDE]);

/// The naive table.
#[derive(Default)]
struct Model {
    touched: BTreeMap<u32, Values>,
    dirty: BTreeSet<u32>,
    /// The cut in progress: what it must still give, and what it has given.
    cut: Option<(BTreeMap<u32, Values>, Vec<u32>)>,
}

struct Both {
    table: Table,
    model: Model,
    next_part: usize,
}

impl Both {
    fn initial(&self, slot: u32) -> Values {
        let options = self.table.options();
        let mut row = vec![0.0; options.width];
        options.init.fill(options.seed, Slot(slot), &mut row);
        (row, [0.0; SIDE])
    }

    fn expected(&self, slot: u32) -> Values {
        self.model.touched.get(&slot).cloned().unwrap_or_else(|| self.initial(slot))
    }

    fn add_to_model(&mut self, slot: u32, value: f32) {
        let (mut row, mut side) = self.expected(slot);
        row.iter_mut().for_each(|w| *w += value);
        side[1] += value;
        self.model.touched.insert(slot, (row, side));
        self.model.dirty.insert(slot);
    }

    fn leased(&self, slots: &[u32]) -> StripeSet {
        let mut set = StripeSet::default();
        slots.iter().for_each(|&slot| set.insert(self.table.stripe_of(Slot(slot))));
        set
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Add(slot, value) => {
                let mut lease = self.table.lease(self.leased(&[*slot]));
                let (row, side) = lease.row_mut(Slot(*slot));
                row.iter_mut().for_each(|w| *w += value);
                side[1] += value;
                drop(lease);
                self.add_to_model(*slot, *value);
            }
            Op::AddRun(run, value) => self.add_run(run, *value),
            Op::Read(slot) => {
                let mut lease = self.table.lease(self.leased(&[*slot]));
                let place = lease.place(Slot(*slot));
                let (row, side) = self.expected(*slot);
                assert_eq!(lease.row(Slot(*slot)), &row[..]);
                assert_eq!(lease.side(Slot(*slot)), &side[..]);
                let rows = lease.rows();
                assert_eq!((rows.row(place), rows.side(place)), (&row[..], &side[..]));
            }
            Op::Restore(slot, value) => {
                let values = (vec![*value; self.table.options().width], [*value; SIDE]);
                // Where a cut is in progress nothing is restored.
                if self.model.cut.is_none() {
                    assert!(self.table.restore(&[*slot], &values.0, &values.1));
                    self.model.touched.insert(*slot, values);
                }
            }
            Op::Cut => self.cut(),
            Op::Abandon => self.abandon(),
        }
        assert_eq!(self.table.touched(), self.model.touched.len() as u64);
    }

    fn add_run(&mut self, run: &[u32], value: f32) {
        self.table.make_room(); // and so takes a part of the cut ahead
        let mut lease = self.table.lease(self.leased(run));
        let places: Vec<_> = run.iter().map(|&slot| lease.place_mut(Slot(slot))).collect();
        let mut rows = lease.rows();
        for _ in 0..2 {
            for &place in &places {
                rows.prefetch(place);
                rows.row_mut(place).iter_mut().for_each(|w| *w += value);
                rows.side_mut(place)[1] += value;
            }
        }
        drop(lease);
        for _ in 0..2 {
            run.iter().for_each(|&slot| self.add_to_model(slot, value));
        }
    }

    fn cut(&mut self) {
        let Some((due, taken)) = &mut self.model.cut else {
            let dirty = std::mem::take(&mut self.model.dirty);
            assert_eq!(self.table.begin_cut(), dirty.len() as u64);
            let due = dirty.into_iter().map(|slot| (slot, self.model.touched[&slot].clone()));
            self.model.cut = Some((due.collect(), Vec::new()));
            self.next_part = 0;
            return;
        };
        let mut rows = CutRows::default();
        if !self.table.take_cut(&mut rows) {
            assert!(due.is_empty(), "never given: {due:?}");
            self.model.cut = None;
            return;
        }
        let width = self.table.options().width;
        assert!(rows.slots.is_sorted());
        for (i, &slot) in rows.slots.iter().enumerate() {
            assert_eq!(self.table.stripe_of(Slot(slot)), self.next_part);
            let (row, side) = due.remove(&slot).unwrap();
            assert_eq!(rows.rows[i * width..(i + 1) * width], row);
            assert_eq!(rows.sides[i * SIDE..(i + 1) * SIDE], side);
            taken.push(slot);
        }
        self.next_part += 1;
    }

    fn abandon(&mut self) {
        if let Some((due, taken)) = self.model.cut.take() {
            self.table.abandon_cut();
            self.model.dirty.extend(due.into_keys().chain(taken));
        }
    }

    fn finish(mut self) {
        self.abandon();
        let mut seen = BTreeMap::new();
        let mut order = Vec::new();
        self.table.for_each_touched(|slot, row| {
            order.push(slot.0);
            seen.insert(slot.0, row.to_vec());
        });
        assert!(order.is_sorted());
        let rows = |(slot, (row, _)): (u32, Values)| (slot, row);
        assert_eq!(seen, self.model.touched.clone().into_iter().map(rows).collect());
        self.cut();
        while self.model.cut.is_some() {
            self.cut();
        }
        assert!(self.table.make_room());
    }
}

fn check(options: TableOptions, ops: &[Op]) {
    let table = Table::new(options).unwrap();
    let mut both = Both { table, model: Model::default(), next_part: 0 };
    ops.iter().for_each(|op| both.apply(op));
    both.finish();
}

proptest! {
    #[test]
    fn a_table_is_a_map_from_slots_to_rows(
        (rows, ops) in prop_oneof![Just(1_u32), Just(65), Just(200), Just(70_000)].prop_flat_map(|rows| (Just(rows), ops(rows))),
        width in prop_oneof![Just(1_usize), Just(2), Just(5), Just(16), Just(20)],
        random in any::<bool>(),
    ) {
        let init = if random { Init::Normal { start: 0, columns: width, mean: 0.0, scale: 1.0, tail: &[] } } else { Init::Zeros };
        check(TableOptions { rows: u64::from(rows), width, side: SIDE, init, seed: 3 }, &ops);
    }
}

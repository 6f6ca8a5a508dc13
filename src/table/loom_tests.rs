//! The stripe protocol under every interleaving: RUSTFLAGS="--cfg loom" cargo test --release --lib table

use super::*;
use loom::sync::Arc;
use loom::thread;

fn table() -> Arc<Table> {
    // Two stripes: rows 0 and 64 have a lock each.
    Arc::new(Table::new(TableOptions { rows: 65, width: 1, side: 0, init: Init::Zeros, seed: 0 }).unwrap())
}

fn add_both(table: &Table) {
    let mut lease = table.lease_all();
    lease.row_mut(Slot(0)).0[0] += 1.0;
    lease.row_mut(Slot(64)).0[0] += 1.0;
}

fn read_both(table: &Table) -> (f32, f32) {
    let mut lease = table.lease_all();
    (lease.row(Slot(0))[0], lease.row(Slot(64))[0])
}

#[test]
fn leases_do_not_deadlock_and_lose_no_update() {
    loom::model(|| {
        let table = table();
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || add_both(&other));
        add_both(&table);
        thread.join().unwrap();
        assert_eq!(read_both(&table), (2.0, 2.0));
    });
}

#[test]
fn a_reader_never_sees_half_a_record() {
    loom::model(|| {
        let table = table();
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || add_both(&other));
        let (a, b) = read_both(&table);
        assert_eq!(a, b);
        thread.join().unwrap();
    });
}

#[test]
fn a_cut_is_exact_while_learning_goes_on() {
    loom::model(|| {
        let table = table();
        add_both(&table);
        assert_eq!(table.begin_cut(), 2);
        let other = Arc::clone(&table);
        let saver = thread::spawn(move || {
            let mut rows = CutRows::default();
            let mut seen = Vec::new();
            while other.take_cut(&mut rows) {
                seen.extend(rows.rows.iter().copied());
            }
            seen
        });
        add_both(&table);
        assert_eq!(saver.join().unwrap(), [1.0, 1.0]);
        assert_eq!(read_both(&table), (2.0, 2.0));
        assert_eq!(table.begin_cut(), 2);
    });
}

#[test]
fn a_cut_that_a_learner_helps_with_is_exact_and_in_order() {
    loom::model(|| {
        let table = table();
        add_both(&table);
        assert_eq!(table.begin_cut(), 2);
        let other = Arc::clone(&table);
        let saver = thread::spawn(move || {
            let (mut rows, mut seen) = (CutRows::default(), Vec::new());
            while other.take_cut(&mut rows) {
                seen.extend(rows.slots.iter().copied().zip(rows.rows.iter().copied()));
            }
            seen
        });
        assert!(table.make_room());
        add_both(&table);
        assert_eq!(saver.join().unwrap(), [(0, 1.0), (64, 1.0)]);
        assert_eq!(read_both(&table), (2.0, 2.0));
        assert_eq!(table.begin_cut(), 2);
    });
}

#[test]
fn an_abandoned_cut_gives_back_what_it_took_while_learning_goes_on() {
    loom::model(|| {
        let table = table();
        add_both(&table);
        assert_eq!(table.begin_cut(), 2);
        let other = Arc::clone(&table);
        let saver = thread::spawn(move || {
            other.take_cut(&mut CutRows::default());
            other.abandon_cut();
        });
        table.lease_all().row_mut(Slot(64)).0[0] += 1.0;
        saver.join().unwrap();
        assert_eq!(table.begin_cut(), 2);
        assert_eq!(read_both(&table), (1.0, 2.0));
    });
}

#[test]
fn differences_joined_stripe_by_stripe_lose_nothing_and_never_deadlock() {
    loom::model(|| {
        let table = table();
        let join = |table: &Table| {
            for (stripe, slot) in [(0, Slot(0)), (1, Slot(64))] {
                let mut before = [0.0];
                table.single(stripe).unwrap().copy(slot, &mut before, &mut []);
                let after = before[0] + 1.0;
                let mut single = table.single(stripe).unwrap();
                let row = single.row_mut(slot).0;
                row[0] += after - before[0];
            }
        };
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || join(&other));
        join(&table);
        thread.join().unwrap();
        assert_eq!(read_both(&table), (2.0, 2.0));
    });
}

#[test]
fn a_reader_gets_whole_rows_from_a_learner_or_without_one() {
    loom::model(|| {
        let table = table();
        let other = Arc::clone(&table);
        let learner = thread::spawn(move || {
            let mut lease = other.lease_all();
            lease.row_mut(Slot(0)).0[0] = 1.0;
            lease.row_mut(Slot(64)).0[0] = 1.0;
            drop(lease);
            other.serve_readers();
            other.leave_readers();
        });
        let (reader, mut seen) = (RowReader::default(), Vec::new());
        reader.read(&table, [Slot(0), Slot(64)].into_iter(), |number, row, _| seen.push((number, row[0])));
        assert!(matches!(seen[..], [(0, 0.0 | 1.0), (1, 0.0 | 1.0)]), "{seen:?}");
        learner.join().unwrap();
        seen.clear();
        reader.read(&table, [Slot(0), Slot(64)].into_iter(), |number, row, _| seen.push((number, row[0])));
        assert_eq!(seen, [(0, 1.0), (1, 1.0)]);
    });
}

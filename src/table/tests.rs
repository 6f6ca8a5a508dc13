use super::*;

fn table(rows: u64, width: usize, init: Init) -> Table {
    Table::new(TableOptions { rows, width, side: 1, init, seed: 7 }).unwrap()
}

fn add(table: &Table, slot: u32, value: f32) {
    let mut set = StripeSet::default();
    set.insert(table.stripe_of(Slot(slot)));
    let mut lease = table.lease(set);
    let (row, side) = lease.row_mut(Slot(slot));
    row.iter_mut().for_each(|w| *w += value);
    side[0] = value;
}

fn cut(table: &Table) -> CutRows {
    let expected = table.begin_cut();
    let mut all = CutRows::default();
    let mut rows = CutRows::default();
    while table.take_cut(&mut rows) {
        all.slots.extend_from_slice(&rows.slots);
        all.rows.extend_from_slice(&rows.rows);
        all.sides.extend_from_slice(&rows.sides);
    }
    assert_eq!(all.slots.len() as u64, expected);
    all
}

#[test]
fn any_number_of_rows_has_every_row() {
    for rows in [1, 2, 63, 64, 65, 1000, 4097, (1 << 20) + 1] {
        let table = table(rows, 3, Init::Zeros);
        let last = rows as u32 - 1;
        add(&table, 0, 1.0);
        add(&table, last, 2.0);
        assert!(table.stripes() <= MAX_STRIPES);
        assert_eq!(table.touched(), if rows == 1 { 1 } else { 2 });
        assert_eq!(table.lease_all().row(Slot(last))[2], if rows == 1 { 3.0 } else { 2.0 });
    }
    let none = TableOptions { rows: 0, width: 1, side: 0, init: Init::Zeros, seed: 0 };
    assert!(matches!(Table::new(none), Err(TableError::Shape { .. })));
}

#[test]
fn initial_values_are_a_function_of_seed_and_slot() {
    let init = Init::Normal { start: 1, columns: 2, mean: 0.0, scale: 0.5, tail: &[] };
    let (a, b) = (table(100, 4, init), table(100_000, 4, init));
    let row = a.lease_all().row(Slot(42)).to_vec();
    assert_eq!(row, b.lease_all().row(Slot(42)));
    assert_eq!((row[0], row[3]), (0.0, 0.0));
    assert_ne!(row, a.lease_all().row(Slot(43)));
    assert_eq!(a.touched(), 0, "reading is not learning");
}

#[test]
fn initial_values_are_standard_normal() {
    let init = Init::Normal { start: 0, columns: 8, mean: 0.0, scale: 1.0, tail: &[] };
    let table = table(50_000, 8, init);
    let mut lease = table.lease_all();
    let values: Vec<f64> = (0..50_000).flat_map(|s| lease.row(Slot(s)).to_vec()).map(f64::from).collect();
    let n = values.len() as f64;
    let moment = |k| values.iter().map(|v| v.powi(k)).sum::<f64>() / n;
    assert!(moment(1).abs() < 0.01, "mean {}", moment(1));
    assert!((moment(2) - 1.0).abs() < 0.02, "variance {}", moment(2));
    assert!((moment(4) - 3.0).abs() < 0.15, "kurtosis {}", moment(4));
}

#[test]
fn a_cut_holds_the_rows_changed_since_the_last_as_they_were() {
    let table = table(1000, 2, Init::Zeros);
    for slot in [999, 5, 130] {
        add(&table, slot, 1.0);
    }
    let first = cut(&table);
    assert_eq!(first.slots, [5, 130, 999]);
    assert_eq!(first.rows, [1.0; 6]);
    assert_eq!(first.sides, [1.0; 3]);
    assert!(cut(&table).slots.is_empty());
    add(&table, 130, 1.0);
    assert_eq!(cut(&table).rows, [2.0, 2.0]);
}

#[test]
fn rows_changed_during_a_cut_are_stored_with_their_old_values() {
    let table = table(1000, 2, Init::Zeros);
    for slot in [5, 6, 130] {
        add(&table, slot, 1.0);
    }
    assert_eq!(table.begin_cut(), 3);
    for slot in [6, 130, 130, 7] {
        add(&table, slot, 10.0);
    }
    let mut rows = CutRows::default();
    let mut seen = Vec::new();
    while table.take_cut(&mut rows) {
        seen.extend(rows.slots.iter().copied().zip(rows.rows.chunks(2).map(|row| row[0])));
    }
    assert_eq!(seen, [(5, 1.0), (6, 1.0), (130, 1.0)]);
    assert_eq!(cut(&table).slots, [6, 7, 130], "what changed meanwhile belongs to the next cut");
}

#[test]
fn an_abandoned_cut_loses_nothing() {
    let table = table(1000, 1, Init::Zeros);
    for slot in 0..200 {
        add(&table, slot, 1.0);
    }
    table.begin_cut();
    let mut taken = CutRows::default();
    assert!(table.take_cut(&mut taken));
    add(&table, 199, 1.0);
    assert!(!taken.slots.is_empty());
    table.abandon_cut();
    assert_eq!(cut(&table).slots, (0..200).collect::<Vec<_>>());
    assert!(table.make_room());
}

#[test]
fn a_cut_that_learners_help_with_is_exact_and_in_order() {
    let table = table(1 << 20, 1, Init::Zeros);
    let slots: Vec<u32> = (0..1 << 20).step_by(37).collect();
    slots.iter().for_each(|&slot| add(&table, slot, 1.0));
    assert_eq!(table.begin_cut(), slots.len() as u64);
    let (mut rows, mut seen) = (CutRows::default(), Vec::new());
    for round in 0.. {
        slots.iter().skip(round % 50).step_by(50).for_each(|&slot| add(&table, slot, 1.0));
        // More often than parts may wait, then not at all.
        (0..round % 7).for_each(|_| assert!(table.make_room()));
        if !table.take_cut(&mut rows) {
            break;
        }
        assert!(rows.rows.iter().all(|&row| row == 1.0), "as it was at the cut");
        seen.extend_from_slice(&rows.slots);
    }
    assert_eq!(seen, slots);
    assert!(!table.take_cut(&mut rows) && rows.slots.is_empty());
    assert_eq!(cut(&table).slots, slots, "each was changed meanwhile");
}

#[test]
fn an_abandoned_cut_gives_back_what_learners_took_ahead() {
    let table = table(1000, 1, Init::Zeros);
    (0..200).for_each(|slot| add(&table, slot, 1.0));
    table.begin_cut();
    (0..200).step_by(2).for_each(|slot| add(&table, slot, 1.0));
    assert!(table.make_room() && table.make_room());
    let mut taken = CutRows::default();
    assert!(table.take_cut(&mut taken));
    table.abandon_cut();
    assert!(!table.take_cut(&mut taken), "there is none");
    assert!(table.make_room());
    assert_eq!(table.aside.load(Ordering::Acquire), 0);
    assert_eq!(cut(&table).slots, (0..200).collect::<Vec<_>>());
}

#[test]
fn rows_taken_and_made_durable_stay_clean_when_the_next_cut_is_abandoned() {
    let table = table(1000, 1, Init::Zeros);
    (0..10).for_each(|slot| add(&table, slot, 1.0));
    assert_eq!(cut(&table).slots.len(), 10);
    add(&table, 700, 1.0);
    assert_eq!(table.begin_cut(), 1);
    table.abandon_cut();
    assert_eq!(cut(&table).slots, [700]);
}

#[test]
fn learning_is_slowed_down_before_there_is_no_room_and_stopped_when_there_is_none() {
    let table = table(100_000, 1, Init::Zeros);
    (0..20_000).for_each(|slot| add(&table, slot, 1.0));
    table.begin_cut();
    let time = |table: &Table| {
        let start = std::time::Instant::now();
        (table.make_room(), start.elapsed())
    };
    (0..4_999).for_each(|slot| add(&table, slot, 1.0));
    assert!(time(&table).0);
    (4_999..9_999).for_each(|slot| add(&table, slot, 1.0));
    (0..4).for_each(|_| assert!(table.make_room())); // takes as many parts as may wait
    let (room, waited) = time(&table);
    assert!(room && waited.as_micros() >= 3000, "{waited:?}");
    add(&table, 9_999, 1.0);
    assert!(!time(&table).0, "a tenth of the rows is all there may be");
    let mut rows = CutRows::default();
    while table.take_cut(&mut rows) {}
    assert!(time(&table).0);
}

#[test]
fn restored_rows_are_touched_but_not_dirty() {
    let table = table(100, 2, Init::Normal { start: 0, columns: 2, mean: 0.0, scale: 1.0, tail: &[] });
    assert!(table.restore(&[3, 99], &[1.0, 2.0, 3.0, 4.0], &[0.5, 0.25]));
    assert_eq!(table.lease_all().row(Slot(99)), [3.0, 4.0]);
    assert_eq!(table.lease_all().side(Slot(3)), [0.5]);
    assert_eq!(table.touched(), 2);
    assert_eq!(table.begin_cut(), 0);
    assert!(!table.restore(&[100], &[1.0, 2.0], &[0.0]), "no such row");
    assert!(!table.restore(&[1], &[1.0], &[0.0]), "wrong width");
}

#[test]
fn a_cut_of_stripes_in_several_parts_is_exact_and_in_order() {
    let table = table(1 << 22, 1, Init::Zeros);
    assert!(table.cut_parts() > table.stripes());
    let slots: Vec<u32> = (0..4096).map(|i| i * 1021 + i % 7).collect();
    for &slot in &slots {
        add(&table, slot, 1.0);
    }
    assert_eq!(table.begin_cut(), 4096);
    for &slot in slots.iter().step_by(3).rev() {
        add(&table, slot, 1.0);
    }
    let mut rows = CutRows::default();
    let mut seen = Vec::new();
    while table.take_cut(&mut rows) {
        assert!(rows.rows.iter().all(|&row| row == 1.0), "as it was at the cut");
        seen.extend_from_slice(&rows.slots);
    }
    assert_eq!(seen, slots);
    assert!(table.make_room());
    assert_eq!(cut(&table).slots, slots.iter().copied().step_by(3).collect::<Vec<_>>());
}

#[test]
fn readers_get_whole_rows_beside_a_learner_that_never_pauses() {
    let options = TableOptions { rows: 1 << 14, width: 16, side: 2, init: Init::Zeros, seed: 0 };
    let table = Table::new(options).unwrap();
    // One in each stripe, and some neighbours.
    let slots: Vec<Slot> = (0..1 << 14).step_by(37).map(Slot).collect();
    let done = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0.0;
            while done.load(Ordering::Relaxed) < 3 {
                round += 1.0;
                let mut lease = table.lease_all();
                for &slot in &slots {
                    let (row, side) = lease.row_mut(slot);
                    row.fill(round);
                    side.fill(round);
                }
                drop(lease);
                table.serve_readers();
                if round % 5.0 == 0.0 {
                    table.leave_readers();
                }
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let (reader, mut seen) = (RowReader::default(), vec![0.0; slots.len()]);
                for _ in 0..300 {
                    let mut count = 0;
                    reader.read(&table, slots.iter().copied(), |number, row, side| {
                        let first = row[0];
                        assert!(row.iter().chain(side).all(|float| *float == first), "{row:?} {side:?}");
                        assert!(first >= seen[number], "a row has gone back");
                        (seen[number], count) = (first, count + 1);
                    });
                    assert_eq!(count, slots.len());
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
}

//! Question: what does it cost to sum a record's rows, eight lanes at once, leases included?
//! Data: the slots of the first 20,000 flights in a table of 2^22 rows, all touched. Seed: 0. Rivals: one weight a row
//! in the same table (what eight lanes cost beside one), and a hash map from slot to row.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

mod flights;

use divan::Bencher;
use divan::counter::ItemsCount;
use flexihash::batch::Batch;
use flexihash::optim::{Adagrad, Input, Lanes, OptimizerKind, OptimizerOptions, Plain, RowRule};
use flexihash::table::{StripeSet, Table, TableOptions};
use std::collections::HashMap;

fn main() {
    divan::main();
}

fn table(rule: &impl RowRule, batch: &Batch) -> Table {
    let options = TableOptions { rows: 1 << 22, width: rule.width(), side: 0, init: rule.init(), seed: 0 };
    let table = Table::new(options).unwrap();
    let mut lease = table.lease_all();
    for &slot in batch.slots() {
        lease.row_mut(slot).0.fill(0.5);
    }
    drop(lease);
    table
}

fn gather<R: RowRule>(rule: &R, table: &Table, batch: &Batch, sums: &mut R::Sums) {
    for start in (0..batch.len()).step_by(32) {
        let run = start..(start + 32).min(batch.len());
        let mut set = StripeSet::default();
        for row in run.clone() {
            batch.row(row).slots.iter().for_each(|&slot| set.insert(table.stripe_of(slot)));
        }
        let mut lease = table.lease(set);
        for row in run.map(|row| batch.row(row)) {
            rule.reset(sums);
            for (&slot, &value) in row.slots.iter().zip(row.values) {
                rule.gather(lease.row(slot), Input::plain(value), sums);
            }
        }
    }
}

#[divan::bench]
fn eight_lanes(bencher: Bencher<'_, '_>) {
    let batch = flights::batch(&flights::lines(20_000));
    let table = table(&Lanes, &batch);
    let mut sums = Lanes.sums();
    gather(&Lanes, &table, &batch, &mut sums);
    let expected: f32 = batch.row(batch.len() - 1).values.iter().map(|value| 0.5 * value).sum();
    assert!(sums.scores.iter().all(|score| (score - expected).abs() < 1e-4));
    bencher
        .counter(ItemsCount::new(batch.features()))
        .bench_local(|| gather(&Lanes, &table, &batch, &mut sums));
}

#[divan::bench]
fn rival_one_weight(bencher: Bencher<'_, '_>) {
    let batch = flights::batch(&flights::lines(20_000));
    let rule = Plain::new(Adagrad(OptimizerOptions::new(OptimizerKind::Adagrad)));
    let table = table(&rule, &batch);
    let mut sum = rule.sums();
    bencher
        .counter(ItemsCount::new(batch.features()))
        .bench_local(|| gather(&rule, &table, &batch, &mut sum));
}

#[divan::bench]
fn rival_hash_map(bencher: Bencher<'_, '_>) {
    let batch = flights::batch(&flights::lines(20_000));
    let rows: HashMap<u32, [f32; 16]> = batch.slots().iter().map(|slot| (slot.0, [0.5; 16])).collect();
    let mut sums = Lanes.sums();
    bencher.counter(ItemsCount::new(batch.features())).bench_local(|| {
        for row in (0..batch.len()).map(|row| batch.row(row)) {
            Lanes.reset(&mut sums);
            for (slot, &value) in row.slots.iter().zip(row.values) {
                Lanes.gather(&rows[&slot.0], Input::plain(value), &mut sums);
            }
        }
    });
}

//! What must hold on any machine that runs the kernels: the emulator in CI, a device where there is one. The expected values are
//! computed by the CPU's kernels and optimizers.

use flexihash::batch::Slot;
use flexihash::embedding::{EmbeddingError, EmbeddingOptions, FlexiHashEmbedding};
use flexihash::hash::HashOptions;
use flexihash::kernel::cuda::{
    CudaError, DeviceBatch, DeviceLanes, DeviceRows, DeviceVectors, FtrlConstants, LANE_STEPS, LANE_SUMS,
    Machine, Move, Normal, RowsShape, Weights,
};
use flexihash::kernel::{Features, Isa, LANES, RowCells, RowList, gather_sum, scatter_add};
use flexihash::optim::{Init, Input, LaneStep, Lanes, OptimizerKind, OptimizerOptions, RowRule, Vectors};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::sync::Arc;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.word() % end as u64) as usize
    }
    /// In ±2, of magnitudes so different that another order of a sum shows.
    pub(crate) fn float(&mut self) -> f32 {
        let sign = if self.word() & 1 == 0 { 1.0 } else { -1.0 };
        sign * 2.0_f32.powi(-(self.below(12) as i32)) * (1.0 + self.below(1 << 20) as f32 / (1 << 20) as f32)
    }
    pub(crate) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

/// A batch in compressed sparse rows.
#[derive(Debug, Clone)]
pub(crate) struct Csr {
    pub(crate) offsets: Vec<usize>,
    pub(crate) slots: Vec<u32>,
    pub(crate) values: Vec<f32>,
}

impl Csr {
    /// Records of 0 to `most` features, every fifth slot among the first three: duplicates, in a record too.
    fn new(random: &mut Random, records: usize, most: usize, rows: usize) -> Self {
        let mut offsets = vec![3]; // batches may be parts of others
        for _ in 0..records {
            let features = random.below(most + 1);
            offsets.push(offsets[offsets.len() - 1] + features);
        }
        let features = offsets[records] - 3;
        let slot = |random: &mut Random| {
            let most = if random.below(5) == 0 { rows.min(3) } else { rows };
            random.below(most) as u32
        };
        let slots = (0..features).map(|_| slot(random)).collect();
        Self { offsets, slots, values: random.floats(features) }
    }

    pub(crate) fn records(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Record, slot and value of each feature, in order.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let records = self.offsets.windows(2).enumerate();
        let records = records.flat_map(|(record, pair)| std::iter::repeat_n(record, pair[1] - pair[0]));
        records
            .zip(&self.slots)
            .zip(&self.values)
            .map(|((record, &slot), &value)| (record, slot as usize, value))
    }

    pub(crate) fn on<M: Machine>(&self, machine: &Arc<M>) -> DeviceBatch<M> {
        let mut batch = DeviceBatch::new(machine.clone()).unwrap();
        batch.fill(&self.offsets, &self.slots, &self.values).unwrap();
        assert_eq!((batch.records(), batch.features()), (self.records(), self.slots.len()));
        batch
    }
}

pub(crate) fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

pub(crate) fn vectors<M: Machine>(machine: &Arc<M>, dim: usize, floats: &[f32]) -> DeviceVectors<M> {
    let mut vectors = DeviceVectors::new(machine.clone(), dim).unwrap();
    vectors.set(floats).unwrap();
    vectors
}

fn get<M: Machine>(vectors: &DeviceVectors<M>) -> Vec<f32> {
    let mut floats = vec![f32::NAN; vectors.records() * vectors.dim()];
    vectors.get(&mut floats).unwrap();
    floats
}

/// Rows on the machine that hold `table`.
pub(crate) fn rows<M: Machine>(
    machine: &Arc<M>,
    (dim, floats): (usize, usize),
    table: &[f32],
) -> DeviceRows<M> {
    let count = table.len() / (dim * floats);
    let shape = RowsShape { rows: count as u64, dim, floats };
    let mut rows = DeviceRows::new(machine.clone(), shape, None).unwrap();
    rows.set_rows(&all(count), table).unwrap();
    rows
}

pub(crate) fn all(rows: usize) -> Vec<u32> {
    (0..rows as u32).collect()
}

/// The rules with an optimizer on the CPU, each with and without regularization.
pub(crate) fn rules() -> Vec<(OptimizerOptions, Move, Weights)> {
    let kinds = [OptimizerKind::Sgd, OptimizerKind::Adagrad, OptimizerKind::Ftrl];
    let all = kinds.into_iter().flat_map(|kind| [(0.0, 0.0), (0.01, 0.02)].map(|found| (kind, found)));
    let rules = all.map(|(kind, (l1, l2))| {
        let options = OptimizerOptions { l1, l2, rate: 0.3, ..OptimizerOptions::new(kind) };
        let (rule, weights) = Vectors::new(options).on_device().unwrap();
        (options, rule.at(RATE), weights)
    });
    rules.collect()
}

/// The rate that [`rules`] move with.
const RATE: f64 = 0.17;

/// The sums by the CPU's kernel, plain instructions.
fn sums_on_cpu(csr: &Csr, table: &[f32], dim: usize) -> Vec<f32> {
    let row = |&slot: &u32| &table[slot as usize * dim..][..dim];
    let list = RowList::new(dim, csr.slots.iter().map(row)).unwrap();
    let mut out = vec![0.0; csr.records() * dim];
    gather_sum(Isa::SCALAR, &list, Features { offsets: &csr.offsets, values: &csr.values }, &mut out);
    out
}

/// What becomes of `table` by the CPU's optimizer, each row once for each of its uses, in their order; how many were dropped.
pub(crate) fn moved_on_cpu(
    csr: &Csr,
    options: OptimizerOptions,
    table: &mut [f32],
    above: &[f32],
    dim: usize,
) -> u64 {
    let vectors = Vectors::new(options);
    let width = vectors.floats() * dim;
    let (mut moved, mut dropped) = (vec![0.0; width], 0);
    for (record, slot, value) in csr.uses() {
        let row = &mut table[slot * width..][..width];
        if vectors.step(row, &above[record * dim..][..dim], (value, RATE), &mut moved) {
            row.copy_from_slice(&moved);
        } else {
            dropped += 1;
        }
    }
    dropped
}

fn check_dim<M: Machine>(machine: &Arc<M>, seed: u64, dim: usize, records: usize) {
    let mut random = Random(seed);
    let count = 1 + random.below(40);
    let csr = Csr::new(&mut random, records, 6, count);
    let mut batch = csr.on(machine);
    let table = random.floats(count * dim);
    let above = random.floats(csr.records() * dim);
    let gradients = vectors(machine, dim, &above);

    let mut on_device = rows(machine, (dim, 1), &table);
    let mut out = DeviceVectors::new(machine.clone(), dim).unwrap();
    on_device.gather(&batch, Weights::First, &mut out).unwrap();
    assert_eq!(bits(&get(&out)), bits(&sums_on_cpu(&csr, &table, dim)), "sums at dim {dim}");

    let mut expected = table.clone();
    {
        let cells: Vec<&[Cell<f32>]> =
            expected.chunks_mut(dim).map(|row| Cell::from_mut(row).as_slice_of_cells()).collect();
        let used = csr.slots.iter().map(|&slot| cells[slot as usize]);
        let list = RowCells::new(dim, used).unwrap();
        let features = Features { offsets: &csr.offsets, values: &csr.values };
        scatter_add(Isa::SCALAR, &list, features, -0.25, &above).unwrap();
    }
    on_device.step(&mut batch, Move::Add { rate: -0.25 }, &gradients).unwrap();
    assert_eq!(bits(&on_device.rows(&all(count)).unwrap()), bits(&expected), "added at dim {dim}");
    let mut in_parts = rows(machine, (dim, 1), &table);
    in_parts.step(&mut batch, Move::AddInParts { rate: -0.25 }, &gradients).unwrap();
    for (got, expected) in in_parts.rows(&all(count)).unwrap().iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-6 + 1e-4 * expected.abs(), "{got}, {expected} at dim {dim}");
    }
    assert_eq!((on_device.dropped(), in_parts.dropped()), (Ok(0), Ok(0)));

    for (options, rule, weights) in rules() {
        let optimizer = Vectors::new(options);
        let mut expected: Vec<f32> = table.chunks(dim).flat_map(|row| optimizer.initial(row)).collect();
        let mut on_device = rows(machine, (dim, optimizer.floats()), &expected);
        for _ in 0..2 {
            moved_on_cpu(&csr, options, &mut expected, &above, dim);
            on_device.step(&mut batch, rule, &gradients).unwrap();
        }
        let got = on_device.rows(&all(count)).unwrap();
        assert_eq!(bits(&got), bits(&expected), "{rule:?} at dim {dim}");
        on_device.gather(&batch, weights, &mut out).unwrap();
        let learned: Vec<f32> =
            expected.chunks(optimizer.floats() * dim).flat_map(|row| optimizer.weights(row)).collect();
        assert_eq!(bits(&get(&out)), bits(&sums_on_cpu(&csr, &learned, dim)), "{rule:?}, sums at dim {dim}");
    }
}

/// Sums and all rules at dims of every kind, `each` of them more.
pub(crate) fn rows_are_summed_and_moved_as_on_the_cpu<M: Machine>(machine: &Arc<M>, each: &[usize]) {
    for &dim in [1, 2, 3, 4, 5, 31, 64, 127, 128, 129, 512].iter().chain(each) {
        check_dim(machine, dim as u64, dim, 9);
    }
}

/// The same at dims drawn from 1 to 512.
pub(crate) fn any_batch_is_summed_and_moved_as_on_the_cpu<M: Machine>(machine: &Arc<M>, cases: u32) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let drawn = (any::<u64>(), 1..=512_usize, 0..12_usize);
    let checked = TestRunner::new(config).run(&drawn, |(seed, dim, records)| {
        check_dim(machine, seed, dim, records);
        Ok(())
    });
    checked.unwrap();
}

/// Many tiles, slots of several digits, a slot of a third of all uses: any place that the sort gets wrong shows in a sum.
pub(crate) fn uses_are_sorted_by_slot_and_stay_in_order<M: Machine>(machine: &Arc<M>, records: usize) {
    let mut random = Random(9);
    for count in [2, 300, 70_000] {
        let mut csr = Csr::new(&mut random, records, 6, count);
        csr.slots.iter_mut().step_by(3).for_each(|slot| *slot = count as u32 - 1);
        let mut batch = csr.on(machine);
        let above = random.floats(csr.records());
        let mut on_device = rows(machine, (1, 1), &vec![0.0; count]);
        let mut expected = vec![0.0_f32; count];
        for (record, slot, value) in csr.uses() {
            expected[slot] += (0.5 * value) * above[record];
        }
        on_device.step(&mut batch, Move::Add { rate: 0.5 }, &vectors(machine, 1, &above)).unwrap();
        assert_eq!(bits(&on_device.rows(&all(count)).unwrap()), bits(&expected), "{count} rows");
        // Sorted once: the second step finds the same order.
        on_device.step(&mut batch, Move::Add { rate: -0.5 }, &vectors(machine, 1, &above)).unwrap();
        for (record, slot, value) in csr.uses() {
            expected[slot] += (-0.5 * value) * above[record];
        }
        assert_eq!(bits(&on_device.rows(&all(count)).unwrap()), bits(&expected), "{count} rows");
    }
}

/// A step that f32 cannot hold leaves its row alone, all of it, and is counted.
pub(crate) fn a_step_too_far_is_dropped_whole_and_counted<M: Machine>(machine: &Arc<M>) {
    for dim in [3, 8, 200] {
        let csr = Csr { offsets: vec![0, 2, 3], slots: vec![1, 0, 1], values: vec![1.0, 2.0, 1.0] };
        let mut batch = csr.on(machine);
        let mut above = vec![0.5; 2 * dim];
        above[dim - 1] = f32::MAX;
        let gradients = vectors(machine, dim, &above);
        let table = vec![f32::MAX; 3 * dim];
        let mut on_device = rows(machine, (dim, 1), &table);
        on_device.step(&mut batch, Move::Add { rate: 1.0 }, &gradients).unwrap();
        assert_eq!(on_device.dropped(), Ok(2), "both of the first record");
        let mut expected = table.clone();
        expected[dim..2 * dim].iter_mut().for_each(|weight| *weight += 0.5);
        assert_eq!(bits(&on_device.rows(&all(3)).unwrap()), bits(&expected));
        above[0] = f32::NAN;
        on_device.step(&mut batch, Move::AddInParts { rate: 1.0 }, &vectors(machine, dim, &above)).unwrap();
        assert_eq!(on_device.dropped(), Ok(4));
        assert!(on_device.rows(&all(3)).unwrap().iter().all(|weight| weight.is_finite()));
        for (options, rule, _) in rules() {
            let optimizer = Vectors::new(options);
            let mut expected: Vec<f32> = (0..3).flat_map(|_| optimizer.initial(&vec![1.0; dim])).collect();
            let mut on_device = rows(machine, (dim, optimizer.floats()), &expected);
            let above: Vec<f32> =
                (0..2 * dim).map(|i| if i == dim - 1 { f32::INFINITY } else { 0.5 }).collect();
            let dropped = moved_on_cpu(&csr, options, &mut expected, &above, dim);
            on_device.step(&mut batch, rule, &vectors(machine, dim, &above)).unwrap();
            assert_eq!((on_device.dropped().unwrap(), dropped), (2, 2), "{rule:?}");
            assert_eq!(bits(&on_device.rows(&all(3)).unwrap()), bits(&expected), "{rule:?}");
        }
    }
}

/// A fresh row is a function of seed and slot, the same as on the CPU.
pub(crate) fn fresh_rows_are_those_of_the_cpu<M: Machine>(machine: &Arc<M>) {
    for (dim, floats) in [(1, 1), (5, 2), (64, 1), (130, 2)] {
        let normal = Normal { mean: 0.25, scale: 0.1, seed: 77 };
        let shape = RowsShape { rows: 50, dim, floats };
        let on_device = DeviceRows::new(machine.clone(), shape, Some(normal)).unwrap();
        let init = Init::Normal { start: 0, columns: dim, mean: 0.25, scale: 0.1, tail: &[] };
        let mut expected = vec![f32::NAN; 50 * dim * floats];
        for (slot, row) in expected.chunks_mut(dim * floats).enumerate() {
            init.fill(77, Slot(slot as u32), row);
        }
        assert_eq!(bits(&on_device.rows(&all(50)).unwrap()), bits(&expected), "dim {dim}");
        assert_eq!(on_device.touched().unwrap(), [0_u32; 0]);
    }
}

/// The eight learners of a weight, as `optim::Lanes` has them.
pub(crate) fn lanes_learn_as_on_the_cpu<M: Machine>(machine: &Arc<M>) {
    let mut random = Random(5);
    let count = 30;
    let mut on_device = DeviceLanes::new(machine.clone(), count as u64).unwrap();
    let mut table = vec![0.0_f32; count * 2 * LANES];
    for round in 0..6 {
        let csr = Csr::new(&mut random, 40, 7, count);
        let mut batch = csr.on(machine);
        let mut out = DeviceVectors::new(machine.clone(), LANE_SUMS).unwrap();
        on_device.gather(&batch, &mut out).unwrap();
        let mut expected = vec![Lanes.sums(); csr.records()];
        for (record, slot, value) in csr.uses() {
            Lanes.gather(&table[slot * 2 * LANES..][..2 * LANES], Input::plain(value), &mut expected[record]);
        }
        let expected: Vec<f32> = expected
            .iter()
            .flat_map(|sums| sums.scores.into_iter().chain(sums.variances).chain([sums.screened]))
            .collect();
        assert_eq!(bits(&get(&out)), bits(&expected), "round {round}");

        let steps: Vec<f32> = (0..csr.records() * LANE_STEPS)
            .map(|i| if i % LANE_STEPS < LANES { random.float() } else { 1.0 + random.float().abs() })
            .collect();
        for (record, slot, value) in csr.uses() {
            let eight =
                |part: usize| steps[record * LANE_STEPS + part * LANES..][..LANES].try_into().unwrap();
            let step = LaneStep { gradient: eight(0), inverse_curvature: eight(1), innovation: eight(2) };
            let row = &mut table[slot * 2 * LANES..][..2 * LANES];
            let kept = Lanes.keep(row);
            assert!(Lanes.update(row, (Input::plain(value), kept), &Lanes.sums(), &step));
        }
        on_device.step(&mut batch, &vectors(machine, LANE_STEPS, &steps)).unwrap();
        assert_eq!(bits(&on_device.rows().rows(&all(count)).unwrap()), bits(&table), "round {round}");
    }
}

/// A batch and matrices that are used again, with more and fewer records, hold nothing of those before; rows by slot.
pub(crate) fn memory_is_used_again<M: Machine>(machine: &Arc<M>) {
    let mut random = Random(1);
    let (dim, count) = (6, 20);
    let table = random.floats(count * dim);
    let on_device = rows(machine, (dim, 1), &table);
    let mut batch = DeviceBatch::new(machine.clone()).unwrap();
    let mut out = DeviceVectors::new(machine.clone(), dim).unwrap();
    for records in [3, 500, 0, 2, 1, 700] {
        let csr = Csr::new(&mut random, records, 9, count);
        batch.fill(&csr.offsets, &csr.slots, &csr.values).unwrap();
        on_device.gather(&batch, Weights::First, &mut out).unwrap();
        assert_eq!(bits(&get(&out)), bits(&sums_on_cpu(&csr, &table, dim)), "{records} records");
    }
    let some = on_device.rows(&[7, 3, 7]).unwrap();
    assert_eq!(some, [&table[7 * dim..8 * dim], &table[3 * dim..4 * dim], &table[7 * dim..8 * dim]].concat());
    assert_eq!(on_device.rows(&[]).unwrap(), [0.0; 0]);
}

/// Which rows were moved or replaced is known.
pub(crate) fn touched_rows_are_known<M: Machine>(machine: &Arc<M>) {
    for rule in [Move::Add { rate: 1.0 }, Move::AddInParts { rate: 1.0 }] {
        let shape = RowsShape { rows: 1000, dim: 4, floats: 1 };
        let mut on_device = DeviceRows::new(machine.clone(), shape, None).unwrap();
        on_device.set_rows(&[999, 5], &[1.0; 8]).unwrap();
        let csr = Csr { offsets: vec![0, 3], slots: vec![5, 0, 500], values: vec![1.0; 3] };
        on_device.step(&mut csr.on(machine), rule, &vectors(machine, 4, &[1.0; 4])).unwrap();
        assert_eq!(on_device.touched().unwrap(), [0, 5, 500, 999]);
    }
}

/// Arguments that do not fit are refused before anything is started.
pub(crate) fn what_does_not_fit_is_refused<M: Machine>(machine: &Arc<M>) {
    let shape = |rows, dim, floats| RowsShape { rows, dim, floats };
    let make = |shape| DeviceRows::new(machine.clone(), shape, None).unwrap_err();
    assert_eq!(make(shape(1, 0, 1)), CudaError::Dim { dim: 0 });
    assert_eq!(make(shape(1, 1025, 1)), CudaError::Dim { dim: 1025 });
    assert_eq!(make(shape(0, 1, 1)), CudaError::Rows { rows: 0 });
    assert_eq!(make(shape(1 << 32, 1, 1)), CudaError::Rows { rows: 1 << 32 });
    assert!(matches!(make(shape(1, 1, 4)), CudaError::Shape { .. }));

    let mut on_device = rows(machine, (2, 1), &[1.0; 20]);
    let mut batch = DeviceBatch::new(machine.clone()).unwrap();
    for (offsets, slots, values) in [
        (vec![], vec![], vec![]),
        (vec![0, 2], vec![1], vec![1.0; 2]),
        (vec![0, 2], vec![1, 2], vec![1.0]),
        (vec![2, 0], vec![1, 2], vec![1.0; 2]),
    ] {
        assert!(matches!(batch.fill(&offsets, &slots, &values), Err(CudaError::Shape { .. })), "{offsets:?}");
    }
    batch.fill(&[0, 1], &[10], &[1.0]).unwrap();
    let above = vectors(machine, 2, &[1.0; 2]);
    let (mut out, beyond) =
        (DeviceVectors::new(machine.clone(), 2).unwrap(), CudaError::Slot { slot: 10, rows: 10 });
    assert_eq!(on_device.gather(&batch, Weights::First, &mut out), Err(beyond.clone()));
    for rule in [Move::Add { rate: 1.0 }, Move::AddInParts { rate: 1.0 }] {
        assert_eq!(on_device.step(&mut batch, rule, &above), Err(beyond.clone()));
    }
    assert_eq!(on_device.rows(&[10]), Err(beyond.clone()));
    assert_eq!(on_device.set_rows(&[10], &[1.0; 2]), Err(beyond));
    batch.fill(&[0, 1], &[9], &[1.0]).unwrap();
    let mut refused = |rule, above: &DeviceVectors<M>| {
        assert!(matches!(on_device.step(&mut batch, rule, above), Err(CudaError::Shape { .. })));
    };
    refused(Move::Adagrad { rate: 1.0, l1: 0.0, l2: 0.0 }, &above);
    refused(Move::Add { rate: 1.0 }, &vectors(machine, 2, &[1.0; 4]));
    refused(Move::Add { rate: 1.0 }, &vectors(machine, 1, &[1.0]));
    let ftrl = Weights::Ftrl(FtrlConstants { alpha: 1.0, beta: 1.0, l1: 0.0, l2: 0.0 });
    assert!(matches!(on_device.gather(&batch, ftrl, &mut out), Err(CudaError::Shape { .. })));
    let mut narrow = DeviceVectors::new(machine.clone(), 1).unwrap();
    assert!(matches!(on_device.gather(&batch, Weights::First, &mut narrow), Err(CudaError::Shape { .. })));
    assert!(on_device.set_rows(&[1], &[1.0]).is_err() && narrow.get(&mut [0.0]).is_err());
    assert_eq!(on_device.rows(&all(10)).unwrap(), [1.0; 20]);
}

/// A pointer means nothing on another device.
pub(crate) fn memory_of_another_machine_is_refused<M: Machine>(machine: &Arc<M>, other: &Arc<M>) {
    let csr = Csr { offsets: vec![0, 1], slots: vec![0], values: vec![1.0] };
    let mut on_device = rows(machine, (1, 1), &[1.0]);
    let (mut here, mut there) = (csr.on(machine), csr.on(other));
    let (mut near, mut far) = (vectors(machine, 1, &[1.0]), vectors(other, 1, &[1.0]));
    let rule = Move::Add { rate: 1.0 };
    for refused in [
        on_device.gather(&there, Weights::First, &mut near),
        on_device.gather(&here, Weights::First, &mut far),
        on_device.step(&mut there, rule, &near),
        on_device.step(&mut here, rule, &far),
    ] {
        assert_eq!(refused, Err(CudaError::Elsewhere));
    }
    let lanes = DeviceLanes::new(machine.clone(), 1).unwrap();
    let mut sums = DeviceVectors::new(other.clone(), LANE_SUMS).unwrap();
    assert_eq!(lanes.gather(&here, &mut sums), Err(CudaError::Elsewhere));
    on_device.step(&mut here, rule, &near).unwrap();
    assert_eq!(on_device.rows(&[0]).unwrap(), [2.0]);
}

/// The weights after many steps of batches of their own.
pub(crate) fn learned_weights_after<M: Machine>(machine: &Arc<M>, steps: usize) {
    let (mut random, dim, count) = (Random(3), 64, 500);
    let options = OptimizerOptions { rate: 0.3, ..OptimizerOptions::new(OptimizerKind::Adagrad) };
    let optimizer = Vectors::new(options);
    let rule = optimizer.on_device().unwrap().0.at(RATE);
    let table = random.floats(count * dim);
    let mut expected: Vec<f32> = table.chunks(dim).flat_map(|row| optimizer.initial(row)).collect();
    let mut on_device = rows(machine, (dim, 2), &expected);
    let mut batch = DeviceBatch::new(machine.clone()).unwrap();
    let mut gradients = DeviceVectors::new(machine.clone(), dim).unwrap();
    for _ in 0..steps {
        let csr = Csr::new(&mut random, 16, 8, count);
        let above = random.floats(csr.records() * dim);
        batch.fill(&csr.offsets, &csr.slots, &csr.values).unwrap();
        gradients.set(&above).unwrap();
        on_device.step(&mut batch, rule, &gradients).unwrap();
        moved_on_cpu(&csr, options, &mut expected, &above, dim);
    }
    assert_eq!(bits(&on_device.rows(&all(count)).unwrap()), bits(&expected), "{steps} steps");
}

/// An embedding on a machine is the one on the CPU: what it has learned, its vectors, a step, and back.
pub(crate) fn an_embedding_moves_to_the_machine_and_back<M: Machine>(machine: &Arc<M>) {
    let dim = 20;
    let hash = HashOptions { buckets: 2000, ..HashOptions::default() };
    let make = || FlexiHashEmbedding::new(EmbeddingOptions { dim, seed: 3, hash }).unwrap();
    let (own, other) = (make(), make());
    own.set_row(Slot(17), &[0.5; 20]).unwrap();
    other.set_row(Slot(17), &[0.5; 20]).unwrap();
    let pairs =
        |dict: usize| (0..dict % 5).map(move |i| (format!("key {}", (dict * i) % 300), 0.25 + i as f64));
    let batch = own.batch((0..200).map(pairs)).unwrap();
    let upstream = Random(4).floats(batch.len() * dim);
    let mut there = own.on_device(machine.clone()).unwrap();
    for _ in 0..3 {
        assert_eq!(bits(&there.embed(&batch).unwrap()), bits(&other.embed(&batch).unwrap()));
        assert_eq!(there.sgd_backward(&batch, &upstream, 0.25).unwrap(), 0);
        other.sgd_backward(&batch, &upstream, 0.25).unwrap();
    }
    there.write_back(&own).unwrap();
    for slot in 0..2000 {
        assert_eq!(bits(&own.row(Slot(slot)).unwrap()), bits(&other.row(Slot(slot)).unwrap()), "slot {slot}");
    }
    assert_eq!(own.table().touched(), other.table().touched());

    let huge = own.batch([[("a", 3e38), ("b", 3e38)], [("c", 1.0), ("d", 1.0)]]).unwrap();
    let error = there.embed(&huge).unwrap_err();
    assert!(matches!(error, EmbeddingError::NotFinite { what: "output", row: 0, .. }), "{error}");
    assert_eq!(there.sgd_backward(&huge, &vec![9.0; 2 * dim], 1.0).unwrap(), 2, "both of the first dict");
    assert!(matches!(there.sgd_backward(&huge, &[1.0], 1.0), Err(EmbeddingError::Shape { .. })));
    assert!(matches!(
        there.sgd_backward(&huge, &vec![1.0; 2 * dim], f32::NAN),
        Err(EmbeddingError::LearningRate { .. })
    ));
    let wide = HashOptions { buckets: 1 << 20, ..hash };
    let wide = FlexiHashEmbedding::new(EmbeddingOptions { dim, seed: 3, hash: wide }).unwrap();
    let foreign = wide.batch([[("a", 1)], [("b", 1)], [("c", 1)]]).unwrap();
    let refused = there.embed(&foreign).unwrap_err();
    assert!(matches!(refused, EmbeddingError::Cuda(CudaError::Slot { rows: 2000, .. })), "{refused}");
    assert!(matches!(there.write_back(&wide), Err(EmbeddingError::Cuda(CudaError::Shape { .. }))));
}

/// A table so large (17 GiB; an emulator has the pages alone that are touched) that the place of a float needs more than 32 bits.
pub(crate) fn rows_beyond_2_to_the_32_floats_are_where_they_belong<M: Machine>(machine: &Arc<M>) {
    let (rows, dim) = ((1 << 25) + 3, 129);
    let shape = RowsShape { rows, dim, floats: 1 };
    assert!(rows * dim as u64 > 1 << 32);
    let mut on_device = DeviceRows::new(machine.clone(), shape, None).unwrap();
    let slots = [rows as u32 - 1, 0, rows as u32 - 2, 1 << 23];
    let before = Random(8).floats(4 * dim);
    on_device.set_rows(&slots, &before).unwrap();
    let csr = Csr { offsets: (0..5).collect(), slots: slots.to_vec(), values: vec![1.0; 4] };
    let mut batch = csr.on(machine);
    let mut out = DeviceVectors::new(machine.clone(), dim).unwrap();
    on_device.gather(&batch, Weights::First, &mut out).unwrap();
    assert_eq!(bits(&get(&out)), bits(&before));
    let above = vectors(machine, dim, &vec![1.0; 4 * dim]);
    on_device.step(&mut batch, Move::Add { rate: 0.5 }, &above).unwrap();
    on_device.step(&mut batch, Move::AddInParts { rate: 0.25 }, &above).unwrap();
    let expected: Vec<f32> = before.iter().map(|weight| weight + 0.5 + 0.25).collect();
    assert_eq!(bits(&on_device.rows(&slots).unwrap()), bits(&expected));
    let mut touched = slots.to_vec();
    touched.sort_unstable();
    assert_eq!(on_device.touched().unwrap(), touched);
}

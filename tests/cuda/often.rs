//! Rows that most records use: many parts, rests, and sums of sums.

use crate::suite::{Csr, Random, all, bits, moved_on_cpu, rows, rules, vectors};
use flexihash::kernel::cuda::{Machine, Move};
use flexihash::optim::Vectors;
use std::sync::Arc;

/// Rows of the table.
const ROWS: usize = 40;
/// Uses of a part, as in scatter.cu.
const PART: usize = 32;

/// Records that all have the feature of row 0 and of row 39, every other that of row 1, and one of any row.
fn batch(random: &mut Random, records: usize) -> Csr {
    let mut csr = Csr { offsets: vec![0], slots: Vec::new(), values: Vec::new() };
    for record in 0..records {
        let any = random.below(ROWS) as u32;
        csr.slots.extend([ROWS as u32 - 1, any, 0]);
        csr.slots.extend((record % 2 == 0).then_some(1));
        csr.offsets.push(csr.slots.len());
    }
    csr.values = random.floats(csr.slots.len());
    csr
}

/// Whatever the rule, the row ends as if one use came after the other.
pub(crate) fn rows_of_every_record_move_use_after_use<M: Machine>(machine: &Arc<M>) {
    let mut random = Random(31);
    for (dim, records) in [(1, 11), (2, 700), (3, 97), (64, 120), (130, 70), (257, 60), (513, 40)] {
        let csr = batch(&mut random, records);
        let mut on_machine = csr.on(machine);
        let mut above = random.floats(records * dim);
        above[dim * (records / 2)] = f32::INFINITY;
        let gradients = vectors(machine, dim, &above);
        for (options, rule, _) in rules() {
            let optimizer = Vectors::new(options);
            let mut expected: Vec<f32> =
                (0..ROWS).flat_map(|_| optimizer.initial(&random.floats(dim))).collect();
            let mut on_device = rows(machine, (dim, optimizer.floats()), &expected);
            let dropped = moved_on_cpu(&csr, options, &mut expected, &above, dim);
            on_device.step(&mut on_machine, rule, &gradients).unwrap();
            assert_eq!(on_device.dropped(), Ok(dropped), "{rule:?} at dim {dim}");
            assert!(dropped >= 3, "{dropped}");
            assert_eq!(bits(&on_device.rows(&all(ROWS)).unwrap()), bits(&expected), "{rule:?} at dim {dim}");
        }
    }
}

/// A use as [`Move::AddInParts`] has it: of a row, or of none.
type Use = (Option<u32>, f32, Vec<f32>);

/// Adds `rate · value · vector` to `to` unless a float of it were not finite then.
fn add(to: &mut [f32], rate: f32, (_, value, vector): &Use, dropped: &mut u64) {
    let scale = rate * value;
    let next: Vec<f32> = to.iter().zip(vector).map(|(weight, slope)| weight + scale * slope).collect();
    if next.iter().all(|weight| weight.is_finite()) { to.copy_from_slice(&next) } else { *dropped += 1 }
}

/// The definition: of each part, uses that go on with a row of the part before are summed, others are added to their row; the sums are
/// uses again.
fn in_parts(csr: &Csr, above: &[f32], dim: usize, mut rate: f32, table: &mut [f32]) -> u64 {
    let mut uses: Vec<Use> = csr
        .uses()
        .map(|(record, slot, value)| (Some(slot as u32), value, above[record * dim..][..dim].to_vec()))
        .collect();
    uses.sort_by_key(|(slot, ..)| *slot);
    let mut dropped = 0;
    loop {
        let mut sums: Vec<Use> = Vec::new();
        let mut before = None;
        for part in uses.chunks(PART) {
            let rest = part[0].0.filter(|_| part[0].0 == before);
            let mut sum = vec![0.0; dim];
            for one in part {
                match one.0 {
                    None => {}
                    slot if slot == rest => add(&mut sum, rate, one, &mut dropped),
                    Some(slot) => add(&mut table[slot as usize * dim..][..dim], rate, one, &mut dropped),
                }
            }
            before = part[part.len() - 1].0;
            sums.push((rest, 1.0, sum));
        }
        if sums.len() <= 1 {
            return dropped;
        }
        (uses, rate) = (sums, 1.0);
    }
}

/// Sums in parts have the bits of their definition, whatever the order of threads, and are those of use after use but for rounding.
pub(crate) fn rows_of_every_record_are_added_to_in_parts<M: Machine>(machine: &Arc<M>, records: usize) {
    let mut random = Random(32);
    for (dim, records) in [(1, 11), (2, records), (3, 97), (64, 700), (130, 70), (257, 60), (513, 40)] {
        let table = random.floats(ROWS * dim);
        let mut on_device = rows(machine, (dim, 1), &table);
        let mut expected = table.clone();
        let (mut exact, mut shares): (Vec<f64>, Vec<f64>) =
            (table.iter().map(|weight| f64::from(*weight)).collect(), vec![0.0; table.len()]);
        // Fewer each time, so that sums of before are in memory that must not be seen.
        for (records, rate) in [(records, -0.25), (records.div_ceil(2), 1.0), (records.div_ceil(5), 0.5)] {
            let csr = batch(&mut random, records);
            let above = random.floats(records * dim);
            for (record, slot, value) in csr.uses() {
                for column in 0..dim {
                    let share = f64::from(rate * value) * f64::from(above[record * dim + column]);
                    exact[slot * dim + column] += share;
                    shares[slot * dim + column] += share.abs();
                }
            }
            let dropped = in_parts(&csr, &above, dim, rate, &mut expected);
            let gradients = vectors(machine, dim, &above);
            on_device.step(&mut csr.on(machine), Move::AddInParts { rate }, &gradients).unwrap();
            assert_eq!((on_device.dropped(), dropped), (Ok(0), 0));
            assert_eq!(bits(&on_device.rows(&all(ROWS)).unwrap()), bits(&expected), "{records} at dim {dim}");
        }
        for ((got, exact), shares) in expected.iter().zip(exact).zip(shares) {
            assert!((f64::from(*got) - exact).abs() <= 1e-6 * (1.0 + shares), "{got}, {exact} of {shares}");
        }
    }
}

/// What f32 cannot hold is dropped and counted, of a row, of a part and of parts; all that is stored is finite.
pub(crate) fn sums_too_large_are_dropped_and_counted<M: Machine>(machine: &Arc<M>) {
    let mut random = Random(33);
    for dim in [1, 6, 130] {
        let csr = batch(&mut random, 1500);
        let mut above = random.floats(1500 * dim);
        for (record, slopes) in above.chunks_mut(dim).enumerate() {
            slopes[dim - 1] = match record % 100 {
                3 => f32::NAN,
                17 => f32::INFINITY,
                40..44 => f32::MAX,
                // Sums that fit by themselves, and no more together.
                60..80 if record > 300 => f32::MAX / 4.0,
                _ => continue,
            };
        }
        let mut expected = random.floats(ROWS * dim);
        expected[ROWS * dim - 1] = f32::MAX;
        let mut on_device = rows(machine, (dim, 1), &expected);
        let dropped = in_parts(&csr, &above, dim, 1.0, &mut expected);
        on_device
            .step(&mut csr.on(machine), Move::AddInParts { rate: 1.0 }, &vectors(machine, dim, &above))
            .unwrap();
        assert!(dropped > 120, "{dropped}");
        assert_eq!(on_device.dropped(), Ok(dropped), "dim {dim}");
        assert_eq!(bits(&on_device.rows(&all(ROWS)).unwrap()), bits(&expected), "dim {dim}");
        assert!(expected.iter().all(|weight| weight.is_finite()));
    }
}

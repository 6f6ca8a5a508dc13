//! Networks that compute where their rows are: what they learn is that of the CPU within rounding of its products.

use super::learner::{Anywhere, DOT, RANKER, RULES, config, encoded, pass, rated, rows, shown};
use flexihash::batch::Slot;
use flexihash::config::ModelConfig;
use flexihash::kernel::cuda::Tensors;
use flexihash::learner::{Learner, Mode, Outcomes, Piece};
use std::sync::Arc;

/// Every rule on sums, stacked rows, lists and shared tables.
pub(crate) fn networks_compute_on_the_machine_too<M: Tensors + Anywhere>(machine: &Arc<M>, records: usize) {
    for rule in RULES {
        learn_both(machine, &config(rule, DOT), &rated(records));
        learn_both(machine, &config(rule, RANKER), &shown(records / 2));
    }
}

fn learn_both<M: Tensors + Anywhere>(machine: &Arc<M>, config: &ModelConfig, records: &str) {
    const PIECE: usize = 20;
    let batch = encoded(config, records);
    let count = batch.records().len();
    let (mut there, mut here) = (config.learner().unwrap(), config.learner().unwrap());
    there.move_network_to_device(Arc::clone(machine)).unwrap();
    assert!(there.is_on_device());
    for (round, start) in (0..count).step_by(PIECE).enumerate() {
        let rows = start..(start + PIECE).min(count);
        let found = pass(&mut there, &batch, rows.clone(), Mode::Learn);
        let expected = pass(&mut here, &batch, rows, Mode::Learn);
        assert_close("predictions", &floats(&found), &floats(&expected));
        if round % 3 == 1 {
            assert_nearly_same(&there, &here); // looked at, and learned on
        }
    }
    assert_nearly_same(&there, &here);
    let viewed = |learner: &Learner| {
        let (mut outcomes, mut viewer) = (Outcomes::default(), learner.view());
        viewer.predict_fields(&[Piece { batch: &batch, rows: 0..count }], &mut outcomes).unwrap();
        outcomes.predictions
    };
    assert_close("beside it", &viewed(&there), &viewed(&here));
}

fn floats(bits: &[u32]) -> Vec<f32> {
    bits.iter().copied().map(f32::from_bits).collect()
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-6 + 1e-4 * expected.abs(),
            "{what}: {found} beside {expected}"
        );
    }
}

/// Counters, dense parameters and rows, these within rounding.
fn assert_nearly_same(learner: &Learner, expected: &Learner) {
    assert_eq!(learner.counters(), expected.counters());
    let dense = |learner: &Learner| {
        learner.vectors().into_iter().filter(|(name, _)| name.starts_with("parameter.")).collect::<Vec<_>>()
    };
    for ((name, found), (_, expected)) in dense(learner).iter().zip(dense(expected)) {
        let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
        assert_close(name, &narrow(found), &narrow(&expected));
    }
    let (found, expected) = (rows(learner), rows(expected));
    assert!(found.iter().all(|(_, rows)| !rows.is_empty()), "nothing learned");
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        let slots = |rows: &[(Slot, Vec<u32>)]| rows.iter().map(|(slot, _)| *slot).collect::<Vec<_>>();
        assert_eq!(slots(found), slots(expected), "{name}");
        for ((_, found), (_, expected)) in found.iter().zip(expected) {
            assert_close(name, &floats(found), &floats(expected));
        }
    }
}

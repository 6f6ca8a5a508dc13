//! The suite of `tests/cuda` on a device, and what only a device can show: `benches/cuda.sh` packs and runs it. Without a driver
//! each of these tests fails: `test.sh` runs them where `nvidia-smi` finds a device, and says so where not.
//!
//! `FLEXIHASH_CUDA_DEVICE` is the device's number, 0 by default.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

#[path = "../support/dice.rs"]
mod dice;
#[path = "../cuda/failing.rs"]
mod failing;
#[path = "../cuda/learner.rs"]
mod learner;
#[path = "../cuda/often.rs"]
mod often;
#[path = "../cuda/suite.rs"]
mod suite;
#[cfg(feature = "candle-cuda")]
#[path = "../cuda/tensors.rs"]
mod tensors;

use dice::Dice;
use failing::Failing;
use flexihash::batch::Slot;
use flexihash::kernel::cuda::{CudaError, Device, DeviceRows, Normal, RowsShape};
use flexihash::optim::Init;
use std::sync::{Arc, OnceLock};

/// The device, opened once.
fn device() -> &'static Arc<Device> {
    static DEVICE: OnceLock<Arc<Device>> = OnceLock::new();
    DEVICE.get_or_init(open)
}

fn open() -> Arc<Device> {
    let index = std::env::var("FLEXIHASH_CUDA_DEVICE").map_or(0, |index| index.parse().unwrap());
    Arc::new(Device::open(index).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn memory_of_another_machine_is_refused() {
    suite::memory_of_another_machine_is_refused(device(), &open());
}

#[test]
fn rows_are_summed_and_moved_as_on_the_cpu() {
    let every: Vec<usize> = (1..=512).collect();
    suite::rows_are_summed_and_moved_as_on_the_cpu(device(), &every);
}

#[test]
fn any_batch_is_summed_and_moved_as_on_the_cpu() {
    suite::any_batch_is_summed_and_moved_as_on_the_cpu(device(), 500);
}

#[test]
fn uses_are_sorted_by_slot_and_stay_in_order() {
    suite::uses_are_sorted_by_slot_and_stay_in_order(device(), 200_000);
}

#[test]
fn rows_of_every_record_move_use_after_use() {
    often::rows_of_every_record_move_use_after_use(device());
}

#[test]
fn rows_of_every_record_are_added_to_in_parts() {
    often::rows_of_every_record_are_added_to_in_parts(device(), 100_000);
}

#[test]
fn sums_too_large_are_dropped_and_counted() {
    often::sums_too_large_are_dropped_and_counted(device());
}

#[test]
fn a_step_too_far_is_dropped_whole_and_counted() {
    suite::a_step_too_far_is_dropped_whole_and_counted(device());
}

#[test]
fn fresh_rows_are_those_of_the_cpu() {
    suite::fresh_rows_are_those_of_the_cpu(device());
}

#[test]
fn lanes_learn_as_on_the_cpu() {
    suite::lanes_learn_as_on_the_cpu(device());
}

#[test]
fn memory_is_used_again() {
    suite::memory_is_used_again(device());
}

#[test]
fn touched_rows_are_known() {
    suite::touched_rows_are_known(device());
}

#[test]
fn what_does_not_fit_is_refused() {
    suite::what_does_not_fit_is_refused(device());
}

#[test]
fn learned_weights_after_ten_thousand_steps() {
    suite::learned_weights_after(device(), 10_000);
}

#[test]
fn an_embedding_moves_to_the_machine_and_back() {
    suite::an_embedding_moves_to_the_machine_and_back(device());
}

/// 17 GiB are needed.
#[test]
fn rows_beyond_2_to_the_32_floats_are_where_they_belong() {
    enough_memory();
    suite::rows_beyond_2_to_the_32_floats_are_where_they_belong(device());
}

/// Fresh rows do not depend on how many there are.
#[test]
fn fresh_rows_beyond_2_to_the_32_floats_are_those_of_the_cpu() {
    enough_memory();
    let (rows, dim, normal) = ((1 << 25) + 3, 129, Normal { mean: 0.0, scale: 1.0, seed: 1 });
    let table = DeviceRows::new(device().clone(), RowsShape { rows, dim, floats: 1 }, Some(normal)).unwrap();
    let init = Init::Normal { start: 0, columns: dim, mean: 0.0, scale: 1.0, tail: &[] };
    for slot in [0, 1 << 23, rows as u32 - 1] {
        let mut expected = vec![0.0; dim];
        init.fill(1, Slot(slot), &mut expected);
        assert_eq!(table.rows(&[slot]).unwrap(), expected, "slot {slot}");
    }
}

fn enough_memory() {
    let free = device().free_memory().unwrap();
    assert!(
        free > 17 << 30,
        "this test needs 17 GiB, and {free} bytes are free: leave it out by --skip 2_to_the_32"
    );
}

#[test]
fn no_room_and_no_such_device_are_clear_errors() {
    let shape = RowsShape { rows: (1 << 31) + 1, dim: 1024, floats: 2 };
    let error = DeviceRows::new(device().clone(), shape, None).unwrap_err();
    assert!(matches!(error, CudaError::Memory { bytes } if bytes > 1 << 40), "{error}");
    let devices = Device::count().unwrap();
    assert_eq!(Device::open(devices).unwrap_err(), CudaError::Index { index: devices, devices });
}

#[test]
fn networks_learn_as_on_the_cpu() {
    learner::networks_learn_as_on_the_cpu(device(), 2000);
}

#[cfg(feature = "candle-cuda")]
#[test]
fn networks_compute_on_the_machine_too() {
    tensors::networks_compute_on_the_machine_too(device(), 2000);
}

#[test]
fn records_by_themselves_are_learned_as_on_the_cpu() {
    learner::records_by_themselves_are_learned_as_on_the_cpu(device());
}

#[test]
fn a_network_after_ten_thousand_steps() {
    learner::a_network_after(device(), 10_000);
}

#[test]
fn steps_too_far_are_counted_as_on_the_cpu() {
    learner::steps_too_far_are_counted_as_on_the_cpu(device());
}

#[test]
fn a_stored_model_goes_on_on_the_other_side() {
    learner::a_stored_model_goes_on_on_the_other_side(device());
}

#[test]
fn learners_that_do_not_fit_are_refused() {
    learner::learners_that_do_not_fit_are_refused(device());
}

#[test]
fn what_has_failed_is_not_saved() {
    let machine = Failing::new(Arc::clone(device()));
    learner::what_has_failed_is_not_saved(&machine, |more| machine.fail_after(more));
}

#[test]
fn a_run_on_a_machine_that_fails_goes_on_from_what_was_stored() {
    let machine = Failing::new(Arc::clone(device()));
    learner::a_run_on_a_machine_that_fails_goes_on_from_what_was_stored(&machine, |more| {
        machine.fail_after(more)
    });
}

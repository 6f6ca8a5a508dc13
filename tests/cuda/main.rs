//! The kernels for CUDA where no device is: their text compiled by NVRTC for several devices, and run by an emulator on the CPU
//! beside the CPU's own kernels; the same, and the command, on a driver that the CPU plays; and what is said where there is none.
//!
//! NVRTC is NVIDIA's library, fetched by `fixtures/cuda/nvrtc.sh` and found by `LD_LIBRARY_PATH`; without it the tests of `nvrtc` fail and
//! say so. On a device: `tests/cuda_device`, by `benches/cuda.sh`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod driver;
mod emulator;
mod failing;
// The arithmetic of launches, with its tests: the library's own would be compiled once more for these few.
#[allow(unreachable_pub, reason = "public where it belongs")]
#[path = "../../src/kernel/cuda/launch.rs"]
mod launch;
mod learner;
mod nvrtc;
mod often;
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod tensors;

use emulator::emulator;
use failing::Failing;
use flexihash::kernel::cuda::CudaError;
use support::Dice;

#[test]
fn rows_are_summed_and_moved_as_on_the_cpu() {
    suite::rows_are_summed_and_moved_as_on_the_cpu(&emulator(1), &[300, 511]);
}

#[test]
fn any_batch_is_summed_and_moved_as_on_the_cpu() {
    suite::any_batch_is_summed_and_moved_as_on_the_cpu(&emulator(2), 25);
}

#[test]
fn uses_are_sorted_by_slot_and_stay_in_order() {
    suite::uses_are_sorted_by_slot_and_stay_in_order(&emulator(3), 1500);
}

#[test]
fn rows_of_every_record_move_use_after_use() {
    often::rows_of_every_record_move_use_after_use(&emulator(24));
}

#[test]
fn rows_of_every_record_are_added_to_in_parts() {
    often::rows_of_every_record_are_added_to_in_parts(&emulator(25), 1500);
}

#[test]
fn sums_too_large_are_dropped_and_counted() {
    often::sums_too_large_are_dropped_and_counted(&emulator(26));
}

#[test]
fn a_step_too_far_is_dropped_whole_and_counted() {
    suite::a_step_too_far_is_dropped_whole_and_counted(&emulator(4));
}

#[test]
fn fresh_rows_are_those_of_the_cpu() {
    suite::fresh_rows_are_those_of_the_cpu(&emulator(5));
}

#[test]
fn lanes_learn_as_on_the_cpu() {
    suite::lanes_learn_as_on_the_cpu(&emulator(6));
}

#[test]
fn memory_is_used_again() {
    suite::memory_is_used_again(&emulator(7));
}

#[test]
fn touched_rows_are_known() {
    suite::touched_rows_are_known(&emulator(8));
}

#[test]
fn what_does_not_fit_is_refused() {
    suite::what_does_not_fit_is_refused(&emulator(9));
}

#[test]
fn learned_weights_after_some_steps() {
    suite::learned_weights_after(&emulator(10), 20);
}

#[test]
fn an_embedding_moves_to_the_machine_and_back() {
    suite::an_embedding_moves_to_the_machine_and_back(&emulator(11));
}

#[test]
fn rows_beyond_2_to_the_32_floats_are_where_they_belong() {
    suite::rows_beyond_2_to_the_32_floats_are_where_they_belong(&emulator(12));
}

#[test]
fn memory_of_another_machine_is_refused() {
    suite::memory_of_another_machine_is_refused(&emulator(13), &emulator(14));
}

#[test]
fn networks_learn_as_on_the_cpu() {
    learner::networks_learn_as_on_the_cpu(&emulator(15), 100);
}

#[test]
fn networks_compute_on_the_machine_too() {
    let machine = emulator(23);
    tensors::networks_compute_on_the_machine_too(&machine, 100);
    assert!(machine.tensors() > 1000, "{} tensors", machine.tensors());
}

#[test]
fn records_by_themselves_are_learned_as_on_the_cpu() {
    learner::records_by_themselves_are_learned_as_on_the_cpu(&emulator(16));
}

#[test]
fn a_network_after_ten_thousand_steps() {
    learner::a_network_after(&emulator(17), 10_000);
}

#[test]
fn steps_too_far_are_counted_as_on_the_cpu() {
    learner::steps_too_far_are_counted_as_on_the_cpu(&emulator(18));
}

#[test]
fn a_stored_model_goes_on_on_the_other_side() {
    learner::a_stored_model_goes_on_on_the_other_side(&emulator(19));
}

#[test]
fn learners_that_do_not_fit_are_refused() {
    learner::learners_that_do_not_fit_are_refused(&emulator(20));
}

#[test]
fn what_has_failed_is_not_saved() {
    let machine = Failing::new(emulator(21));
    learner::what_has_failed_is_not_saved(&machine, |more| machine.fail_after(more));
}

#[test]
fn a_run_on_a_machine_that_fails_goes_on_from_what_was_stored() {
    let machine = Failing::new(emulator(22));
    learner::a_run_on_a_machine_that_fails_goes_on_from_what_was_stored(&machine, |more| {
        machine.fail_after(more)
    });
}

//! The kernels for CUDA where no device is: their text compiled by NVRTC for several devices, and run by an emulator on the CPU
//! beside the CPU's own kernels; and what is said where there is no driver.
//!
//! NVRTC is NVIDIA's library, fetched by `fixtures/cuda/nvrtc.sh` and found by `LD_LIBRARY_PATH`; without it the tests of `nvrtc` fail and
//! say so. On a device: `tests/cuda_device`, by `benches/cuda.sh`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod emulator;
mod nvrtc;
mod suite;

use emulator::emulator;

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

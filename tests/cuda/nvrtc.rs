//! The kernels compiled by NVRTC, and what is said where driver or device are missing.

use flexihash::kernel::cuda::{CudaError, Device, Kernel, VARIANTS, compile};
use std::process::Command;

const HOW: &str = "NVRTC is needed: fixtures/cuda/nvrtc.sh fetches it and prints the LD_LIBRARY_PATH to run these tests with";

#[test]
fn every_kernel_compiles_for_every_generation_of_devices() {
    for (target, vectors) in [("compute_70", 1), ("compute_80", 1), ("compute_90", 1)]
        .into_iter()
        .chain(VARIANTS.map(|vectors| ("compute_80", vectors)))
    {
        let text = compile(target, vectors).unwrap_or_else(|error| panic!("{error}\n{HOW}"));
        let text = String::from_utf8_lossy(&text).into_owned();
        let architecture = target.replace("compute", "sm");
        assert!(text.contains(&format!(".target {architecture}")), "{target}");
        for kernel in Kernel::all(vectors) {
            let entry = format!(".visible .entry {}(", kernel.full_name());
            assert!(text.contains(&entry), "{} for {target}", kernel.full_name());
        }
        assert!(!text.contains("fma.rn.f32") && !text.contains("mad.f32"), "each product and sum is rounded");
        assert!(
            text.contains("ld.global.v4.f32") || text.contains("ld.global.nc.v4.f32"),
            "four floats at a time"
        );
        assert!(!text.contains(".approx"), "division and root are exact");
    }
}

#[test]
fn machine_code_comes_for_a_device_that_the_compiler_knows() {
    let code = compile("sm_90", 1).unwrap_or_else(|error| panic!("{error}\n{HOW}"));
    assert!(code.starts_with(b"\x7fELF"));
}

#[test]
fn a_device_that_the_compiler_does_not_know_is_an_error() {
    let error = compile("compute_1", 1).unwrap_err();
    assert!(matches!(&error, CudaError::Compile { target, .. } if target == "compute_1"), "{error}\n{HOW}");
}

#[test]
fn a_missing_compiler_is_one_clear_sentence() {
    // The test above, where the compiler is not looked for in its folder. A system that has one of its own passes it.
    let test = "nvrtc::machine_code_comes_for_a_device_that_the_compiler_knows";
    let mut again = Command::new(std::env::current_exe().unwrap());
    let run = again.args(["--exact", test]).env_remove("LD_LIBRARY_PATH").output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let sentence = "NVRTC, which compiles the kernels, cannot be loaded: put libnvrtc.so.12";
    assert!(said.contains("1 passed") || said.contains(sentence), "{said}");
}

#[test]
fn no_driver_is_one_clear_sentence() {
    // A machine of CI has no driver; on one that has, a device far beyond is asked for.
    let error = Device::open(1000).unwrap_err().to_string();
    let said = [
        "no NVIDIA driver: libcuda.so.1 cannot be loaded",
        "the NVIDIA driver finds no device",
        "no CUDA device 1000: there are ",
    ];
    assert!(said.iter().any(|said| error.starts_with(said)), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

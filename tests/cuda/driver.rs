//! The real `Device`, and the command, on a driver that this processor plays (driver.cpp): what depends on what between two streams,
//! memory that comes and goes in their order, and what is said when something fails.
//!
//! A process has one driver, which it looks for in its own environment: each test of `Device` runs itself once more, as a process of its own.

use super::emulator::build;
use super::failing::Failing;
use super::support::{Scene, assert_same, failure, learned, stderr};
use super::{learner, often, suite};
use flexihash::kernel::cuda::{CudaError, Device, DeviceRows, RowsShape};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};

/// Set where the driver is.
const SEED: &str = "EMULATED_SEED";

/// `LD_LIBRARY_PATH` with the driver, built once.
fn path() -> &'static OsString {
    static PATH: OnceLock<OsString> = OnceLock::new();
    PATH.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver");
        std::fs::create_dir_all(&folder).unwrap();
        let shared = ["-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-soname,libcuda.so.1"];
        build("driver.cpp", "driver/libcuda.so", &shared);
        let before = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&before))).unwrap()
    })
}

/// `command` where the driver is, its chances drawn from `seed`.
fn beside_a_driver<'c>(command: &'c mut Command, seed: u64, settings: &[(&str, &str)]) -> &'c mut Command {
    let settings = settings.iter().copied();
    command.env("LD_LIBRARY_PATH", path()).env(SEED, seed.to_string()).envs(settings)
}

/// Runs the test of this name where the driver is, and there `body`.
fn on_a_driver(name: &str, settings: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(SEED).is_some() {
        return body();
    }
    for seed in [1, 2] {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let run = beside_a_driver(again.args(["--exact", &format!("driver::{name}")]), seed, settings)
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), stderr(&run));
        assert!(run.status.success() && said.contains("1 passed"), "seed {seed}, {}: {said}", run.status);
    }
}

fn device() -> Arc<Device> {
    Arc::new(Device::open(0).unwrap())
}

#[test]
fn rows_are_those_of_the_cpu() {
    on_a_driver("rows_are_those_of_the_cpu", &[], || {
        let device = device();
        suite::rows_are_summed_and_moved_as_on_the_cpu(&device, &[1, 3, 64, 100, 128, 300, 511]);
        suite::any_batch_is_summed_and_moved_as_on_the_cpu(&device, 100);
        suite::uses_are_sorted_by_slot_and_stay_in_order(&device, 20_000);
        suite::a_step_too_far_is_dropped_whole_and_counted(&device);
        suite::fresh_rows_are_those_of_the_cpu(&device);
        suite::lanes_learn_as_on_the_cpu(&device);
        suite::rows_beyond_2_to_the_32_floats_are_where_they_belong(&device);
    });
}

#[test]
fn rows_of_every_record_are_those_of_the_cpu() {
    on_a_driver("rows_of_every_record_are_those_of_the_cpu", &[], || {
        let device = device();
        often::rows_of_every_record_are_added_to_in_parts(&device, 5000);
        often::sums_too_large_are_dropped_and_counted(&device);
    });
}

#[test]
fn batches_and_memory_are_used_again() {
    on_a_driver("batches_and_memory_are_used_again", &[], || {
        let device = device();
        suite::memory_is_used_again(&device);
        suite::touched_rows_are_known(&device);
        suite::what_does_not_fit_is_refused(&device);
        suite::learned_weights_after(&device, 1000);
        suite::an_embedding_moves_to_the_machine_and_back(&device);
        suite::memory_of_another_machine_is_refused(&device, &self::device());
    });
}

#[test]
fn networks_learn_as_on_the_cpu() {
    on_a_driver("networks_learn_as_on_the_cpu", &[], || {
        let device = device();
        learner::networks_learn_as_on_the_cpu(&device, 300);
        learner::records_by_themselves_are_learned_as_on_the_cpu(&device);
        learner::a_network_after(&device, 2000);
        learner::steps_too_far_are_counted_as_on_the_cpu(&device);
        learner::a_stored_model_goes_on_on_the_other_side(&device);
        learner::learners_that_do_not_fit_are_refused(&device);
    });
}

#[test]
fn what_has_failed_is_not_saved() {
    on_a_driver("what_has_failed_is_not_saved", &[], || {
        let machine = Failing::new(device());
        learner::what_has_failed_is_not_saved(&machine, |more| machine.fail_after(more));
        let machine = Failing::new(device());
        learner::a_run_on_a_machine_that_fails_goes_on_from_what_was_stored(&machine, |more| {
            machine.fail_after(more)
        });
    });
}

#[test]
fn time_is_taken_on_the_device() {
    on_a_driver("time_is_taken_on_the_device", &[], || {
        let device = device();
        let rows = RowsShape { rows: 1000, dim: 8, floats: 1 };
        let seconds = device.time(|| DeviceRows::new(device.clone(), rows, None).map(|_| ())).unwrap();
        assert!((0.0..60.0).contains(&seconds), "{seconds}");
        assert_eq!(device.bandwidth(), 1e9 * 2.0 * 512.0);
    });
}

#[test]
fn a_full_device_is_one_clear_sentence_and_goes_on() {
    on_a_driver("a_full_device_is_one_clear_sentence_and_goes_on", &[("EMULATED_MEMORY", "1000000")], || {
        let device = device();
        let rows = |rows| DeviceRows::new(device.clone(), RowsShape { rows, dim: 10, floats: 1 }, None);
        let there = rows(10_000).unwrap();
        let error = rows(20_000).unwrap_err();
        assert_eq!(error, CudaError::Memory { bytes: 800_000 });
        assert_eq!(there.rows(&[9_999]).unwrap(), [0.0; 10]);
        drop(there);
        assert_eq!(rows(20_000).unwrap().rows(&[19_999]).unwrap(), [0.0; 10]);
    });
}

/// What a device that cannot be used is told by.
#[test]
fn what_is_no_device_for_us_is_one_clear_sentence() {
    let scene = scene();
    for (settings, device, sentence) in [
        (("EMULATED_DEVICES", "0"), "cuda", "the NVIDIA driver finds no device"),
        (("EMULATED_DEVICES", "2"), "cuda:2", "no CUDA device 2: there are 2, counted from 0"),
        (
            ("EMULATED_VERSION", "11080"),
            "cuda",
            "the NVIDIA driver is too old: it has CUDA 11.8, and 12.0 is needed",
        ),
        (
            ("EMULATED_CAPABILITY", "61"),
            "cuda",
            "Emulated device has compute capability 6.1, and 7.0 is needed",
        ),
        (("EMULATED_MEMORY", "1000"), "cuda", "the device has no room for"),
    ] {
        let args = format!("train in -m model -p out --config dot.toml --device {device}");
        let line = failure(&args, &run(&scene, &args, &[settings]));
        assert!(line.contains("--device cuda:") && line.contains(sentence), "{args}: {line}");
        assert!(!scene.path("model").exists() && !scene.path("out").exists(), "{args}");
        let args = "train in -m model --config dot.toml --device auto";
        let output = run(&scene, args, &[settings]);
        let said = stderr(&output);
        assert!(output.status.success(), "{args}: {said}");
        let falls = said.contains("--device auto takes the CPU: ");
        assert_eq!(falls, device != "cuda:2", "{settings:?}: {said}");
        assert!(!falls || said.contains(sentence), "{said}");
        std::fs::remove_dir_all(scene.path("model")).unwrap();
    }
}

/// A device that no compiler knows yet gets PTX of the last one before it.
#[test]
fn a_device_of_tomorrow_takes_todays_text() {
    on_a_driver("a_device_of_tomorrow_takes_todays_text", &[("EMULATED_CAPABILITY", "199")], || {
        suite::memory_is_used_again(&device());
    });
}

#[test]
fn the_command_learns_on_a_device_what_it_learns_on_the_cpu() {
    let scene = scene();
    scene.ok("train in -q -m cpu -p cpu.out --config dot.toml");
    let output = run(&scene, "train in -m there -p there.out --config dot.toml --device cuda", &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains("takes the CPU"), "{}", stderr(&output));
    assert_same("the model", &learned(&scene.path("there")), &learned(&scene.path("cpu")));
    assert_eq!(scene.text("there.out"), scene.text("cpu.out"));
}

#[test]
fn a_run_goes_on_after_a_device_broke_down() {
    let scene = scene();
    scene.ok("train in -q -m whole --config dot.toml");
    let whole = learned(&scene.path("whole"));
    for fault in ["1", "40", "150", "400"] {
        let model = format!("broken{fault}");
        let args = format!("train in -q -m {model} --config dot.toml --checkpoint-every 100 --device cuda");
        let line = failure(&args, &run(&scene, &args, &[("EMULATED_FAULT", fault)]));
        assert!(line.contains("CUDA: ") && line.contains("illegal memory access"), "{fault}: {line}");
        scene.ok(&format!("train in -q -m {model} --config dot.toml --resume"));
        assert_same(&model, &learned(&scene.path(&model)), &whole);
    }
}

/// Records, and a network for them.
fn scene() -> Scene {
    let scene = Scene::new();
    let record = |i: u32| {
        let (user, item) = (i * 7 % 31, i * 5 % 17);
        format!(
            "{{\"label\":{},\"features\":{{\"user\":{{\"id\":\"{user}\"}},\"item\":{{\"id\":\"{item}\"}}}}}}\n",
            i % 5
        )
    };
    scene.file("in", (0..500).map(record).collect::<String>());
    let field = |name: &str| {
        format!("[[fields]]\nname = \"{name}_id\"\nkind = \"id\"\npath = \"{name}.id\"\nbuckets = 100\n")
    };
    let network = "optimizer = \"adagrad\"\nbatch = 10\n[network]\nkind = \"dot\"\ndim = 4\n";
    scene.file("dot.toml", format!("{network}{}{}", field("user"), field("item")));
    scene
}

/// The command where the driver is.
fn run(scene: &Scene, args: &str, settings: &[(&str, &str)]) -> std::process::Output {
    beside_a_driver(&mut scene.flexihash(args.split_whitespace()), 3, settings).output().unwrap()
}

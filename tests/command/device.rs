//! `--device` on a machine without a GPU, built with the feature `cuda` and without it: refused with a line that says what to do, before
//! anything is written; only `auto` goes on on the CPU, and says so.

use crate::support::*;

const RECORD: &str = "{\"label\":3,\"features\":{\"user\":{\"id\":\"1\"},\"item\":{\"id\":\"2\"}}}\n";

/// A scene with records and a network, `dot.toml`.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.file("in", RECORD.repeat(50));
    let field = |name: &str| {
        format!("[[fields]]\nname = \"{name}_id\"\nkind = \"id\"\npath = \"{name}.id\"\nbuckets = 100\n")
    };
    let network = "optimizer = \"sgd\"\nbatch = 10\n[network]\nkind = \"dot\"\ndim = 4\n";
    scene.file("dot.toml", format!("{network}{}{}", field("user"), field("item")));
    scene
}

/// The command where no GPU is to be seen, if there is one.
fn without_gpu(scene: &Scene, args: &str) -> std::process::Output {
    scene.flexihash(args.split_whitespace()).env("CUDA_VISIBLE_DEVICES", "").output().unwrap()
}

/// Why there is none.
fn is_reason(line: &str) -> bool {
    match cfg!(all(feature = "cuda", feature = "network")) {
        true => line.contains("no NVIDIA driver: libcuda.so.1") || line.contains("finds no device"),
        false => line.contains("cargo build --release --features cuda,network"),
    }
}

#[test]
fn heads_are_refused_before_anything_is_written() {
    let scene = scene();
    for args in ["--device cuda", "--device cuda:3 --head fm", "--device cuda --learners 2"] {
        let args = format!("train in -m model -p out {args}");
        let line = failure(&args, &without_gpu(&scene, &args));
        assert!(
            line.contains("--device cuda:") && line.contains("learn a network (--config"),
            "{args}: {line}"
        );
        assert!(!scene.path("model").exists() && !scene.path("out").exists(), "{args}");
    }
    let output = without_gpu(&scene, "train in -m model --device auto");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert_eq!(said.matches("--device auto takes the CPU: a head predicts each record").count(), 1, "{said}");
}

#[test]
fn what_is_no_device_is_refused() {
    let scene = scene();
    for device in ["gpu", "cuda:", "cuda:-1", "CUDA"] {
        let output = without_gpu(&scene, &format!("train in -m model --device {device}"));
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("expected cpu, auto, cuda, or cuda:N"), "{}", stderr(&output));
    }
    scene.file("run.toml", "device = \"cuda:x\"");
    let line = scene.fails("train in --config run.toml");
    assert!(
        line.contains("device: expected cpu, auto, cuda, or cuda:N") && line.contains("got `cuda:x`"),
        "{line}"
    );
}

#[cfg(feature = "network")]
#[test]
fn a_missing_device_is_one_line_and_nothing_is_written() {
    let scene = scene();
    let config = scene.text("dot.toml");
    scene.file("there.toml", format!("device = \"cuda:1\"\n{config}"));
    for (args, shown) in [("--config dot.toml --device cuda", "cuda:0"), ("--config there.toml", "cuda:1")] {
        let args = format!("train in -m model -p out {args}");
        let line = failure(&args, &without_gpu(&scene, &args));
        assert!(line.contains(&format!("--device {shown}: ")) && is_reason(&line), "{args}: {line}");
        assert!(!scene.path("model").exists() && !scene.path("out").exists(), "{args}");
    }
    // What a model is does not depend on it, and a stored one is left as it is.
    scene.ok("train in -q -m model --config dot.toml --device cpu");
    let before = learned(&scene.path("model"));
    let args = "train in -q --resume -m model --device cuda";
    let line = failure(args, &without_gpu(&scene, args));
    assert!(is_reason(&line), "{line}");
    assert_same("not resumed", &learned(&scene.path("model")), &before);
    let inspected = scene.ok("inspect model --json");
    assert!(!String::from_utf8_lossy(&inspected.stdout).contains("device"));
}

#[cfg(feature = "network")]
#[test]
fn auto_goes_on_on_the_cpu_and_says_so() {
    let scene = scene();
    scene.ok("train in -q -m cpu -p cpu.out --config dot.toml");
    let output = without_gpu(&scene, "train in -m auto -p auto.out --config dot.toml --device auto");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let lines: Vec<&str> =
        said.lines().filter(|line| line.contains("--device auto takes the CPU: ")).collect();
    assert!(lines.len() == 1 && is_reason(lines[0]), "{said}");
    assert_same("auto", &learned(&scene.path("auto")), &learned(&scene.path("cpu")));
    assert_eq!(scene.text("auto.out"), scene.text("cpu.out"));
}

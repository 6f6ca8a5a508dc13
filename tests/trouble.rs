//! A world that fails: full disks, closed pipes, damaged files. One clear line, a non-zero exit, and the last good
//! checkpoint stays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// Goes on with a model after the trouble is over and compares it with one that never had any.
fn heals(scene: &Scene, model: &str) {
    scene.train("in -q -m undisturbed");
    scene.train(&format!("in -q -m {model} --resume"));
    assert_same(model, &learned(&scene.path("undisturbed")), &learned(&scene.path(model)));
}

#[test]
fn a_closed_standard_output_ends_the_run_and_the_last_checkpoint_stays() {
    let scene = Scene::new();
    scene.file("in", flights(30_000));
    scene.train("in -q -m trained");
    for args in ["train in -q -m model --checkpoint-every 100 -p -", "predict in -m trained", "embed in"] {
        let mut command = scene.flexihash(args.split_whitespace());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut head = [0; 5000];
        child.stdout.take().unwrap().read_exact(&mut head).unwrap();
        wait(&mut child, PATIENCE);
        let line = failure(args, &child.wait_with_output().unwrap());
        assert!(line.contains("standard output"), "{line}");
    }
    scene.ok("inspect model");
    scene.ok("train in -q -m model --resume");
    scene.ok("train in -q -m undisturbed");
    assert_same("model", &learned(&scene.path("undisturbed")), &learned(&scene.path("model")));
}

#[test]
fn a_full_disk_under_an_output_is_an_error_that_names_it() {
    let scene = Scene::new();
    scene.file("in", flights_with_faults(500, 10));
    for option in ["--predictions", "--dead-letters", "--summary"] {
        let line = scene.fails(&format!("train in -q -m model{option} --buckets 65536 {option} /dev/full"));
        assert!(line.contains("/dev/full") && line.contains("No space left"), "{line}");
    }
    scene.ok("inspect model--summary");
    scene.train("in -q -m trained");
    assert!(scene.fails("predict in -m trained -p /dev/full").contains("/dev/full"));
    for output in ["-p", "--dead-letters", "--summary"] {
        let line = scene.fails(&format!("train in -q -m never --buckets 65536 {output} missing/out"));
        assert!(line.contains("missing/out"), "{line}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = scene.flexihash(["inspect", "trained"]).stdout(full).output().unwrap();
    assert!(failure("inspect", &output).contains("standard output"));
}

/// Limits the size of files instead of filling a disk: that needs no right to mount one.
fn limited(scene: &Scene, blocks: u32, args: &str) -> Command {
    let script = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_flexihash")]).args(args.split_whitespace());
    command.current_dir(scene.dir.path()).env_remove("FLEXIHASH_HASH_KEY").stdin(Stdio::null());
    command
}

#[test]
fn a_checkpoint_that_finds_no_room_leaves_the_one_before() {
    let scene = Scene::new();
    let records = flights(3000);
    let tenth = records.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(299).unwrap().0 + 1;
    scene.file("in", &records[..tenth]);
    scene.train("in -q -m model");
    let before = state(&scene.path("model"));
    scene.file("in", &records);
    // Blocks are 512 or 1024 bytes, as the shell likes; 40 hold no delta of 2,700 records.
    let output = limited(&scene, 40, "train in -q -m model --resume").output().unwrap();
    let line = failure("no room", &output);
    assert!(line.contains("cannot write") && line.contains("model"), "{line}");
    assert_same("the generation before", &before, &state(&scene.path("model")));
    heals(&scene, "model");
}

#[test]
fn an_output_file_that_may_not_grow_is_an_error_that_names_it() {
    let scene = Scene::new();
    scene.file("in", flights(3000));
    for args in ["train in -q -p out", "embed in -o out.npy", "embed in -o out.jsonl"] {
        let output = limited(&scene, 40, args).output().unwrap();
        let line = failure(args, &output);
        assert!(line.contains("out"), "{line}");
    }
}

#[test]
fn a_model_folder_that_cannot_be_one_is_refused() {
    let scene = Scene::new();
    scene.file("in", flights(10));
    scene.file("file", "in its place");
    std::fs::create_dir(scene.path("foreign")).unwrap();
    scene.file("foreign/letter.txt", "not a model");
    for (model, expected) in [("file", "file"), ("file/below", "file"), ("foreign", "not a model folder")] {
        for args in [
            format!("train in -m {model}"),
            format!("train in -m {model} --resume"),
            format!("predict in -m {model}"),
            format!("inspect {model}"),
            format!("embed in -m {model}"),
        ] {
            let line = scene.fails(&args);
            assert!(line.contains(expected), "{args}: {line}");
        }
    }
    assert!(scene.fails("predict in -m nowhere").contains("nowhere"));
    std::fs::create_dir(scene.path("empty")).unwrap();
    assert!(scene.fails("predict in -m empty").contains("empty"));
    assert_eq!(scene.text("file"), "in its place");
}

/// Copies a model folder, so that one file of it can be damaged.
fn copy(from: &Path, to: &Path) -> Vec<PathBuf> {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        files.push(to.join(name));
    }
    files.sort();
    files
}

#[test]
fn a_model_damaged_anywhere_is_named_and_never_used() {
    let scene = Scene::new();
    scene.file("in", flights(600));
    scene.file("secret", "00000000000000000000000000000001");
    scene.train("in -q -m good --head fm --dim 4 --keep 1 --hash-key-file secret");
    let (good, bad) = (scene.path("good"), scene.path("bad"));
    let mut dice = Dice(3);
    let count = copy(&good, &bad).len();
    let mut damaged = 0;
    for index in 0..count {
        for damage in ["flip", "flip", "flip", "cut", "empty", "longer", "foreign", "missing"] {
            let path = copy(&good, &bad).swap_remove(index);
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // The lock says only who was here. A key file may be read without its line end.
            if name == "LOCK" || (name == "hash.key" && matches!(damage, "flip" | "longer" | "missing")) {
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap();
            match damage {
                "flip" => {
                    let at = dice.roll(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << dice.roll(8);
                }
                "cut" => bytes.truncate(bytes.len() / 2),
                "longer" => bytes.push(b'x'),
                "foreign" => bytes = b"\x93NUMPY and something else\n".to_vec(),
                _ => bytes.clear(),
            }
            if damage == "missing" {
                std::fs::remove_file(&path).unwrap();
            } else {
                std::fs::write(&path, bytes).unwrap();
            }
            for args in ["train in -q -m bad --resume", "predict in -m bad", "inspect bad", "embed in -m bad"]
            {
                // Without its manifest a folder is an empty one, to train in.
                if damage == "missing" && name.contains("manifest") && args.starts_with("train") {
                    continue;
                }
                let line = scene.fails(args);
                assert!(line.contains("bad"), "{damage} {name}, {args}: {line}");
                damaged += 1;
            }
        }
    }
    assert!(damaged > 80, "{damaged}");
}

#[test]
fn input_that_cannot_be_read_is_refused_before_anything_starts() {
    let scene = Scene::new();
    scene.file("in", flights(10));
    std::fs::create_dir(scene.path("folder")).unwrap();
    scene.train("in -q -m trained");
    for (input, expected) in
        [("missing", "missing"), ("folder", "folder"), ("in missing", "missing"), ("in in", "twice")]
    {
        for args in [
            format!("train {input} -m model"),
            format!("predict {input} -m trained"),
            format!("embed {input}"),
        ] {
            let line = scene.fails(&args);
            assert!(line.contains(expected), "{args}: {line}");
        }
        assert!(!scene.path("model").exists());
    }
}

#[test]
fn corrupt_compression_ends_the_run_after_what_came_before() {
    let scene = Scene::new();
    let records = flights(20_000);
    scene.file("in", &records);
    let position = |model: &str| {
        let json = scene.ok(&format!("inspect {model} --json")).stdout;
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        json["summary"]["records"].as_u64().unwrap()
    };
    for (name, packed) in [("in.gz", gzip(&records)), ("in.zst", zst(&records))] {
        let (mut flipped, half) = (packed.clone(), packed.len() / 2);
        flipped[half..half + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
        for (damage, bytes) in [("flipped", flipped), ("cut", packed[..half].to_vec())] {
            let model = format!("{name}.{damage}");
            scene.file(name, bytes);
            let line = scene.fails(&format!("train {name} -q -m {model} -p {model}.out --buckets 65536"));
            assert!(line.contains(name) && line.contains("line"), "{line}");
            let learned_records = position(&model);
            assert!((1000..20_000).contains(&learned_records), "{model}: {learned_records}");
            assert_eq!(scene.text(&format!("{model}.out")).lines().count() as u64, learned_records);
            if (name, damage) == ("in.gz", "flipped") {
                continue; // gzip notices only at its end: what it made of the flipped bytes was read as records
            }
            scene.file(name, &packed);
            scene.train(&format!("{name} -q -m {model} -p {model}.out --resume"));
            scene.train(&format!("in -q -m {model}.whole"));
            let whole = learned(&scene.path(&format!("{model}.whole")));
            assert_same(&model, &whole, &learned(&scene.path(&model)));
        }
    }
}

/// Generations come and go while others read them.
#[test]
fn a_model_is_read_at_any_moment_while_it_is_trained() {
    let scene = Scene::new();
    scene.file("in", flights(30_000));
    scene.file("few", flights(3));
    scene.train("few -q -m model");
    let args = "in -q -m model --resume --checkpoint-every 100 --checkpoint-every 1ms --keep 1";
    let mut child = scene.flexihash(words("train", args).chain(SMALL)).spawn().unwrap();
    let mut reads = 0;
    while child.try_wait().unwrap().is_none() {
        assert_eq!(scene.ok("predict -m model few").stdout.split(|&b| b == b'\n').count(), 4);
        assert!(scene.ok("inspect model --json").stdout.starts_with(b"{"));
        reads += 1;
    }
    assert!(child.wait().unwrap().success());
    assert!(reads > 0);
    println!("{reads} reads beside the trainer");
}

#[test]
fn an_output_that_was_cut_since_the_checkpoint_is_an_error() {
    let scene = Scene::new();
    scene.file("in", flights(300));
    scene.train("in -q -m model -p out");
    let out = scene.read("out");
    scene.file("out", &out[..out.len() - 10]);
    let line = scene.fails("train in -q -m model -p out --resume");
    assert!(line.contains("out") && line.contains("shorter"), "{line}");
    assert_eq!(scene.read("out"), out[..out.len() - 10]);
}

//! The hash key is a secret: it decides the model, and nothing shows it.

use crate::support::*;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Everything that a run printed or wrote, the key's own file aside, must be without the key in any usual form.
fn assert_hidden(scene: &Scene, what: &str, mut command: Command) {
    let output = command.env("FLEXIHASH_LOG", "trace").env("RUST_LOG", "trace").output().unwrap();
    let mut shown = [output.stdout.clone(), output.stderr.clone()].concat();
    let mut folders = vec![scene.dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("hash.key") && !path.ends_with("secret") {
                shown.extend(std::fs::read(path).unwrap());
            }
        }
    }
    let raw: Vec<u8> = (0..16).map(|i| u8::from_str_radix(&KEY[2 * i..2 * i + 2], 16).unwrap()).collect();
    let decimal = format!("{:?}", raw).into_bytes();
    for form in
        [KEY.as_bytes(), KEY.to_uppercase().as_bytes(), &raw, &decimal, &decimal[1..decimal.len() - 1]]
    {
        assert!(!shown.windows(form.len()).any(|window| window == form), "{what} shows the key");
    }
}

#[test]
fn the_key_is_nowhere_but_in_its_own_file() {
    let scene = Scene::new();
    scene.file("in", flights_with_faults(300, 100));
    scene.file("secret", format!("{KEY}\n"));
    let outputs = "--summary summary.json -p out --dead-letters dead --checkpoint-every 100 --buckets 65536";
    let commands = [
        (format!("train in -m by-file --hash-key-file secret {outputs}"), false),
        (format!("train in -m by-env {outputs}"), true),
        (format!("train in -m by-env --resume {outputs}"), true),
        ("predict in -m by-file".to_owned(), false),
        ("inspect by-file".to_owned(), false),
        ("inspect by-env --json".to_owned(), true),
        ("embed in".to_owned(), true),
        // Errors may not show it either: a wrong key, a damaged key file.
        ("train in -m by-file --resume --seed 9".to_owned(), true),
        ("train in --hash-key-file in".to_owned(), true),
    ];
    for (args, environment) in commands {
        let mut command = scene.flexihash(args.split_whitespace());
        if environment {
            command.env("FLEXIHASH_HASH_KEY", KEY);
        }
        assert_hidden(&scene, &args, command);
    }
    for model in ["by-file", "by-env"] {
        let path = scene.path(model).join("hash.key");
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), KEY);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_same("models", &learned(&scene.path("by-file")), &learned(&scene.path("by-env")));
    let text = String::from_utf8(scene.ok("inspect by-file").stdout).unwrap();
    assert!(text.contains("secret") && text.lines().any(|line| line.starts_with("hash key")), "{text}");
}

#[test]
fn a_bad_key_is_not_repeated() {
    let scene = Scene::new();
    scene.file("in", flights(5));
    let typo = &KEY[1..];
    scene.file("short", typo);
    let line = scene.fails("train in --hash-key-file short");
    assert!(line.contains("32 hexadecimal digits") && !line.contains(typo), "{line}");
    let output = scene.flexihash(["train", "in"]).env("FLEXIHASH_HASH_KEY", typo).output().unwrap();
    let line = failure("environment", &output);
    assert!(line.contains("FLEXIHASH_HASH_KEY") && !line.contains(typo), "{line}");
}

#[test]
fn another_key_cannot_go_on_with_a_model() {
    let scene = Scene::new();
    scene.file("in", flights(300));
    scene.file("secret", KEY);
    scene.file("other", "00000000000000000000000000000001");
    scene.train("in -m model --hash-key-file secret");
    let before = state(&scene.path("model"));
    let line = scene.fails("train in -m model --resume --hash-key-file other");
    assert!(line.contains("hash key"), "{line}");
    // Without a key the model's own is taken.
    scene.train("in -m model --resume");
    scene.train("in -m model --resume --hash-key-file secret");
    assert_same("nothing new was there to learn", &before, &state(&scene.path("model")));
    scene.train("in -m public");
    assert!(scene.fails("train in -m public --resume --hash-key-file secret").contains("hash key"));
    assert_ne!(learned(&scene.path("public")), learned(&scene.path("model")));
}

/// A run that was killed before its first checkpoint leaves a folder with a key and no generation.
#[test]
fn a_key_that_was_stored_before_the_first_checkpoint_is_the_model_s() {
    let scene = Scene::new();
    scene.file("in", flights(300));
    scene.file("secret", KEY);
    scene.train("in -m whole --hash-key-file secret");
    std::fs::create_dir(scene.path("begun")).unwrap();
    std::fs::copy(scene.path("whole/hash.key"), scene.path("begun/hash.key")).unwrap();
    scene.train("in -m begun --resume");
    assert_same("model", &learned(&scene.path("whole")), &learned(&scene.path("begun")));
    std::fs::create_dir(scene.path("other")).unwrap();
    std::fs::copy(scene.path("whole/hash.key"), scene.path("other/hash.key")).unwrap();
    scene.file("zero", "00000000000000000000000000000001");
    assert!(scene.fails("train in -m other --resume --hash-key-file zero").contains("hash key"));
}

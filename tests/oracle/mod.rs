//! Oracle files: numbers computed by the reference systems, found and told apart.
//!
//! The folder is `fixtures/oracle`, or the one named by `FLEXIHASH_ORACLES`: more files of the same schemas may be
//! put there under other names. So a file's kind is read from its own `file` field, else from its name, else from
//! the fields it has, and every file of a kind is run.

use serde::de::DeserializeOwned;
use serde_json::Value;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What an oracle file is about. Each test crate runs some of these and leaves the others alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "every test crate that includes this module asks for other kinds")]
pub(crate) enum Kind {
    FeatureHasher,
    Siphash,
    Mmh3,
    FlexiHashEmbedding,
    Recommenders,
}

impl Kind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::FeatureHasher, "feature_hasher"),
        (Self::Siphash, "siphash"),
        (Self::Mmh3, "mmh3"),
        (Self::FlexiHashEmbedding, "flexi_hash_embedding"),
        (Self::Recommenders, "recommenders"),
    ];

    fn of(name: &str, content: &Value) -> Option<Self> {
        let declared = content.get("file").and_then(Value::as_str).unwrap_or("");
        Self::by_name(declared).or_else(|| Self::by_name(name)).or_else(|| Self::by_shape(content))
    }

    /// `siphash.json`, `siphash_2.json`, `some/folder/siphash-hidden.json`.
    fn by_name(name: &str) -> Option<Self> {
        let bare = Path::new(name).file_name()?.to_str()?;
        Self::ALL.iter().find(|(_, prefix)| bare.starts_with(prefix)).map(|(kind, _)| *kind)
    }

    fn by_shape(content: &Value) -> Option<Self> {
        let has = |keys: &[&str]| keys.iter().all(|key| content.get(key).is_some());
        let first = |list: &str, key: &str| content.get(list).and_then(|l| l.get(0)?.get(key)).is_some();
        if has(&["items", "rows", "row_order_exact", "cases"]) {
            Some(Self::FeatureHasher)
        } else if first("vectors", "siphash_1_3") {
            Some(Self::Siphash)
        } else if has(&["n_buckets", "ids", "strings"]) {
            Some(Self::Mmh3)
        } else if first("cases", "output_reference") && first("cases", "n_features") {
            Some(Self::FlexiHashEmbedding)
        } else if first("cases", "user_row") && first("cases", "item_row") {
            Some(Self::Recommenders)
        } else {
            None
        }
    }
}

/// Runs `check` over every file of `kind` and prints `oracle FILE: N cases ok` for each, N being what `check`
/// returns. Fails if the folder holds no oracle of any known kind, if a file has no case, and, in the project's own
/// folder, if `kind` is missing.
pub(crate) fn run<T: DeserializeOwned>(kind: Kind, check: impl Fn(T) -> usize) {
    let (folder, own) = match env::var_os("FLEXIHASH_ORACLES") {
        Some(folder) if !folder.is_empty() => (PathBuf::from(folder), false),
        _ => (Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/oracle"), true),
    };
    let known = known_files(&folder);
    assert!(!known.is_empty(), "{}: no oracle file of a known kind", folder.display());
    let mine = known.into_iter().filter(|(of, ..)| *of == kind).collect::<Vec<_>>();
    assert!(!(own && mine.is_empty()), "{}: no oracle of {kind:?}", folder.display());
    for (_, name, content) in mine {
        let file = T::deserialize(content).unwrap_or_else(|error| panic!("{name}: not the schema: {error}"));
        let cases = check(file);
        assert!(cases > 0, "{name}: no cases");
        // Not println!, which the test harness swallows; on a line of its own whatever the harness has begun.
        let line = format!("\noracle {name}: {cases} cases ok\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

fn known_files(folder: &Path) -> Vec<(Kind, String, Value)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths = entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    paths.retain(|path| path.is_file() && path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    paths.iter().filter_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Option<(Kind, String, Value)> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let content = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some((Kind::of(&name, &content)?, name, content))
}

#[test]
fn oracle_kind_is_told_by_field_then_name_then_shape() {
    let kind = |name: &str, json: &str| Kind::of(name, &serde_json::from_str(json).unwrap());
    assert_eq!(kind("x.json", r#"{"file":"mmh3_2.json"}"#), Some(Kind::Mmh3));
    assert_eq!(kind("siphash_9.json", r#"{"file":"nine.json"}"#), Some(Kind::Siphash));
    assert_eq!(kind("x.json", r#"{"vectors":[{"siphash_1_3":""}]}"#), Some(Kind::Siphash));
    assert_eq!(kind("recommenders.json", r#"{"cases":[]}"#), Some(Kind::Recommenders));
    assert_eq!(kind("x.json", r#"{"file":"dhe_encoding.json","cases":[]}"#), None);
}

/// Lower- or upper-case hexadecimal digits to bytes.
#[allow(dead_code, reason = "not every oracle has bytes in it")]
pub(crate) fn bytes_of_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "an odd number of digits: {hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

//! What commands share about their input: which, and the hash key.

use crate::error::{CommandError, usage};
use flexihash::hash::HashKey;
use flexihash::record::{Fetch, RecordBatch, Source};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The environment variable that may hold the hash key.
const KEY_VARIABLE: &str = "FLEXIHASH_HASH_KEY";

/// The inputs, `-` if none is named and something is piped in.
pub(crate) fn or_stdin(inputs: Vec<PathBuf>) -> Result<Vec<PathBuf>, CommandError> {
    if !inputs.is_empty() {
        return Ok(inputs);
    }
    if std::io::stdin().is_terminal() {
        return Err(usage("no input: name files of JSON lines, or pipe them in"));
    }
    Ok(vec![PathBuf::from("-")])
}

/// Reads `source` to its end, or until `stop` is set, and hands each batch to `take`: for commands that answer records as they come.
pub(crate) fn each_batch(
    source: &mut dyn Source,
    stop: &AtomicBool,
    mut take: impl FnMut(&RecordBatch) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut records = RecordBatch::default();
    while !stop.load(Ordering::Relaxed) {
        match source.fetch(&mut records)? {
            Fetch::End | Fetch::Lost => break,
            Fetch::Idle => continue,
            Fetch::Drain => source.release()?, // nothing is under way
            Fetch::Records => take(&records)?,
        }
    }
    Ok(())
}

/// The hash key from a file, else from the environment, if there is one. Never repeats what it read.
pub(crate) fn hash_key(file: Option<&Path>) -> Result<Option<HashKey>, CommandError> {
    if let Some(path) = file {
        let text =
            std::fs::read_to_string(path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
        return HashKey::from_hex(&text)
            .map(Some)
            .map_err(|error| usage(format!("{}: {error}", path.display())));
    }
    match std::env::var(KEY_VARIABLE) {
        Ok(text) => {
            HashKey::from_hex(&text).map(Some).map_err(|error| usage(format!("{KEY_VARIABLE}: {error}")))
        }
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(usage(format!("{KEY_VARIABLE}: not UTF-8"))),
    }
}

/// The file that `path` names, in one spelling; it need not exist. `None`: standard output, or no such folder.
pub(crate) fn identity(path: &Path) -> Option<PathBuf> {
    if path.as_os_str() == "-" {
        return None;
    }
    let in_folder = || {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(in_folder)
}

/// Refuses outputs that would overwrite an input or each other, or whose folder is missing: at once, rather than after
/// hours. The folder of the model may be missing: it is made before outputs are opened.
pub(crate) fn check_outputs<const N: usize>(
    inputs: &[PathBuf],
    outputs: [&Option<PathBuf>; N],
    model: Option<&Path>,
) -> Result<(), CommandError> {
    let outputs: Vec<&PathBuf> = outputs.into_iter().flatten().collect();
    for (i, path) in outputs.iter().enumerate() {
        let refuse = |reason: &str| Err(usage(format!("{}: {reason}", path.display())));
        let file = identity(path);
        let in_model = model.is_some_and(|model| path.starts_with(model));
        if file.is_none() && path.as_os_str() != "-" && !in_model {
            return refuse("cannot be written: its folder is missing");
        }
        let same = |other: &Path| other == *path || (file.is_some() && identity(other) == file);
        if outputs.iter().take(i).any(|other| same(other)) {
            return refuse("two outputs cannot share a file");
        }
        if file.is_some_and(|file| {
            file.is_file() && inputs.iter().any(|input| identity(input) == Some(file.clone()))
        }) {
            return refuse("is an input: it would be overwritten");
        }
    }
    Ok(())
}

/// Parse threads: processors less one for the learner, which parses by itself if there is no other.
pub(crate) fn parse_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1))
}

//! Removing what nothing needs: older generations, and what failed commits and crashes left.

use super::error::CheckpointError;
use super::folder::ModelDir;
use super::name::{Name, TEMPORARY};
use super::storage::Storage;
use std::collections::BTreeSet;

/// What is to stay.
pub(super) struct Sweep<'a> {
    pub(super) folder: &'a ModelDir,
    pub(super) storage: &'a Storage,
    /// Number of newest generations that stay.
    pub(super) keep: usize,
    /// Files that no manifest names yet, and that somebody is working on.
    pub(super) in_work: BTreeSet<String>,
}

impl Sweep<'_> {
    /// Removes older manifests, then every file of ours that no manifest left names. Goes on after an error and
    /// returns the first: nothing depends on a file being gone.
    pub(super) fn run(self) -> Result<(), CheckpointError> {
        let mut first_error = Ok(());
        let mut remove = |name: &str| {
            let removed = self.storage.remove(name);
            if first_error.is_ok() {
                first_error = removed;
            }
        };
        let mut generations = self.folder.generations()?;
        let kept = generations.split_off(generations.len().saturating_sub(self.keep));
        generations.iter().for_each(|&old| remove(&Name::Manifest(old).to_string()));
        let needed = self.needed(&kept);
        for name in self.folder.list()? {
            if self.is_left_over(&name, needed.as_ref()) {
                remove(&name);
            }
        }
        first_error
    }

    /// Names of the files that the generations `kept` need. `None` if one of them cannot say.
    fn needed(&self, kept: &[u64]) -> Option<BTreeSet<String>> {
        let mut needed = BTreeSet::new();
        for &generation in kept {
            match self.folder.manifest(generation) {
                Ok(manifest) => needed.extend(manifest.files().into_iter().map(str::to_owned)),
                Err(damage) => {
                    let name = Name::Manifest(generation).to_string();
                    tracing::warn!("{name}: {damage}; files that it may need are kept");
                    return None;
                }
            }
        }
        Some(needed)
    }

    fn is_left_over(&self, name: &str, needed: Option<&BTreeSet<String>>) -> bool {
        let whole = name.strip_suffix(TEMPORARY).unwrap_or(name);
        match Name::parse(whole) {
            None => false,
            Some(_) if self.in_work.contains(whole) => false,
            Some(_) if whole != name => true,
            Some(Name::Lock | Name::Key | Name::Id | Name::Manifest(_)) => false,
            Some(_) => needed.is_some_and(|needed| !needed.contains(whole)),
        }
    }
}

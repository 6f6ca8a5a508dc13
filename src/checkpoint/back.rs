//! Where another commit point than the folder's own decides: who the model is there, and going back to what counts.
//!
//! A model that learns from a consumer group is committed by a transaction on the broker, after its generation is durable
//! here. Between the two stands one generation that may never come to count; it is this that
//! [`Writer::go_back_to`] takes away. The generation before is there, because a folder keeps two.

use super::error::CheckpointError;
use super::name::Name;
use super::storage::{Access, Operation};
use super::writer::Writer;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;

impl Writer {
    /// What the model is called in its group: 32 hexadecimal digits, drawn at the first call and kept in the folder.
    /// True if they were there.
    pub fn member_id(&self) -> Result<(String, bool), CheckpointError> {
        let path = self.storage.path(Name::Id);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let id = text.trim_end();
                let fits = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
                if fits { Ok((id.to_owned(), true)) } else { Err(CheckpointError::NotAnId { path }) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = format!("{:016x}{:016x}", random(), random());
                let mut file = self.storage.create(Name::Id, Access::Default)?;
                file.append(id.as_bytes())?;
                file.append(b"\n")?;
                file.finish()?;
                self.storage.sync_folder()?;
                Ok((id, false))
            }
            Err(cause) => Err(CheckpointError::Io { operation: Operation::Read, path, cause }),
        }
    }

    /// Makes `generation` the newest again, durably: those after it never were. 0: none was. To be called before a model is
    /// loaded. Fails, with everything as it was, if the folder does not hold it.
    pub fn go_back_to(&mut self, generation: u64) -> Result<(), CheckpointError> {
        let found = self.folder.generations()?;
        if generation != 0 && !found.contains(&generation) {
            let path = self.folder.path().to_owned();
            return Err(CheckpointError::NoGeneration { path, wanted: generation, found });
        }
        // The newest first: at every instant what is left is a folder as it once was.
        for &newer in found.iter().rev().take_while(|&&newer| newer > generation) {
            tracing::warn!(generation = newer, "discarded: it was never committed");
            self.storage.remove(&Name::Manifest(newer).to_string())?;
        }
        self.storage.sync_folder()?;
        self.current = self.folder.latest()?.map(|generation| generation.manifest().clone());
        self.sweep(usize::MAX);
        Ok(())
    }
}

/// 64 bits that no other process draws: the system's randomness by way of the standard hash map's keys.
fn random() -> u64 {
    RandomState::new().hash_one(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::super::{ModelDir, Snapshot};
    use super::*;

    fn commit(writer: &mut Writer) -> u64 {
        writer.commit(Snapshot::default()).unwrap().generation
    }

    #[test]
    fn what_was_never_committed_is_gone_and_its_number_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let mut writer = Writer::create_or_open(&path, 2).unwrap();
        assert_eq!((commit(&mut writer), commit(&mut writer)), (1, 2));
        writer.go_back_to(1).unwrap();
        assert_eq!(writer.manifest().unwrap().generation, 1);
        assert_eq!(ModelDir::open(&path).unwrap().generations().unwrap(), [1]);
        assert!(!path.join("g0000000002.state.safetensors").exists());
        assert_eq!(commit(&mut writer), 3);
        writer.go_back_to(0).unwrap();
        assert!(writer.manifest().is_none() && writer.latest().unwrap().is_none());
        assert_eq!(commit(&mut writer), 4);
    }

    #[test]
    fn a_generation_that_is_not_there_is_an_error_that_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create_or_open(folder.path().join("model"), 2).unwrap();
        commit(&mut writer);
        let error = writer.go_back_to(7).unwrap_err().to_string();
        assert!(error.contains("generation 7 was committed, but the folder holds [1]"), "{error}");
        assert_eq!(writer.manifest().unwrap().generation, 1);
    }

    #[test]
    fn a_member_keeps_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let writer = Writer::create_or_open(&path, 2).unwrap();
        let (id, known) = writer.member_id().unwrap();
        assert!(!known && id.len() == 32);
        assert_eq!(writer.member_id().unwrap(), (id.clone(), true));
        drop(writer);
        let writer = Writer::create_or_open(&path, 2).unwrap();
        assert_eq!(writer.member_id().unwrap(), (id, true));
        let other = Writer::create_or_open(folder.path().join("other"), 2).unwrap();
        assert_ne!(other.member_id().unwrap().0, writer.member_id().unwrap().0);
    }
}

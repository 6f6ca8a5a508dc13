//! A file or standard output that lines go to.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

/// Output that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {what}: {cause}")]
pub struct SinkError {
    /// The path, or `standard output`.
    pub name: String,
    /// What was being done.
    pub what: &'static str,
    /// Why it failed.
    #[source]
    pub cause: io::Error,
}

#[derive(Debug)]
enum Target {
    Stdout(io::Stdout),
    File(File),
}

/// See the [module](super).
#[derive(Debug)]
pub struct LinesSink {
    path: PathBuf,
    target: Target,
    length: u64,
    /// The file's name is durable, not only its content.
    named: bool,
}

impl LinesSink {
    /// Opens `path`, or standard output for `-`. A file is cut back to `keep` bytes (0: started afresh) and written
    /// from there on; one that is shorter than that is an error, for lines would be missing.
    pub fn open(path: &Path, keep: u64) -> Result<Self, SinkError> {
        let path = path.to_owned();
        if path.as_os_str() == "-" {
            return Ok(Self { path, target: Target::Stdout(io::stdout()), length: 0, named: true });
        }
        let name = path.display().to_string();
        let error = |what| {
            let name = name.clone();
            move |cause| SinkError { name, what, cause }
        };
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(error("cannot be opened for writing"))?;
        let metadata = file.metadata().map_err(error("cannot be examined"))?;
        if metadata.is_file() {
            if metadata.len() < keep {
                let cause = io::Error::other(format!("{} bytes, expected at least {keep}", metadata.len()));
                return Err(error("is shorter than at the checkpoint that is resumed")(cause));
            }
            file.set_len(keep).map_err(error("cannot be cut back"))?;
            file.seek(io::SeekFrom::Start(keep)).map_err(error("cannot be cut back"))?;
        }
        Ok(Self { path, target: Target::File(file), length: keep, named: false })
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far, those kept at opening included; 0 for standard output, which cannot be cut back.
    pub fn length(&self) -> Option<u64> {
        matches!(self.target, Target::File(_)).then_some(self.length)
    }

    /// Writes whole lines and hands them to the system.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        let written = match &mut self.target {
            Target::Stdout(stdout) => stdout.write_all(lines).and_then(|()| stdout.flush()),
            Target::File(file) => file.write_all(lines),
        };
        self.length += lines.len() as u64;
        written.map_err(|cause| self.error("cannot be written", cause))
    }

    /// Makes what was written durable, where that means something.
    pub fn sync(&mut self) -> Result<(), SinkError> {
        let synced = match &self.target {
            Target::File(file) if file.metadata().is_ok_and(|m| m.is_file()) => {
                file.sync_all().and_then(|()| if self.named { Ok(()) } else { sync_name(&self.path) })
            }
            _ => Ok(()),
        };
        self.named |= synced.is_ok();
        synced.map_err(|cause| self.error("cannot be made durable", cause))
    }

    fn error(&self, what: &'static str, cause: io::Error) -> SinkError {
        let stdout = matches!(self.target, Target::Stdout(_));
        let name = if stdout { "standard output".to_owned() } else { self.path.display().to_string() };
        SinkError { name, what, cause }
    }
}

/// Makes the name of a new file durable: a checkpoint that counts on its lines must not outlive it in a power cut.
fn sync_name(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if cfg!(unix) { File::open(parent.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_file_is_cut_back_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut sink = LinesSink::open(&path, 0).unwrap();
        sink.write(b"one\ntwo\nthree\n").unwrap();
        sink.sync().unwrap();
        assert_eq!(sink.length(), Some(14));
        let mut sink = LinesSink::open(&path, 8).unwrap();
        sink.write(b"3\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n3\n");
        assert_eq!(sink.length(), Some(10));
        let error = LinesSink::open(&path, 11).unwrap_err().to_string();
        assert!(error.contains("10 bytes, expected at least 11"), "{error}");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut sink = LinesSink::open(Path::new("/dev/full"), 0).unwrap();
        assert!(sink.write(b"line\n").unwrap_err().to_string().contains("/dev/full"));
    }
}

//! Columns that arrive side by side, written to one file in which they lie one after the other.
//!
//! The rows of a cut come in ascending order, each with its side column and its slot; their file holds first all rows,
//! then all side columns, then all slots. How long each column will be is known when the cut has begun, so each has its
//! place: the first is streamed, the others are gathered in a buffer each, which is written ahead at its place when it is
//! full. A file whose other columns fit their buffers is written from its first byte to its last.
//!
//! The checksum goes over the bytes in the order of the file, so what was written ahead is read back when the columns
//! before it are complete; the system holds most of it in memory still. A second checksum, taken before the bytes were
//! written, says whether the same came back: else a disk that lost some of them would get a checksum that hides it.
//!
//! Memory: the file's own buffer, one for each further column, and one to read back, of a quarter of a MiB each, however
//! long the columns are.

use super::error::CheckpointError;
use super::storage::{FileWriter, StoredFile};
use sha2::{Digest, Sha256};

/// A file and the columns that are yet to be written to it.
pub(super) struct ColumnsWriter<'a> {
    file: FileWriter<'a>,
    later: Vec<Later>,
    /// Bytes of a later column that are gathered.
    room: usize,
}

/// A column that follows another.
struct Later {
    /// Where its next bytes lie.
    at: u64,
    gathered: Vec<u8>,
    /// Bytes written ahead, and their checksum.
    ahead: u64,
    sha: Sha256,
}

impl<'a> ColumnsWriter<'a> {
    /// Columns of `lengths` bytes that follow what was appended to `file`.
    pub(super) fn new(file: FileWriter<'a>, lengths: &[u64]) -> Self {
        let room = file.gathered();
        let mut at = file.position();
        let starts = lengths.iter().map(|length| {
            at += length;
            at
        });
        let later = |at| Later { at, gathered: Vec::new(), ahead: 0, sha: Sha256::new() };
        let later = starts.take(lengths.len().saturating_sub(1)).map(later).collect();
        Self { file, later, room }
    }

    /// Appends little-endian words to a column, by its number. The caller does not exceed its length.
    pub(super) fn append(&mut self, column: usize, words: &[u32]) -> Result<(), CheckpointError> {
        let Some(index) = column.checked_sub(1) else { return self.file.append_words(words) };
        let Some(later) = self.later.get_mut(index) else { return Ok(()) };
        for words in words.chunks((self.room / 4).max(1)) {
            if later.gathered.len() + words.len() * 4 > self.room {
                later.write_ahead(&mut self.file)?;
            }
            if cfg!(target_endian = "little") {
                later.gathered.extend_from_slice(bytemuck::cast_slice(words));
            } else {
                words.iter().for_each(|word| later.gathered.extend_from_slice(&word.to_le_bytes()));
            }
        }
        Ok(())
    }

    /// Completes the file, all columns of which are complete, and gives it its name.
    pub(super) fn finish(mut self) -> Result<StoredFile, CheckpointError> {
        for later in self.later {
            self.file.take_in(later.ahead, &later.sha)?;
            self.file.append(&later.gathered)?;
        }
        self.file.finish()
    }
}

impl Later {
    fn write_ahead(&mut self, file: &mut FileWriter<'_>) -> Result<(), CheckpointError> {
        file.write_ahead(self.at, &self.gathered)?;
        self.sha.update(&self.gathered);
        let written = self.gathered.len() as u64;
        (self.at, self.ahead) = (self.at + written, self.ahead + written);
        self.gathered.clear();
        Ok(())
    }
}

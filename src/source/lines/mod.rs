//! JSON lines from standard input, files and readers; plain, gzip or zstd.
//!
//! One fetch is one read: all records that are complete after it are handed over at once, so that a record from a slow
//! pipe is never held back, and what is kept between two fetches is the beginning of one record. Memory stays
//! below chunk + record limit + the decompressor's window, whatever the input. The parts: `open` makes a byte
//! stream of each input, `split` makes records of bytes, this file goes through inputs and passes.
//!
//! # Where a resumed run goes on
//!
//! | input | on resume |
//! |---|---|
//! | plain file | seeks to the stored byte; an error if the file has become shorter |
//! | compressed file | unpacks and discards as many bytes; an error if it ends before |
//! | pipe (standard input) | passes over as many lines: the same stream is expected again |
//! | other inputs than before | reads them from the start, in a first pass |
//! | pipe with [`LinesOptions::stdin_continues`] | reads on; lines and bytes are counted on from the stored position |

mod open;
mod split;

pub use split::CUT_BYTES;

use crate::record::{Fetch, Position, Positions, RecordBatch, Source, SourceError};
use open::{Input, Packing};
use serde::{Deserialize, Serialize};
use split::Splitter;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How lines are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinesOptions {
    /// Longest record in bytes. Of a longer one the first [`CUT_BYTES`] are handed over, with its full length; the
    /// rest is skipped. Default 16 MiB.
    pub record_limit: usize,
    /// Bytes asked for in one read, and so about the size of a batch. Default 256 KiB.
    pub batch_bytes: usize,
    /// How often the input is read from start to end; more than once takes files. Default 1.
    pub passes: u32,
    /// Whether a resumed run finds only new records on a pipe, rather than the whole stream again. Default false.
    pub stdin_continues: bool,
}

impl Default for LinesOptions {
    fn default() -> Self {
        Self { record_limit: 16 << 20, batch_bytes: 64 << 10, passes: 1, stdin_continues: false }
    }
}

/// One input of the list.
struct Listed {
    name: Arc<str>,
    kind: Kind,
    /// Where it goes on in the current pass.
    start: Position,
}

enum Kind {
    StandardInput,
    Pipe(PathBuf),
    File {
        path: PathBuf,
        packing: Packing,
        length: u64,
    },
    /// Taken when it is opened.
    Reader(Option<Input>),
}

/// The input being read.
struct Current {
    index: usize,
    input: Input,
    splitter: Splitter,
    /// Unpacked bytes to be discarded before the first record.
    discard: u64,
}

/// Reads lines from a list of inputs, one after the other. A batch holds records of one input only.
pub struct LinesSource {
    options: LinesOptions,
    inputs: Vec<Listed>,
    pass: u32,
    /// The input that is opened next.
    next: usize,
    current: Option<Current>,
}

impl fmt::Debug for LinesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.inputs.iter().map(|input| &*input.name).collect();
        f.debug_struct("LinesSource")
            .field("options", &self.options)
            .field("inputs", &names)
            .field("pass", &self.pass)
            .finish_non_exhaustive()
    }
}

impl LinesSource {
    /// A source over `inputs`: paths, or `-` for standard input. Fails at once for an input that is missing, is
    /// a folder, may not be read, is named twice, or cannot be read as often as `options.passes` asks.
    pub fn open<P: AsRef<Path>>(inputs: &[P], options: LinesOptions) -> Result<Self, SourceError> {
        let listed = inputs.iter().map(|path| list(path.as_ref())).collect::<Result<_, _>>()?;
        Self::over(listed, options)
    }

    /// A source over a reader: a socket, a decoder of one's own. It counts as a pipe. A read error of the kind
    /// `WouldBlock` or `Interrupted` means that nothing came in for now.
    pub fn from_reader(
        name: &str,
        reader: Box<dyn Read + Send>,
        options: LinesOptions,
    ) -> Result<Self, SourceError> {
        let kind = Kind::Reader(Some(open::unpacked(reader)));
        Self::over(vec![Listed { name: Arc::from(name), kind, start: Position::default() }], options)
    }

    fn over(inputs: Vec<Listed>, options: LinesOptions) -> Result<Self, SourceError> {
        for (index, input) in inputs.iter().enumerate() {
            if inputs.iter().skip(index + 1).any(|other| other.name == input.name) {
                return Err(failure(
                    &input.name,
                    "is given twice; positions are kept by name".to_owned(),
                    None,
                ));
            }
            if options.passes != 1 && !matches!(input.kind, Kind::File { .. }) {
                let what = format!("is a pipe and can be read once; expected 1 pass, got {}", options.passes);
                return Err(failure(&input.name, what, None));
            }
        }
        Ok(Self { options, inputs, pass: 0, next: 0, current: None })
    }

    /// Opens the next input, in the next pass if this one is complete. False at the very end.
    fn open_next(&mut self) -> Result<bool, SourceError> {
        if self.next >= self.inputs.len() {
            self.pass += 1;
            self.next = 0;
            self.inputs.iter_mut().for_each(|input| input.start = Position::default());
        }
        if self.pass >= self.options.passes {
            // Stays at the end however often it is asked.
            self.next = self.inputs.len();
            self.pass = self.options.passes.saturating_sub(1);
            return Ok(false);
        }
        let Some(input) = self.inputs.get_mut(self.next) else { return Ok(false) };
        self.current = Some(input.open(self.next, &self.options)?);
        self.next += 1;
        Ok(true)
    }

    /// One read, and the records that are complete after it.
    fn read_once(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        if self.current.is_none() && !self.open_next()? {
            return Ok(Fetch::End);
        }
        let Some(mut current) = self.current.take() else { return Ok(Fetch::End) };
        if let Some(input) = self.inputs.get(current.index) {
            batch.reset(&input.name, self.pass, current.splitter.position());
        }
        let count = match current.input.read(batch.space(self.options.batch_bytes.max(1))) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                self.current = Some(current);
                return Ok(Fetch::Idle);
            }
            Err(error) => return Err(self.read_error(&current, error)),
        };
        if count == 0 {
            self.finish(current, batch)?;
            return Ok(Fetch::Records);
        }
        let drop = current.discard.min(count as u64);
        current.discard -= drop;
        let chunk = batch.fill(count);
        current.splitter.split(chunk.start + drop as usize..chunk.end, batch);
        self.current = Some(current);
        Ok(Fetch::Records)
    }

    /// Goes behind the last pass.
    fn stop(&mut self) {
        self.next = self.inputs.len();
        self.pass = self.options.passes;
    }

    fn read_error(&self, current: &Current, cause: std::io::Error) -> SourceError {
        let at = current.splitter.position();
        let what =
            format!("cannot be read beyond line {}, byte {}", at.lines + 1, current.splitter.bytes_in());
        failure(self.name(current.index), what, Some(cause))
    }

    fn name(&self, index: usize) -> &str {
        self.inputs.get(index).map_or("", |input| &*input.name)
    }

    /// The current input is at its end; `batch` takes its last record if that had no line end.
    fn finish(&self, mut current: Current, batch: &mut RecordBatch) -> Result<(), SourceError> {
        let target = current.splitter.position();
        if current.discard > 0 {
            let what = format!(
                "ends {} bytes before byte {}, where the stored run stopped; is it another file?",
                current.discard, target.offset
            );
            return Err(failure(self.name(current.index), what, None));
        }
        current.splitter.finish(batch);
        let left = current.splitter.left_to_skip();
        if left > 0 {
            let what = format!(
                "ends {left} lines before line {}, where the stored run stopped: a resumed run expects the whole \
                 stream again, unless told that the pipe continues",
                target.lines
            );
            return Err(failure(self.name(current.index), what, None));
        }
        Ok(())
    }
}

impl Source for LinesSource {
    fn resume(&mut self, positions: &Positions) -> Result<(), SourceError> {
        // Inputs of which none was ever read are a stream of their own, whatever pass the old ones had come to.
        let known = self.inputs.iter().any(|input| positions.sources.contains_key(&*input.name));
        self.pass = if known { positions.pass } else { 0 };
        for input in &mut self.inputs {
            input.start = positions.of(&input.name);
            if let Kind::File { packing: Packing::Plain, length, .. } = input.kind
                && length < input.start.offset
            {
                let what = format!(
                    "has {length} bytes, but the stored run stopped at byte {}; is it another file?",
                    input.start.offset
                );
                return Err(failure(&input.name, what, None));
            }
        }
        Ok(())
    }

    /// See the trait. After an error there is nothing more, so that the gap is never jumped.
    fn fetch(&mut self, batch: &mut RecordBatch) -> Result<Fetch, SourceError> {
        self.read_once(batch).inspect_err(|_| self.stop())
    }

    /// Bytes of all files in all passes; `None` if one is compressed or a pipe.
    fn size_hint(&self) -> Option<u64> {
        let lengths = self.inputs.iter().map(|input| match input.kind {
            Kind::File { packing: Packing::Plain, length, .. } => Some(length),
            _ => None,
        });
        Some(lengths.sum::<Option<u64>>()? * u64::from(self.options.passes))
    }
}

impl Listed {
    fn open(&mut self, index: usize, options: &LinesOptions) -> Result<Current, SourceError> {
        let (limit, start) = (options.record_limit, self.start);
        let opened = match &mut self.kind {
            Kind::StandardInput => open::standard_input(),
            Kind::Pipe(path) => open::pipe(path),
            Kind::Reader(reader) => reader.take().ok_or_else(|| std::io::Error::other("it was read already")),
            Kind::File { path, packing: Packing::Plain, .. } => {
                open_at(path, start.offset).map(|file| Box::new(file) as Input)
            }
            Kind::File { path, .. } => File::open(path).map(|file| open::unpacked(Box::new(file))),
        };
        let input =
            opened.map_err(|cause| failure(&self.name, "cannot be opened".to_owned(), Some(cause)))?;
        let (splitter, discard) = match &self.kind {
            Kind::File { packing: Packing::Plain, .. } => (Splitter::new(limit, start, start.offset == 0), 0),
            Kind::File { .. } => (Splitter::new(limit, start, start.offset == 0), start.offset),
            _ if options.stdin_continues => (Splitter::new(limit, start, true), 0),
            _ => (Splitter::skipping(limit, start), 0),
        };
        Ok(Current { index, input, splitter, discard })
    }
}

fn open_at(path: &Path, offset: u64) -> std::io::Result<File> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file)
}

/// What stands behind a name of the list.
fn list(path: &Path) -> Result<Listed, SourceError> {
    let name: Arc<str> = Arc::from(path.to_string_lossy());
    let start = Position::default();
    if path == Path::new("-") {
        return Ok(Listed { name, kind: Kind::StandardInput, start });
    }
    let look = || -> std::io::Result<Kind> {
        let meta = std::fs::metadata(path)?;
        if meta.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if !meta.is_file() {
            return Ok(Kind::Pipe(path.to_owned()));
        }
        let packing = Packing::of_file(path)?;
        Ok(Kind::File { path: path.to_owned(), packing, length: meta.len() })
    };
    let kind = look().map_err(|cause| failure(&name, "cannot be read".to_owned(), Some(cause)))?;
    Ok(Listed { name, kind, start })
}

fn failure(name: &str, what: String, cause: Option<std::io::Error>) -> SourceError {
    SourceError { name: name.to_owned(), what, cause }
}

#[cfg(test)]
mod tests;

//! Opens inputs: what kind they are, how they are compressed, and reading that never blocks for long.
//!
//! Compression is told by the first bytes, never by the name, for a pipe too: the reader looks before it decides.
//! On a pipe or terminal every read is preceded by a poll(2) of 100 ms, and a silent one is reported as
//! `WouldBlock`, which both decompressors pass through without losing their place.

use flate2::read::MultiGzDecoder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// Longest wait for a silent pipe.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A reader of one open input.
pub(super) type Input = Box<dyn Read + Send>;

/// How a stream is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Bytes that settle how a stream is packed.
const MAGIC: usize = 4;

/// Bytes asked for in the read that shows the first ones: what a pipe holds, so that a first batch is not a torso.
const LOOK: usize = 64 << 10;

impl Packing {
    /// What a stream is that begins with `head`; `None` if more bytes are needed and can come.
    fn of(head: &[u8], complete: bool) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // A skippable frame may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [] | [0x1f] | [0x28 | 0x50..=0x5f, ..] if !complete && head.len() < MAGIC => None,
            _ => Some(Self::Plain),
        }
    }

    /// Looks at the first bytes of a file.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let mut head = Vec::with_capacity(MAGIC);
        File::open(path)?.take(MAGIC as u64).read_to_end(&mut head)?;
        Ok(Self::of(&head, true).unwrap_or(Self::Plain))
    }
}

/// Standard input, unbuffered: bytes in a buffer would be invisible to poll.
pub(super) fn standard_input() -> io::Result<Input> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    Ok(unpacked(polled(file)))
}

/// A pipe, terminal or device by its path. Opening a named pipe waits for its writer.
pub(super) fn pipe(path: &Path) -> io::Result<Input> {
    Ok(unpacked(polled(File::open(path)?)))
}

/// A pipe that is polled before each read.
pub(super) fn polled(pipe: File) -> Input {
    Box::new(Polled(pipe))
}

/// Any reader, unpacked.
pub(super) fn unpacked(reader: Input) -> Input {
    Box::new(Unpacking::new(reader))
}

/// Reads a pipe, waiting 100 ms at most.
struct Polled(File);

impl Read for Polled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut fds, Some(&PATIENCE))? {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => self.0.read(buffer),
        }
    }
}

/// Looks at the first bytes of a stream, then reads it plain or unpacked.
struct Unpacking {
    state: State,
}

enum State {
    /// Still looking: the bytes that came, and the rest.
    Looking(Vec<u8>, Input),
    Decided(Input),
    /// Between two states, and after a decoder could not be made.
    Failed,
}

impl Unpacking {
    fn new(input: Input) -> Self {
        Self { state: State::Looking(Vec::new(), input) }
    }

    /// Reads until it is clear how the stream is packed.
    fn decide(&mut self) -> io::Result<()> {
        let State::Looking(head, input) = &mut self.state else { return Ok(()) };
        let mut more = vec![0; LOOK];
        let packing = loop {
            if let Some(packing) = Packing::of(head, false) {
                break packing;
            }
            let count = input.read(&mut more)?;
            if count == 0 {
                break Packing::of(head, true).unwrap_or(Packing::Plain);
            }
            head.extend(more.iter().take(count));
        };
        if let State::Looking(head, input) = std::mem::replace(&mut self.state, State::Failed) {
            let whole = Cursor::new(head).chain(input);
            self.state = State::Decided(match packing {
                Packing::Plain => Box::new(whole),
                Packing::Gzip => Box::new(MultiGzDecoder::new(whole)),
                Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(whole)?),
            });
        }
        Ok(())
    }
}

impl Read for Unpacking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decide()?;
        match &mut self.state {
            State::Decided(input) => input.read(buffer),
            State::Looking(..) | State::Failed => {
                Err(io::Error::other("the decompressor could not be set up"))
            }
        }
    }
}

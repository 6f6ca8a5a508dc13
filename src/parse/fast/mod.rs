//! The fast reader: ordinary records at a few bytes a cycle.
//!
//! It takes a record only as serde_json would and tells the sink just what the careful walk tells it; whatever it does
//! not know, or finds wrong, it leaves, and the record is read again by that walk, which then says what is wrong and
//! where. So there is one set of rules and of messages, and this reader may be as narrow as speed wants it: no
//! backslashes, [`LEVELS`] levels, numbers of 19 digits, and `None` for everything else. A fuzz target and
//! property tests hold both readers side by side.
//!
//! What makes it fast: quotes are found 64 bytes at a time before anything else ([`Quotes`]), so that no string is
//! walked through and the next token's place never waits for a string's length; numbers are read eight digits at a
//! time; nothing is copied and no tree is built.

mod features;
mod fields;
mod number;

use super::ParseOptions;
use crate::example::ExampleSink;
use crate::kernel::{self, Isa, Quotes};

/// Levels of nesting that are read here; the careful walk has 127.
const LEVELS: usize = 32;

/// Reads one example: what [`super::Parser::parse`] does. `None`: not taken, and `sink` may have been told a part.
pub(super) fn record<S: ExampleSink>(options: &ParseOptions, bytes: &[u8], sink: &mut S) -> Option<()> {
    read(options, bytes, sink, Reader::record)
}

/// Reads one object of features: what [`super::Parser::parse_features`] does. As [`record`].
pub(super) fn features<S: ExampleSink>(options: &ParseOptions, bytes: &[u8], sink: &mut S) -> Option<()> {
    read(options, bytes, sink, |reader| reader.features(0, LEVELS))
}

fn read<'r, S: ExampleSink>(
    options: &'r ParseOptions,
    bytes: &'r [u8],
    sink: &'r mut S,
    object: impl FnOnce(&mut Reader<'r, S>) -> Option<()>,
) -> Option<()> {
    let text = kernel::text(bytes).ok()?;
    let quotes = Quotes::new(Isa::best(), bytes)?;
    let (seen, paths) = (Seen::default(), 0);
    let mut reader = Reader { options, sink, text, at: 0, quotes, seen, paths };
    reader.space();
    reader.expect(b'{')?;
    object(&mut reader)?;
    reader.space();
    (reader.at == bytes.len()).then_some(())
}

/// Fields that may stand in a record once.
#[derive(Default)]
struct Seen {
    label: bool,
    weight: bool,
    id: bool,
}

/// A place in a record. Its methods read on from there; where they give `None`, the record is not taken.
struct Reader<'r, S> {
    options: &'r ParseOptions,
    sink: &'r mut S,
    text: &'r str,
    at: usize,
    quotes: Quotes<'r>,
    seen: Seen,
    /// Bytes of the paths of all features so far.
    paths: usize,
}

impl<'r, S: ExampleSink> Reader<'r, S> {
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Option<()> {
        let is = self.peek()? == byte;
        self.at += 1;
        is.then_some(())
    }

    /// `true`, `false` or `null`.
    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word).then_some(())
    }

    /// The string that starts here.
    #[inline(always)]
    fn string(&mut self) -> Option<&'r str> {
        let (open, close) = self.quotes.pair()?;
        // Every quote before this one was part of a string, so this is the next, unless no string starts here.
        if open != self.at {
            return None;
        }
        self.at = close + 1;
        self.text.get(open + 1..close)
    }

    /// The key that starts here, up to its value.
    #[inline(always)]
    fn key(&mut self) -> Option<&'r str> {
        let key = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Some(key)
    }

    /// Reads the rest of an object or array, from behind its opening bracket to behind `close`: `item` reads one member.
    #[inline(always)]
    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.space();
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            self.space();
            let byte = self.peek()?;
            self.at += 1;
            if byte == close {
                return Some(());
            }
            if byte != b',' {
                return None;
            }
            self.space();
        }
    }

    /// The top level of a record, behind its brace.
    fn record(&mut self) -> Option<()> {
        self.items(b'}', |reader| {
            let (options, key) = (reader.options, reader.key()?);
            if key == options.label_field {
                reader.label()
            } else if key == options.weight_field {
                reader.weight()
            } else if key == options.id_field {
                reader.id()
            } else if options.flat {
                reader.member(key, 0, LEVELS)
            } else if key == options.features_field {
                match reader.peek()? {
                    b'{' => {
                        reader.at += 1;
                        reader.features(0, LEVELS)
                    }
                    _ => reader.word("null"),
                }
            } else {
                reader.skip(LEVELS)
            }
        })
    }
}

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

/// Reads one example: what [`super::Parser::parse`] does. `false`: not taken, and `sink` is as it was.
pub(super) fn record<S: ExampleSink>(options: &ParseOptions, bytes: &[u8], sink: &mut S) -> bool {
    or_restart(sink, |sink| read(options, bytes, sink, Reader::record))
}

/// Reads one object of features: what [`super::Parser::parse_features`] does. As [`record`].
pub(super) fn features<S: ExampleSink>(options: &ParseOptions, bytes: &[u8], sink: &mut S) -> bool {
    or_restart(sink, |sink| read(options, bytes, sink, |reader, at| reader.features(at, 0, LEVELS)))
}

/// Takes back what a sink was told of a record that is not taken. One that cannot do so is told nothing.
#[inline(always)]
fn or_restart<S: ExampleSink>(sink: &mut S, read: impl FnOnce(&mut S) -> Option<()>) -> bool {
    if !sink.can_restart() {
        return false;
    }
    let taken = read(sink).is_some();
    if !taken {
        sink.restart();
    }
    taken
}

fn read<'r, S: ExampleSink>(
    options: &'r ParseOptions,
    bytes: &'r [u8],
    sink: &'r mut S,
    object: impl FnOnce(&mut Reader<'r, S>, usize) -> Option<usize>,
) -> Option<()> {
    let text = kernel::text(bytes).ok()?;
    let quotes = Quotes::new(Isa::best(), text)?;
    let mut reader = Reader { options, sink, text, quotes, seen: Seen::default(), paths: 0 };
    let at = reader.expect(0, b'{')?;
    let at = object(&mut reader, at)?;
    (reader.start(at) == bytes.len()).then_some(())
}

/// Fields that may stand in a record once.
#[derive(Default)]
struct Seen {
    label: bool,
    weight: bool,
    id: bool,
}

/// A record that is read. Methods take the place to read at and give the place behind what they read; where they give
/// `None`, the record is not taken. (The place is no field: it should stay in a register.)
struct Reader<'r, S> {
    options: &'r ParseOptions,
    sink: &'r mut S,
    text: &'r str,
    quotes: Quotes<'r>,
    seen: Seen,
    /// Bytes of the paths of all features so far.
    paths: usize,
}

impl<'r, S: ExampleSink> Reader<'r, S> {
    #[inline(always)]
    fn peek(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The first place from `at` on where no white space stands.
    #[inline(always)]
    fn start(&self, at: usize) -> usize {
        // All white space is below `!`, and nothing else that JSON has outside strings.
        if self.peek(at).is_some_and(|byte| byte > b' ') { at } else { self.behind_space(at) }
    }

    #[inline(never)]
    fn behind_space(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek(at) {
            at += 1;
        }
        at
    }

    /// `byte`, white space before it or not.
    #[inline(always)]
    fn expect(&self, at: usize, byte: u8) -> Option<usize> {
        if self.peek(at) == Some(byte) {
            return Some(at + 1);
        }
        let at = self.behind_space(at);
        (self.peek(at) == Some(byte)).then_some(at + 1)
    }

    /// `true`, `false` or `null`.
    fn word(&self, at: usize, word: &str) -> Option<usize> {
        self.text.get(at..)?.starts_with(word).then_some(at + word.len())
    }

    #[inline(always)]
    fn string(&mut self, at: usize) -> Option<(&'r str, usize)> {
        let string = self.quotes.string(at)?;
        Some((string, at + string.len() + 2))
    }

    /// A key; the place is that of its value.
    #[inline(always)]
    fn key(&mut self, at: usize) -> Option<(&'r str, usize)> {
        let (key, at) = self.string(at)?;
        let at = self.expect(at, b':')?;
        Some((key, self.start(at)))
    }

    /// The rest of an object or array, from behind its opening bracket to behind `close`: `item` reads one member.
    #[inline(always)]
    fn items(
        &mut self,
        at: usize,
        close: u8,
        mut item: impl FnMut(&mut Self, usize) -> Option<usize>,
    ) -> Option<usize> {
        let mut at = self.start(at);
        if self.peek(at)? == close {
            return Some(at + 1);
        }
        loop {
            at = item(self, at)?;
            at = self.start(at);
            let byte = self.peek(at)?;
            if byte != b',' {
                return (byte == close).then_some(at + 1);
            }
            at = self.start(at + 1);
        }
    }

    /// The top level of a record, behind its brace.
    fn record(&mut self, at: usize) -> Option<usize> {
        self.items(at, b'}', |reader, at| {
            let options = reader.options;
            let (key, at) = reader.key(at)?;
            if key == options.label_field {
                reader.label(at)
            } else if key == options.weight_field {
                reader.weight(at)
            } else if key == options.id_field {
                reader.id(at)
            } else if options.flat {
                reader.member(at, key, 0, LEVELS)
            } else if key == options.features_field {
                match reader.peek(at)? {
                    b'{' => reader.features(at + 1, 0, LEVELS),
                    _ => reader.word(at, "null"),
                }
            } else {
                reader.skip(at, LEVELS)
            }
        })
    }
}

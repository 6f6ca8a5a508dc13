//! Files of rows: written part by part as a cut is taken, and read in chunks.
//!
//! A file holds the tensors `rows` F32 `[n, width]`, `sides` F32 `[n, side]` (none if `side` is 0) and `slots` U32
//! `[n]`, ascending; in this order, because the rows are the bulk and can be written as a stream beside which the rest
//! is [written ahead](super::columns). Memory for a file of n rows, whatever n, as long as 64 rows are below 1 MiB: while
//! writing, 16 MiB: parts of the cut of 1 MiB each (up to twice of it reserved), one in work and five that learners took
//! ahead, and 1 MiB of buffers; what was copied aside is part of the table's own tenth. While reading, one chunk.

use super::columns::ColumnsWriter;
use super::error::{CheckpointError, Damage, TableShape};
use super::header::{self, Layout};
use super::manifest::RowsFile;
use super::name::Name;
use super::storage::{Access, Storage, sha256_of};
use super::writer::TableCut;
use crate::table::{CutRows, Table};
use safetensors::tensor::Dtype;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Words read at once.
const CHUNK: usize = 1 << 16;

/// The head of a file of `rows` rows.
pub(super) fn head(rows: u64, shape: TableShape) -> Result<Vec<u8>, CheckpointError> {
    let n = rows as usize;
    let column = |name, dtype, shape: Vec<usize>| {
        let bytes = shape.iter().product::<usize>() * 4;
        Layout { name, dtype, shape, bytes }
    };
    let mut columns = vec![column("rows", Dtype::F32, vec![n, shape.width])];
    if shape.side > 0 {
        columns.push(column("sides", Dtype::F32, vec![n, shape.side]));
    }
    columns.push(column("slots", Dtype::U32, vec![n]));
    header::encode(&columns).map_err(CheckpointError::Json)
}

/// Writes the cut in progress of a table as the file `name`.
pub(super) fn write_cut(storage: &Storage, name: Name, cut: &TableCut) -> Result<RowsFile, CheckpointError> {
    let shape = shape_of(&cut.table);
    let mut file = storage.create(name, Access::Default)?;
    file.append(&head(cut.rows, shape)?)?;
    let mut file =
        ColumnsWriter::new(file, &[shape.width, shape.side, 1].map(|words| cut.rows * words as u64 * 4));
    let (mut rows, mut found) = (CutRows::default(), 0);
    let miscounted = |found| CheckpointError::Cut { name: cut.name.clone(), announced: cut.rows, found };
    while cut.table.take_cut(&mut rows) {
        found += rows.slots.len() as u64;
        if found > cut.rows {
            return Err(miscounted(found)); // before a column overwrites the next
        }
        check_finite(&cut.name, &rows, shape)?;
        file.append(0, bytemuck::cast_slice(&rows.rows))?;
        file.append(1, bytemuck::cast_slice(&rows.sides))?;
        file.append(2, &rows.slots)?;
    }
    if found != cut.rows {
        return Err(miscounted(found));
    }
    Ok(RowsFile { stored: file.finish()?, rows: found })
}

pub(super) fn shape_of(table: &Table) -> TableShape {
    let options = table.options();
    TableShape { rows: options.rows, width: options.width, side: options.side }
}

fn check_finite(name: &str, rows: &CutRows, shape: TableShape) -> Result<(), CheckpointError> {
    match non_finite(rows, shape) {
        Some(slot) => Err(CheckpointError::NotFinite { name: name.to_owned(), slot }),
        None => Ok(()),
    }
}

/// The first slot whose row or side column holds a number that is not finite.
fn non_finite(rows: &CutRows, shape: TableShape) -> Option<u32> {
    let first = |floats: &[f32], width: usize| {
        floats.iter().position(|float| !float.is_finite()).map(|index| index / width.max(1))
    };
    let index = first(&rows.rows, shape.width).or_else(|| first(&rows.sides, shape.side))?;
    rows.slots.get(index).copied()
}

/// A file of rows, open, its head checked against the manifest.
#[derive(Debug)]
pub(super) struct RowsReader {
    file: File,
    stored: RowsFile,
    shape: TableShape,
    /// Where each column starts in the file.
    rows: u64,
    sides: u64,
    slots: u64,
}

impl RowsReader {
    /// Opens a file and checks its length and head. The content is checked by [`RowsReader::verify`].
    pub(super) fn open(folder: &Path, stored: &RowsFile, shape: TableShape) -> Result<Self, Damage> {
        let mut file = open_stored(folder, &stored.stored.file, stored.stored.bytes)?;
        let (metadata, start) = header::read(&mut file, stored.stored.bytes)?;
        let n = stored.rows as usize;
        let (width, side) = ([n, shape.width], [n, shape.side]);
        let expected = [
            ("rows", Dtype::F32, &width[..]),
            ("slots", Dtype::U32, &width[..1]),
            ("sides", Dtype::F32, &side[..]),
        ];
        let expected = header::describe(expected.into_iter().take(if shape.side > 0 { 3 } else { 2 }));
        let tensors = metadata.tensors();
        let got = header::describe(
            tensors.iter().map(|(name, info)| (name.as_str(), info.dtype, info.shape.as_slice())),
        );
        if expected != got {
            return Err(Damage::Tensors { expected, got });
        }
        let offset = |name| metadata.info(name).map_or(0, |info| start + info.data_offsets.0 as u64);
        let (rows, sides, slots) = (offset("rows"), offset("sides"), offset("slots"));
        Ok(Self { file, stored: stored.clone(), shape, rows, sides, slots })
    }

    /// Checks every byte against the manifest's checksum.
    pub(super) fn verify(&self) -> Result<(), Damage> {
        verify(&self.file, &self.stored.stored.sha256)
    }

    /// Name of the file.
    pub(super) fn name(&self) -> &str {
        &self.stored.stored.file
    }

    /// Puts all rows back into `table`, which has this file's shape.
    pub(super) fn restore_into(&self, table: &Table) -> Result<(), Damage> {
        let per_chunk = (CHUNK / (self.shape.width + self.shape.side)).max(1) as u64;
        let (mut columns, mut chunk, mut last) = (self.columns(), CutRows::default(), None);
        for first in (0..self.stored.rows).step_by(per_chunk as usize) {
            let n = per_chunk.min(self.stored.rows - first);
            columns.read(first, n, &mut chunk)?;
            self.check(&chunk, &mut last)?;
            if !table.restore(&chunk.slots, &chunk.rows, &chunk.sides) {
                let slot = chunk.slots.last().copied().unwrap_or_default();
                return Err(Damage::Slot { slot, rows: table.options().rows });
            }
        }
        Ok(())
    }

    /// Checks rows that follow the slot `last`.
    fn check(&self, chunk: &CutRows, last: &mut Option<u32>) -> Result<(), Damage> {
        for &slot in &chunk.slots {
            match last.replace(slot) {
                Some(after) if slot <= after => return Err(Damage::Order { slot, after }),
                _ if u64::from(slot) >= self.shape.rows => {
                    return Err(Damage::Slot { slot, rows: self.shape.rows });
                }
                _ => {}
            }
        }
        match non_finite(chunk, self.shape) {
            Some(slot) => Err(Damage::NotFinite { slot }),
            None => Ok(()),
        }
    }

    fn columns(&self) -> Columns<'_> {
        Columns {
            rows: self.column(Part::Rows),
            sides: self.column(Part::Sides),
            slots: self.column(Part::Slots),
        }
    }

    /// One column of the file.
    pub(super) fn column(&self, part: Part) -> Column<'_> {
        let (start, words) = match part {
            Part::Rows => (self.rows, self.shape.width),
            Part::Sides => (self.sides, self.shape.side),
            Part::Slots => (self.slots, 1),
        };
        Column { file: &self.file, start, words, items: self.stored.rows, chunk: Vec::new(), first: 0 }
    }
}

/// A column of a file of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `[n, width]`
    Rows,
    /// `[n, side]`
    Sides,
    /// `[n]`
    Slots,
}

struct Columns<'a> {
    rows: Column<'a>,
    sides: Column<'a>,
    slots: Column<'a>,
}

impl Columns<'_> {
    fn read(&mut self, first: u64, n: u64, out: &mut CutRows) -> Result<(), Damage> {
        self.rows.read(first, n)?;
        self.sides.read(first, n)?;
        self.slots.read(first, n)?;
        let floats = |words: &[u32], out: &mut Vec<f32>| {
            out.clear();
            out.extend(words.iter().map(|&word| f32::from_bits(word)));
        };
        floats(&self.rows.chunk, &mut out.rows);
        floats(&self.sides.chunk, &mut out.sides);
        out.slots.clone_from(&self.slots.chunk);
        Ok(())
    }
}

/// Reads one column in chunks, as 32-bit words whatever they mean.
#[derive(Debug)]
pub(super) struct Column<'a> {
    file: &'a File,
    start: u64,
    words: usize,
    items: u64,
    chunk: Vec<u32>,
    first: u64,
}

impl Column<'_> {
    /// The words of item `index`; `None` past the end. Cheap for ascending indices.
    pub(super) fn item(&mut self, index: u64) -> Result<Option<&[u32]>, Damage> {
        if index >= self.items || self.words == 0 {
            return Ok(None);
        }
        let held = (self.chunk.len() / self.words) as u64;
        if index < self.first || index >= self.first + held {
            let n = (CHUNK / 4 / self.words).max(1) as u64;
            self.read(index, n.min(self.items - index))?;
        }
        let start = (index - self.first) as usize * self.words;
        Ok(self.chunk.get(start..start + self.words))
    }

    /// Reads the `n` items from `first` on. Seeks each time: columns share their file's handle.
    fn read(&mut self, first: u64, n: u64) -> Result<(), Damage> {
        let words = n as usize * self.words;
        self.chunk.resize(words, 0);
        self.first = first;
        if words == 0 {
            return Ok(());
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.chunk);
        let at = SeekFrom::Start(self.start + first * self.words as u64 * 4);
        self.file.seek(at).and_then(|_| self.file.read_exact(bytes)).map_err(header::unreadable)?;
        if cfg!(target_endian = "big") {
            self.chunk.iter_mut().for_each(|word| *word = u32::from_le(*word));
        }
        Ok(())
    }
}

/// Opens a file and checks its length.
pub(super) fn open_stored(folder: &Path, name: &str, expected: u64) -> Result<File, Damage> {
    let path = folder.join(name);
    // Before opening: to open a pipe by this name would wait for ever.
    let got = std::fs::metadata(&path).map_err(header::unreadable)?.len();
    if got != expected {
        return Err(Damage::Length { expected, got });
    }
    File::open(&path).map_err(header::unreadable)
}

/// Checks every byte of `file` against `expected`.
pub(super) fn verify(mut file: &File, expected: &str) -> Result<(), Damage> {
    let got = file.seek(SeekFrom::Start(0)).and_then(|_| sha256_of(&mut file)).map_err(header::unreadable)?;
    if got != expected {
        return Err(Damage::Checksum { expected: expected.to_owned(), got });
    }
    Ok(())
}

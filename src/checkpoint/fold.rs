//! Folding: files of a chain become one, in the background, while commits go on.
//!
//! A chain that only grows would make loading slow and the folder large, and rewriting the whole base every few
//! commits would cost a large table its disk. So, as in a log-structured merge tree (O'Neil et al. 1996), a fold takes
//! the newest files as far back as the ones after them hold as many rows: small deltas become a middle file, middle
//! files reach the base when they are as large as it, and a row is rewritten O(log n) times. A fold never touches the
//! table: it merges the sorted files in bounded memory, the newest value of a row wins. Its result counts for
//! nothing until the next commit's manifest names it; an error costs nothing but the attempt.

use super::error::{CheckpointError, Damage, TableShape};
use super::manifest::{RowsFile, TableManifest};
use super::name::Name;
use super::rows::{self, Column, Part, RowsReader};
use super::storage::{Access, FileWriter, Storage};
use crate::sync::{AtomicBool, Ordering};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Deltas of a chain before they are folded, however small.
pub(super) const MAX_DELTAS: usize = 16;

/// Files folded at once: bounds memory and open files. Only a chain that could not be folded for long is longer.
const MAX_INPUTS: usize = 64;

/// Which files of a chain to fold, given their rows, oldest first.
///
/// ```text
/// if the deltas together hold more rows than the base, or are more than `max_deltas`:
///     from the oldest file whose followers hold as many rows as it does, to the end
/// ```
pub(super) fn choose(chain: &[u64], max_deltas: usize) -> Option<Range<usize>> {
    let (&base, deltas) = chain.split_first()?;
    if deltas.iter().sum::<u64>() <= base && deltas.len() <= max_deltas {
        return None;
    }
    let mut after: u64 = chain.iter().sum();
    let dominated = chain.iter().position(|rows| {
        after -= rows;
        *rows <= after
    });
    let start = dominated.unwrap_or(1).max(chain.len().saturating_sub(MAX_INPUTS));
    (chain.len() - start >= 2).then_some(start..chain.len())
}

/// Files of one chain that are to become one.
#[derive(Debug, Clone)]
pub(super) struct Job {
    table: String,
    shape: TableShape,
    inputs: Vec<RowsFile>,
    output: Name,
}

impl Job {
    /// What is to be folded of the `index`-th table, if anything.
    pub(super) fn of(index: usize, table: &TableManifest, max_deltas: usize) -> Option<Self> {
        let rows: Vec<u64> = table.chain.iter().map(|file| file.rows).collect();
        let inputs = table.chain.get(choose(&rows, max_deltas)?)?.to_vec();
        let spans = inputs.iter().filter_map(|file| Name::parse(&file.stored.file)?.span());
        let (first, last) = spans.reduce(|all, next| (all.0.min(next.0), all.1.max(next.1)))?;
        let output = Name::Folded { first, last, table: index };
        Some(Self { table: table.name.clone(), shape: table.shape(), inputs, output })
    }
}

/// A finished fold, to be named by the next manifest.
#[derive(Debug, Clone)]
pub(super) struct Folded {
    table: String,
    inputs: Vec<RowsFile>,
    output: RowsFile,
}

impl Folded {
    /// Name of the new file.
    pub(super) fn file(&self) -> &str {
        &self.output.stored.file
    }

    /// Puts the new file in the place of those that it was made of.
    pub(super) fn adopt(&self, tables: &mut [TableManifest]) {
        for table in tables.iter_mut().filter(|table| table.name == self.table) {
            let n = self.inputs.len();
            if let Some(start) = table.chain.windows(n).position(|files| files == self.inputs) {
                table.chain.splice(start..start + n, [self.output.clone()]);
            }
        }
    }
}

/// A fold that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FoldError {
    /// The result could not be written.
    #[error("{0}")]
    Write(CheckpointError),
    /// An input is not what was stored.
    #[error("{file}: {damage}")]
    Input { file: String, damage: Damage },
    /// The writer was closed.
    #[error("stopped")]
    Stopped,
    /// The thread could not be started, or died.
    #[error("the folding thread is gone")]
    Thread,
}

impl From<CheckpointError> for FoldError {
    fn from(error: CheckpointError) -> Self {
        Self::Write(error)
    }
}

/// A thread that folds.
#[derive(Debug)]
pub(super) struct Folding {
    thread: JoinHandle<Result<Vec<Folded>, FoldError>>,
    stop: Arc<AtomicBool>,
    /// Files it may be writing.
    pub(super) outputs: Vec<String>,
}

impl Folding {
    /// Starts to work on `jobs`, one after the other.
    pub(super) fn start(storage: Storage, folder: PathBuf, jobs: Vec<Job>) -> Result<Self, FoldError> {
        let stop = Arc::new(AtomicBool::new(false));
        let outputs = jobs.iter().map(|job| job.output.to_string()).collect();
        let until = Arc::clone(&stop);
        let work = move || {
            let fold = Fold { storage: &storage, folder, stop: &until };
            jobs.iter().map(|job| fold.run(job)).collect()
        };
        let builder = std::thread::Builder::new().name("flexihash-fold".to_owned());
        let thread = builder.spawn(work).map_err(|_| FoldError::Thread)?;
        Ok(Self { thread, stop, outputs })
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the results.
    pub(super) fn join(self) -> Result<Vec<Folded>, FoldError> {
        self.thread.join().unwrap_or(Err(FoldError::Thread))
    }

    /// Stops the work and waits until the thread is gone.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.join();
    }
}

struct Fold<'a> {
    storage: &'a Storage,
    folder: PathBuf,
    stop: &'a AtomicBool,
}

impl Fold<'_> {
    fn run(&self, job: &Job) -> Result<Folded, FoldError> {
        let inputs = job.inputs.iter().map(|file| self.open(file, job.shape));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let mut rows = 0;
        self.merge(&inputs, |_, _| {
            rows += 1;
            Ok(())
        })?;
        let mut file = self.storage.create(job.output, Access::Default)?;
        file.append(&rows::head(rows, job.shape)?)?;
        // One pass a column: no column has to wait in memory for the one before it.
        for part in [Part::Rows, Part::Sides, Part::Slots] {
            self.copy(&inputs, part, &mut file)?;
        }
        // Its name becomes durable with the next commit, which syncs the folder before its manifest.
        let output = RowsFile { stored: file.finish()?, rows };
        Ok(Folded { table: job.table.clone(), inputs: job.inputs.clone(), output })
    }

    /// Opens an input and checks it to the last byte: the result gets a checksum of its own, which must not cover up
    /// for a damaged input.
    fn open(&self, file: &RowsFile, shape: TableShape) -> Result<RowsReader, FoldError> {
        self.go_on()?;
        let input = |damage| FoldError::Input { file: file.stored.file.clone(), damage };
        let reader = RowsReader::open(&self.folder, file, shape).map_err(input)?;
        reader.verify().map_err(input)?;
        Ok(reader)
    }

    fn copy(&self, inputs: &[RowsReader], part: Part, file: &mut FileWriter<'_>) -> Result<(), FoldError> {
        let mut columns: Vec<_> = inputs.iter().map(|input| input.column(part)).collect();
        self.merge(inputs, |source, index| {
            let Some(column) = columns.get_mut(source) else { return Ok(()) };
            let words = column.item(index).map_err(|damage| input_error(inputs, source, damage))?;
            Ok(words.map_or(Ok(()), |words| file.append_words(words))?)
        })
    }

    /// Calls `visit` with (input, index) of the newest value of each row, in ascending order of slots.
    fn merge(
        &self,
        inputs: &[RowsReader],
        mut visit: impl FnMut(usize, u64) -> Result<(), FoldError>,
    ) -> Result<(), FoldError> {
        let mut heads = inputs.iter().map(Head::new).collect::<Vec<_>>();
        for (source, head) in heads.iter_mut().enumerate() {
            head.advance().map_err(|damage| input_error(inputs, source, damage))?;
        }
        let mut visited = 0_u64;
        while let Some(slot) = heads.iter().filter_map(|head| head.slot).min() {
            if visited.is_multiple_of(4096) {
                self.go_on()?;
            }
            visited += 1;
            let mut newest = None;
            for (source, head) in heads.iter_mut().enumerate().filter(|(_, head)| head.slot == Some(slot)) {
                newest = Some((source, head.next - 1));
                head.advance().map_err(|damage| input_error(inputs, source, damage))?;
            }
            if let Some((source, index)) = newest {
                visit(source, index)?;
            }
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), FoldError> {
        if self.stop.load(Ordering::Acquire) { Err(FoldError::Stopped) } else { Ok(()) }
    }
}

fn input_error(inputs: &[RowsReader], source: usize, damage: Damage) -> FoldError {
    let file = inputs.get(source).map(|input| input.name().to_owned()).unwrap_or_default();
    FoldError::Input { file, damage }
}

/// Where the merge stands in one input: the slot at `next - 1`.
struct Head<'a> {
    slots: Column<'a>,
    slot: Option<u32>,
    next: u64,
}

impl<'a> Head<'a> {
    fn new(input: &'a RowsReader) -> Self {
        Self { slots: input.column(Part::Slots), slot: None, next: 0 }
    }

    fn advance(&mut self) -> Result<(), Damage> {
        self.slot = self.slots.item(self.next)?.and_then(|words| words.first().copied());
        self.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_deltas_beside_a_large_base_do_not_rewrite_it() {
        assert_eq!(choose(&[], 16), None);
        assert_eq!(choose(&[5], 16), None);
        assert_eq!(choose(&[5, 5], 16), None);
        assert_eq!(choose(&[5, 6], 16), Some(0..2));
        assert_eq!(choose(&[1000, 1, 1, 1], 2), Some(1..4));
        assert_eq!(choose(&[1000, 16, 1, 1], 2), Some(2..4));
        assert_eq!(choose(&[1000, 10, 1], 1), Some(1..3), "nothing is dominated, but there are too many");
        assert_eq!(choose(&[1; 200], 16), Some(136..200), "no more inputs than may be open");
    }

    #[test]
    fn a_row_is_rewritten_a_logarithmic_number_of_times() {
        let (mut chain, mut written, mut longest) = (vec![100_000_u64], 0, 0);
        for _ in 0..10_000 {
            chain.push(10);
            if let Some(range) = choose(&chain, MAX_DELTAS) {
                let sum = chain.drain(range).sum();
                written += sum;
                chain.push(sum);
            }
            longest = longest.max(chain.len());
        }
        assert!(longest <= MAX_DELTAS + 1, "{longest}");
        assert!(written < 20 * 100_000, "{written}");
    }
}

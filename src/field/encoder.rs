//! The sink that a record with fields is told to: where it stands in the record, and which items are open.
//!
//! A stack of frames follows keys, elements and indices as far as some field hears of them; what lies outside is only
//! counted, so that unknown parts of a record cost no memory, however they nest. The record is an item from the start to the
//! end; an element of a list is one from when it is entered until it is left. Opening an item gives each of its fields an
//! empty cell, closing it seals the cells; between the two, values go to the last cell of their field.

use super::batch::{Cells, FieldBatch};
use super::hasher::FieldHasher;
use super::paths::{Node, ROOT};
use super::resolve::Fields;
use crate::example::{ExampleSink, FeatureError, RecordSink};
use crate::hash::{Encoder, EncoderScratch, Probe};
use crate::sketch::Owners;
use std::sync::Arc;

/// How a frame was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Key,
    /// Element of an array, which is no item.
    Element(usize),
    /// Element of a list.
    Item,
    /// The index of an item: no part of the paths of the item's own fields.
    ItemIndex,
    Index(usize),
}

/// A place in the record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The last declared place on the way.
    pub(super) node: usize,
    /// Keys and indices below it.
    pub(super) below: usize,
    pub(super) step: Step,
}

/// The open item of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) list: usize,
    /// Frames when it was opened.
    pub(super) depth: usize,
    /// Whether the list has room for it.
    kept: bool,
}

/// What one thread needs to encode, besides the batch it fills. It may be used with one set of fields after another.
#[derive(Debug, Clone, Default)]
pub struct FieldScratch {
    pub(super) frames: Vec<Frame>,
    /// Levels below the last frame that no field hears of.
    pub(super) outside: usize,
    pub(super) item: Option<Item>,
    /// By field: of sums, the path and the features that wait.
    pub(super) sums: Vec<EncoderScratch>,
    /// By field and cell: whether the open item was told a value that may come once.
    pub(super) told: Vec<Vec<bool>>,
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
    cut: u64,
    /// What went wrong where a sink cannot say it.
    error: Option<FeatureError>,
}

impl FieldScratch {
    /// Looks at all that is hashed from now on; `owners` are those of the fields' tables.
    pub fn probe(&mut self, fields: &Fields, owners: &[Arc<Owners>]) {
        self.fit(fields);
        for ((index, field), sum) in fields.fields().iter().enumerate().zip(&mut self.sums) {
            let table = field.table.and_then(|table| Some((table as u16, Arc::clone(owners.get(table)?))));
            sum.probe = table.map(|(table, owners)| Box::new(Probe::new(owners, table, Some(index as u16))));
        }
    }

    /// The probes of the fields, if there are any.
    pub fn probes(&mut self) -> impl Iterator<Item = &mut Probe> {
        self.sums.iter_mut().filter_map(|sum| sum.probe.as_deref_mut())
    }

    fn retract(&mut self) {
        self.probes().for_each(Probe::retract);
    }

    fn fit(&mut self, fields: &Fields) {
        let count = fields.fields().len();
        self.sums.resize_with(count.max(self.sums.len()), EncoderScratch::default);
        self.told.resize_with(count, Vec::new);
        for (told, field) in self.told.iter_mut().zip(fields.fields()) {
            told.resize(field.width.max(1), false);
        }
    }
}

/// Writes the record that a parser tells it into a [`FieldBatch`], hashed by field.
///
/// ```
/// use flexihash::example::LabelRange;
/// use flexihash::field::*;
/// use flexihash::{HashKey, parse::Parser};
/// use std::sync::Arc;
///
/// let list = FieldOptions { max_items: Some(10), ..FieldOptions::new("history", FieldKind::List) };
/// let id = |name: &str, path: &str, table: &str| FieldOptions {
///     path: Some(path.into()),
///     table: Some(table.into()),
///     ..FieldOptions::new(name, FieldKind::Id)
/// };
/// let fields = Arc::new(Fields::new(vec![list, id("user", "user.id", "users"), id("posts", "history.post", "posts")])?);
/// let hasher = FieldHasher::new(Arc::clone(&fields), &HashKey::default(), LabelRange::Binary)?;
/// let (mut scratch, mut batch) = (FieldScratch::default(), FieldBatch::new(&fields));
///
/// let record = br#"{"label": 1, "features": {"user": {"id": "u1"}, "history": [{"post": 7}, {}, {"post": 9}]}}"#;
/// let mut encoder = FieldEncoder::new(&hasher, &mut scratch, &mut batch);
/// match Parser::default().parse(record, &mut encoder) {
///     Ok(()) => encoder.finish()?,
///     Err(error) => encoder.abandon(), // the batch is as if the record had never come
/// }
/// assert_eq!(batch.items(0), [0, 3]);
/// let Some(Column::Ids(posts)) = batch.column(fields.find("posts")?) else { unreachable!() };
/// assert_eq!((posts.slots.len(), posts.item(1).len()), (2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FieldEncoder<'a> {
    pub(super) hasher: &'a FieldHasher,
    pub(super) scratch: &'a mut FieldScratch,
    pub(super) batch: &'a mut FieldBatch,
}

impl<'a> FieldEncoder<'a> {
    /// An encoder at the start of a record. A batch that holds records with other fields is emptied.
    pub fn new(hasher: &'a FieldHasher, scratch: &'a mut FieldScratch, batch: &'a mut FieldBatch) -> Self {
        let fields = hasher.fields();
        if !batch.fields.as_ref().is_some_and(|of| Arc::ptr_eq(of, fields)) {
            *batch = FieldBatch::new(fields);
        }
        scratch.fit(fields);
        let mut encoder = Self { hasher, scratch, batch };
        encoder.begin();
        encoder
    }

    /// Finishes the record: it is now one of the batch. On an error the batch is as it was before the record.
    ///
    /// # Errors
    /// The values of a feature, or of a number, add up beyond f32.
    pub fn finish(mut self) -> Result<(), FeatureError> {
        self.close_item();
        self.close(None);
        let cut = self.scratch.cut;
        let finished = match self.scratch.error.take() {
            None => self.batch.finish(cut),
            Some(error) => Err(error),
        };
        if finished.is_err() {
            self.batch.abandon();
        }
        finished
    }

    /// Whether the record has been told its id.
    pub fn has_id(&self) -> bool {
        self.batch.records.has_id()
    }

    /// Drops the record: the batch is as it was before it.
    pub fn abandon(self) {
        self.batch.abandon();
    }

    /// The start of a record; drops what was told of it.
    pub(super) fn begin(&mut self) {
        self.batch.abandon();
        self.scratch.retract();
        self.scratch.frames.clear();
        self.scratch.frames.push(Frame { node: ROOT, below: 0, step: Step::Key });
        (self.scratch.outside, self.scratch.item) = (0, None);
        (self.scratch.cut, self.scratch.error) = (0, None);
        self.open(None);
        self.arrive_at(ROOT);
    }

    pub(super) fn node(&self, node: usize) -> Option<&'a Node> {
        self.hasher.fields().paths().node(node)
    }

    /// The fields of the items of `list`, or of the record.
    fn group(&self, list: Option<usize>) -> &'a [usize] {
        let group = list.map_or(0, |list| 1 + list);
        self.hasher.fields().groups().get(group).map_or(&[], Vec::as_slice)
    }

    /// Whether field `index` has an open item, for which there is room.
    pub(super) fn is_open(&self, index: usize) -> bool {
        let list = self.hasher.fields().fields().get(index).map(|field| field.list);
        match (list, &self.scratch.item) {
            (Some(None), _) => true,
            (Some(Some(list)), Some(item)) => item.list == list && item.kept,
            _ => false,
        }
    }

    /// Opens an item of `list` for what comes next.
    pub(super) fn open_item(&mut self, list: usize) {
        let limit = self.hasher.fields().lists().get(list).map_or(0, |list| list.max_items);
        let before = self.batch.items(list).last().copied().unwrap_or(0);
        let items = self.batch.items.get_mut(list);
        let kept = items.is_some_and(|items| {
            let kept = *items - before < limit;
            *items += usize::from(kept);
            kept
        });
        self.scratch.cut += u64::from(!kept);
        self.scratch.item = Some(Item { list, depth: self.scratch.frames.len(), kept });
        if kept {
            self.open(Some(list));
        }
    }

    /// Closes the item that is open, if there is one.
    pub(super) fn close_item(&mut self) {
        if let Some(item) = self.scratch.item.take()
            && item.kept
        {
            self.close(Some(item.list));
        }
    }

    /// Gives each field of a group an empty cell.
    fn open(&mut self, list: Option<usize>) {
        for &index in self.group(list) {
            if let Some(told) = self.scratch.told.get_mut(index) {
                told.fill(false);
            }
            match self.batch.cells.get_mut(index) {
                Some(Cells::Sum(_)) => self.open_sum(index),
                Some(Cells::Numbers { width, labels, values, known }) => {
                    values.resize(values.len() + *width, 0.0);
                    known.resize(if *labels { values.len() } else { 0 }, false);
                }
                Some(Cells::Categories(values)) => values.push(0),
                Some(Cells::Raw(values)) => values.push(0),
                Some(Cells::Ids { .. }) | None => {}
            }
        }
    }

    fn open_sum(&mut self, index: usize) {
        let hasher = self.hasher;
        let Some(field) = hasher.fields().fields().get(index) else { return };
        self.sum(index, |encoder| {
            encoder.reopen();
            field.scope.iter().for_each(|key| encoder.enter_key(key));
        });
    }

    /// Seals the cells of a group.
    fn close(&mut self, list: Option<usize>) {
        for &index in self.group(list) {
            match self.batch.cells.get_mut(index) {
                Some(Cells::Sum(batch)) => {
                    let (hasher, scratch) = (self.hasher.hasher(index), self.scratch.sums.get_mut(index));
                    let (Some(hasher), Some(scratch)) = (hasher, scratch) else { continue };
                    let finished = Encoder::resume(hasher, scratch, batch).finish();
                    self.scratch.error = self.scratch.error.take().or(finished.err());
                }
                Some(Cells::Ids { offsets, slots, .. }) => offsets.push(slots.len()),
                _ => {}
            }
        }
    }

    /// Tells something to the features of a sum.
    pub(super) fn sum<T>(&mut self, index: usize, tell: impl FnOnce(&mut Encoder<'_>) -> T) -> Option<T> {
        let hasher = self.hasher.hasher(index)?;
        let Some(Cells::Sum(batch)) = self.batch.cells.get_mut(index) else { return None };
        let scratch = self.scratch.sums.get_mut(index)?;
        Some(tell(&mut Encoder::resume(hasher, scratch, batch)))
    }

    /// The labels at `node` are told of.
    pub(super) fn arrive_at(&mut self, node: usize) {
        let Some(node) = self.node(node) else { return };
        for taker in node.takers.iter().filter(|taker| taker.cell.is_none()) {
            if self.is_open(taker.field) {
                self.arrive(taker.field);
            }
        }
    }
}

impl RecordSink for FieldEncoder<'_> {
    fn has_id(&self) -> bool {
        FieldEncoder::has_id(self)
    }
    fn finish(self) -> Result<(), FeatureError> {
        FieldEncoder::finish(self)
    }
    fn abandon(self) {
        FieldEncoder::abandon(self);
    }
}

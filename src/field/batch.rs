//! Encoded records, field by field, as flat arrays.
//!
//! What a record is beside its fields (id, weight, targets) is kept by a [`Batch`], and so are the features of each sum,
//! one row an item: rows are canonical there, so the order of keys cannot change a sum by a bit. Everything else is an array
//! beside it. The record itself is an item, once; of a list, offsets say which items are whose.

use super::options::FieldKind;
use super::resolve::{Field, Fields};
use crate::batch::{Batch, Slot};
use crate::example::FeatureError;
use std::ops::Range;
use std::sync::Arc;

/// The values of a field, item by item: `[items, …]`. A field of the record has one item a record; the items of a list's
/// fields are those of [`FieldBatch::items`].
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    /// Of a sum: a row is an item, with the slots and values of its features. Ids, weights and targets are not there.
    Sum(&'a Batch),
    /// Of ids.
    Ids(IdColumn<'a>),
    /// Of numbers and labels.
    Numbers(NumberColumn<'a>),
    /// Of categories, `[items]`, each below the width.
    Categories(&'a [u32]),
    /// Of raw ids, `[items]`.
    Raw(&'a [i64]),
}

/// Slots of ids.
#[derive(Debug, Clone, Copy)]
pub struct IdColumn<'a> {
    /// Hashes of an id.
    pub hashes: usize,
    /// Delimiters `[items + 1]` into the slots: an item has `hashes` of them, or none if it has no id.
    pub offsets: &'a [usize],
    /// Slots `[ids, hashes]`, in the order of the hashes.
    pub slots: &'a [Slot],
}

impl<'a> IdColumn<'a> {
    /// The slots of an item, `[hashes]`; none if it has no id.
    pub fn item(&self, item: usize) -> &'a [Slot] {
        self.slots.get(span(self.offsets, item)).unwrap_or_default()
    }
}

/// Numbers or labels.
#[derive(Debug, Clone, Copy)]
pub struct NumberColumn<'a> {
    /// How many an item has.
    pub width: usize,
    /// The numbers `[items, width]`; 0 where there is none.
    pub values: &'a [f32],
    /// Of labels, `[items, width]`: which are known. Of numbers it is empty.
    pub known: &'a [bool],
}

/// What a [`Column`] shows.
#[derive(Debug, Clone)]
pub(super) enum Cells {
    Sum(Box<Batch>),
    Ids { hashes: usize, offsets: Vec<usize>, slots: Vec<Slot> },
    Numbers { width: usize, labels: bool, values: Vec<f32>, known: Vec<bool> },
    Categories(Vec<u32>),
    Raw(Vec<i64>),
}

impl Cells {
    fn new(field: &Field, hashes: usize) -> Self {
        let width = field.width;
        match field.kind {
            FieldKind::Sum | FieldKind::List => Self::Sum(Box::default()),
            FieldKind::Id => Self::Ids { hashes, offsets: vec![0], slots: Vec::new() },
            FieldKind::Category => Self::Categories(Vec::new()),
            FieldKind::Raw => Self::Raw(Vec::new()),
            FieldKind::Numbers | FieldKind::Labels => {
                let labels = field.kind == FieldKind::Labels;
                Self::Numbers { width, labels, values: Vec::new(), known: Vec::new() }
            }
        }
    }

    /// Keeps `items` items, and nothing of the one that is being told.
    fn truncate(&mut self, items: usize) {
        match self {
            Self::Sum(batch) => batch.truncate(items),
            Self::Ids { offsets, slots, .. } => {
                offsets.truncate(items + 1);
                slots.truncate(offsets.last().copied().unwrap_or(0));
            }
            Self::Numbers { width, values, known, .. } => {
                values.truncate(items * *width);
                known.truncate(items * *width);
            }
            Self::Categories(values) => values.truncate(items),
            Self::Raw(values) => values.truncate(items),
        }
    }

    fn show(&self) -> Column<'_> {
        match self {
            Self::Sum(batch) => Column::Sum(batch),
            Self::Ids { hashes, offsets, slots } => Column::Ids(IdColumn { hashes: *hashes, offsets, slots }),
            Self::Numbers { width, values, known, .. } => {
                Column::Numbers(NumberColumn { width: *width, values, known })
            }
            Self::Categories(values) => Column::Categories(values),
            Self::Raw(values) => Column::Raw(values),
        }
    }
}

/// Encoded records: what a [`FieldEncoder`](super::FieldEncoder) writes, and a learner looks up. Reuse it: in steady state
/// it allocates nothing.
#[derive(Debug, Clone, Default)]
pub struct FieldBatch {
    /// None: it has not been written to.
    pub(super) fields: Option<Arc<Fields>>,
    pub(super) records: Batch,
    /// By list: delimiters of its items, `[records + 1]`.
    offsets: Vec<Vec<usize>>,
    /// By list: its items, those of the record that is being told too.
    pub(super) items: Vec<usize>,
    pub(super) cells: Vec<Cells>,
    cut: u64,
}

impl FieldBatch {
    /// An empty batch for records with these fields. [`FieldBatch::default`] becomes one when it is first written to.
    pub fn new(fields: &Arc<Fields>) -> Self {
        let hashes = |index| fields.table_of(index).map_or(0, |table| table.hash.hashes as usize);
        let all = fields.fields().iter().enumerate();
        Self {
            records: Batch::default(),
            offsets: vec![vec![0]; fields.lists().len()],
            items: vec![0; fields.lists().len()],
            cells: all.map(|(index, field)| Cells::new(field, hashes(index))).collect(),
            cut: 0,
            fields: Some(Arc::clone(fields)),
        }
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.offsets.iter_mut().for_each(|offsets| offsets.truncate(1));
        self.cut = 0;
        self.abandon();
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True if there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Ids, weights, targets and the names of tasks, record by record; it has no features.
    pub fn records(&self) -> &Batch {
        &self.records
    }

    /// Delimiters `[records + 1]` of the items of list `list`: record r has the items `items(list)[r]..items(list)[r + 1]`. Of
    /// a list that does not exist, nothing.
    pub fn items(&self, list: usize) -> &[usize] {
        self.offsets.get(list).map_or(&[], Vec::as_slice)
    }

    /// The values of field `field`, by its place in [`Fields::fields`].
    pub fn column(&self, field: usize) -> Option<Column<'_>> {
        self.cells.get(field).map(Cells::show)
    }

    /// Items that were cut off because their lists were longer than [`List::max_items`](super::List::max_items).
    pub fn cut_items(&self) -> u64 {
        self.cut
    }

    /// Notes the record that was told, `cut` items less.
    pub(super) fn finish(&mut self, cut: u64) -> Result<(), FeatureError> {
        self.records.finish_row()?;
        for (offsets, items) in self.offsets.iter_mut().zip(&self.items) {
            offsets.push(*items);
        }
        self.cut += cut;
        Ok(())
    }

    /// Drops what was told of a record, as if it had never come.
    pub(super) fn abandon(&mut self) {
        self.records.abandon_row();
        for (items, offsets) in self.items.iter_mut().zip(&self.offsets) {
            *items = offsets.last().copied().unwrap_or(0);
        }
        let Some(fields) = &self.fields else { return };
        for (cells, field) in self.cells.iter_mut().zip(fields.fields()) {
            let items = field.list.map_or(Some(self.records.len()), |list| self.items.get(list).copied());
            cells.truncate(items.unwrap_or(0));
        }
    }
}

fn span(offsets: &[usize], index: usize) -> Range<usize> {
    match (offsets.get(index), offsets.get(index + 1)) {
        (Some(&start), Some(&end)) => start..end,
        _ => 0..0,
    }
}

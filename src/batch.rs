//! Hashed examples as flat arrays.
//!
//! Compressed sparse rows: `offsets` delimit each record's slice of `slots` and `values`. Rows are *canonical*:
//! slots ascend, a slot that occurs twice is summed (in f64, then rounded). So the order of keys in a record cannot
//! change a model by a single bit, and a record walks the table in one direction. One batch is filled by one parse
//! thread and read by the learner; it is reused, so that steady state allocates nothing.

use crate::example::FeatureError;
use crate::kernel::{Isa, SORT_LANES, sort_distinct};
use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;
use std::ops::Range;

/// Index of a table row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Slot(pub u32);

/// Largest number of buckets: a slot and a flag share 32 bits while a row is sorted.
pub const MAX_BUCKETS: u32 = 1 << 31;

/// Whether a feature's value is a magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureKind {
    /// One of a set: the value is 1, or ±1 with alternate signs.
    Category,
    /// A number with a scale of its own.
    Number,
}

/// The features of one record, borrowed from a [`Batch`]. All slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Ascending, no duplicates.
    pub slots: &'a [Slot],
    /// The value that scales each slot's embedding.
    pub values: &'a [f32],
    /// What each value is.
    pub kinds: &'a [FeatureKind],
}

impl Row<'_> {
    /// Number of distinct slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
    /// True if the record has no feature.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// A label: for a task named in the batch, or for the only task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Index into [`Batch::task_names`]; `None` if the record has a single label.
    pub task: Option<u32>,
    /// The label, checked against the loss' range.
    pub value: f32,
}

/// Hashed examples of consecutive records: `[rows]` of ids, weights and targets beside CSR features.
#[derive(Debug, Clone)]
pub struct Batch {
    offsets: Vec<usize>,
    slots: Vec<Slot>,
    values: Vec<f32>,
    kinds: Vec<FeatureKind>,
    ids: Vec<u8>,
    id_spans: Vec<Option<Range<usize>>>,
    weights: Vec<f32>,
    targets: Vec<Target>,
    target_offsets: Vec<usize>,
    task_names: Vec<String>,
    task_indices: HashMap<String, u32>,
    /// Task names that finished rows brought in; the row being built may have added more.
    kept_tasks: usize,
    row: Vec<u64>,
    row_id: Option<Range<usize>>,
    row_weight: f32,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            slots: Vec::new(),
            values: Vec::new(),
            kinds: Vec::new(),
            ids: Vec::new(),
            id_spans: Vec::new(),
            weights: Vec::new(),
            targets: Vec::new(),
            target_offsets: vec![0],
            task_names: Vec::new(),
            task_indices: HashMap::new(),
            kept_tasks: 0,
            row: Vec::new(),
            row_id: None,
            row_weight: 1.0,
        }
    }
}

impl Batch {
    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.slots.clear();
        self.values.clear();
        self.kinds.clear();
        self.ids.clear();
        self.id_spans.clear();
        self.weights.clear();
        self.targets.clear();
        self.target_offsets.truncate(1);
        self.kept_tasks = 0;
        self.abandon_row();
    }

    /// Number of finished rows.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// True if no row is finished.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Number of stored features over all rows.
    pub fn features(&self) -> usize {
        self.slots.len()
    }

    /// Row delimiters `[rows + 1]` into [`Batch::slots`] and [`Batch::values`].
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Slots of all rows, `[features]`.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Values of all rows, `[features]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The features of row `index`; no features for a row that does not exist.
    pub fn row(&self, index: usize) -> Row<'_> {
        let range = span(&self.offsets, index);
        Row {
            slots: &self.slots[range.clone()],
            values: &self.values[range.clone()],
            kinds: &self.kinds[range],
        }
    }

    /// The labels of row `index`.
    pub fn targets(&self, index: usize) -> &[Target] {
        &self.targets[span(&self.target_offsets, index)]
    }

    /// The importance weight of row `index`; 0 for a row that does not exist.
    pub fn weight(&self, index: usize) -> f32 {
        self.weights.get(index).copied().unwrap_or(0.0)
    }

    /// The id of row `index` as JSON text, if the record had one.
    pub fn id(&self, index: usize) -> Option<&[u8]> {
        let range = self.id_spans.get(index)?.clone()?;
        self.ids.get(range)
    }

    /// Names of the tasks that this batch's targets refer to, in order of first appearance.
    pub fn task_names(&self) -> &[String] {
        &self.task_names
    }

    /// Adds a feature to the row being built.
    pub(crate) fn push_feature(&mut self, slot: Slot, value: f32, kind: FeatureKind) {
        self.row.push(packed(slot, value, kind));
    }

    /// Adds the first `count` of these features, each [`packed`], to the row being built.
    #[inline(always)]
    pub(crate) fn push_features<const N: usize>(&mut self, features: &[u64; N], count: usize) {
        // A copy of a fixed size, cut after it.
        let end = self.row.len() + count.min(N);
        self.row.extend_from_slice(features);
        self.row.truncate(end);
    }

    /// Sets the id of the row being built.
    pub(crate) fn set_id(&mut self, json: &str) {
        let start = self.ids.len();
        self.ids.extend_from_slice(json.as_bytes());
        self.row_id = Some(start..self.ids.len());
    }

    /// Whether the row being built has an id.
    pub(crate) fn has_id(&self) -> bool {
        self.row_id.is_some()
    }

    /// Sets the weight of the row being built.
    pub(crate) fn set_weight(&mut self, weight: f32) {
        self.row_weight = weight;
    }

    /// Adds a label to the row being built.
    pub(crate) fn push_target(&mut self, task: Option<&str>, value: f32) {
        let task = task.map(|name| self.task_index(name));
        self.targets.push(Target { task, value });
    }

    fn task_index(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.task_indices.get(name) {
            return index;
        }
        let index = self.task_names.len() as u32;
        self.task_names.push(name.to_owned());
        self.task_indices.insert(name.to_owned(), index);
        index
    }

    /// Finishes the row being built. On an error the row is abandoned.
    pub(crate) fn finish_row(&mut self) -> Result<(), FeatureError> {
        if let Err(error) = self.append_row() {
            self.abandon_row();
            return Err(error);
        }
        self.close_row();
        Ok(())
    }

    /// Finishes the row being built if it has at most [`SORT_LANES`] features, finite and each of another slot. False:
    /// nothing has changed.
    #[inline]
    pub(crate) fn finish_distinct(&mut self) -> bool {
        let appended = self.row.len() <= SORT_LANES && self.append_distinct();
        if appended {
            self.close_row();
        }
        appended
    }

    /// The row's features are appended: so is the rest of it.
    fn close_row(&mut self) {
        self.offsets.push(self.slots.len());
        self.target_offsets.push(self.targets.len());
        self.weights.push(self.row_weight);
        self.id_spans.push(self.row_id.take());
        self.kept_tasks = self.task_names.len();
        self.row.clear();
        self.row_weight = 1.0;
    }

    /// Drops the row being built, so that the batch is as if its record had never come.
    pub(crate) fn abandon_row(&mut self) {
        self.truncate_features();
        self.targets.truncate(self.target_offsets.last().copied().unwrap_or(0));
        while self.task_names.len() > self.kept_tasks {
            if let Some(task) = self.task_names.pop() {
                self.task_indices.remove(&task);
            }
        }
        if let Some(range) = self.row_id.take() {
            self.ids.truncate(range.start);
        }
        self.row.clear();
        self.row_weight = 1.0;
    }

    /// Drops the row being built, and all rows from `rows` on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.abandon_row();
        let dropped = self.id_spans.get(rows..).unwrap_or_default();
        if let Some(first) = dropped.iter().flatten().next() {
            self.ids.truncate(first.start);
        }
        self.offsets.truncate(rows + 1);
        self.target_offsets.truncate(rows + 1);
        self.weights.truncate(rows);
        self.id_spans.truncate(rows);
        self.targets.truncate(self.target_offsets.last().copied().unwrap_or(0));
        self.truncate_features();
    }

    /// Drops the features that no finished row has.
    fn truncate_features(&mut self) {
        let features = self.offsets.last().copied().unwrap_or(0);
        self.slots.truncate(features);
        self.values.truncate(features);
        self.kinds.truncate(features);
    }

    /// Appends the row in the order of its slots, duplicates summed.
    fn append_row(&mut self) -> Result<(), FeatureError> {
        if self.row.len() <= SORT_LANES && self.append_distinct() {
            return Ok(());
        }
        self.row.sort_unstable();
        self.append_summed()
    }

    /// Appends a row of at most [`SORT_LANES`] features. False, and nothing is appended, if it has a slot twice or a value
    /// that is not finite.
    fn append_distinct(&mut self) -> bool {
        // All in steps of a fixed size, what is too much cut off after them: so sixteen features are a few vectors.
        let count = self.row.len();
        self.row.resize(SORT_LANES, 0);
        let mut row = self.row.first_chunk().copied().unwrap_or_default();
        self.row.truncate(count);
        let finite = row.iter().fold(true, |finite, &packed| finite & value_of(packed).is_finite());
        if !finite || !sort_distinct(Isa::best(), &mut row, count) {
            return false;
        }
        let (mut slots, mut values) = ([Slot(0); SORT_LANES], [0.0; SORT_LANES]);
        let mut kinds = [FeatureKind::Category; SORT_LANES];
        for (i, packed) in row.into_iter().enumerate() {
            (slots[i], values[i], kinds[i]) = (slot_of(packed), value_of(packed), kind_of(packed));
        }
        let end = self.slots.len() + count;
        self.slots.extend_from_slice(&slots);
        self.values.extend_from_slice(&values);
        self.kinds.extend_from_slice(&kinds);
        self.slots.truncate(end);
        self.values.truncate(end);
        self.kinds.truncate(end);
        true
    }

    /// Appends the sorted row, the values of a slot summed in their order.
    fn append_summed(&mut self) -> Result<(), FeatureError> {
        for group in self.row.chunk_by(|&a, &b| slot_of(a) == slot_of(b)) {
            let [first, ..] = *group else { continue };
            let value = match group {
                [one] => value_of(*one),
                _ => group.iter().map(|&packed| f64::from(value_of(packed))).sum::<f64>() as f32,
            };
            if !value.is_finite() {
                return Err(FeatureError::SumNotFinite);
            }
            let number = group.iter().any(|&packed| kind_of(packed) == FeatureKind::Number);
            self.slots.push(slot_of(first));
            self.values.push(value);
            self.kinds.push(if number { FeatureKind::Number } else { FeatureKind::Category });
        }
        Ok(())
    }
}

/// A feature of the row being built, as one number: slot, kind and value, by which rows are sorted.
#[inline(always)]
pub(crate) fn packed(slot: Slot, value: f32, kind: FeatureKind) -> u64 {
    let number = u64::from(kind == FeatureKind::Number);
    u64::from(slot.0) << 33 | number << 32 | u64::from(value.to_bits())
}

#[inline(always)]
pub(crate) fn slot_of(packed: u64) -> Slot {
    Slot((packed >> 33) as u32)
}

#[inline(always)]
fn kind_of(packed: u64) -> FeatureKind {
    if packed >> 32 & 1 == 1 { FeatureKind::Number } else { FeatureKind::Category }
}

#[inline(always)]
fn value_of(packed: u64) -> f32 {
    f32::from_bits(packed as u32)
}

fn span(offsets: &[usize], index: usize) -> Range<usize> {
    match (offsets.get(index), offsets.get(index + 1)) {
        (Some(&start), Some(&end)) => start..end,
        _ => 0..0,
    }
}

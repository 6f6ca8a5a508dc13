//! Hashed examples as flat arrays.
//!
//! Compressed sparse rows: `offsets` delimit each record's slice of `slots` and `values`. Rows are *canonical*:
//! slots ascend, a slot that occurs twice is summed (in f64, then rounded). So the order of keys in a record cannot
//! change a model by a single bit, and a record walks the table in one direction. One batch is filled by one parse
//! thread and read by the learner; it is reused, so that steady state allocates nothing.

use crate::example::FeatureError;
use crate::kernel::{Isa, sort_short};
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

    /// Adds features to the row being built.
    #[inline]
    pub(crate) fn push_features(&mut self, features: impl Iterator<Item = (Slot, f32, FeatureKind)>) {
        self.row.extend(features.map(|(slot, value, kind)| packed(slot, value, kind)));
    }

    /// Sets the id of the row being built.
    pub(crate) fn set_id(&mut self, json: &str) {
        let start = self.ids.len();
        self.ids.extend_from_slice(json.as_bytes());
        self.row_id = Some(start..self.ids.len());
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
        self.offsets.push(self.slots.len());
        self.target_offsets.push(self.targets.len());
        self.weights.push(self.row_weight);
        self.id_spans.push(self.row_id.take());
        self.kept_tasks = self.task_names.len();
        self.abandon_row();
        Ok(())
    }

    /// Drops the row being built, so that the batch is as if its record had never come.
    pub(crate) fn abandon_row(&mut self) {
        let last = |offsets: &[usize]| offsets.last().copied().unwrap_or(0);
        let features = last(&self.offsets);
        self.slots.truncate(features);
        self.values.truncate(features);
        self.kinds.truncate(features);
        self.targets.truncate(last(&self.target_offsets));
        for task in self.task_names.drain(self.kept_tasks.min(self.task_names.len())..) {
            self.task_indices.remove(&task);
        }
        if let Some(range) = self.row_id.take() {
            self.ids.truncate(range.start);
        }
        self.row.clear();
        self.row_weight = 1.0;
    }

    /// Sorts the row by slot, kind and value, and sums duplicates.
    fn append_row(&mut self) -> Result<(), FeatureError> {
        sort_short(Isa::best(), &mut self.row);
        // No early exit: so the loops go several features at a step.
        let neighbours = self.row.iter().zip(self.row.iter().skip(1));
        let repeated = neighbours.fold(false, |repeated, (&a, &b)| repeated | (slot_of(a) == slot_of(b)));
        let finite = self.row.iter().fold(true, |finite, &packed| finite & value_of(packed).is_finite());
        if repeated || !finite {
            return self.append_summed();
        }
        self.slots.extend(self.row.iter().map(|&packed| slot_of(packed)));
        self.values.extend(self.row.iter().map(|&packed| value_of(packed)));
        self.kinds.extend(self.row.iter().map(|&packed| kind_of(packed)));
        Ok(())
    }

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

#[inline]
fn packed(slot: Slot, value: f32, kind: FeatureKind) -> u64 {
    let number = u64::from(kind == FeatureKind::Number);
    u64::from(slot.0) << 33 | number << 32 | u64::from(value.to_bits())
}

fn slot_of(packed: u64) -> Slot {
    Slot((packed >> 33) as u32)
}

fn kind_of(packed: u64) -> FeatureKind {
    if packed >> 32 & 1 == 1 { FeatureKind::Number } else { FeatureKind::Category }
}

fn value_of(packed: u64) -> f32 {
    f32::from_bits(packed as u32)
}

fn span(offsets: &[usize], index: usize) -> Range<usize> {
    match (offsets.get(index), offsets.get(index + 1)) {
        (Some(&start), Some(&end)) => start..end,
        _ => 0..0,
    }
}

//! From encoded records to a network's inputs, and from its gradients back to rows.

use super::NetworkArm;
use super::bind::{Binding, Bindings};
use crate::batch::Slot;
use crate::field::{Column, FieldBatch};
use crate::kernel::Isa;
use crate::learner::{LearnerError, Piece, Rejection};
use crate::model::network::{FieldKind, Inputs, Items, Values};
use crate::optim::Vectors;
use crate::table::{Lease, Place, StripeSet, Table};

/// A record, or an item of one: where it is in the encoded records, and where its values go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// Which piece.
    pub(super) piece: usize,
    /// The record in its batch.
    pub(super) row: usize,
    /// Its place among the records, or among the items of the list, in the piece's batch.
    pub(super) item: usize,
    /// Its place in the inputs: `[rows]`, or `[rows, items]` padded.
    pub(super) at: usize,
}

/// The places of all records of a batch and of their items.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) records: Vec<Cell>,
    /// By list of the network: items of a record, padding included, and those there are.
    lists: Vec<(usize, Vec<Cell>)>,
}

impl Layout {
    pub(super) fn new(rows: &[Piece<'_>], bindings: &Bindings) -> Self {
        let all =
            rows.iter().enumerate().flat_map(|(piece, rows)| rows.rows.clone().map(move |row| (piece, row)));
        let records = all.enumerate().map(|(at, (piece, row))| Cell { piece, row, item: row, at });
        let records: Vec<Cell> = records.collect();
        let lists = bindings.lists.iter().map(|&list| items(rows, &records, list)).collect();
        Self { records, lists }
    }

    pub(super) fn rows(&self) -> usize {
        self.records.len()
    }

    /// The items of a list of the network; for none, the records.
    pub(super) fn items(&self, list: Option<usize>) -> &[Cell] {
        match list {
            None => &self.records,
            Some(list) => self.lists.get(list).map_or(&[], |(_, cells)| cells),
        }
    }

    /// Cells in the shape of a field of the list, or of the record: padding included.
    pub(super) fn cells(&self, list: Option<usize>) -> usize {
        let items = list.and_then(|list| self.lists.get(list)).map_or(1, |(count, _)| *count);
        self.rows() * items
    }

    /// Records, or items of the output's list, padding included.
    pub(super) fn outputs(&self, bindings: &Bindings) -> usize {
        self.cells(bindings.output_list)
    }

    /// What is of record `row` in `outputs`, which have the shape of the outputs; of its items those that are there.
    pub(super) fn of_row<'a>(&self, row: usize, bindings: &Bindings, outputs: &'a [f32]) -> &'a [f32] {
        let width = bindings.names.len();
        let cells = match bindings.output_list.and_then(|list| self.lists.get(list)) {
            None => row..row + 1,
            Some((count, cells)) => {
                let first = row * count;
                let there = cells.partition_point(|cell| cell.at < first + count)
                    - cells.partition_point(|cell| cell.at < first);
                first..first + there
            }
        };
        outputs.get(cells.start * width..cells.end * width).unwrap_or_default()
    }

    fn items_of(&self) -> Vec<Items> {
        let list = |(count, cells): &(usize, Vec<Cell>)| {
            let mut mask = vec![false; self.rows() * count];
            cells.iter().for_each(|cell| {
                if let Some(there) = mask.get_mut(cell.at) {
                    *there = true;
                }
            });
            Items { count: *count, mask }
        };
        self.lists.iter().map(list).collect()
    }
}

/// The items of list `list` of all `records`, and how many the longest has, at least 1.
fn items(rows: &[Piece<'_>], records: &[Cell], list: usize) -> (usize, Vec<Cell>) {
    let span = |record: &Cell| {
        let offsets = rows.get(record.piece).map_or(&[][..], |piece| piece.batch.items(list));
        match offsets.get(record.item..record.item + 2) {
            Some(&[start, end]) => start..end,
            _ => 0..0,
        }
    };
    let count = records.iter().map(|record| span(record).len()).max().unwrap_or(0).max(1);
    let cells = records.iter().flat_map(|record| {
        let Cell { piece, row, at, .. } = *record;
        span(record).enumerate().map(move |(place, item)| Cell { piece, row, item, at: at * count + place })
    });
    (count, cells.collect())
}

/// The rows of `pieces` that are not refused, as pieces.
pub(super) fn rows_but<'a>(pieces: &[Piece<'a>], refused: &[Option<Rejection>]) -> Vec<Piece<'a>> {
    let mut good: Vec<Piece<'a>> = Vec::new();
    let mut refused = refused.iter();
    for piece in pieces {
        let mut next = None;
        for row in piece.rows.clone() {
            if !matches!(refused.next(), Some(None)) {
                continue;
            }
            match good.last_mut().filter(|_| next == Some(row)) {
                Some(last) => last.rows.end = row + 1,
                None => good.push(Piece { batch: piece.batch, rows: row..row + 1 }),
            }
            next = Some(row + 1);
        }
    }
    good
}

/// One look at a table row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub(super) slot: Slot,
    /// What the row is multiplied with.
    pub(super) x: f32,
    /// Where its vector is added, in floats.
    pub(super) at: usize,
    /// The record in the batch.
    row: usize,
}

/// Looks up to which each holds its own stripe alone: to hold a set of them costs as much as to take a few.
const FEW: usize = 8;

/// All of a field, in the order of records.
#[derive(Debug, Default)]
pub(super) struct Uses {
    uses: Vec<Use>,
    dim: usize,
}

impl Uses {
    /// Finds what `binding` looks up.
    pub(super) fn find(&mut self, rows: &[Piece<'_>], layout: &Layout, binding: &Binding) {
        self.uses.clear();
        let (hashes, dim) = match binding.kind {
            FieldKind::Sum { dim } => (1, dim),
            FieldKind::Stacked { hashes, dim } => (hashes, dim),
            _ => return,
        };
        self.dim = dim;
        let stacked = matches!(binding.kind, FieldKind::Stacked { .. });
        let per_record = layout.cells(binding.list) / layout.rows().max(1);
        for cell in layout.items(binding.list) {
            let (row, at) = (cell.at / per_record.max(1), cell.at * hashes * dim);
            match binding.field.and_then(|field| rows.get(cell.piece)?.batch.column(field)) {
                Some(Column::Sum(batch)) => {
                    let features = batch.row(cell.item);
                    let all = features.slots.iter().zip(features.values);
                    self.uses.extend(all.map(|(&slot, &x)| Use { slot, x, at, row }));
                }
                Some(Column::Ids(ids)) => {
                    let slots = ids.item(cell.item).iter().enumerate();
                    self.uses.extend(slots.map(|(hash, &slot)| {
                        let at = if stacked { at + hash * dim } else { at };
                        Use { slot, x: 1.0, at, row }
                    }));
                }
                _ => {}
            }
        }
    }

    /// All of them.
    #[cfg(feature = "cuda")]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Use> {
        self.uses.iter()
    }

    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        !self.uses.is_empty()
    }

    /// How many are of record `row`.
    pub(super) fn of_row(&self, row: usize) -> u64 {
        let below = |row: usize| self.uses.partition_point(|used| used.row < row);
        (below(row + 1) - below(row)) as u64
    }

    /// Holds the stripes of all of them, and says where their rows are.
    fn lease<'t>(
        &self,
        table: &'t Table,
        find: impl Fn(&mut Lease<'t>, Slot) -> Place,
    ) -> (Lease<'t>, Vec<Place>) {
        let mut set = StripeSet::default();
        for used in &self.uses {
            table.prefetch_place(used.slot);
            set.insert(table.stripe_of(used.slot));
        }
        let mut lease = table.lease(set);
        let places = self.uses.iter().map(|used| find(&mut lease, used.slot)).collect();
        (lease, places)
    }

    /// Adds what is looked up to `sums`, in the shape of the field.
    pub(super) fn gather(&self, table: &Table, rule: &Vectors, sums: &mut [f32]) {
        if self.uses.len() <= FEW {
            let mut row = vec![0.0; table.options().width];
            for used in &self.uses {
                let stripe = table.single(table.stripe_of(used.slot));
                if let (Some(mut stripe), Some(sum)) = (stripe, sums.get_mut(used.at..used.at + self.dim)) {
                    stripe.copy(used.slot, &mut row, &mut []);
                    rule.add_to(&row, used.x, sum);
                }
            }
            return;
        }
        let (mut lease, places) = self.lease(table, |lease, slot| lease.place(slot));
        let rows = lease.rows();
        places.iter().for_each(|&place| rows.prefetch(place));
        Isa::best().run(
            #[inline(always)]
            || {
                for (used, &place) in self.uses.iter().zip(&places) {
                    if let Some(sum) = sums.get_mut(used.at..used.at + self.dim) {
                        rule.add_to(rows.row(place), used.x, sum);
                    }
                }
            },
        );
    }

    /// Moves each row by the gradient of what it was added to, one after the other; returns how many steps f32 could not hold: they
    /// are dropped. `moved` is memory to work in.
    pub(super) fn scatter(
        &self,
        table: &Table,
        rule: &Vectors,
        (gradients, rate): (&[f32], f64),
        moved: &mut Vec<f32>,
    ) -> u64 {
        moved.resize(table.options().width, 0.0);
        let mut dropped = 0;
        let mut step = |row: &mut [f32], used: &Use| {
            let Some(gradient) = gradients.get(used.at..used.at + self.dim) else { return };
            if rule.step(row, gradient, (used.x, rate), moved) {
                row.copy_from_slice(moved);
            } else {
                dropped += 1;
            }
        };
        if self.uses.len() <= FEW {
            for used in &self.uses {
                if let Some(mut stripe) = table.single(table.stripe_of(used.slot)) {
                    step(stripe.row_mut(used.slot).0, used);
                }
            }
            return dropped;
        }
        let (mut lease, places) = self.lease(table, |lease, slot| lease.place_mut(slot));
        let mut rows = lease.rows();
        places.iter().for_each(|&place| rows.prefetch(place));
        Isa::best().run(
            #[inline(always)]
            || {
                for (used, &place) in self.uses.iter().zip(&places) {
                    step(rows.row_mut(place), used);
                }
            },
        );
        dropped
    }
}

/// What the network takes of `rows`.
pub(super) fn gather(rows: &[Piece<'_>], layout: &Layout, arm: &NetworkArm) -> Result<Inputs, LearnerError> {
    let fields = arm.bindings.fields.iter().enumerate().map(|(index, binding)| {
        let cells = layout.cells(binding.list);
        let kept = layout.items(binding.list);
        Ok(match binding.kind {
            FieldKind::Sum { .. } | FieldKind::Stacked { .. } => {
                arm.look_up(index, cells * binding.kind.floats())?
            }
            FieldKind::Numbers { width } => {
                let mut floats = vec![0.0; cells * width];
                for cell in kept {
                    let Some(Column::Numbers(column)) = column(rows, binding, cell) else { continue };
                    let own = column.values.get(cell.item * width..(cell.item + 1) * width);
                    let to = floats.get_mut(cell.at * width..(cell.at + 1) * width);
                    if let (Some(own), Some(to)) = (own, to) {
                        to.copy_from_slice(own);
                    }
                }
                Values::Floats(floats)
            }
            FieldKind::Category { .. } => Values::Categories(each(cells, kept, |cell| {
                let Some(Column::Categories(values)) = column(rows, binding, cell) else { return None };
                values.get(cell.item).copied()
            })),
            FieldKind::Id => Values::Ids(each(cells, kept, |cell| {
                let Some(Column::Raw(values)) = column(rows, binding, cell) else { return None };
                values.get(cell.item).copied()
            })),
        })
    });
    let fields = fields.collect::<Result<_, LearnerError>>()?;
    Ok(Inputs { rows: layout.rows(), fields, lists: layout.items_of() })
}

fn column<'a>(rows: &[Piece<'a>], binding: &Binding, cell: &Cell) -> Option<Column<'a>> {
    let batch: &'a FieldBatch = rows.get(cell.piece)?.batch;
    batch.column(binding.field?)
}

/// One value a cell, 0 for padding and where there is none.
fn each<T: Copy + Default>(cells: usize, kept: &[Cell], value: impl Fn(&Cell) -> Option<T>) -> Vec<T> {
    let mut values = vec![T::default(); cells];
    for cell in kept {
        if let (Some(to), Some(value)) = (values.get_mut(cell.at), value(cell)) {
            *to = value;
        }
    }
    values
}

//! Single values into their columns.

use super::batch::Cells;
use super::encoder::FieldEncoder;
use super::options::FieldKind;
use super::resolve::Field;
use crate::example::{FeatureError, LabelRange};
use crate::hash::{Form, HashKind, bits_of};
use std::fmt::Write;

/// A value as a parser tells it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told<'v> {
    Number(f32),
    Integer(i128, f32),
    Category(&'v str),
    Null,
}

/// Where it stands, seen from the field's own path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// There.
    Whole,
    /// Element of an array that stands there.
    Element(usize),
    /// At the key of this number or label.
    Cell(usize),
    /// Further below.
    Below,
}

impl FieldEncoder<'_> {
    /// Field `index` takes a value.
    pub(super) fn take(&mut self, index: usize, place: Place, told: Told<'_>) -> Result<(), FeatureError> {
        let fields = self.hasher.fields();
        let Some(field) = fields.fields().get(index) else { return Ok(()) };
        match (field.kind, told) {
            (FieldKind::Labels, Told::Null) => self.unknown(index, place),
            (_, Told::Null) => {}
            (FieldKind::Id | FieldKind::Raw, _) => return self.id(index, field, place, told),
            (FieldKind::Category, _) => return self.category_of(index, field, place, told),
            (FieldKind::Numbers | FieldKind::Labels, _) => return self.cell(index, field, place, told),
            (FieldKind::Sum | FieldKind::List, _) => {}
        }
        Ok(())
    }

    fn id(&mut self, index: usize, field: &Field, place: Place, told: Told<'_>) -> Result<(), FeatureError> {
        const EXPECTED: &str = "one id, a string or an integer";
        if !matches!(place, Place::Whole | Place::Element(_)) || !self.first(index, 0) {
            return Err(refuse(field, EXPECTED, more(place, told)));
        }
        let text = &mut self.scratch.text;
        let text = match told {
            Told::Category(text) => text,
            Told::Integer(id, _) => {
                text.clear();
                // Writing to a string cannot fail.
                let _ = write!(text, "{id}");
                text.as_str()
            }
            _ => return Err(refuse(field, EXPECTED, show(told))),
        };
        let bytes = &mut self.scratch.bytes;
        let taken = match self.batch.cells.get_mut(index) {
            Some(Cells::Ids { slots, .. }) => self.hasher.id_slots(index, text, bytes, slots),
            Some(Cells::Raw(values)) => {
                if let Some(value) = values.last_mut() {
                    *value = self.hasher.raw_id(index, text, bytes);
                }
                true
            }
            _ => true,
        };
        if taken {
            self.look_at_id(index, told);
            return Ok(());
        }
        Err(refuse(field, "an integer id for this hash", show(told)))
    }

    /// Tells the probe, if there is one, of the id that was just taken.
    fn look_at_id(&mut self, index: usize, told: Told<'_>) {
        let Some(probe) = self.scratch.sums.get_mut(index).and_then(|sum| sum.probe.as_mut()) else { return };
        let Some(Cells::Ids { hashes, slots, .. }) = self.batch.cells.get(index) else { return };
        let text = match told {
            Told::Category(text) => text,
            _ => self.scratch.text.as_str(),
        };
        let kind = self.hasher.hasher(index).map(|hasher| hasher.options().kind);
        // What is hashed: where that is the bare id, its scope is no part of it.
        let bare = matches!(kind, Some(HashKind::Mmh3 | HashKind::Modulo));
        let hashed = if bare { text.as_bytes() } else { &self.scratch.bytes };
        let slots = slots.get(slots.len().saturating_sub(*hashes)..).unwrap_or_default();
        let rows = slots.iter().zip(0..).map(|(slot, index)| (bits_of(hashed, index), slot.0));
        probe.look_alone(Form::Id, text.as_bytes(), rows);
    }

    fn category_of(
        &mut self,
        index: usize,
        field: &Field,
        place: Place,
        told: Told<'_>,
    ) -> Result<(), FeatureError> {
        if !matches!(place, Place::Whole | Place::Element(_)) || !self.first(index, 0) {
            return Err(refuse(field, "one category", more(place, told)));
        }
        let found = match told {
            Told::Integer(category, _) => usize::try_from(category).ok().filter(|at| *at < field.width),
            Told::Category(name) => field.place_of(name),
            _ => None,
        };
        let Some(category) = found else { return Err(refuse(field, &categories(field), show(told))) };
        if let Some(Cells::Categories(values)) = self.batch.cells.get_mut(index)
            && let Some(value) = values.last_mut()
        {
            *value = category as u32;
        }
        Ok(())
    }

    /// A number or a label.
    fn cell(
        &mut self,
        index: usize,
        field: &Field,
        place: Place,
        told: Told<'_>,
    ) -> Result<(), FeatureError> {
        let labels = self.hasher.labels();
        let is_label = field.kind == FieldKind::Labels;
        if is_label && labels == LabelRange::Ignored {
            return Ok(());
        }
        let (cell, value) = match (place, told) {
            (Place::Whole | Place::Element(_), Told::Category(name)) => {
                let at = field.place_of(name);
                return match at {
                    Some(cell) => self.put(index, field, cell, |value| *value = 1.0),
                    None => Err(refuse(field, &numbers(field), show(told))),
                };
            }
            (Place::Whole, Told::Number(value) | Told::Integer(_, value)) => (0, value),
            (Place::Element(cell) | Place::Cell(cell), Told::Number(value) | Told::Integer(_, value)) => {
                (cell, value)
            }
            _ => return Err(refuse(field, &numbers(field), more(place, told))),
        };
        if cell >= field.width {
            return Err(refuse(field, &numbers(field), format!("an element at place {cell}")));
        }
        if !is_label {
            return self.put(index, field, cell, |to| *to += value);
        }
        let label = labels.check(f64::from(value));
        let label = label.ok_or_else(|| refuse(field, labels.describe(), show(told)))?;
        if !self.first(index, cell) {
            return Err(refuse(field, "one label", format!("a second one, {}", show(told))));
        }
        self.put(index, field, cell, |to| *to = label + 0.0)
    }

    /// Changes a number of the item that is being told; a label is known then.
    fn put(
        &mut self,
        index: usize,
        field: &Field,
        cell: usize,
        change: impl FnOnce(&mut f32),
    ) -> Result<(), FeatureError> {
        let Some(Cells::Numbers { values, known, .. }) = self.batch.cells.get_mut(index) else {
            return Ok(());
        };
        let start = values.len().saturating_sub(field.width);
        if let Some(value) = values.get_mut(start + cell) {
            change(value);
            if !value.is_finite() {
                return Err(FeatureError::SumNotFinite);
            }
        }
        if let Some(known) = known.get_mut(start + cell) {
            *known = true;
        }
        Ok(())
    }

    /// What is `null` is no label.
    fn unknown(&mut self, index: usize, place: Place) {
        let Some(Cells::Numbers { width, known, .. }) = self.batch.cells.get_mut(index) else { return };
        let start = known.len().saturating_sub(*width);
        match place {
            Place::Whole => known.iter_mut().skip(start).for_each(|known| *known = false),
            Place::Element(cell) | Place::Cell(cell) if cell < *width => {
                if let Some(known) = known.get_mut(start + cell) {
                    *known = false;
                }
            }
            _ => {}
        }
    }

    /// The labels of field `index` are told of: what is not said is 0, no longer unknown.
    pub(super) fn arrive(&mut self, index: usize) {
        if self.hasher.labels() == LabelRange::Ignored {
            return;
        }
        if let Some(Cells::Numbers { width, labels: true, known, .. }) = self.batch.cells.get_mut(index) {
            let start = known.len().saturating_sub(*width);
            known.iter_mut().skip(start).for_each(|known| *known = true);
        }
    }

    /// Whether nothing has been told yet for this cell of the item; from now on it has.
    fn first(&mut self, index: usize, cell: usize) -> bool {
        let told = self.scratch.told.get_mut(index).and_then(|told| told.get_mut(cell));
        told.is_none_or(|told| !std::mem::replace(told, true))
    }
}

fn refuse(field: &Field, expected: &str, found: String) -> FeatureError {
    FeatureError::Field { field: field.name.clone(), expected: expected.to_owned(), found }
}

fn categories(field: &Field) -> String {
    let names = if field.names.is_empty() { "" } else { ", or one of its names" };
    format!("a category, an integer below {}{names}", field.width)
}

fn numbers(field: &Field) -> String {
    let names = if field.names.is_empty() { "" } else { ", or its names" };
    format!("{} {} at most{names}", field.width, field.kind.name())
}

/// The value, and that it stands below the field or is one too many.
fn more(place: Place, told: Told<'_>) -> String {
    let value = show(told);
    match place {
        Place::Below => format!("{value} further below"),
        Place::Cell(_) => value,
        Place::Whole | Place::Element(_) => format!("another one, {value}"),
    }
}

/// A value for an error, cut after some characters.
fn show(told: Told<'_>) -> String {
    const SHOWN: usize = 40;
    match told {
        Told::Number(value) => value.to_string(),
        Told::Integer(value, _) => value.to_string(),
        Told::Category(text) if text.chars().count() > SHOWN => {
            format!("{:?}…", text.chars().take(SHOWN).collect::<String>())
        }
        Told::Category(text) => format!("{text:?}"),
        Told::Null => "null".to_owned(),
    }
}

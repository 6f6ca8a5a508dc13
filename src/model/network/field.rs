//! What a network takes: declared fields, and their values for some records.
//!
//! A record has fields of its own, and lists of items (a history, candidates) whose items have fields. Lists have
//! different lengths in different records, so those of a batch are padded to the longest, and a mask says which items are
//! there. The mask belongs to the list, not to the field: all fields of an item are there or none.

use super::NetworkError;
use candle_core::{DType, Tensor};

/// What a field holds for one record, or for one item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// The sum of looked-up table rows, `[dim]`.
    Sum {
        /// Floats of a table row.
        dim: usize,
    },
    /// Looked-up table rows side by side, one a hash, `[hashes, dim]`.
    Stacked {
        /// Rows of an id.
        hashes: usize,
        /// Floats of a table row.
        dim: usize,
    },
    /// Plain numbers `[width]`.
    Numbers {
        /// How many.
        width: usize,
    },
    /// One of few categories, a number below `count`. The network keeps a row for each among its own parameters.
    Category {
        /// How many there are.
        count: u32,
    },
    /// An id as it is. The network makes something of it without a table.
    Id,
}

impl FieldKind {
    /// The shape behind `[rows]` or `[rows, items]`; a category and an id have none.
    pub fn shape(self) -> Vec<usize> {
        match self {
            Self::Sum { dim } => vec![dim],
            Self::Stacked { hashes, dim } => vec![hashes, dim],
            Self::Numbers { width } => vec![width],
            Self::Category { .. } | Self::Id => vec![],
        }
    }

    /// Floats of one record or item; 1 for a category and an id.
    pub fn floats(self) -> usize {
        self.shape().iter().product()
    }

    /// Whether its values are rows of a table, which want their gradient back.
    pub fn is_looked_up(self) -> bool {
        matches!(self, Self::Sum { .. } | Self::Stacked { .. })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sum { .. } => "a sum of table rows",
            Self::Stacked { .. } => "stacked table rows",
            Self::Numbers { .. } => "numbers",
            Self::Category { .. } => "a category",
            Self::Id => "an id",
        }
    }
}

/// A declared field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name, unique in the network.
    pub name: String,
    /// The list whose items have it; `None`: the record has it.
    pub list: Option<String>,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it is zeros where nobody declared it.
    pub optional: bool,
}

impl Field {
    /// A field of the record: `[rows, …]`.
    pub fn of_record(name: &str, kind: FieldKind) -> Self {
        Self { name: name.to_owned(), list: None, kind, optional: false }
    }

    /// A field of the items of `list`: `[rows, items, …]`.
    pub fn of_item(name: &str, list: &str, kind: FieldKind) -> Self {
        Self { name: name.to_owned(), list: Some(list.to_owned()), kind, optional: false }
    }

    /// The same, but zeros where nobody declared it.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The shape of its values for `rows` records, whose lists have `items` items.
    pub fn shape(&self, rows: usize, items: usize) -> Vec<usize> {
        let items = self.list.is_some().then_some(items);
        [rows].into_iter().chain(items).chain(self.kind.shape()).collect()
    }

    /// The error for a field that is not `expected`.
    pub(super) fn not(&self, expected: &'static str) -> NetworkError {
        NetworkError::Kind { name: self.name.clone(), expected, got: self.kind.name() }
    }

    fn check(&self) -> Result<(), NetworkError> {
        let small = self.kind.shape().contains(&0) || self.kind == FieldKind::Category { count: 0 };
        let name = format!("field {:?}", self.name);
        if small {
            Err(NetworkError::Option { name, expected: "a size of at least 1", got: 0.0 })
        } else {
            Ok(())
        }
    }
}

/// The names of the lists in the order in which `fields` first name them. Refuses a name that occurs twice and a size of 0.
pub(super) fn lists_of(fields: &[Field]) -> Result<Vec<String>, NetworkError> {
    let mut lists: Vec<String> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        field.check()?;
        if fields[..index].iter().any(|earlier| earlier.name == field.name) {
            return Err(NetworkError::Twice { what: "field", name: field.name.clone() });
        }
        match &field.list {
            Some(list) if !lists.contains(list) => lists.push(list.clone()),
            _ => {}
        }
    }
    Ok(lists)
}

/// The values of a field, row-major.
#[derive(Debug, Clone)]
pub enum Values {
    /// Of a sum, of stacked rows and of numbers.
    Floats(Vec<f32>),
    /// Of a sum and of stacked rows: floats that are on candle's device already, in any shape of as many.
    Tensor(Tensor),
    /// Of a category.
    Categories(Vec<u32>),
    /// Of an id.
    Ids(Vec<i64>),
}

impl PartialEq for Values {
    /// A tensor is equal to itself: to compare two it takes their device.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Floats(own), Self::Floats(other)) => own == other,
            (Self::Tensor(own), Self::Tensor(other)) => own.id() == other.id(),
            (Self::Categories(own), Self::Categories(other)) => own == other,
            (Self::Ids(own), Self::Ids(other)) => own == other,
            _ => false,
        }
    }
}

impl Values {
    /// Floats that are here; none of a tensor, of categories and of ids.
    pub fn as_floats(&self) -> &[f32] {
        match self {
            Self::Floats(values) => values,
            _ => &[],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Tensor(values) => values.elem_count(),
            Self::Categories(values) => values.len(),
            Self::Ids(values) => values.len(),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Floats(_) => "floats",
            Self::Tensor(_) => "a tensor",
            Self::Categories(_) => "categories",
            Self::Ids(_) => "ids",
        }
    }
}

/// How long a list is in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items {
    /// Items of each record, padding included, at least 1.
    pub count: usize,
    /// Which are there, `[rows, count]`; `false`: padding.
    pub mask: Vec<bool>,
}

/// Some records as a network takes them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inputs {
    /// Records, at least 1.
    pub rows: usize,
    /// The lists, in the order of [`NetworkHead::lists`](super::NetworkHead::lists).
    pub lists: Vec<Items>,
    /// Values of the fields, in the order of [`Network::fields`](super::Network::fields).
    pub fields: Vec<Values>,
}

impl Inputs {
    /// Items of the list of `field`; 1 if it is of the record.
    pub(super) fn items(&self, lists: &[String], field: &Field) -> usize {
        let place = field.list.as_ref().and_then(|name| lists.iter().position(|list| list == name));
        place.and_then(|at| self.lists.get(at)).map_or(1, |items| items.count)
    }

    /// Whether these are values of `fields`, whose lists are `lists`.
    pub(super) fn check(&self, fields: &[Field], lists: &[String]) -> Result<(), NetworkError> {
        if self.rows == 0 {
            return Err(NetworkError::Option { name: "rows".into(), expected: "at least 1", got: 0.0 });
        }
        expect_len("lists", lists.len(), self.lists.len())?;
        expect_len("fields", fields.len(), self.fields.len())?;
        for (name, items) in lists.iter().zip(&self.lists) {
            if items.count == 0 {
                let name = format!("items of {name:?}");
                return Err(NetworkError::Option { name, expected: "at least 1", got: 0.0 });
            }
            expect_len(format_args!("mask of {name:?}"), self.rows * items.count, items.mask.len())?;
        }
        fields.iter().zip(&self.fields).try_for_each(|(field, values)| self.check_field(lists, field, values))
    }

    fn check_field(&self, lists: &[String], field: &Field, values: &Values) -> Result<(), NetworkError> {
        let expected = field.shape(self.rows, self.items(lists, field)).iter().product();
        match (field.kind, values) {
            (FieldKind::Category { count }, Values::Categories(found)) => {
                if let Some(&got) = found.iter().find(|category| **category >= count) {
                    return Err(NetworkError::Category { name: field.name.clone(), count, got });
                }
            }
            (FieldKind::Id, Values::Ids(_)) => {}
            (FieldKind::Category { .. } | FieldKind::Id, _) => return Err(mismatch(field, values)),
            (_, Values::Floats(_)) => {}
            (kind, Values::Tensor(tensor)) if kind.is_looked_up() && tensor.dtype() == DType::F32 => {}
            _ => return Err(mismatch(field, values)),
        }
        expect_len(format_args!("field {:?}", field.name), expected, values.len())
    }
}

fn mismatch(field: &Field, values: &Values) -> NetworkError {
    NetworkError::Kind { name: field.name.clone(), expected: field.kind.name(), got: values.name() }
}

/// `name` is written out only where the lengths differ.
pub(super) fn expect_len(
    name: impl std::fmt::Display,
    expected: usize,
    got: usize,
) -> Result<(), NetworkError> {
    if got == expected { Ok(()) } else { Err(NetworkError::Length { name: name.to_string(), expected, got }) }
}

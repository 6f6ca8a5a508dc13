//! Which declared field of the records is which field of the network, checked once.

use super::inputs::Layout;
use crate::field::{Column, Field as Declared, FieldKind as DeclaredKind, Fields};
use crate::learner::{LearnerError, Piece};
use crate::model::network::{Field, FieldKind, Network, NetworkHead, Targets};
use std::sync::Arc;

/// Where a network's field comes from.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) kind: FieldKind,
    /// Its place among the records' fields; none: it is optional, was not declared, and is zeros.
    pub(super) field: Option<usize>,
    /// The network's list whose items have it.
    pub(super) list: Option<usize>,
    /// Its place among the tables.
    pub(super) table: Option<usize>,
}

/// Where all of it comes from.
#[derive(Debug, Clone)]
pub(super) struct Bindings {
    /// By field of the network.
    pub(super) fields: Vec<Binding>,
    /// By list of the network: its place among the records' lists.
    pub(super) lists: Vec<usize>,
    /// The network's list whose items have outputs.
    pub(super) output_list: Option<usize>,
    /// Names of the outputs.
    pub(super) names: Vec<String>,
    /// The records' field of the items' labels.
    labels: Option<usize>,
}

impl Bindings {
    pub(super) fn new(head: &NetworkHead<Arc<dyn Network>>, fields: &Fields) -> Result<Self, LearnerError> {
        let outputs = head.network().outputs();
        let place = |name: &String| fields.lists().iter().position(|list| list.name == *name);
        let lists = head.lists().iter().map(|name| {
            place(name).ok_or_else(|| {
                LearnerError::Binding(format!(
                    "the network takes a list {name:?}: declare it in [[fields]], kind = \"list\""
                ))
            })
        });
        let lists: Vec<usize> = lists.collect::<Result<_, _>>()?;
        let bound = head.fields().iter().map(|field| bind(field, head, fields));
        let output_list =
            outputs.list.as_ref().and_then(|list| head.lists().iter().position(|name| name == list));
        let mut bindings = Self {
            fields: bound.collect::<Result<_, _>>()?,
            labels: None,
            lists,
            output_list,
            names: outputs.names,
        };
        bindings.labels = bindings.labels_of(fields)?;
        bindings.check_unused(fields)?;
        Ok(bindings)
    }

    /// The field of the items' labels, if items have outputs.
    fn labels_of(&self, fields: &Fields) -> Result<Option<usize>, LearnerError> {
        let Some(list) = self.output_list.and_then(|list| self.lists.get(list)) else { return Ok(None) };
        let of_list = |field: &&Declared| field.kind == DeclaredKind::Labels && field.list == Some(*list);
        let count = fields.fields().iter().filter(of_list).count();
        let place = fields.fields().iter().position(|field| of_list(&field));
        let name = fields.lists().get(*list).map_or("", |list| list.name.as_str());
        let Some(place) = place.filter(|_| count == 1) else {
            let reason = format!("expected one field of kind \"labels\" in the list {name:?}, got {count}");
            return Err(LearnerError::Binding(reason));
        };
        let (expected, got) = (self.names.len(), fields.fields().get(place).map_or(0, |field| field.width));
        if expected != got {
            let reason = format!(
                "labels of the list {name:?}: expected {expected}, as the network has outputs, got {got}"
            );
            return Err(LearnerError::Binding(reason));
        }
        Ok(Some(place))
    }

    /// Refuses declared fields that play no part: they would be mistakes, not wishes.
    fn check_unused(&self, fields: &Fields) -> Result<(), LearnerError> {
        for (index, field) in fields.fields().iter().enumerate() {
            let used = self.fields.iter().any(|binding| binding.field == Some(index));
            if !used && self.labels != Some(index) {
                let reason = format!("field {:?}: the network takes no field of that name", field.name);
                return Err(LearnerError::Binding(reason));
            }
        }
        Ok(())
    }

    /// Labels and weights of `rows`, in the shape of the outputs.
    pub(super) fn targets(&self, rows: &[Piece<'_>], layout: &Layout) -> Targets {
        let width = self.names.len();
        let count = layout.outputs(self) * width;
        let mut targets = Targets { values: vec![0.0; count], weights: vec![0.0; count] };
        let mut put = |at: usize, value: f32, weight: f32| {
            if let (Some(to), Some(importance)) = (targets.values.get_mut(at), targets.weights.get_mut(at)) {
                (*to, *importance) = (value, weight);
            }
        };
        let Some(labels) = self.labels else {
            for cell in &layout.records {
                let Some(piece) = rows.get(cell.piece) else { continue };
                let records = piece.batch.records();
                for target in records.targets(cell.item) {
                    let name = target.task.and_then(|task| records.task_names().get(task as usize));
                    let task = name.map_or(Some(0), |name| self.names.iter().position(|own| own == name));
                    let Some(task) = task else { continue };
                    put(cell.at * width + task, target.value, records.weight(cell.item));
                }
            }
            return targets;
        };
        for cell in layout.items(self.output_list) {
            let Some(piece) = rows.get(cell.piece) else { continue };
            let Some(Column::Numbers(column)) = piece.batch.column(labels) else { continue };
            for task in (0..width).filter(|task| column.known.get(cell.item * width + task) == Some(&true)) {
                let value = column.values.get(cell.item * width + task).copied().unwrap_or_default();
                put(cell.at * width + task, value, piece.batch.records().weight(cell.row));
            }
        }
        targets
    }
}

/// The declared field that a network's field is.
fn bind(
    field: &Field,
    head: &NetworkHead<Arc<dyn Network>>,
    fields: &Fields,
) -> Result<Binding, LearnerError> {
    let list = field.list.as_ref().and_then(|name| head.lists().iter().position(|list| list == name));
    let place = fields.fields().iter().position(|declared| declared.name == field.name);
    let Some((index, declared)) = place.and_then(|place| Some((place, fields.fields().get(place)?))) else {
        if field.optional {
            return Ok(Binding { kind: field.kind, field: None, list, table: None });
        }
        let reason = format!(
            "the network takes a field {:?} of {}: declare it in [[fields]]",
            field.name,
            expected(field)
        );
        return Err(LearnerError::Binding(reason));
    };
    let declared_list = declared.list.and_then(|list| fields.lists().get(list)).map(|list| &list.name);
    if declared_list != field.list.as_ref() {
        let of =
            |list: Option<&String>| list.map_or("the record".to_owned(), |list| format!("the list {list:?}"));
        let (expected, got) = (of(field.list.as_ref()), of(declared_list));
        let reason =
            format!("field {:?}: expected one of {expected}, got one of {got}: check its path", field.name);
        return Err(LearnerError::Binding(reason));
    }
    let table = fields.table_of(index);
    let dim = table.map_or(0, |table| table.dim);
    let hashes = table.map_or(0, |table| table.hash.hashes as usize);
    let fits = match (field.kind, declared.kind) {
        (FieldKind::Sum { dim: wanted }, DeclaredKind::Sum | DeclaredKind::Id) => dim == wanted,
        (FieldKind::Stacked { hashes: wanted, dim: length }, DeclaredKind::Id) => {
            hashes == wanted && dim == length
        }
        (FieldKind::Numbers { width }, DeclaredKind::Numbers) => declared.width == width,
        (FieldKind::Category { count }, DeclaredKind::Category) => declared.width == count as usize,
        (FieldKind::Id, DeclaredKind::Raw) => true,
        _ => false,
    };
    if !fits {
        let got = match declared.kind {
            DeclaredKind::Sum => format!("a sum of dim {dim}"),
            DeclaredKind::Id => format!("an id of dim {dim} with {hashes} hashes"),
            kind => format!("kind {:?} of width {}", kind.name(), declared.width),
        };
        let reason = format!("field {:?}: expected {}, got {got}", field.name, expected(field));
        return Err(LearnerError::Binding(reason));
    }
    Ok(Binding { kind: field.kind, field: Some(index), list, table: declared.table })
}

/// What a network's field wants, in the words of a declaration.
fn expected(field: &Field) -> String {
    match field.kind {
        FieldKind::Sum { dim } => format!("kind \"id\" or \"sum\" with dim {dim}"),
        FieldKind::Stacked { hashes, dim } => format!("kind \"id\" with {hashes} hashes and dim {dim}"),
        FieldKind::Numbers { width } => format!("kind \"numbers\" with width {width}"),
        FieldKind::Category { count } => format!("kind \"category\" with width {count}"),
        FieldKind::Id => "kind \"raw\"".to_owned(),
    }
}

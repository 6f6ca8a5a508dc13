//! One pass through a network: what its `forward` can ask for.

use super::field::expect_len;
use super::{Field, FieldKind, Inputs, Leaf, NetworkError, Phase, Values};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Linear;
use std::collections::BTreeMap;

/// Fields, masks and parameters as tensors, dropout, and a place for what others may want to see.
///
/// Tensors are handed out by value: a copy of one is a copy of a reference.
#[derive(Debug)]
pub struct Pass<'a> {
    rows: usize,
    device: &'a Device,
    fields: BTreeMap<&'a str, Entry<'a>>,
    masks: BTreeMap<&'a str, Tensor>,
    parameters: &'a BTreeMap<String, Var>,
    phase: Phase<'a>,
    asked_to_drop: bool,
    watched: BTreeMap<String, Tensor>,
}

#[derive(Debug)]
struct Entry<'a> {
    field: &'a Field,
    shape: Vec<usize>,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Leaf(Leaf),
    Tensor(Tensor),
    Ids(&'a [i64]),
}

impl<'a> Pass<'a> {
    /// A pass over `inputs`, which have been checked.
    pub(super) fn new(
        (fields, lists): (&'a [Field], &'a [String]),
        inputs: &'a Inputs,
        (device, parameters): (&'a Device, &'a BTreeMap<String, Var>),
        phase: Phase<'a>,
    ) -> Result<Self, NetworkError> {
        let entry = |(field, values): (&'a Field, &'a Values)| {
            let shape = field.shape(inputs.rows, inputs.items(lists, field));
            let content = Content::new(field.kind, values, (&shape, device))?;
            Ok((field.name.as_str(), Entry { field, shape, content }))
        };
        let mask = |(list, items): (&'a String, &super::Items)| {
            let mask: Vec<f32> = items.mask.iter().map(|there| f32::from(*there)).collect();
            Ok((list.as_str(), Tensor::from_vec(mask, (inputs.rows, items.count), device)?))
        };
        Ok(Self {
            rows: inputs.rows,
            device,
            fields: fields.iter().zip(&inputs.fields).map(entry).collect::<Result<_, NetworkError>>()?,
            masks: lists.iter().zip(&inputs.lists).map(mask).collect::<Result<_, NetworkError>>()?,
            parameters,
            phase,
            asked_to_drop: false,
            watched: BTreeMap::new(),
        })
    }

    /// Records in the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Where its tensors are: for what a network makes itself.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// The floats of a field, `[rows, …]` or `[rows, items, …]` with its kind's shape behind.
    ///
    /// # Errors
    /// No such field, or one of another kind.
    pub fn field(&self, name: &str) -> Result<Tensor, NetworkError> {
        let entry = self.entry(name)?;
        match &entry.content {
            Content::Leaf(leaf) => Ok(leaf.tensor().clone()),
            Content::Tensor(tensor) if tensor.dtype() == DType::F32 => Ok(tensor.clone()),
            _ => Err(entry.field.not("floats")),
        }
    }

    /// The categories of a field, u32, `[rows]` or `[rows, items]`.
    ///
    /// # Errors
    /// No such field, or one of another kind.
    pub fn categories(&self, name: &str) -> Result<Tensor, NetworkError> {
        let entry = self.entry(name)?;
        match (&entry.content, entry.field.kind) {
            (Content::Tensor(tensor), FieldKind::Category { .. }) => Ok(tensor.clone()),
            _ => Err(entry.field.not("a category")),
        }
    }

    /// The ids of a field, row-major, and their shape, `[rows]` or `[rows, items]`.
    ///
    /// # Errors
    /// No such field, or one of another kind.
    pub fn ids(&self, name: &str) -> Result<(&'a [i64], Vec<usize>), NetworkError> {
        let entry = self.entry(name)?;
        match entry.content {
            Content::Ids(ids) => Ok((ids, entry.shape.clone())),
            _ => Err(entry.field.not("an id")),
        }
    }

    /// Which items of a list are there, `[rows, items]`: 1, or 0 for padding.
    ///
    /// # Errors
    /// No such list.
    pub fn mask(&self, list: &str) -> Result<Tensor, NetworkError> {
        let found = self.masks.get(list).cloned();
        found.ok_or_else(|| NetworkError::Unknown { what: "list", name: list.to_owned() })
    }

    /// A parameter.
    ///
    /// # Errors
    /// No such parameter.
    pub fn parameter(&self, name: &str) -> Result<Tensor, NetworkError> {
        let found = self.parameters.get(name).map(|var| var.as_tensor().clone());
        found.ok_or_else(|| NetworkError::Unknown { what: "parameter", name: name.to_owned() })
    }

    /// The linear layer of `layer.weight` `[outputs, inputs]` and, where there is one, `layer.bias` `[outputs]`.
    ///
    /// # Errors
    /// No such weight.
    pub fn linear(&self, layer: &str) -> Result<Linear, NetworkError> {
        let bias = self.parameters.get(&format!("{layer}.bias")).map(|var| var.as_tensor().clone());
        Ok(Linear::new(self.parameter(&format!("{layer}.weight"))?, bias))
    }

    /// Dropout: while training, each unit of `units` becomes 0 with probability `rate` and is else divided by 1 − `rate`;
    /// while predicting nothing changes. `layer` names the units for whoever gives the masks.
    ///
    /// # Errors
    /// A rate outside [0, 1); masks of another size.
    pub fn dropout(&mut self, layer: &str, units: &Tensor, rate: f64) -> Result<Tensor, NetworkError> {
        check_rate(layer, rate)?;
        if rate == 0.0 {
            return Ok(units.clone());
        }
        self.asked_to_drop = true;
        let Phase::Train(masks) = &mut self.phase else { return Ok(units.clone()) };
        let keep = masks.keep(layer, rate, units.elem_count());
        expect_len(format_args!("dropout mask of {layer:?}"), units.elem_count(), keep.len())?;
        let scale = (1.0 / (1.0 - rate)) as f32;
        let scales: Vec<f32> = keep.iter().map(|keep| if *keep { scale } else { 0.0 }).collect();
        Ok(units.mul(&Tensor::from_vec(scales, units.dims(), self.device)?)?)
    }

    /// Keeps a tensor for whoever looks into the network, under `name`.
    pub fn watch(&mut self, name: &str, tensor: &Tensor) {
        self.watched.insert(name.to_owned(), tensor.clone());
    }

    /// What was watched, by name.
    pub(super) fn watched(&self) -> &BTreeMap<String, Tensor> {
        &self.watched
    }

    /// Whether the network wanted to drop units.
    pub(super) fn asked_to_drop(&self) -> bool {
        self.asked_to_drop
    }

    /// The leaf of a field that holds table rows.
    pub(super) fn leaf(&self, name: &str) -> Option<&Leaf> {
        match &self.fields.get(name)?.content {
            Content::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }

    fn entry(&self, name: &str) -> Result<&Entry<'a>, NetworkError> {
        let found = self.fields.get(name);
        found.ok_or_else(|| NetworkError::Unknown { what: "field", name: name.to_owned() })
    }
}

impl<'a> Content<'a> {
    fn new(
        kind: FieldKind,
        values: &'a Values,
        (shape, device): (&[usize], &Device),
    ) -> Result<Self, NetworkError> {
        Ok(match values {
            Values::Floats(floats) if kind.is_looked_up() => Self::Leaf(Leaf::on(device, floats, shape)?),
            Values::Floats(floats) => Self::Tensor(Tensor::from_slice(floats, shape, device)?),
            Values::Tensor(tensor) => Self::Leaf(Leaf::of(tensor, shape)?),
            Values::Categories(found) => Self::Tensor(Tensor::from_slice(found, shape, device)?),
            Values::Ids(ids) => Self::Ids(ids),
        })
    }
}

/// Whether a dropout rate is one.
pub(super) fn check_rate(layer: &str, rate: f64) -> Result<(), NetworkError> {
    let name = format!("dropout of {layer:?}");
    let expected = "a rate of at least 0 and below 1";
    if (0.0..1.0).contains(&rate) { Ok(()) } else { Err(NetworkError::Option { name, expected, got: rate }) }
}

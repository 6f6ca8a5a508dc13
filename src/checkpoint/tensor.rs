//! Small dense state, by name, stored bit for bit.

use super::error::{CheckpointError, Damage};
use super::header::{self, Layout};
use safetensors::tensor::{Dtype, Metadata};
use std::collections::BTreeMap;
use std::io::Read;

/// Values of a tensor, in row-major order. Any bit pattern is kept, NaN and infinity too: what they mean is their
/// owner's business.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 64-bit words: counters, states of random generators.
    U64(Vec<u64>),
}

/// A small tensor of the model's state: mixer weights, running scales, random state.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its dimensions; empty for a single value.
    pub shape: Vec<usize>,
    /// Its values, as many as the product of the dimensions.
    pub data: TensorData,
}

impl Tensor {
    /// A vector of `data`'s length.
    pub fn vector(data: TensorData) -> Self {
        Self { shape: vec![data.len()], data }
    }
}

impl TensorData {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::U64(values) => values.len(),
        }
    }

    /// True if there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
            Self::U64(_) => Dtype::U64,
        }
    }

    fn size(&self) -> usize {
        if self.dtype() == Dtype::F32 { 4 } else { 8 }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::F32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::F64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::U64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        }
    }

    fn take(dtype: Dtype, bytes: &[u8]) -> Option<Self> {
        Some(match dtype {
            Dtype::F32 => Self::F32(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            Dtype::F64 => Self::F64(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            Dtype::U64 => Self::U64(bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect()),
            _ => return None,
        })
    }
}

/// The bytes of a file that holds `tensors`.
pub(super) fn encode(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>, CheckpointError> {
    for (name, tensor) in tensors {
        let values = tensor.data.len();
        let product = tensor.shape.iter().try_fold(1_usize, |all, &n| all.checked_mul(n));
        if product != Some(values) || name == "__metadata__" {
            return Err(CheckpointError::Tensor { name: name.clone(), shape: tensor.shape.clone(), values });
        }
    }
    // Wider values first: each then starts at a multiple of its size.
    let mut order: Vec<_> = tensors.iter().collect();
    order.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.data.size()));
    let layout: Vec<_> = order.iter().map(|(name, tensor)| layout(name, tensor)).collect();
    let mut bytes = header::encode(&layout).map_err(CheckpointError::Json)?;
    order.iter().for_each(|(_, tensor)| tensor.data.put(&mut bytes));
    Ok(bytes)
}

fn layout<'a>(name: &'a str, tensor: &Tensor) -> Layout<'a> {
    let bytes = tensor.data.len() * tensor.data.size();
    Layout { name, dtype: tensor.data.dtype(), shape: tensor.shape.clone(), bytes }
}

/// Reads what [`encode`] wrote; `bytes` is the file's length.
pub(super) fn decode(from: &mut impl Read, bytes: u64) -> Result<BTreeMap<String, Tensor>, Damage> {
    let (metadata, _) = header::read(from, bytes)?;
    let mut tensors = BTreeMap::new();
    for name in metadata.offset_keys() {
        let tensor = read_tensor(from, &metadata, &name)?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// Reads the tensor `name`, the next in the file. The header was checked against the file's length, so that no
/// forged shape asks for more memory than the file is long.
fn read_tensor(from: &mut impl Read, metadata: &Metadata, name: &str) -> Result<Tensor, Damage> {
    let wrong = |got: String| Damage::Dtype { name: name.to_owned(), got };
    let Some(info) = metadata.info(name) else { return Err(wrong("none".to_owned())) };
    let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
    from.read_exact(&mut bytes).map_err(header::unreadable)?;
    let data = TensorData::take(info.dtype, &bytes).ok_or_else(|| wrong(format!("{:?}", info.dtype)))?;
    Ok(Tensor { shape: info.shape.clone(), data })
}

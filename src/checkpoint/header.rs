//! The head of a safetensors file: 8 bytes of length, JSON, then the tensors' bytes one after the other.
//!
//! Files are written as a stream, so the head is made before the data are known; and read from strangers, so each
//! claim is checked before anything relies on it, the cheapest first.

use super::error::Damage;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// Longest header that is read.
pub(super) const MAX_HEADER: u64 = 16 << 20;

/// A tensor that is about to be stored.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) name: &'a str,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: usize,
}

/// The head of a file that holds `tensors` in this order.
pub(super) fn encode(tensors: &[Layout<'_>]) -> Result<Vec<u8>, serde_json::Error> {
    let mut infos = BTreeMap::new();
    let mut start = 0;
    for tensor in tensors {
        let data_offsets = (start, start + tensor.bytes);
        start = data_offsets.1;
        infos.insert(
            tensor.name,
            TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets },
        );
    }
    let mut json = serde_json::to_vec(&infos)?;
    // Data start at a multiple of 8, so that a reader may map them.
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut head = (json.len() as u64).to_le_bytes().to_vec();
    head.extend_from_slice(&json);
    Ok(head)
}

/// Reads the head of a file of `bytes` bytes. Returns it and where the data start; the data fill the rest exactly.
pub(super) fn read(from: &mut impl Read, bytes: u64) -> Result<(Metadata, u64), Damage> {
    let mut length = [0; 8];
    if bytes < length.len() as u64 {
        return Err(Damage::Length { expected: length.len() as u64, got: bytes });
    }
    from.read_exact(&mut length).map_err(unreadable)?;
    let got = u64::from_le_bytes(length);
    let limit = MAX_HEADER.min(bytes - 8);
    if got > limit {
        return Err(Damage::HeaderLength { got, limit });
    }
    let mut json = vec![0; got as usize];
    from.read_exact(&mut json).map_err(unreadable)?;
    // Checks that offsets neither overlap nor leave gaps, and that they fit the shapes.
    let metadata: Metadata = serde_json::from_slice(&json).map_err(Damage::Header)?;
    let (expected, start) = (metadata.data_len() as u64, 8 + got);
    if expected != bytes - start {
        return Err(Damage::DataLength { expected, got: bytes - start });
    }
    Ok((metadata, start))
}

/// Names, types and shapes of all tensors, in the order of their names.
pub(super) fn describe<'a>(tensors: impl IntoIterator<Item = (&'a str, Dtype, &'a [usize])>) -> String {
    let sorted: BTreeMap<_, _> =
        tensors.into_iter().map(|(name, dtype, shape)| (name, (dtype, shape))).collect();
    let each = sorted.iter().map(|(name, (dtype, shape))| format!("{name} {dtype:?} {shape:?}"));
    each.collect::<Vec<_>>().join(", ")
}

pub(super) fn unreadable(cause: io::Error) -> Damage {
    match cause.kind() {
        io::ErrorKind::NotFound => Damage::Missing,
        _ => Damage::Unreadable(cause),
    }
}

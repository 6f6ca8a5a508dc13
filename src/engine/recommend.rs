//! The best of known items for a user, exactly, by a model whose score is a dot product.
//!
//! A model has no vocabulary, so the items come from outside, as a list of ids. Their vectors are looked up once ([`Catalogue`]); a
//! record then says who asks, in the fields in which it would say it to be learned.

use super::encode::{Beside, Encoded, Reader, ReaderScratch};
use super::{Model, RecordError};
use crate::batch::Slot;
use crate::field::{Column, FieldBatch};
use crate::learner::Learner;
use crate::model::network::Retrieval;
use crate::retrieve::{ItemVectors, RetrieveError};

/// Items that may be recommended, as a model knows them when it is made.
#[derive(Debug)]
pub struct Catalogue {
    ids: Vec<String>,
    vectors: ItemVectors,
    retrieval: Retrieval,
}

/// A recommendation that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RecommendError {
    /// A model whose score is no dot product.
    #[error(
        "this model does not rank items by vectors: a network of kind \"dot\" does (examples/models/dot.toml)"
    )]
    NotByVectors,
    /// An id that the items' hash cannot take.
    #[error("item {number}: expected an integer id for this hash, found {id:?}")]
    Id {
        /// The item's number, from 1.
        number: usize,
        /// Its id.
        id: String,
    },
    /// The record that says who asks.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A score beyond the range of f32.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
}

impl Catalogue {
    /// The ids, in their order.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }
}

/// An item and what the model predicts of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recommended {
    /// Its place in [`Catalogue::ids`].
    pub item: usize,
    /// The prediction: what the model would say of this user and this item.
    pub prediction: f32,
}

/// Who asks, encoded; reused.
#[derive(Debug, Default)]
pub struct Asking {
    scratch: ReaderScratch,
    encoded: Encoded,
}

impl Asking {
    /// The id of the record that asked last, as it was written, if it had one.
    pub fn id(&self) -> Option<&[u8]> {
        self.encoded.records().id(0)
    }
}

impl Model {
    /// Items by id, as the model knows them now: [`Model::recommend`] goes by that.
    ///
    /// # Errors
    /// A model whose score is no dot product; an id that its hash cannot take.
    pub fn catalogue(&self, ids: Vec<String>) -> Result<Catalogue, RecommendError> {
        let (learner, reader) = (self.learner(), self.reader());
        let retrieval = learner.retrieval().ok_or(RecommendError::NotByVectors)?;
        let mut catalogue: Option<ItemVectors> = None;
        for (index, id) in ids.iter().enumerate() {
            let of = |field: &str| id_vector(learner, &reader, field, id);
            let refused = || RecommendError::Id { number: index + 1, id: id.clone() };
            let vector = of(retrieval.item).ok_or_else(refused)?;
            let bias = match retrieval.item_bias {
                None => 0.0,
                Some(field) => first(of(field)).ok_or_else(refused)?,
            };
            let vectors = match &mut catalogue {
                Some(vectors) => vectors,
                None => catalogue.insert(ItemVectors::new(vector.len())?),
            };
            vectors.push(&vector, retrieval.share * bias)?;
        }
        let vectors = catalogue.map_or_else(|| ItemVectors::new(1), Ok)?;
        Ok(Catalogue { ids, vectors, retrieval })
    }

    /// The `n` items with the largest predictions for whoever the JSON record speaks of, the best first, of equal ones the one that stands
    /// first in the catalogue. Nothing is learned; the record needs none of the item's fields.
    ///
    /// # Errors
    /// A bad record; a score beyond the range of f32.
    pub fn recommend(
        &self,
        record: &[u8],
        catalogue: &Catalogue,
        n: usize,
        asking: &mut Asking,
    ) -> Result<Vec<Recommended>, RecommendError> {
        asking.encoded.clear();
        self.reader().read(&mut asking.scratch, &mut asking.encoded, record, Beside::default())?;
        if catalogue.vectors.is_empty() {
            return Ok(Vec::new());
        }
        let Catalogue { retrieval, vectors, .. } = catalogue;
        let (learner, reader) = (self.learner(), self.reader());
        let of = |field: &str| learner.vector_of(field, &features(&reader, &asking.encoded.fields, field));
        let mut query = of(retrieval.user).ok_or(RecommendError::NotByVectors)?;
        query.iter_mut().for_each(|float| *float *= retrieval.share * retrieval.share);
        let own = retrieval.share * retrieval.user_bias.and_then(|field| first(of(field))).unwrap_or(0.0);
        let own = own + retrieval.bias.and_then(|name| first(learner.parameter(name))).unwrap_or(0.0);
        let best = vectors.best(&query, n)?.into_iter().flatten();
        Ok(best
            .map(|hit| Recommended { item: hit.index, prediction: learner.linked(hit.score + own) })
            .collect())
    }
}

fn first(vector: Option<Vec<f32>>) -> Option<f32> {
    vector?.first().copied()
}

/// The vector that a field makes of an id.
fn id_vector(learner: &Learner, reader: &Reader, field: &str, id: &str) -> Option<Vec<f32>> {
    let hasher = reader.fields()?;
    let index = hasher.fields().find(field).ok()?;
    let (mut bytes, mut slots) = (Vec::new(), Vec::new());
    if !hasher.id_slots(index, id, &mut bytes, &mut slots) {
        return None;
    }
    learner.vector_of(field, &slots.into_iter().map(|slot| (slot, 1.0)).collect::<Vec<_>>())
}

/// What a field of the record's is made of.
fn features(reader: &Reader, batch: &FieldBatch, field: &str) -> Vec<(Slot, f32)> {
    let index = reader.fields().and_then(|hasher| hasher.fields().find(field).ok());
    match index.and_then(|index| batch.column(index)) {
        Some(Column::Ids(ids)) => ids.item(0).iter().map(|&slot| (slot, 1.0)).collect(),
        Some(Column::Sum(batch)) => {
            let row = batch.row(0);
            row.slots.iter().copied().zip(row.values.iter().copied()).collect()
        }
        _ => Vec::new(),
    }
}

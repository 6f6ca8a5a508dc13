//! Declared fields: from a record to the looked-up rows and numbers that a network takes.
//!
//! The heads of [`crate::model`] take the sum over all features of a record. A network takes several inputs, each
//! made of a part of the record: a user's id, the sum of an item's features, the items of a history. A [`FieldOptions`]
//! says for each what it is and where it stands; [`Fields::new`] checks them all, and a [`FieldHasher`] knows their
//! hashes. A [`FieldEncoder`] is the sink that a parser tells a record to: it follows the path of what it is told through
//! the tree of declared paths, hashes each value as the fields there say, and writes slots and numbers into a
//! [`FieldBatch`]. What no field takes is passed over. No table is named here: slots are what leaves.
//!
//! ```text
//! {"features": {"user": {"id": "u1", "age": "30"},                     user_id     id    user.id        [hashes] slots
//!               "history": [{"post": 7, "actions": ["like"]}, …]}}     user        sum   user           slots, values
//!                                                                      history     list  history        items
//!                                                                      posts       id    history.post   [items, hashes] slots
//!                                                                      actions     numbers  history.actions  [items, width]
//! ```
//!
//! Several fields may take the same value: an id may have a row and a bias, and be part of a sum. The record itself
//! has fields, once; a list has fields once for each of its items, and all fields of a list have the same items.
//!
//! # What is hashed
//!
//! *Sums* are hashed by an [`Encoder`](crate::hash::Encoder) over the whole path, so a field `user` has the slots that these
//! features would have without fields. The place of an item in its list is no part of the path. *Ids* are hashed bare, so
//! that `history.post` and `candidates.post` find one row in a shared table: the native hash and FeatureHasher's take the
//! string (of an integer, its digits) at the empty path, `mmh3` and `modulo` the id alone. [`FieldOptions::scope`] sets
//! another path in front, to keep fields apart in a table, or to bring sums together. With
//! [`FieldOptions::separate`], hash h has the slots h·buckets to (h + 1)·buckets.

mod batch;
mod cells;
mod check;
mod encoder;
mod error;
mod hasher;
mod options;
mod paths;
mod resolve;
mod sink;

pub use batch::{Column, FieldBatch, IdColumn, NumberColumn};
pub use encoder::{FieldEncoder, FieldScratch};
pub use error::FieldError;
pub use hasher::FieldHasher;
pub use options::{
    DEFAULT_BUCKETS, DEFAULT_DIM, DEFAULT_INIT_SCALE, DEFAULT_MAX_ITEMS, FieldKind, FieldOptions, MAX_FIELDS,
    MAX_ITEMS, MAX_WIDTH,
};
pub use resolve::{Field, Fields, List, TableShape};

#[cfg(test)]
mod tests;

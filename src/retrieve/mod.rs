//! The best of known items for a query, exactly: score them all, keep n.
//!
//! An item is a vector and a bias, a query a vector, and the score their dot product and the bias: what a recommender by
//! [dot product](crate::model) predicts of a user and an item, up to what is the user's alone and changes no order. Every item is scored; there is
//! no index that could miss one. A million items of 64 floats are 256 MB, a matter of tens of milliseconds: as long as items fit
//! into memory and queries come by the hundred a second, an approximate index answers a question that nobody asked.
//!
//! [`ItemVectors`] holds the items as the kernel wants them. [`ItemVectors::best`] takes several queries at once: a block of items
//! that is in the cache is scored for all of them before the next is fetched, so that the memory is read once for all.
//! Scores have a fixed order of additions ([`kernel::dot_rows`](crate::kernel::dot_rows)) and ties go to the lower index, so the
//! answer is the same on every machine, however many queries are asked together. [`TopN`] by itself serves scores from elsewhere.
//!
//! Items are known by their place. Those that a user must not see again are the caller's to leave out: ask for that many more.

mod items;
mod top;

#[cfg(test)]
mod tests;

pub use items::{ItemVectors, RetrieveError};
pub use top::{Hit, TopN};

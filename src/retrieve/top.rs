//! The n best of a stream of scores.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// An item and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// The item's place, from 0.
    pub index: usize,
    /// Its score.
    pub score: f32,
}

/// Keeps the n best that it is offered: the highest scores, and of equal ones those with the lower index. What it keeps does
/// not depend on the order in which they come.
///
/// A heap of at most n with the worst on top: an offer costs a comparison, and log n steps if it is better than that one.
///
/// ```
/// use flexihash::retrieve::TopN;
/// let mut best = TopN::new(2);
/// for (index, score) in [0.5, 2.0, 1.0, 2.0].into_iter().enumerate() {
///     best.offer(index, score);
/// }
/// assert_eq!(best.into_hits().map(|hit| hit.index).collect::<Vec<_>>(), [1, 3]);
/// ```
#[derive(Debug, Clone)]
pub struct TopN {
    n: usize,
    kept: BinaryHeap<Kept>,
}

/// The worse, the greater. No NaN gets in, and no negative zero.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept(Hit);

impl Eq for Kept {}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.index.cmp(&other.0.index))
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Scores compared at once.
const GLANCE: usize = 32;

impl TopN {
    /// Keeps none yet, and `n` at most.
    pub fn new(n: usize) -> Self {
        Self { n, kept: BinaryHeap::new() }
    }

    /// Keeps the item if it is among the n best so far. A NaN is nothing that could be kept.
    #[inline]
    pub fn offer(&mut self, index: usize, score: f32) {
        // Adding 0.0 makes -0.0 a 0.0, and equal to it.
        let new = Kept(Hit { index, score: score + 0.0 });
        if score.is_nan() {
            return;
        }
        if self.kept.len() < self.n {
            self.kept.push(new);
        } else if let Some(mut worst) = self.kept.peek_mut()
            && new < *worst
        {
            *worst = new;
        }
    }

    /// Offers the items `first`, `first + 1`, … with these scores. Once n are kept, most are passed over many at a time.
    pub fn offer_all(&mut self, first: usize, scores: &[f32]) {
        for (start, glance) in (first..).step_by(GLANCE).zip(scores.chunks(GLANCE)) {
            // None if everything is to be kept.
            let worst = self.kept.peek().filter(|_| self.kept.len() >= self.n).map(|kept| kept.0.score);
            let hopeless =
                worst.is_some_and(|worst| !glance.iter().fold(false, |any, score| any | (*score >= worst)));
            if !hopeless {
                for (index, score) in (start..).zip(glance) {
                    self.offer(index, *score);
                }
            }
        }
    }

    /// What was kept, the best first.
    pub fn into_hits(self) -> impl ExactSizeIterator<Item = Hit> {
        self.kept.into_sorted_vec().into_iter().map(|kept| kept.0)
    }
}

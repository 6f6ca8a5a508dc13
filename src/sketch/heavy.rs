//! The keys that come most often: Space-Saving (Metwally, Agrawal & El Abbadi 2005).
//!
//! N keys are counted. A key that is not among them takes the place of the one with the least count, and its count as well: what it
//! may have missed. So no count is too low, none is too high by more than all/N, and every key that came more than all/N
//! times is there. Ties go by the order of coming, so the same stream leaves the same state. The least is found by a binary heap that
//! knows counts as they once were: they only grow, so whoever is on top and has the count it is known by is the least of all, and to count a
//! key that is there moves nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// A key that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<T> {
    /// The key, a hash.
    pub key: u64,
    /// How often it came, at most.
    pub count: u64,
    /// By how much that may be too high.
    pub error: u64,
    /// When it came, among all keys that were taken up: the order of ties.
    pub turn: u64,
    /// What is known of it.
    pub value: T,
}

/// See the module's source: at most `limit` keys with counts.
#[derive(Debug, Clone)]
pub struct Heavy<T> {
    limit: usize,
    turns: u64,
    kept: Vec<Kept<T>>,
    /// Of each key a count that it had, its turn, and its place in `kept`.
    least: BinaryHeap<Reverse<(u64, u64, usize)>>,
    places: HashMap<u64, usize>,
}

impl<T> Heavy<T> {
    /// For `limit` keys, at least one.
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            turns: 0,
            kept: Vec::new(),
            least: BinaryHeap::new(),
            places: HashMap::new(),
        }
    }

    /// Most keys kept.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The keys, in no order that means anything.
    pub fn kept(&self) -> &[Kept<T>] {
        &self.kept
    }

    /// Counts a key `times` times; `value` says what is known of it, if it is taken up.
    pub fn add(&mut self, key: u64, times: u64, value: impl FnOnce() -> T) {
        if let Some(kept) = self.places.get(&key).and_then(|&place| self.kept.get_mut(place)) {
            kept.count = kept.count.saturating_add(times);
            return;
        }
        let turn = self.turns;
        self.turns += 1;
        if self.kept.len() < self.limit {
            let place = self.kept.len();
            self.places.insert(key, place);
            self.least.push(Reverse((times, turn, place)));
            self.kept.push(Kept { key, count: times, error: 0, turn, value: value() });
            return;
        }
        let Some(place) = self.find_least() else { return };
        let (Some(kept), Some(mut top)) = (self.kept.get_mut(place), self.least.peek_mut()) else { return };
        let (gone, error) = (kept.key, kept.count);
        *kept = Kept { key, count: error.saturating_add(times), error, turn, value: value() };
        *top = Reverse((kept.count, turn, place));
        self.places.remove(&gone);
        self.places.insert(key, place);
    }

    /// Takes up what [`Heavy::kept`] and [`Heavy::turns`] returned, in its order. `None`: no such state.
    pub fn restore(limit: usize, turns: u64, kept: Vec<Kept<T>>) -> Option<Self> {
        let places: HashMap<u64, usize> =
            kept.iter().enumerate().map(|(place, kept)| (kept.key, place)).collect();
        let least = kept.iter().enumerate().map(|(place, kept)| Reverse((kept.count, kept.turn, place)));
        let heavy = Self { limit: limit.max(1), turns, least: least.collect(), places, kept };
        let came = heavy.kept.iter().all(|kept| kept.turn < turns && kept.error <= kept.count);
        let fits = heavy.places.len() == heavy.kept.len() && heavy.kept.len() <= heavy.limit;
        (came && fits).then_some(heavy)
    }

    /// How many keys were ever taken up.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Brings the least to the top, and says where it is kept.
    fn find_least(&mut self) -> Option<usize> {
        loop {
            let mut top = self.least.peek_mut()?;
            let Reverse((count, turn, place)) = *top;
            let now = self.kept.get(place)?.count;
            if now == count {
                return Some(place);
            }
            *top = Reverse((now, turn, place));
        }
    }
}

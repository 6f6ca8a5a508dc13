//! The keys that come most often: Space-Saving (Metwally, Agrawal & El Abbadi 2005).
//!
//! N keys are counted. A key that is not among them takes the place of the one with the least count, and its count as well: what it
//! may have missed. So no count is too low, none is too high by more than all/N, and every key that came more than all/N
//! times is there. The least is found by a binary heap; ties go by the order of coming, so the same stream leaves the same
//! state.

use std::collections::HashMap;

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
    /// A heap: no entry comes before its parent, at half its place.
    heap: Vec<Kept<T>>,
    places: HashMap<u64, usize>,
}

impl<T> Heavy<T> {
    /// For `limit` keys, at least one.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), turns: 0, heap: Vec::new(), places: HashMap::new() }
    }

    /// Most keys kept.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The keys, in no order that means anything.
    pub fn kept(&self) -> &[Kept<T>] {
        &self.heap
    }

    /// Counts a key `times` times; `value` says what is known of it, if it is taken up.
    pub fn add(&mut self, key: u64, times: u64, value: impl FnOnce() -> T) {
        if let Some(&place) = self.places.get(&key) {
            if let Some(kept) = self.heap.get_mut(place) {
                kept.count = kept.count.saturating_add(times);
            }
            self.sink(place);
            return;
        }
        let turn = self.turns;
        self.turns += 1;
        if self.heap.len() < self.limit {
            self.places.insert(key, self.heap.len());
            self.heap.push(Kept { key, count: times, error: 0, turn, value: value() });
            self.rise(self.heap.len() - 1);
            return;
        }
        let Some(least) = self.heap.first_mut() else { return };
        let (gone, error) = (least.key, least.count);
        *least = Kept { key, count: error.saturating_add(times), error, turn, value: value() };
        self.places.remove(&gone);
        self.places.insert(key, 0);
        self.sink(0);
    }

    /// Takes up what [`Heavy::kept`] and [`Heavy::turns`] returned, in its order. `None`: no such state.
    pub fn restore(limit: usize, turns: u64, kept: Vec<Kept<T>>) -> Option<Self> {
        let places: HashMap<u64, usize> =
            kept.iter().enumerate().map(|(place, kept)| (kept.key, place)).collect();
        let heavy = Self { limit: limit.max(1), turns, heap: kept, places };
        let is_heap = (1..heavy.heap.len()).all(|place| heavy.order(place) >= heavy.order((place - 1) / 2));
        let fits = heavy.places.len() == heavy.heap.len() && heavy.heap.len() <= heavy.limit;
        (is_heap && fits).then_some(heavy)
    }

    /// How many keys were ever taken up.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    fn order(&self, place: usize) -> (u64, u64) {
        self.heap.get(place).map_or((u64::MAX, u64::MAX), |kept| (kept.count, kept.turn))
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            if let Some(kept) = self.heap.get(place) {
                self.places.insert(kept.key, place);
            }
        }
    }

    /// Moves an entry up to where its parent is less.
    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.order(parent) <= self.order(place) {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
    }

    /// Moves an entry down to where its children are more.
    fn sink(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let child = if self.order(right) < self.order(left) { right } else { left };
            if self.order(child) >= self.order(place) {
                break;
            }
            self.swap(place, child);
            place = child;
        }
    }
}

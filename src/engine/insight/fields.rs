//! Lookups and collisions by field.

use crate::sketch::CHANCE;
use std::collections::HashMap;

/// Fields that are told apart.
const MAX_FIELDS: usize = 256;

#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Counts {
    /// Estimated from the sample.
    pub(super) lookups: u64,
    /// Lookups that found another's fingerprint.
    pub(super) strange: u64,
}

impl Counts {
    /// Lookups of rows that another owns, those with an equal fingerprint too.
    pub(super) fn collisions(&self) -> f64 {
        self.strange as f64 * CHANCE
    }

    pub(super) fn rate(&self) -> f64 {
        if self.lookups == 0 { 0.0 } else { (self.collisions() / self.lookups as f64).min(1.0) }
    }
}

/// Counts of up to 256 fields, and of all others together.
#[derive(Debug, Clone, Default)]
pub(super) struct FieldCounts {
    fields: Vec<(String, Counts)>,
    others: Counts,
    places: HashMap<Vec<u8>, usize>,
    guess: usize,
}

impl FieldCounts {
    /// The counts of `field`.
    pub(super) fn of(&mut self, field: &[u8]) -> &mut Counts {
        match self.place(field) {
            // Records of a stream have their keys in the same order.
            Some(place) => {
                self.guess = place + 1;
                self.fields.get_mut(place).map_or(&mut self.others, |(_, counts)| counts)
            }
            None => &mut self.others,
        }
    }

    fn place(&mut self, field: &[u8]) -> Option<usize> {
        for guess in [self.guess, self.guess.wrapping_sub(1)] {
            if self.fields.get(guess).is_some_and(|(name, _)| name.as_bytes() == field) {
                return Some(guess);
            }
        }
        if let Some(&place) = self.places.get(field) {
            return Some(place);
        }
        if self.fields.len() >= MAX_FIELDS {
            return None;
        }
        self.places.insert(field.to_vec(), self.fields.len());
        self.fields.push((String::from_utf8_lossy(field).into_owned(), Counts::default()));
        Some(self.fields.len() - 1)
    }

    /// All of them, the others under the empty name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Counts)> {
        let named = self.fields.iter().map(|(name, counts)| (name.as_str(), *counts));
        let others = (self.others != Counts::default()).then_some(("", self.others));
        named.chain(others)
    }

    pub(super) fn total(&self) -> Counts {
        self.all().fold(Counts::default(), |sum, (_, counts)| Counts {
            lookups: sum.lookups + counts.lookups,
            strange: sum.strange + counts.strange,
        })
    }

    pub(super) fn state(&self) -> (Vec<(String, Counts)>, Counts) {
        (self.fields.clone(), self.others)
    }

    pub(super) fn restore((fields, others): (Vec<(String, Counts)>, Counts)) -> Option<Self> {
        let places = fields.iter().enumerate().map(|(place, (name, _))| (name.clone().into_bytes(), place));
        let places: HashMap<_, _> = places.collect();
        let fits = fields.len() <= MAX_FIELDS;
        fits.then_some(Self { fields, others, places, guess: 0 })
    }
}

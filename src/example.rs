//! What a record means: features, targets, weight; and the answer, a prediction.
//!
//! The parser does not build an example: it walks the bytes and *tells* an [`ExampleSink`] what it meets, so that
//! the hasher can turn keys into slots while they are scanned and no tree is ever allocated. A feature is a path
//! (the keys from the feature object down to the value) with a number, or a path with a string.

use serde::{Deserialize, Serialize};

/// Receives one example, piece by piece, from a parser.
///
/// Calls for one example: `id`, `weight`, `target` at most as often as they occur, in any order among the
/// features; `enter_key`/`enter_index` and `leave`, and `enter_element` and `leave_element`, nest around the features they
/// locate.
pub trait ExampleSink {
    /// Goes down into the value of `key`.
    fn enter_key(&mut self, key: &str);
    /// Goes down into element `index` (from 0) of an array of numbers.
    fn enter_index(&mut self, index: usize);
    /// Comes back up from the last `enter_key` or `enter_index`.
    fn leave(&mut self);
    /// Goes into element `index` (from 0) of the array that stands at the current path, whatever it is; before the
    /// `enter_index` of a number or an array. By default nothing: to most an array is a bag of what is in it.
    fn enter_element(&mut self, index: usize) {
        let _ = index;
    }
    /// Comes back out of the last element.
    fn leave_element(&mut self) {}
    /// `null` stands at the current path, or is the element. By default nothing, as it is no feature.
    fn null(&mut self) {}
    /// A numeric feature at the current path. `value` is finite and not 0.
    fn number(&mut self, value: f32) -> Result<(), FeatureError>;
    /// An integer at the current path, 0 too, for hashes that take integers as ids. By default a number like any
    /// other, and so no feature if it is 0.
    fn integer(&mut self, value: i128, as_number: f32) -> Result<(), FeatureError> {
        let _ = value;
        if as_number == 0.0 { Ok(()) } else { self.number(as_number) }
    }
    /// A categorical feature: the current path with `value`.
    fn category(&mut self, value: &str) -> Result<(), FeatureError>;
    /// The record's id, as the JSON text it was written in.
    fn id(&mut self, json: &str);
    /// The importance weight: finite, ≥ 0. 1 where none is given.
    fn weight(&mut self, weight: f32);
    /// As [`enter_key`](Self::enter_key), [`number`](Self::number), [`leave`](Self::leave): most features are one
    /// value right under a key, and a sink may have a shorter way for them.
    fn number_at(&mut self, key: &str, value: f32) -> Result<(), FeatureError> {
        self.enter_key(key);
        self.number(value)?;
        self.leave();
        Ok(())
    }
    /// As `enter_key`, [`integer`](Self::integer), `leave`.
    fn integer_at(&mut self, key: &str, value: i128, as_number: f32) -> Result<(), FeatureError> {
        self.enter_key(key);
        self.integer(value, as_number)?;
        self.leave();
        Ok(())
    }
    /// As `enter_key`, [`category`](Self::category), `leave`.
    fn category_at(&mut self, key: &str, value: &str) -> Result<(), FeatureError> {
        self.enter_key(key);
        self.category(value)?;
        self.leave();
        Ok(())
    }
    /// Whether this sink can [`restart`](Self::restart). Then a parser tells it by its fast reader, which leaves a record
    /// that it does not know half told, and starts over with the careful one. By default a sink cannot, and the careful
    /// reader tells it.
    fn can_restart(&self) -> bool {
        false
    }
    /// Forgets all that was told of this example. Called only if the sink says that it can.
    fn restart(&mut self) {}
    /// A label for `task` (`None`: the record has a single label). In the range the parser was told to check.
    fn target(&mut self, task: Option<&str>, value: f32);
}

/// A sink that writes what it is told into a batch: an example is one more of it once it is finished.
pub trait RecordSink: ExampleSink + Sized {
    /// Whether the example has been told its id.
    fn has_id(&self) -> bool;

    /// Finishes the example: it is now one of the batch. On an error the batch is as it was before the example.
    ///
    /// # Errors
    /// What can only be said of the example as a whole.
    fn finish(self) -> Result<(), FeatureError>;

    /// Drops the example: the batch is as it was before it.
    fn abandon(self);
}

/// A feature that the chosen hash cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// `--hash modulo` and `mmh3` take integer ids.
    #[error("expected an integer id for this hash, found {found}")]
    NotAnId {
        /// What stood there.
        found: String,
    },
    /// A number that f32 does not hold.
    #[error("expected a number finite in f32, found {found}")]
    NotFinite {
        /// The number.
        found: String,
    },
    /// A value that a declared field cannot take.
    #[error("field {field:?}: expected {expected}, found {found}")]
    Field {
        /// The field.
        field: String,
        /// What it takes.
        expected: String,
        /// What stood there.
        found: String,
    },
    /// The values of one feature add up to more than f32 holds.
    #[error("the values of a repeated feature add up beyond the range of f32")]
    SumNotFinite,
}

/// The value of a key: a number scales the key's row, a string is one of many and has a row with the key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeatureValue<'a> {
    /// A magnitude; 0 is no feature. Integers beyond 2^53 are rounded.
    Number(f64),
    /// A category: the pair of key and string is the feature, its value 1.
    Category(&'a str),
}

macro_rules! number {
    ($($of:ty),*) => {$(
        impl From<$of> for FeatureValue<'_> {
            fn from(value: $of) -> Self {
                Self::Number(f64::from(value))
            }
        }
    )*};
}
number!(f64, f32, i8, i16, i32, u8, u16, u32);

impl From<i64> for FeatureValue<'_> {
    fn from(value: i64) -> Self {
        Self::Number(value as f64)
    }
}

impl From<u64> for FeatureValue<'_> {
    fn from(value: u64) -> Self {
        Self::Number(value as f64)
    }
}

/// `true` is 1, `false` is no feature.
impl From<bool> for FeatureValue<'_> {
    fn from(value: bool) -> Self {
        Self::Number(f64::from(u8::from(value)))
    }
}

impl<'a> From<&'a str> for FeatureValue<'a> {
    fn from(value: &'a str) -> Self {
        Self::Category(value)
    }
}

impl<'a> From<&'a String> for FeatureValue<'a> {
    fn from(value: &'a String) -> Self {
        Self::Category(value)
    }
}

impl FeatureValue<'_> {
    /// Tells `sink` of this value under `key`, by the rules of JSON records: a whole number is an integer, 0 is no
    /// feature.
    ///
    /// # Errors
    /// A number that f32 does not hold, or a value the sink's hash cannot take.
    pub fn tell(self, key: &str, sink: &mut impl ExampleSink) -> Result<(), FeatureError> {
        sink.enter_key(key);
        let told = match self {
            Self::Category(value) => sink.category(value),
            Self::Number(value) if !(value as f32).is_finite() => {
                Err(FeatureError::NotFinite { found: value.to_string() })
            }
            Self::Number(value) if value.fract() == 0.0 => sink.integer(value as i128, value as f32),
            Self::Number(value) if value as f32 == 0.0 => Ok(()),
            Self::Number(value) => sink.number(value as f32),
        };
        sink.leave();
        told
    }
}

/// Which labels a loss accepts. The parser checks them, so that a bad label is a bad record with a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelRange {
    /// 0, 1, −1 (read as 0), true, false, and soft labels in [0, 1]: logistic and hinge.
    #[default]
    Binary,
    /// Numbers ≥ 0: poisson.
    NonNegative,
    /// Any number finite in f32: squared and quantile.
    Finite,
    /// Labels are not looked at: prediction only.
    Ignored,
}

impl LabelRange {
    /// The label as the loss takes it, or `None` if it is outside the range.
    pub fn check(self, label: f64) -> Option<f32> {
        let value = label as f32;
        match self {
            Self::Binary if label == -1.0 => Some(0.0),
            Self::Binary => (0.0..=1.0).contains(&label).then_some(value),
            Self::NonNegative => (label >= 0.0 && value.is_finite()).then_some(value),
            Self::Finite => value.is_finite().then_some(value),
            Self::Ignored => None,
        }
    }

    /// The range in words, for an error message.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Binary => "0, 1, -1, true, false or a number from 0 to 1",
            Self::NonNegative => "a number of at least 0",
            Self::Finite => "a number finite in f32",
            Self::Ignored => "anything",
        }
    }
}

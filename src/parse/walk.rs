//! The walk over a record: one visitor, one recursion.
//!
//! Faults that are not serde_json's are noted in the [`Walk`] and a blank serde error unwinds the visitors;
//! [`Walk::error`] joins the two again. The visitors get strings borrowed from the record wherever no escape forces
//! a copy, and a borrowed string's address tells where in the record it stands.

use super::fault::{Fault, ParseError, consumed, from_json, scalar_start};
use super::skip::Skip;
use super::{PATH_BYTES_LIMIT, ParseOptions};
use crate::example::{ExampleSink, FeatureError};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A fault was noted in the walk.
#[derive(Debug)]
pub(super) struct Stop;

impl Stop {
    /// The blank error that unwinds serde's visitors.
    pub(super) fn unwind<E: Error>(self) -> E {
        E::custom("a fault noted in the walk")
    }
}

/// The state of one record's walk.
pub(super) struct Walk<'w, S> {
    pub(super) options: &'w ParseOptions,
    pub(super) sink: &'w mut S,
    text: &'w str,
    pub(super) label_seen: bool,
    pub(super) weight_seen: bool,
    pub(super) id_seen: bool,
    /// Where the top-level key ends that is being read, if it could be borrowed.
    key_end: Option<usize>,
    /// Bytes of the current path, and of the paths of all features so far.
    path: usize,
    paths: usize,
    fault: Option<(Option<usize>, Fault)>,
}

impl<'w, S: ExampleSink> Walk<'w, S> {
    pub(super) fn new(options: &'w ParseOptions, text: &'w str, sink: &'w mut S) -> Self {
        let (label_seen, weight_seen, id_seen) = (false, false, false);
        let (key_end, path, paths, fault) = (None, 0, 0, None);
        Self { options, sink, text, label_seen, weight_seen, id_seen, key_end, path, paths, fault }
    }

    /// Notes a fault at byte `at`; `None`: at the scalar that was just read.
    pub(super) fn fail<T>(&mut self, at: Option<usize>, fault: Fault) -> Result<T, Stop> {
        self.fault = Some((at, fault));
        Err(Stop)
    }

    pub(super) fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Where `part`, borrowed from the record, starts.
    pub(super) fn offset(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    /// The noted fault with its place, or what serde_json complains about.
    pub(super) fn error(&mut self, error: &serde_json::Error) -> ParseError {
        match self.fault.take() {
            None => from_json(self.text, error),
            Some((Some(byte), fault)) => ParseError { byte, fault },
            Some((None, fault)) => {
                ParseError { byte: scalar_start(self.text, consumed(self.text, error)), fault }
            }
        }
    }

    /// Where the value of the current top-level key starts.
    fn value_start(&self) -> Option<usize> {
        let space = [' ', '\t', '\r', '\n'];
        let rest = self.text.get(self.key_end?..)?.strip_prefix('"')?;
        let value = rest.trim_start_matches(space).strip_prefix(':')?.trim_start_matches(space);
        Some(self.text.len() - value.len())
    }

    fn enter_key(&mut self, key: &str) {
        self.sink.enter_key(key);
        self.path += key.len();
    }

    fn enter_index(&mut self, index: usize) {
        self.sink.enter_index(index);
        self.path += size_of::<u64>();
    }

    /// Back up to a path of `path` bytes.
    fn leave(&mut self, path: usize) {
        self.sink.leave();
        self.path = path;
    }

    /// Tells the sink a feature at the current path.
    fn tell(&mut self, feature: impl FnOnce(&mut S) -> Result<(), FeatureError>) -> Result<(), Stop> {
        self.paths += self.path;
        if self.paths > PATH_BYTES_LIMIT {
            return self.fail(None, Fault::Paths { limit: PATH_BYTES_LIMIT });
        }
        feature(self.sink).or_else(|error| self.fail(None, Fault::Feature(error)))
    }

    fn integer(&mut self, value: i128) -> Result<(), Stop> {
        self.tell(|sink| sink.integer(value, value as f32))
    }

    fn number(&mut self, value: f64) -> Result<(), Stop> {
        let narrow = value as f32;
        if !narrow.is_finite() {
            return self.fail(None, Fault::Number { found: value });
        }
        if narrow == 0.0 {
            return Ok(());
        }
        self.tell(|sink| sink.number(narrow))
    }
}

/// The top level.
pub(super) struct Record<'a, 'w, S>(pub(super) &'a mut Walk<'w, S>);

impl<'de, S: ExampleSink> DeserializeSeed<'de> for Record<'_, '_, S> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, S: ExampleSink> Visitor<'de> for Record<'_, '_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let walk = self.0;
        while let Some(field) = map.next_key_seed(FieldKey(walk))? {
            match field {
                Field::Label => walk.label(map.next_value::<&RawValue>()?.get()).map_err(Stop::unwind)?,
                Field::Weight => walk.weight(map.next_value::<&RawValue>()?.get()).map_err(Stop::unwind)?,
                Field::Id => walk.id(map.next_value::<&RawValue>()?.get()).map_err(Stop::unwind)?,
                Field::Features => map.next_value_seed(Value { walk, place: Place::Top })?,
                Field::Feature => {
                    map.next_value_seed(Value { walk, place: Place::Key })?;
                    walk.leave(0);
                }
                Field::Other => map.next_value_seed(Skip { levels: usize::MAX })?,
            }
        }
        Ok(())
    }
}

/// The feature object by itself.
pub(super) struct Features<'a, 'w, S>(pub(super) &'a mut Walk<'w, S>);

impl<'de, S: ExampleSink> DeserializeSeed<'de> for Features<'_, '_, S> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        Value { walk: self.0, place: Place::Top }.deserialize(json)
    }
}

/// What a top-level key stands for.
enum Field {
    Label,
    Weight,
    Id,
    Features,
    /// A feature of a flat record; its key is entered.
    Feature,
    Other,
}

struct FieldKey<'a, 'w, S>(&'a mut Walk<'w, S>);

impl<'de, S: ExampleSink> DeserializeSeed<'de> for FieldKey<'_, '_, S> {
    type Value = Field;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Field, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de, S: ExampleSink> Visitor<'de> for FieldKey<'_, '_, S> {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Field, E> {
        let end = self.0.offset(key) + key.len();
        let walk = self.0;
        let field = FieldKey(walk).visit_str(key)?;
        walk.key_end = Some(end);
        Ok(field)
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Field, E> {
        let walk = self.0;
        walk.key_end = None;
        let options = walk.options;
        Ok(if key == options.label_field {
            Field::Label
        } else if key == options.weight_field {
            Field::Weight
        } else if key == options.id_field {
            Field::Id
        } else if options.flat {
            walk.enter_key(key);
            Field::Feature
        } else if key == options.features_field {
            Field::Features
        } else {
            Field::Other
        })
    }
}

/// Enters a key below the feature object.
struct EnterKey<'a, 'w, S>(&'a mut Walk<'w, S>);

impl<'de, S: ExampleSink> DeserializeSeed<'de> for EnterKey<'_, '_, S> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_str(self)
    }
}

impl<S: ExampleSink> Visitor<'_> for EnterKey<'_, '_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        self.0.enter_key(key);
        Ok(())
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place {
    /// It is the feature object itself.
    Top,
    /// Below a key, which is entered.
    Key,
    /// In an array, whose path is entered.
    Element(usize),
}

/// A value among the features: the table in the module's header, line by line.
struct Value<'a, 'w, S> {
    walk: &'a mut Walk<'w, S>,
    place: Place,
}

impl<'de, S: ExampleSink> DeserializeSeed<'de> for Value<'_, '_, S> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

/// An element of an array among the features.
struct Element<'a, 'w, S> {
    walk: &'a mut Walk<'w, S>,
    index: usize,
}

impl<'de, S: ExampleSink> DeserializeSeed<'de> for Element<'_, '_, S> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.walk.sink.enter_element(self.index);
        Value { walk: &mut *self.walk, place: Place::Element(self.index) }.deserialize(json)?;
        self.walk.sink.leave_element();
        Ok(())
    }
}

impl<'w, S: ExampleSink> Value<'_, 'w, S> {
    /// Refuses what cannot be the feature object.
    fn below_top<E: Error>(&mut self, found: &'static str) -> Result<(), E> {
        match self.place {
            Place::Top => {
                let at = self.walk.value_start();
                self.walk.fail(at, Fault::Features { found }).map_err(Stop::unwind)
            }
            Place::Key | Place::Element(_) => Ok(()),
        }
    }

    /// A number or `true`: below the index if it is an element.
    fn indexed<E: Error>(
        mut self,
        found: &'static str,
        tell: impl FnOnce(&mut Walk<'w, S>) -> Result<(), Stop>,
    ) -> Result<(), E> {
        self.below_top(found)?;
        let path = self.walk.path;
        if let Place::Element(index) = self.place {
            self.walk.enter_index(index);
        }
        tell(self.walk).map_err(Stop::unwind)?;
        if let Place::Element(_) = self.place {
            self.walk.leave(path);
        }
        Ok(())
    }
}

impl<'de, S: ExampleSink> Visitor<'de> for Value<'_, '_, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a feature")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.place {
            Place::Top => {}
            Place::Key | Place::Element(_) => self.walk.sink.null(),
        }
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        if value {
            return self.indexed("a boolean", |walk| walk.tell(|sink| sink.number(1.0)));
        }
        self.below_top("a boolean")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.indexed("a number", |walk| walk.integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.indexed("a number", |walk| walk.integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.indexed("a number", |walk| walk.number(value))
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        self.below_top("a string")?;
        self.walk.tell(|sink| sink.category(value)).map_err(Stop::unwind)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.below_top("an array")?;
        let path = self.walk.path;
        if let Place::Element(index) = self.place {
            self.walk.enter_index(index);
        }
        let mut index = 0;
        while let Some(()) = elements.next_element_seed(Element { walk: &mut *self.walk, index })? {
            index += 1;
        }
        if let Place::Element(_) = self.place {
            self.walk.leave(path);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let path = self.walk.path;
        while let Some(()) = map.next_key_seed(EnterKey(&mut *self.walk))? {
            map.next_value_seed(Value { walk: &mut *self.walk, place: Place::Key })?;
            self.walk.leave(path);
        }
        Ok(())
    }
}

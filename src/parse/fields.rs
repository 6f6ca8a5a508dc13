//! Label, weight and id: the fields that are not features.
//!
//! Each arrives as its raw JSON text, borrowed from the record: short, so that reading it twice costs little, and
//! with an address, so that an error names its first byte.

use super::MAX_TASKS;
use super::fault::{Fault, from_json, shown};
use super::skip::Skip;
use super::walk::{Stop, Walk};
use crate::example::{ExampleSink, LabelRange};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Levels of nesting left to an id: serde_json allows 127, and the record is one.
const ID_LEVELS: usize = 126;

impl<S: ExampleSink> Walk<'_, S> {
    /// Reads the label field.
    pub(super) fn label(&mut self, raw: &str) -> Result<(), Stop> {
        let seen = std::mem::replace(&mut self.label_seen, true);
        self.once(seen, |walk| &walk.options.label_field, raw)?;
        if self.options.labels == LabelRange::Ignored {
            return Ok(());
        }
        if raw.starts_with('{') {
            let mut json = serde_json::Deserializer::from_str(raw);
            let read = Tasks { walk: self, seen: Vec::new() }.deserialize(&mut json);
            return read.or_else(|error| self.inner_fault(raw, &error));
        }
        match self.check_label(raw) {
            Label::Masked => Ok(()),
            Label::Value(value) => {
                self.sink.target(None, value);
                Ok(())
            }
            Label::Bad => {
                let range = self.options.labels.describe();
                self.fail(Some(self.offset(raw)), Fault::Label { range, found: shown(raw) })
            }
        }
    }

    /// Reads the weight field.
    pub(super) fn weight(&mut self, raw: &str) -> Result<(), Stop> {
        let seen = std::mem::replace(&mut self.weight_seen, true);
        self.once(seen, |walk| &walk.options.weight_field, raw)?;
        if raw == "null" {
            return Ok(());
        }
        let weight = number(raw).map(|weight| weight as f32);
        match weight.filter(|weight| weight.is_finite() && *weight >= 0.0) {
            Some(weight) => {
                // Adding 0 turns −0 into 0.
                self.sink.weight(weight + 0.0);
                Ok(())
            }
            None => self.fail(Some(self.offset(raw)), Fault::Weight { found: shown(raw) }),
        }
    }

    /// Reads the id field.
    pub(super) fn id(&mut self, raw: &str) -> Result<(), Stop> {
        let seen = std::mem::replace(&mut self.id_seen, true);
        self.once(seen, |walk| &walk.options.id_field, raw)?;
        let mut json = serde_json::Deserializer::from_str(raw);
        if let Err(error) = (Skip { levels: ID_LEVELS }).deserialize(&mut json) {
            return self.inner_fault(raw, &error);
        }
        self.sink.id(raw);
        Ok(())
    }

    /// One task of a label object.
    fn task(&mut self, task: &str, raw: &str) -> Result<(), Stop> {
        match self.check_label(raw) {
            Label::Masked => {}
            Label::Value(value) => self.sink.target(Some(task), value),
            Label::Bad => {
                let range = self.options.labels.describe();
                let fault = Fault::TaskLabel { task: shown(task), range, found: shown(raw) };
                return self.fail(Some(self.offset(raw)), fault);
            }
        }
        Ok(())
    }

    fn check_label(&self, raw: &str) -> Label {
        let label = match raw {
            "null" => return Label::Masked,
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => number(raw),
        };
        // Adding 0 turns −0 into 0.
        label.and_then(|label| self.options.labels.check(label)).map_or(Label::Bad, |v| Label::Value(v + 0.0))
    }

    /// Refuses the second value of a field.
    fn once(&mut self, seen: bool, key: impl Fn(&Self) -> &String, raw: &str) -> Result<(), Stop> {
        if seen {
            let key = key(self).clone();
            return self.fail(Some(self.offset(raw)), Fault::Repeated { key });
        }
        Ok(())
    }

    /// Notes what is wrong inside `raw`, unless that was noted already.
    fn inner_fault(&mut self, raw: &str, error: &serde_json::Error) -> Result<(), Stop> {
        if self.has_fault() {
            return Err(Stop);
        }
        let inner = from_json(raw, error);
        self.fail(Some(self.offset(raw) + inner.byte), inner.fault)
    }
}

enum Label {
    /// `null`: predict, do not learn.
    Masked,
    Value(f32),
    Bad,
}

/// The number that `raw` is. Not the numbers beyond f64.
fn number(raw: &str) -> Option<f64> {
    raw.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        .then(|| serde_json::from_str(raw).ok())
        .flatten()
}

/// A label object: one label a task.
struct Tasks<'a, 'w, 'de, S> {
    walk: &'a mut Walk<'w, S>,
    seen: Vec<Cow<'de, str>>,
}

impl<'de, S: ExampleSink> DeserializeSeed<'de> for Tasks<'_, '_, 'de, S> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, S: ExampleSink> Visitor<'de> for Tasks<'_, '_, 'de, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels by task")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(task) = map.next_key_seed(TaskName)? {
            let raw = map.next_value::<&RawValue>()?.get();
            self.add(task, raw).map_err(Stop::unwind)?;
        }
        Ok(())
    }
}

impl<'de, S: ExampleSink> Tasks<'_, '_, 'de, S> {
    fn add(&mut self, task: Cow<'de, str>, raw: &str) -> Result<(), Stop> {
        let at = Some(self.walk.offset(raw));
        if self.seen.contains(&task) {
            return self.walk.fail(at, Fault::Repeated { key: shown(&task) });
        }
        if self.seen.len() == MAX_TASKS {
            return self.walk.fail(at, Fault::Tasks { limit: MAX_TASKS });
        }
        self.walk.task(&task, raw)?;
        self.seen.push(task);
        Ok(())
    }
}

/// A task's name, borrowed unless it holds escapes.
struct TaskName;

impl<'de> DeserializeSeed<'de> for TaskName {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TaskName {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a task")
    }

    fn visit_borrowed_str<E: Error>(self, task: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(task))
    }

    fn visit_str<E: Error>(self, task: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(task.to_owned()))
    }
}

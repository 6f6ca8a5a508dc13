//! A record as a parser told it, to be told again with one feature left out.
//!
//! What the sink hears is kept as flat events, keys and strings in one buffer: memory follows the bytes of the record, however
//! long its paths are. Names are made only of the features that are shown.

use crate::engine::encode::Tell;
use crate::engine::model::RecordError;
use crate::example::{ExampleSink, FeatureError, RecordSink};
use std::ops::Range;

/// Longest name of a feature, in bytes; longer ones are cut.
const NAME_BYTES: usize = 200;

#[derive(Debug, Clone)]
enum Event {
    Key(Range<usize>),
    Index(usize),
    Leave,
    Element(usize),
    LeaveElement,
    Null,
    Number(f32),
    Integer(i128, f32),
    Category(Range<usize>),
}

impl Event {
    fn is_feature(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Integer(..) | Self::Category(_))
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Recording {
    events: Vec<Event>,
    text: String,
    /// The record's id, as JSON.
    pub(super) id: Option<String>,
}

/// A feature of a recording, by its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    /// Its number; 1 for a category.
    pub(super) value: f32,
}

impl Recording {
    fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    /// Which events are features, in the order of the record.
    pub(super) fn features(&self) -> impl Iterator<Item = usize> {
        let events = self.events.iter().enumerate();
        events.filter(|(_, event)| event.is_feature()).map(|(index, _)| index)
    }

    /// The features at these events, which ascend.
    pub(super) fn named(&self, features: &[usize]) -> Vec<Named> {
        let (mut path, mut ends, mut named) = (String::new(), Vec::new(), Vec::new());
        let mut wanted = features.iter().peekable();
        for (index, event) in self.events.iter().enumerate() {
            if wanted.peek().is_none() {
                break;
            }
            match event {
                Event::Key(key) => step(&mut path, &mut ends, self.text(key)),
                Event::Index(index) => step(&mut path, &mut ends, &index.to_string()),
                Event::Leave => path.truncate(ends.pop().unwrap_or(0)),
                _ => {}
            }
            if wanted.next_if(|wanted| **wanted == index).is_some() {
                named.push(self.name(event, &path));
            }
        }
        named
    }

    fn name(&self, event: &Event, path: &str) -> Named {
        let (name, value) = match event {
            Event::Number(value) | Event::Integer(_, value) => (path.to_owned(), *value),
            Event::Category(category) => {
                let category = self.text(category);
                // No more of it than can be shown.
                (format!("{path}={}", cut(category, NAME_BYTES)), 1.0)
            }
            _ => (path.to_owned(), 0.0),
        };
        let shown = cut(&name, NAME_BYTES);
        let is_cut = shown.len() < name.len();
        Named { name: if is_cut { format!("{shown}…") } else { name }, value }
    }

    fn tell(&self, event: &Event, sink: &mut impl ExampleSink) -> Result<(), FeatureError> {
        match event {
            Event::Key(key) => sink.enter_key(self.text(key)),
            Event::Index(index) => sink.enter_index(*index),
            Event::Leave => sink.leave(),
            Event::Element(index) => sink.enter_element(*index),
            Event::LeaveElement => sink.leave_element(),
            Event::Null => sink.null(),
            Event::Number(value) => sink.number(*value)?,
            Event::Integer(value, as_number) => sink.integer(*value, *as_number)?,
            Event::Category(category) => sink.category(self.text(category))?,
        }
        Ok(())
    }
}

/// Goes down into a part of the path; what cannot be shown any more is not kept.
fn step(path: &mut String, ends: &mut Vec<usize>, name: &str) {
    ends.push(path.len());
    if path.len() <= NAME_BYTES {
        if ends.len() > 1 {
            path.push('.');
        }
        path.push_str(cut(name, NAME_BYTES + 1));
    }
}

/// The longest start of `text` that is no longer than `bytes`.
pub(in crate::engine) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// Writes a recording.
pub(super) struct Recorder<'a>(pub(super) &'a mut Recording);

impl Recorder<'_> {
    fn add(&mut self, event: Event) -> Result<(), FeatureError> {
        self.0.events.push(event);
        Ok(())
    }
}

impl ExampleSink for Recorder<'_> {
    fn enter_key(&mut self, key: &str) {
        let key = self.0.keep(key);
        self.0.events.push(Event::Key(key));
    }
    fn enter_index(&mut self, index: usize) {
        self.0.events.push(Event::Index(index));
    }
    fn leave(&mut self) {
        self.0.events.push(Event::Leave);
    }
    fn enter_element(&mut self, index: usize) {
        self.0.events.push(Event::Element(index));
    }
    fn leave_element(&mut self) {
        self.0.events.push(Event::LeaveElement);
    }
    fn null(&mut self) {
        self.0.events.push(Event::Null);
    }
    fn can_restart(&self) -> bool {
        true
    }
    fn restart(&mut self) {
        *self.0 = Recording::default();
    }
    fn number(&mut self, value: f32) -> Result<(), FeatureError> {
        self.add(Event::Number(value))
    }
    fn integer(&mut self, value: i128, as_number: f32) -> Result<(), FeatureError> {
        self.add(Event::Integer(value, as_number))
    }
    fn category(&mut self, value: &str) -> Result<(), FeatureError> {
        let value = self.0.keep(value);
        self.add(Event::Category(value))
    }
    fn id(&mut self, json: &str) {
        self.0.id = Some(json.to_owned());
    }
    fn weight(&mut self, _: f32) {}
    fn target(&mut self, _: Option<&str>, _: f32) {}
}

impl RecordSink for Recorder<'_> {
    fn has_id(&self) -> bool {
        self.0.id.is_some()
    }
    fn finish(self) -> Result<(), FeatureError> {
        Ok(())
    }
    fn abandon(self) {
        *self.0 = Recording::default();
    }
}

/// A recording, told without one of its events.
pub(super) struct Without<'a> {
    pub(super) recording: &'a Recording,
    pub(super) event: Option<usize>,
}

impl Tell for Without<'_> {
    fn tell(self, sink: &mut impl RecordSink) -> Result<(), RecordError> {
        for (index, event) in self.recording.events.iter().enumerate() {
            if Some(index) != self.event {
                self.recording.tell(event, sink)?;
            }
        }
        Ok(())
    }
}

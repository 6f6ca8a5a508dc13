//! A sink for the careful reader: the tests and the fuzz target compare what it tells with what the fast one does.

use flexihash::example::{ExampleSink, FeatureError};

/// A sink that does not say that it can restart, and hears of each feature by itself.
pub(crate) struct Careful<'a, S>(pub(crate) &'a mut S);

impl<S: ExampleSink> ExampleSink for Careful<'_, S> {
    fn enter_key(&mut self, key: &str) {
        self.0.enter_key(key);
    }
    fn enter_index(&mut self, index: usize) {
        self.0.enter_index(index);
    }
    fn leave(&mut self) {
        self.0.leave();
    }
    fn enter_element(&mut self, index: usize) {
        self.0.enter_element(index);
    }
    fn leave_element(&mut self) {
        self.0.leave_element();
    }
    fn null(&mut self) {
        self.0.null();
    }
    fn number(&mut self, value: f32) -> Result<(), FeatureError> {
        self.0.number(value)
    }
    fn integer(&mut self, value: i128, as_number: f32) -> Result<(), FeatureError> {
        self.0.integer(value, as_number)
    }
    fn category(&mut self, value: &str) -> Result<(), FeatureError> {
        self.0.category(value)
    }
    fn id(&mut self, json: &str) {
        self.0.id(json);
    }
    fn weight(&mut self, weight: f32) {
        self.0.weight(weight);
    }
    fn target(&mut self, task: Option<&str>, value: f32) {
        self.0.target(task, value);
    }
}

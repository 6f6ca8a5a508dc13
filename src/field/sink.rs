//! What a parser tells, led to the fields that hear of it.

use super::cells::{Place, Told};
use super::encoder::{FieldEncoder, Frame, Step};
use super::paths::{Node, Taker};
use crate::example::{ExampleSink, FeatureError};
use crate::hash::Encoder;

impl FieldEncoder<'_> {
    fn top(&self) -> Frame {
        self.scratch.frames.last().copied().unwrap_or(Frame { node: 0, below: 0, step: Step::Key })
    }

    fn push(&mut self, node: usize, below: usize, step: Step) {
        self.scratch.frames.push(Frame { node, below, step });
    }

    /// The list whose array, or single item, stands here, unless it is an item already.
    fn list_at(&self, frame: Frame) -> Option<usize> {
        let here = frame.below == 0 && frame.step == Step::Key && self.scratch.item.is_none();
        if here { self.node(frame.node)?.list } else { None }
    }

    /// What comes next stands at a list's path and in no array: it is an item.
    fn open_single(&mut self) {
        if let Some(list) = self.list_at(self.top()) {
            self.open_item(list);
            self.arrive_at(self.top().node);
        }
    }

    /// Tells `tell` to these sums; not to those that have no item open.
    fn sums(&mut self, sums: &[usize], mut tell: impl FnMut(&mut Encoder<'_>)) {
        for &index in sums {
            if self.is_open(index) {
                self.sum(index, &mut tell);
            }
        }
    }

    /// The sums in whose paths the index of an item is: those that are not of its list.
    fn around_item(&mut self, node: &Node, mut tell: impl FnMut(&mut Encoder<'_>)) {
        for &index in node.sums() {
            let field = self.hasher.fields().fields().get(index);
            if field.is_some_and(|field| field.list.is_none()) {
                self.sum(index, &mut tell);
            }
        }
    }

    /// A value where the path stands.
    fn value(
        &mut self,
        told: Told<'_>,
        mut tell: impl FnMut(&mut Encoder<'_>) -> Result<(), FeatureError>,
    ) -> Result<(), FeatureError> {
        if self.scratch.outside > 0 {
            return Ok(());
        }
        self.open_single();
        let frame = self.top();
        let Some(node) = self.node(frame.node) else { return Ok(()) };
        for &index in node.sums() {
            if self.is_open(index) {
                self.sum(index, &mut tell).unwrap_or(Ok(()))?;
            }
        }
        for taker in &node.takers {
            if self.is_open(taker.field) {
                self.take(taker.field, place(frame, *taker), told)?;
            }
        }
        Ok(())
    }
}

/// Where a value at `frame` stands for a field.
fn place(frame: Frame, taker: Taker) -> Place {
    match (taker.cell, frame.below, frame.step) {
        (Some(cell), 0, Step::Key) => Place::Cell(cell),
        (None, 0, Step::Key | Step::Item | Step::ItemIndex) => Place::Whole,
        (None, 0, Step::Element(index)) | (None, 1, Step::Index(index)) => Place::Element(index),
        _ => Place::Below,
    }
}

impl ExampleSink for FieldEncoder<'_> {
    fn enter_key(&mut self, key: &str) {
        if self.scratch.outside > 0 {
            self.scratch.outside += 1;
            return;
        }
        self.open_single();
        let Frame { node, below, .. } = self.top();
        let child = if below == 0 { self.hasher.fields().paths().child(node, key) } else { None };
        if let Some((child, at)) = child.and_then(|child| Some((child, self.node(child)?))) {
            self.push(child, 0, Step::Key);
            self.sums(at.inherited(), |encoder| encoder.enter_key(key));
            self.arrive_at(child);
            return;
        }
        match self.node(node).filter(|node| node.is_heard()) {
            Some(at) => {
                self.push(node, below + 1, Step::Key);
                self.sums(at.sums(), |encoder| encoder.enter_key(key));
            }
            None => self.scratch.outside = 1,
        }
    }

    fn enter_index(&mut self, index: usize) {
        if self.scratch.outside > 0 {
            self.scratch.outside += 1;
            return;
        }
        let Frame { node, below, step } = self.top();
        let Some(at) = self.node(node) else { return };
        if step == Step::Item {
            self.push(node, below, Step::ItemIndex);
            self.around_item(at, |encoder| encoder.enter_index(index));
        } else if at.is_heard() {
            self.push(node, below + 1, Step::Index(index));
            self.sums(at.sums(), |encoder| encoder.enter_index(index));
        } else {
            self.scratch.outside = 1;
        }
    }

    fn leave(&mut self) {
        if self.scratch.outside > 0 {
            self.scratch.outside -= 1;
            return;
        }
        // The feature object itself is never left.
        if self.scratch.frames.len() < 2 {
            return;
        }
        if self.scratch.item.is_some_and(|item| item.depth == self.scratch.frames.len()) {
            self.close_item();
        }
        let Some(frame) = self.scratch.frames.pop() else { return };
        let Some(at) = self.node(frame.node) else { return };
        match (frame.step, frame.below) {
            (Step::ItemIndex, _) => self.around_item(at, |encoder| encoder.leave()),
            (Step::Key, 0) => self.sums(at.inherited(), |encoder| encoder.leave()),
            _ => self.sums(at.sums(), |encoder| encoder.leave()),
        }
    }

    fn enter_element(&mut self, index: usize) {
        if self.scratch.outside > 0 {
            return;
        }
        let frame = self.top();
        match self.list_at(frame) {
            Some(list) => {
                self.open_item(list);
                self.push(frame.node, frame.below, Step::Item);
                self.arrive_at(frame.node);
            }
            None => self.push(frame.node, frame.below, Step::Element(index)),
        }
    }

    fn leave_element(&mut self) {
        if self.scratch.outside > 0 || self.scratch.frames.len() < 2 {
            return;
        }
        if self.scratch.frames.pop().is_some_and(|frame| frame.step == Step::Item) {
            self.close_item();
        }
    }

    fn can_restart(&self) -> bool {
        true
    }

    fn restart(&mut self) {
        self.begin();
    }

    fn number(&mut self, value: f32) -> Result<(), FeatureError> {
        self.value(Told::Number(value), |encoder| encoder.number(value))
    }

    fn integer(&mut self, value: i128, as_number: f32) -> Result<(), FeatureError> {
        self.value(Told::Integer(value, as_number), |encoder| encoder.integer(value, as_number))
    }

    fn category(&mut self, value: &str) -> Result<(), FeatureError> {
        self.value(Told::Category(value), |encoder| encoder.category(value))
    }

    fn null(&mut self) {
        if self.scratch.outside > 0 || self.list_at(self.top()).is_some() {
            return;
        }
        let frame = self.top();
        let Some(node) = self.node(frame.node) else { return };
        for taker in &node.takers {
            if self.is_open(taker.field) {
                // No kind of field refuses a null.
                let _ = self.take(taker.field, place(frame, *taker), Told::Null);
            }
        }
    }

    fn id(&mut self, json: &str) {
        self.batch.records.set_id(json);
    }

    fn weight(&mut self, weight: f32) {
        self.batch.records.set_weight(weight);
    }

    fn target(&mut self, task: Option<&str>, value: f32) {
        self.batch.records.push_target(task, value);
    }
}

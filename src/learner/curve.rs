//! A learning curve: figures at some numbers of examples, a bounded number of points however long the stream.
//!
//! Where points lie is a matter of the count alone, at multiples of a step that doubles whenever the points are full: so the same
//! stream gives the same curve, whatever it is cut into and however fast it comes.

use super::validation::Figures;

/// Points kept at most, and the first step.
const KEPT: usize = 200;
const FIRST_STEP: u64 = 50;

/// Figures after some examples.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint {
    /// Labelled examples so far.
    pub examples: u64,
    /// Over all of them.
    pub life: Figures,
    /// Over the last 10,000 to 20,000.
    pub window: Figures,
}

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Curve {
    points: Vec<CurvePoint>,
    /// log2 of the step over the first one.
    doubled: u32,
}

impl Curve {
    pub(super) fn points(&self) -> &[CurvePoint] {
        &self.points
    }

    fn step(&self) -> u64 {
        FIRST_STEP << self.doubled
    }

    /// The number of examples for the next point after `examples`.
    pub(super) fn next(&self, examples: u64) -> u64 {
        (examples / self.step() + 1) * self.step()
    }

    /// Takes a point, and says where the next one is.
    pub(super) fn push(&mut self, point: CurvePoint) -> u64 {
        let examples = point.examples;
        self.points.push(point);
        if self.points.len() == KEPT {
            self.doubled += 1;
            let step = self.step();
            self.points.retain(|point| point.examples.is_multiple_of(step));
        }
        self.next(examples)
    }
}

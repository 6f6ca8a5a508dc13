//! What each feature of a record did for its prediction.
//!
//! The contribution of a feature is the score with all features less the score without it: *leave one out*. That needs
//! nothing of the model but predictions, so it is the same for every head and for networks, and of a plain linear head it
//! is weight · value. It is on the scale of the score, before the link, where effects add up: contributions of features that
//! interact need not add up to the score. The record is parsed once, then told to the encoder again and again with one feature
//! less; predictions change nothing, and the record count is put back.

mod recording;

pub(super) use recording::cut;

use super::encode::{Encoded, Reader};
use super::{Model, RecordError};
use crate::learner::{Learner, Mode, Outcomes};
use crate::model::Loss;
use recording::{Named, Recorder, Recording, Without};
use serde::Serialize;
use serde_json::value::RawValue;

/// Most features that are left out, one after the other.
pub const MAX_EXPLAINED: usize = 1000;
/// Most events that are told again, all features together: what one call may cost.
const MAX_EVENTS: usize = 4 << 20;
/// Records predicted together.
const BATCH: usize = 64;
/// Most outputs (tasks, times the items of a list) that are explained.
const MAX_OUTPUTS: usize = 64;
/// Probabilities are told apart from 0 and 1 as far as f32 can.
const LEAST_PROBABILITY: f64 = 1e-9;

/// What a score is, and so a contribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreUnit {
    /// ln(p / (1 − p)) of the predicted probability: logistic loss.
    LogOdds,
    /// The logarithm of the predicted mean: poisson loss.
    LogMean,
    /// The unit of the prediction itself: all other losses.
    Prediction,
}

/// Why a record was predicted as it was; see [`Model::explain`].
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// The record's id, as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<RawValue>>,
    /// What `score` and `contribution` are.
    pub unit: ScoreUnit,
    /// Features of the record.
    pub features: usize,
    /// How many of them were left out in turn: the first ones. Fewer than `features` where there are more than
    /// [`MAX_EXPLAINED`], or less, if the record is very long.
    pub explained: usize,
    /// One a task; of a network whose outputs are those of a list's items one an item and task, the first 64.
    pub outputs: Vec<ExplainedOutput>,
}

/// One prediction, taken apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedOutput {
    /// The task, if labels are per task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The item's place in its list, if predictions are those of items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
    /// The prediction as elsewhere: probability, mean or score.
    pub prediction: f64,
    /// The same in the unit of the contributions.
    pub score: f64,
    /// The largest ones, by magnitude.
    pub contributions: Vec<Contribution>,
}

/// What one feature did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contribution {
    /// Its name: the keys joined with `.`, with `=` and the string for a category; cut after 200 bytes.
    pub feature: String,
    /// Its number; 1 for a category.
    pub value: f32,
    /// Score with all features less the score without this one.
    pub contribution: f64,
}

/// Predictions of some records, `[records][outputs]`.
type Predictions = Vec<Vec<f64>>;

/// The same without some features; none where what is left is no record.
type Remaining = Vec<Option<Vec<f64>>>;

/// How a record's predictions are laid out.
struct Layout {
    tasks: Vec<Option<String>>,
    items: bool,
}

impl Model {
    /// Predicts a JSON record and says what its features contributed, the `top` largest for each task. Changes nothing.
    ///
    /// # Errors
    /// A bad record; its label is not looked at.
    pub fn explain(&mut self, record: &[u8], top: usize) -> Result<Explained, RecordError> {
        let records = self.learner().counters().records;
        let reader = self.prediction_reader();
        let explained = explain(&reader, self.learner_mut(), record, top);
        self.learner_mut().renumber(records);
        explained
    }
}

/// What the features of `record` contributed to its prediction by `learner`, the `top` largest for each task. `reader` does not
/// look at labels.
pub(super) fn explain(
    reader: &Reader,
    learner: &mut Learner,
    record: &[u8],
    top: usize,
) -> Result<Explained, RecordError> {
    let mut recording = Recording::default();
    reader.tell(record, Recorder(&mut recording))?;
    let features: Vec<usize> = recording.features().collect();
    let room = (MAX_EVENTS / recording.events().max(1)).clamp(1, MAX_EXPLAINED);
    let tried: Vec<usize> = features.iter().copied().take(room).collect();
    let names = recording.named(&tried);
    let loss = learner.options().loss;
    let mut leaver = Leaver { reader, learner, recording: &recording, encoded: Encoded::default() };
    let (whole, layout) = leaver.predict_without(&[None])?;
    let whole = whole.into_iter().next().flatten().unwrap_or_default();
    let mut parts = Vec::with_capacity(tried.len());
    for some in tried.chunks(BATCH) {
        let some: Vec<Option<usize>> = some.iter().copied().map(Some).collect();
        parts.extend(leaver.predict_without(&some)?.0);
    }
    let outputs = whole.iter().enumerate().take(MAX_OUTPUTS);
    let outputs = outputs.map(|(index, &prediction)| {
        let width = layout.tasks.len().max(1);
        let task = layout.tasks.get(index % width).cloned().flatten();
        let item = layout.items.then_some(index / width);
        let score = score(loss, prediction);
        let contributions = largest(&names, parts.iter().map(|part| part.as_ref()?.get(index)), top, |p| {
            score - self::score(loss, p)
        });
        ExplainedOutput { task, item, prediction, score, contributions }
    });
    let id = recording.id.clone().and_then(|id| RawValue::from_string(id).ok());
    Ok(Explained {
        id,
        unit: unit(loss),
        features: features.len(),
        explained: parts.iter().flatten().count(),
        outputs: outputs.collect(),
    })
}

/// Predicts a record again and again.
struct Leaver<'a> {
    reader: &'a Reader,
    learner: &'a mut Learner,
    recording: &'a Recording,
    encoded: Encoded,
}

impl Leaver<'_> {
    /// Predictions without each of `events`; none where what is left is no record: values that only together are finite.
    fn predict_without(&mut self, events: &[Option<usize>]) -> Result<(Remaining, Layout), RecordError> {
        self.encoded.clear();
        let mut there = Vec::with_capacity(events.len());
        for &event in events {
            let without = Without { recording: self.recording, event };
            match (self.reader.write_again(&mut self.encoded, without), event) {
                (Err(error), None) => return Err(error),
                (told, _) => there.push(told.is_ok()),
            }
        }
        let (rows, layout) = self.predict_encoded()?;
        let mut rows = rows.into_iter();
        let rows = there.into_iter().map(|there| if there { rows.next() } else { None });
        Ok((rows.collect(), layout))
    }

    fn predict_encoded(&mut self) -> Result<(Predictions, Layout), RecordError> {
        let mut outcomes = Outcomes { exact: Some(Vec::new()), ..Outcomes::default() };
        self.encoded.process(self.learner, Mode::Predict, &mut outcomes)?;
        let tasks = match &outcomes.tasks {
            Some(tasks) => tasks.iter().cloned().map(Some).collect(),
            None => vec![None],
        };
        let rows = 0..self.encoded.records().len();
        let layout = Layout { tasks, items: outcomes.items };
        Ok((rows.map(|row| outcomes.exact_row(row)).collect(), layout))
    }
}

/// The `top` features with the largest contributions, by magnitude; equal ones in the order of the record.
fn largest<'p>(
    names: &[Named],
    without: impl Iterator<Item = Option<&'p f64>>,
    top: usize,
    contribution: impl Fn(f64) -> f64,
) -> Vec<Contribution> {
    let all = names.iter().zip(without);
    let mut all: Vec<(&Named, f64)> =
        all.filter_map(|(named, prediction)| Some((named, contribution(*prediction?)))).collect();
    all.sort_by(|(_, a), (_, b)| b.abs().total_cmp(&a.abs()));
    let shown = all.into_iter().take(top).map(|(named, contribution)| Contribution {
        feature: named.name.clone(),
        value: named.value,
        contribution,
    });
    shown.collect()
}

fn unit(loss: Loss) -> ScoreUnit {
    match loss {
        Loss::Logistic => ScoreUnit::LogOdds,
        Loss::Poisson => ScoreUnit::LogMean,
        Loss::Squared | Loss::Hinge | Loss::Quantile(_) => ScoreUnit::Prediction,
    }
}

/// The inverse of the link.
fn score(loss: Loss, prediction: f64) -> f64 {
    match loss {
        Loss::Logistic => {
            let p = prediction.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
            libm::log(p) - libm::log1p(-p)
        }
        Loss::Poisson => libm::log(prediction.max(f64::MIN_POSITIVE)),
        Loss::Squared | Loss::Hinge | Loss::Quantile(_) => prediction,
    }
}

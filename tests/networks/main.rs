//! Networks without a reference at hand: gradients by finite differences, state, dropout, and what is never stored.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub(crate) use dice::Dice;
use flexihash::model::network::*;
use flexihash::optim::{OptimizerKind, OptimizerOptions, Schedule};

#[path = "../support/dice.rs"]
mod dice;
mod by_hand;
mod gradients;
mod learns;
mod masked;
mod refused;
mod state;
mod stored;
mod tensors;

impl Dice {
    /// Uniform in [-1, 1].
    pub(crate) fn float(&mut self) -> f32 {
        self.roll(1 << 20) as f32 / (1 << 19) as f32 - 1.0
    }
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|name| format!("n{name}")).collect()
}

pub(crate) fn estimator(representation: Representation, hashed_features: bool) -> Box<dyn Network> {
    let options = EstimatorOptions {
        tasks: names(2),
        representation,
        user_dim: 4,
        item_dim: 3,
        user_features: 3,
        item_features: 2,
        cross_features: 2,
        hashed_features,
        mixing_dropout: Mixture::DROPOUT_RATE,
        user_value_weights: vec![0.5, 2.0],
    };
    Box::new(MultiTaskEstimator::new(options).unwrap())
}

pub(crate) fn cohort(addressing: Addressing) -> CohortOptions {
    CohortOptions { cohorts: 5, dropout: 0.5, addressing }
}

pub(crate) fn dot(biases: bool, pooling: Pooling) -> Box<dyn Network> {
    Box::new(Dot::new(DotOptions { dim: 3, hashes: 2, biases, pooling, ..DotOptions::default() }).unwrap())
}

pub(crate) fn ranker() -> Box<dyn Network> {
    let options = RankerOptions {
        dim: 3,
        user_hashes: 2,
        item_hashes: 2,
        author_hashes: 1,
        actions: names(2),
        surfaces: 3,
        hidden: 4,
    };
    Box::new(Ranker::new(options).unwrap())
}

/// Every system, small.
pub(crate) fn systems() -> Vec<(&'static str, Box<dyn Network>)> {
    let dhe = Representation::Dhe { seed: 3, hashes: 6, range: 1000 };
    vec![
        ("dot", dot(false, Pooling::Sum)),
        ("dot with biases", dot(true, Pooling::Mean)),
        ("id lookup", estimator(Representation::IdLookup, false)),
        ("id lookup, hashed features", estimator(Representation::IdLookup, true)),
        ("dhe", estimator(dhe, false)),
        ("cohort, softmax", estimator(Representation::Cohort(cohort(Addressing::Softmax)), false)),
        ("cohort, top 1", estimator(Representation::Cohort(cohort(Addressing::Top1)), true)),
        ("mixture, softmax", estimator(Representation::Mixture(cohort(Addressing::Softmax)), true)),
        ("mixture, top 1", estimator(Representation::Mixture(cohort(Addressing::Top1)), false)),
        ("ranker", ranker()),
    ]
}

pub(crate) fn head(network: Box<dyn Network>, kind: OptimizerKind) -> NetworkHead {
    let optimizer = OptimizerOptions { schedule: Schedule::InverseSqrt, ..OptimizerOptions::new(kind) };
    NetworkHead::new(network, HeadOptions { seed: 11, optimizer }).unwrap()
}

/// Random values; lists of 4 items whose first record has one and whose second has all.
pub(crate) fn inputs(head: &NetworkHead, rows: usize, dice: &mut Dice) -> Inputs {
    const ITEMS: usize = 4;
    let there = |record: usize, item: usize| item < [1, ITEMS, 3][record % 3];
    let mask = || (0..rows * ITEMS).map(|at| there(at / ITEMS, at % ITEMS)).collect();
    let values = |field: &Field, dice: &mut Dice| {
        let count: usize = field.shape(rows, ITEMS).iter().product();
        match field.kind {
            FieldKind::Category { count: sides } => {
                Values::Categories((0..count).map(|_| dice.roll(u64::from(sides)) as u32).collect())
            }
            FieldKind::Id => Values::Ids((0..count).map(|_| dice.roll(1 << 30) as i64).collect()),
            _ => Values::Floats((0..count).map(|_| dice.float()).collect()),
        }
    };
    Inputs {
        rows,
        lists: head.lists().iter().map(|_| Items { count: ITEMS, mask: mask() }).collect(),
        fields: head.fields().iter().map(|field| values(field, dice)).collect(),
    }
}

/// Labels of 0 or 1, a quarter of them missing, of different weights.
pub(crate) fn targets(head: &NetworkHead, inputs: &Inputs, dice: &mut Dice) -> Targets {
    let count = head.predict(inputs).unwrap().len();
    let label = |dice: &mut Dice| (dice.roll(4) > 0).then(|| dice.roll(2) as f32);
    let labels: Vec<Option<f32>> = (0..count).map(|_| label(dice)).collect();
    let importance: Vec<f32> = (0..inputs.rows).map(|_| 0.5 + dice.roll(3) as f32).collect();
    Targets::of(labels).weighted(&importance).unwrap()
}

/// Learns `batches` random batches; table rows are drawn anew for each, so dense state alone carries over.
pub(crate) fn learn(head: &mut NetworkHead, batches: usize, dice: &mut Dice) -> Vec<Learned> {
    let one = |_| {
        let inputs = inputs(head, 3, dice);
        let targets = targets(head, &inputs, dice);
        head.learn(&inputs, &targets).unwrap()
    };
    (0..batches).map(one).collect()
}

//! The flexi-hash embedding in front of candle: its vectors are a leaf, candle differentiates by it, and the gradient goes to
//! the table as a sparse one. Tolerances are those of this system: 3e-4 for gradients of half_sse, 1e-2 for losses.

use crate::oracle::{self, Kind};
use crate::training::Tensor;
use flexihash::batch::{Batch, Slot};
use flexihash::embedding::{EmbeddingOptions, FeatureValue, FlexiHashEmbedding};
use flexihash::hash::{HashKind, HashOptions};
use flexihash::model::network::{Leaf, candle_core};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    n_features: u32,
    dim: usize,
    weight: Tensor,
    batches: Vec<Dicts>,
    train: Train,
}

#[derive(Deserialize)]
struct Dicts {
    name: String,
    rows: Vec<Vec<(String, Value)>>,
}

#[derive(Deserialize)]
struct Train {
    batch: String,
    #[serde(rename = "R")]
    factors: Tensor,
    target: Tensor,
    linear: Run,
    half_sse: Run,
}

#[derive(Deserialize)]
struct Run {
    loss: f64,
    grad: Rows,
    sgd: Sgd,
}

/// Rows of the table; all others are 0 or unchanged.
#[derive(Deserialize)]
struct Rows {
    rows: Vec<u32>,
    values: Tensor,
}

#[derive(Deserialize)]
struct Sgd {
    lr: f32,
    loss_before_each_step_then_final: Vec<f64>,
    params_after: BTreeMap<String, Rows>,
}

const LOSS: f64 = 1e-2;

#[test]
fn oracle_flexi_hash_embedding_in_candle() {
    oracle::run(Kind::FlexiHashEmbedding, |file: File| file.cases.iter().map(check_case).sum());
}

/// Each loss of a candle tensor counts as a case.
fn check_case(case: &Case) -> usize {
    check_run(case, &case.train.linear, 2e-5, |output, factors, _| output.mul(factors)?.sum_all());
    check_run(case, &case.train.half_sse, 3e-4, |output, _, target| {
        output.sub(target)?.sqr()?.sum_all()?.affine(0.5, 0.0)
    });
    2
}

type Candle = candle_core::Result<candle_core::Tensor>;

fn check_run(
    case: &Case,
    run: &Run,
    tolerance: f64,
    loss: impl Fn(&candle_core::Tensor, &candle_core::Tensor, &candle_core::Tensor) -> Candle,
) {
    let embedding = case.embedding();
    let batch = case.batch(&embedding);
    let shape = [batch.len(), case.dim];
    let constant = |tensor: &Tensor| {
        assert_eq!(tensor.shape, shape);
        candle_core::Tensor::from_slice(&tensor.data, &shape, &candle_core::Device::Cpu).unwrap()
    };
    let (factors, target) = (constant(&case.train.factors), constant(&case.train.target));
    let backward = || {
        let leaf = Leaf::new(embedding.embed(&batch).unwrap(), &shape).unwrap();
        let loss = loss(leaf.tensor(), &factors, &target).unwrap();
        let gradient = leaf.gradient(&loss.backward().unwrap()).unwrap();
        (f64::from(loss.to_scalar::<f32>().unwrap()), gradient)
    };
    close("loss", backward().0, run.loss, LOSS);
    check_gradient(case, &embedding, &batch, &backward().1, (&run.grad, tolerance));
    let (last, before) = run.sgd.loss_before_each_step_then_final.split_last().unwrap();
    for (index, &expected) in before.iter().enumerate() {
        let (loss, gradient) = backward();
        close("loss before a step", loss, expected, LOSS);
        // One pass, or by way of the sparse gradient: both are updates of the rows used alone.
        if index % 2 == 0 {
            embedding.sgd_backward(&batch, &gradient, run.sgd.lr).unwrap();
        } else {
            let sparse = embedding.gradient(&batch, &gradient).unwrap();
            embedding.sgd_step(&sparse, run.sgd.lr).unwrap();
        }
        if let Some(expected) = run.sgd.params_after.get(&(index + 1).to_string()) {
            check_parameters(case, &embedding, expected);
        }
    }
    close("last loss", backward().0, *last, LOSS);
    assert!(!run.sgd.params_after.is_empty());
}

impl Case {
    fn embedding(&self) -> FlexiHashEmbedding {
        let hash =
            HashOptions { kind: HashKind::Sklearn, buckets: self.n_features, ..HashOptions::default() };
        let embedding = FlexiHashEmbedding::new(EmbeddingOptions { dim: self.dim, seed: 0, hash }).unwrap();
        for (slot, weights) in self.weight.data.chunks_exact(self.dim).enumerate() {
            embedding.set_row(Slot(slot as u32), weights).unwrap();
        }
        embedding
    }

    fn batch(&self, embedding: &FlexiHashEmbedding) -> Batch {
        let dicts = self.batches.iter().find(|dicts| dicts.name == self.train.batch).unwrap();
        let pair = |(key, json): &(String, Value)| (key.clone(), value(json));
        let dicts = dicts.rows.iter().map(|dict| dict.iter().map(pair).collect::<Vec<_>>());
        let dicts: Vec<Vec<(String, Owned)>> = dicts.collect();
        let borrowed = dicts.iter().map(|dict| dict.iter().map(|(key, value)| (key, value.borrowed())));
        embedding.batch(borrowed).unwrap()
    }
}

/// A value of a dict.
enum Owned {
    Number(f64),
    Text(String),
}

impl Owned {
    fn borrowed(&self) -> FeatureValue<'_> {
        match self {
            Self::Number(number) => FeatureValue::from(*number),
            Self::Text(text) => FeatureValue::from(text),
        }
    }
}

fn value(json: &Value) -> Owned {
    match json {
        Value::Bool(value) => Owned::Number(f64::from(u8::from(*value))),
        Value::String(value) => Owned::Text(value.clone()),
        number => Owned::Number(number.as_f64().unwrap()),
    }
}

fn check_gradient(
    case: &Case,
    embedding: &FlexiHashEmbedding,
    batch: &Batch,
    upstream: &[f32],
    (expected, tolerance): (&Rows, f64),
) {
    let sparse = embedding.gradient(batch, upstream).unwrap();
    assert!(sparse.slots().len() <= batch.features(), "no row that was not used");
    let rows = sparse.slots().iter().map(|slot| slot.0).zip(sparse.rows().chunks_exact(case.dim));
    let mut rows: BTreeMap<u32, &[f32]> = rows.collect();
    for (slot, expected) in expected.rows.iter().zip(expected.values.data.chunks_exact(case.dim)) {
        let got = rows.remove(slot).unwrap_or_else(|| panic!("no gradient of row {slot}"));
        let pairs = got.iter().zip(expected);
        pairs.for_each(|(&g, &e)| close("gradient", f64::from(g), f64::from(e), tolerance));
    }
    assert!(rows.values().all(|row| row.iter().all(|&slope| slope == 0.0)), "rows not listed");
}

fn check_parameters(case: &Case, embedding: &FlexiHashEmbedding, changed: &Rows) {
    let changed = changed.rows.iter().zip(changed.values.data.chunks_exact(case.dim));
    let changed: BTreeMap<u32, &[f32]> = changed.map(|(slot, row)| (*slot, row)).collect();
    for (slot, initial) in (0..case.n_features).zip(case.weight.data.chunks_exact(case.dim)) {
        let got = embedding.row(Slot(slot)).unwrap();
        match changed.get(&slot) {
            Some(row) => {
                let pairs = got.iter().zip(*row);
                pairs.for_each(|(&g, &e)| close("parameters", f64::from(g), f64::from(e), 2e-5));
            }
            None => assert_eq!(got, initial, "row {slot} is not listed"),
        }
    }
}

fn close(what: &str, got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance + 2e-5 * expected.abs(), "{what}: {got} is not {expected}");
}

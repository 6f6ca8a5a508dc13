//! The flexi-hash embedding against the reference system: hashed dicts, vectors, losses, gradients, SGD.
//!
//! Tolerances are those of `fixtures/oracle/README.md`; slots are exact. Values are summed in f64 and rounded to f32:
//! exact too, but where several orders of a sum round to different neighbours.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod oracle;

use flexihash::batch::{Batch, Slot};
use flexihash::embedding::*;
use flexihash::hash::{HashKind, HashOptions};
use oracle::Kind;
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
    batches: Vec<DictBatch>,
    train: Train,
}

#[derive(Deserialize)]
struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

#[derive(Deserialize)]
struct DictBatch {
    name: String,
    rows: Vec<Vec<(String, Value)>>,
    coo: Coo,
    n_rows: usize,
    output_reference: Tensor,
    output_reference_after_5_half_sse_steps: Option<Tensor>,
}

#[derive(Deserialize)]
struct Coo {
    row: Vec<usize>,
    col: Vec<u32>,
    value_f64: Vec<f64>,
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
    params_after: BTreeMap<usize, Rows>,
}

const TOLERANCE: f64 = 2e-5;
/// Of outputs and of half_sse gradients.
const WIDE: f64 = 3e-4;
const LOSS: f64 = 1e-2;

#[test]
fn oracle_flexi_hash_embedding() {
    oracle::run(Kind::FlexiHashEmbedding, |file: File| file.cases.iter().map(check_case).sum());
}

/// One for each batch and one for each training.
fn check_case(case: &Case) -> usize {
    let embedding = case.embedding();
    for dicts in &case.batches {
        let batch = dicts.batch(&embedding);
        check_coo(dicts, &batch);
        check_output(case, &embedding, dicts, &dicts.output_reference);
        let json = embedding.batch_from_json(dicts.json()).unwrap();
        assert_eq!((json.slots(), json.offsets()), (batch.slots(), batch.offsets()), "{}", dicts.name);
    }
    check_training(case, &case.train.linear, TOLERANCE, |out, factors, _| (out * factors, factors as f32));
    let trained = check_training(case, &case.train.half_sse, WIDE, |out, _, target| {
        (0.5 * (out - target).powi(2), (out - target) as f32)
    });
    for dicts in &case.batches {
        if let Some(expected) = &dicts.output_reference_after_5_half_sse_steps {
            check_output(case, &trained, dicts, expected);
        }
    }
    case.batches.len() + 2
}

impl Case {
    fn embedding(&self) -> FlexiHashEmbedding {
        let hash =
            HashOptions { kind: HashKind::Sklearn, buckets: self.n_features, ..HashOptions::default() };
        let embedding = FlexiHashEmbedding::new(EmbeddingOptions { dim: self.dim, seed: 0, hash }).unwrap();
        assert_eq!(self.weight.shape, [self.n_features as usize, self.dim]);
        for (slot, weights) in self.weight.data.chunks_exact(self.dim).enumerate() {
            embedding.set_row(Slot(slot as u32), weights).unwrap();
        }
        embedding
    }
}

impl DictBatch {
    fn batch(&self, embedding: &FlexiHashEmbedding) -> Batch {
        let dicts = self.rows.iter().map(|dict| dict.iter().map(|(key, json)| (key, value(json))));
        let batch = embedding.batch(dicts).unwrap();
        assert_eq!((batch.len(), self.rows.len()), (self.n_rows, self.n_rows), "{}", self.name);
        batch
    }

    fn json(&self) -> impl Iterator<Item = String> {
        let pair = |(key, value): &(String, Value)| format!("{}:{value}", Value::from(key.as_str()));
        self.rows
            .iter()
            .map(move |dict| format!("{{{}}}", dict.iter().map(pair).collect::<Vec<_>>().join(",")))
    }
}

fn value(json: &Value) -> FeatureValue<'_> {
    match json {
        Value::Bool(value) => FeatureValue::from(*value),
        Value::String(value) => FeatureValue::from(value),
        number => FeatureValue::from(number.as_f64().unwrap()),
    }
}

fn check_coo(dicts: &DictBatch, batch: &Batch) {
    let row_of = |row: usize| std::iter::repeat_n(row, batch.row(row).len());
    let rows = (0..batch.len()).flat_map(row_of).collect::<Vec<_>>();
    let slots = batch.slots().iter().map(|slot| slot.0).collect::<Vec<_>>();
    assert_eq!((&rows, &slots), (&dicts.coo.row, &dicts.coo.col), "{}", dicts.name);
    assert_eq!(batch.values().len(), dicts.coo.value_f64.len());
    for ((&got, &sum), row) in batch.values().iter().zip(&dicts.coo.value_f64).zip(rows) {
        // Two orders of an f64 sum lie no farther apart (Higham 2002, section 4.2, twice). Two terms have one order.
        let terms = dicts.rows[row].iter().map(|(_, value)| value.as_f64().unwrap_or(1.0).abs());
        let bound =
            if terms.len() > 2 { terms.len() as f64 * f64::EPSILON * terms.sum::<f64>() } else { 0.0 };
        let range = (sum - bound) as f32..=(sum + bound) as f32;
        assert!(range.contains(&got), "{}: {got} is not the f32 of {sum}", dicts.name);
    }
}

/// The reference drops trailing rows without features: here they are there, and zero.
fn check_output(case: &Case, embedding: &FlexiHashEmbedding, dicts: &DictBatch, expected: &Tensor) {
    let output = embedding.embed(&dicts.batch(embedding)).unwrap();
    assert_eq!(output.len(), dicts.n_rows * case.dim, "{}", dicts.name);
    let (rows, dropped) = output.split_at(expected.data.len());
    close(&dicts.name, rows, &expected.data, WIDE);
    assert!(dropped.iter().all(|&value| value == 0.0), "{}", dicts.name);
    let json = embedding.embed(&embedding.batch_from_json(dicts.json()).unwrap()).unwrap();
    close("from JSON", &json, &output, WIDE);
}

/// Takes five steps; `loss` gives one element's share of the loss and its slope, from output, factor and target.
fn check_training(
    case: &Case,
    run: &Run,
    tolerance: f64,
    loss: impl Fn(f64, f64, f64) -> (f64, f32),
) -> FlexiHashEmbedding {
    let embedding = case.embedding();
    let dicts = case.batches.iter().find(|dicts| dicts.name == case.train.batch).unwrap();
    let batch = dicts.batch(&embedding);
    let forward = || {
        let output = embedding.embed(&batch).unwrap();
        let (factors, target) = (&case.train.factors.data, &case.train.target.data);
        assert_eq!([factors.len(), target.len()], [output.len(); 2]);
        let elements = output.iter().zip(factors).zip(target);
        let both = elements.map(|((&o, &f), &t)| loss(f64::from(o), f64::from(f), f64::from(t)));
        let (shares, upstream): (Vec<f64>, Vec<f32>) = both.unzip();
        (shares.iter().sum::<f64>(), upstream)
    };
    close_to("loss", forward().0, run.loss, LOSS);
    let losses = &run.sgd.loss_before_each_step_then_final;
    let (last, before) = losses.split_last().unwrap();
    for (index, &expected) in before.iter().enumerate() {
        let (loss, upstream) = forward();
        close_to("loss before a step", loss, expected, LOSS);
        let gradient = embedding.gradient(&batch, &upstream).unwrap();
        if index == 0 {
            check_gradient(case, &gradient, &run.grad, tolerance);
        }
        embedding.sgd_step(&gradient, run.sgd.lr).unwrap();
        if let Some(expected) = run.sgd.params_after.get(&(index + 1)) {
            check_parameters(case, &embedding, expected);
        }
    }
    close_to("last loss", forward().0, *last, LOSS);
    assert!(run.sgd.params_after.keys().all(|&steps| (1..=before.len()).contains(&steps)));
    embedding
}

fn check_gradient(case: &Case, gradient: &SparseGradient, expected: &Rows, tolerance: f64) {
    assert!(gradient.slots().is_sorted_by(|a, b| a < b));
    let got = gradient.slots().iter().map(|slot| slot.0).zip(gradient.rows().chunks_exact(case.dim));
    let mut got = got.collect::<BTreeMap<_, _>>();
    for (slot, row) in expected.rows.iter().zip(expected.values.data.chunks_exact(case.dim)) {
        close("gradient", got.remove(slot).unwrap(), row, tolerance);
    }
    assert!(got.values().all(|row| row.iter().all(|&slope| slope == 0.0)), "gradients of rows not listed");
}

fn check_parameters(case: &Case, embedding: &FlexiHashEmbedding, changed: &Rows) {
    assert_eq!(changed.values.shape, [changed.rows.len(), case.dim]);
    let changed = changed.rows.iter().zip(changed.values.data.chunks_exact(case.dim));
    let changed = changed.collect::<BTreeMap<_, _>>();
    for (slot, initial) in (0..case.n_features).zip(case.weight.data.chunks_exact(case.dim)) {
        let got = embedding.row(Slot(slot)).unwrap();
        match changed.get(&slot) {
            Some(row) => close("parameters", &got, row, TOLERANCE),
            None => assert_eq!(got, initial, "row {slot} is not listed"),
        }
    }
}

fn close(what: &str, got: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let pairs = got.iter().zip(expected);
    pairs.for_each(|(&got, &expected)| close_to(what, f64::from(got), f64::from(expected), tolerance));
}

fn close_to(what: &str, got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance + 2e-5 * expected.abs(), "{what}: {got} is not {expected}");
}

//! A hash embedding in front of a network of candle-nn, both trained online.
//!
//! The vectors of a batch of feature dicts are a leaf of candle's graph; candle gives their gradient, and the embedding sends it
//! to the table rows that were used. On flights (`fixtures/README.md`): will this one be late? Every batch is predicted before it is
//! learned, and the loss of these predictions is printed beside that of always answering with the share of late flights so far.
//!
//! Run it with `cargo run --release --example embed_network`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use flexihash::embedding::{EmbeddingOptions, FlexiHashEmbedding};
use flexihash::hash::HashOptions;
use flexihash::model::Loss;
use flexihash::model::network::candle_core::{DType, Device, Tensor};
use flexihash::model::network::candle_nn::{self, Linear, Module, Optimizer, VarBuilder, VarMap};
use flexihash::model::network::{Leaf, Objective};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;

const DIM: usize = 16;
const BATCH: usize = 32;
const RECORDS: usize = 32_000;
/// Step sizes, of the table's rows and of the layers.
const RATES: (f32, f64) = (0.4, 0.005);

#[derive(Deserialize)]
struct Flight {
    label: f32,
    features: Box<RawValue>,
}

/// Two layers on the vectors of the embedding.
struct Mlp(Linear, Linear);

impl Mlp {
    fn new(variables: &VarBuilder<'_>) -> candle_core::Result<Self> {
        let first = candle_nn::linear(DIM, 32, variables.pp("first"))?;
        Ok(Self(first, candle_nn::linear(32, 1, variables.pp("second"))?))
    }
}

impl Module for Mlp {
    fn forward(&self, vectors: &Tensor) -> candle_core::Result<Tensor> {
        // A flight has some sixteen features, whose rows are N(0, 1) at first: so their sum is of order 1.
        self.1.forward(&self.0.forward(&vectors.affine(0.25, 0.0)?)?.relu()?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let hash = HashOptions { buckets: 1 << 18, ..HashOptions::default() };
    let embedding = FlexiHashEmbedding::new(EmbeddingOptions { dim: DIM, seed: 1, hash })?;
    let variables = VarMap::new();
    let mlp = Mlp::new(&VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
    let mut optimizer = candle_nn::SGD::new(variables.all_vars(), RATES.1)?;
    let (mut scores, mut base) = (Mean::default(), Mean::default());
    let mut late = Mean { sum: 0.5, count: 1.0 };

    for flights in flights()?.chunks(BATCH) {
        let batch = embedding.batch_from_json(flights.iter().map(|flight| flight.features.get()))?;
        let leaf = Leaf::new(embedding.embed(&batch)?, &[flights.len(), DIM])?; // [flights, DIM]
        let scored = mlp.forward(leaf.tensor())?; // [flights, 1]

        let labels: Vec<f32> = flights.iter().map(|flight| flight.label).collect();
        for (score, &label) in scored.flatten_all()?.to_vec1::<f32>()?.into_iter().zip(&labels) {
            let (score, label) = (f64::from(score), f64::from(label));
            scores.add(Loss::Logistic.value(Loss::Logistic.link(score), label));
            base.add(Loss::Logistic.value(late.mean(), label));
            late.add(label);
        }

        let labels = Tensor::from_vec(labels, scored.shape(), &Device::Cpu)?;
        let loss = Objective::default().of(&scored, &labels, &labels.ones_like()?)?; // logistic, summed
        let gradients = loss.backward()?;
        embedding.sgd_backward(&batch, &leaf.gradient(&gradients)?, RATES.0)?;
        optimizer.step(&gradients)?;
        if (scores.count as usize).is_multiple_of(RECORDS / 8) {
            println!(
                "{:>6} flights: logloss {:.4}, base rate {:.4}",
                scores.count,
                scores.mean(),
                base.mean()
            );
        }
    }
    println!("{} of {} rows were learned", embedding.table().touched(), embedding.options().hash.buckets);
    if scores.mean() < base.mean() { Ok(()) } else { Err("nothing was learned".into()) }
}

/// The first flights of the fixture.
fn flights() -> Result<Vec<Flight>, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/flights.jsonl.zst");
    let lines = BufReader::new(zstd::Decoder::new(std::fs::File::open(path)?)?).lines();
    lines.take(RECORDS).map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count
    }
}

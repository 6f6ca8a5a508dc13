//! A network of one's own, trained online from JSON lines, saved and opened again.
//!
//! Will a flight be late? The row of its plane and the sum of the rows of all that is known of it, from two tables, go side by side
//! through two layers of candle-nn. Nothing else has to be written: hashing, tables, optimizer, figures, checkpoints and the engine that
//! reads a stream with all of it are the library's (`fixtures/README.md` says where the flights come from).
//!
//! Run it with `cargo run --release --example custom_model`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use flexihash::checkpoint::Writer;
use flexihash::field::{FieldKind, FieldOptions};
use flexihash::hash::HashKey;
use flexihash::model::network::candle_core::Tensor;
use flexihash::model::network::candle_nn::Module;
use flexihash::model::network::{
    Field, FieldKind as Input, Network, NetworkError, Objective, Outputs, Parameter, Pass,
};
use flexihash::{Model, ModelFlags};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

const DIM: usize = 8;
const HIDDEN: usize = 16;
const RECORDS: usize = 20_000;

/// Two layers on two vectors.
#[derive(Debug)]
struct Late;

impl Network for Late {
    fn fields(&self) -> Vec<Field> {
        ["plane", "everything"].map(|name| Field::of_record(name, Input::Sum { dim: DIM })).into()
    }

    fn parameters(&self) -> Vec<Parameter> {
        let layers = [Parameter::linear("first", 2 * DIM, HIDDEN), Parameter::linear("second", HIDDEN, 1)];
        layers.into_iter().flatten().collect()
    }

    fn outputs(&self) -> Outputs {
        Outputs { names: vec!["late".into()], list: None }
    }

    fn objective(&self) -> Objective {
        Objective::default() // the logistic loss
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let both = Tensor::cat(&[pass.field("plane")?, pass.field("everything")?], 1)?;
        let hidden = pass.linear("first")?.forward(&both)?.relu()?;
        Ok(pass.linear("second")?.forward(&hidden)?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let field = |name: &str, kind: FieldKind, path: &str| FieldOptions {
        path: Some(path.into()),
        buckets: Some(1 << 18),
        ..FieldOptions::new(name, kind)
    };
    // An empty path is all of the feature object.
    let flags = ModelFlags {
        fields: vec![field("plane", FieldKind::Id, "tailnum"), field("everything", FieldKind::Sum, "")],
        learning_rate: Some("0.05".parse()?),
        ..ModelFlags::default()
    };
    let mut model = Model::of_network(&flags, &HashKey::default(), Arc::new(Late))?;
    for record in flights()?.lines().take(RECORDS) {
        model.learn_json(record?.as_bytes())?; // predicts, then learns
    }
    let summary = model.summary();
    println!("{} records learned, logistic loss {:.4}", summary.examples, summary.figures.loss);
    let entropy = summary.figures.normalized_entropy.unwrap_or(1.0);
    assert!(entropy < 0.95, "worse than it should be: {entropy} of the loss of the base rate");

    let folder = std::env::temp_dir().join(format!("flexihash-custom-model-{}", std::process::id()));
    let mut store = Writer::create_or_open(&folder, 2)?;
    model.save(&mut store)?;
    let mut generation = store.latest()?.ok_or("no generation")?;
    let mut opened = Model::load_network(&mut generation, &HashKey::default(), Arc::new(Late))?;
    let record = br#"{"features":{"carrier":"AA","origin":"JFK","dest":"LAX","tailnum":"N1"}}"#;
    let (before, after) = (model.predict_json(record)?, opened.predict_json(record)?);
    assert_eq!(before.predictions, after.predictions);
    println!("a flight that nobody saw is late with probability {:.3}", after.predictions[0]);
    drop(store);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn flights() -> Result<impl BufRead, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/flights.jsonl.zst");
    Ok(BufReader::new(zstd::stream::read::Decoder::new(std::fs::File::open(path)?)?))
}

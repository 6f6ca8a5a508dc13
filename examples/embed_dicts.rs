//! Embeds feature dicts in a program with a model of its own, and sends the model's gradient back.
//!
//! The "model" here wants the vectors of people who bought to point one way and those of the others the other way:
//! a fixed direction and the logistic loss. A real one would hand the `[rows, dim]` floats to its first layer.
//!
//! Run it with `cargo run --example embed_dicts`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use flexihash::embedding::{EmbeddingError, EmbeddingOptions, FeatureValue, FlexiHashEmbedding};

const DIM: usize = 16;

fn main() -> Result<(), EmbeddingError> {
    let embedding = FlexiHashEmbedding::new(EmbeddingOptions { dim: DIM, ..Default::default() })?;

    // Dicts come as pairs, with any keys, known to nobody before ...
    let pairs = embedding.batch([
        vec![("age", FeatureValue::from(0.34)), ("city", "Osaka".into()), ("member", true.into())],
        vec![("age", 0.51.into()), ("city", "Bergen".into())],
        vec![],
    ])?;
    println!("{} dicts, {} features", pairs.len(), pairs.features());

    // ... or as JSON, where nested objects and arrays are paths.
    let batch = embedding.batch_from_json([
        r#"{"age": 0.34, "city": "Osaka", "member": true}"#,
        r#"{"age": 0.51, "city": "Bergen", "seen": {"shoes": 2, "tags": ["sale", "blue"]}}"#,
        r#"{}"#,
    ])?;
    let bought = [1.0, 0.0, 0.0];

    for step in 0..=5 {
        let vectors = embedding.embed(&batch)?; // [3, DIM], row-major
        let (loss, upstream) = logistic(&vectors, &bought);
        println!("after {step} steps: loss {loss:.4}");
        let gradient = embedding.gradient(&batch, &upstream)?;
        embedding.sgd_step(&gradient, 0.2)?;
    }
    assert!(embedding.table().touched() > 0);
    println!("{} of {} rows were learned", embedding.table().touched(), embedding.options().hash.buckets);
    Ok(())
}

/// Logistic loss of score = mean of the vector, summed over the rows, and its gradient `[rows, DIM]`.
fn logistic(vectors: &[f32], labels: &[f32]) -> (f32, Vec<f32>) {
    let mut loss = 0.0;
    let mut upstream = Vec::with_capacity(vectors.len());
    for (vector, label) in vectors.chunks_exact(DIM).zip(labels) {
        let score = vector.iter().sum::<f32>() / DIM as f32;
        let probability = 1.0 / (1.0 + (-score).exp());
        loss -= label * probability.ln() + (1.0 - label) * (1.0 - probability).ln();
        upstream.extend([(probability - label) / DIM as f32; DIM]);
    }
    (loss, upstream)
}

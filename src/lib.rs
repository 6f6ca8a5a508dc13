//! Streaming online learning on hashed features.
//!
//! JSON feature dicts come in, their keys are hashed (no vocabulary is kept), the rows of a sharded table are
//! summed into fixed-size vectors, a head predicts, and the loss' gradient is scattered back at once: predict
//! first, then learn. Modules stand in the order of the data flow; each names only modules above it.
//!
//! # Quick start
//!
//! A [`Model`] takes records one at a time, from any code, and needs no rate, no epochs and no list of features:
//!
#![cfg_attr(feature = "pipeline", doc = "```")]
#![cfg_attr(not(feature = "pipeline"), doc = "```ignore")]
//! use flexihash::checkpoint::{ModelDir, Writer};
//! use flexihash::{HashKey, Model, ModelFlags};
//!
//! let mut model = Model::new(&ModelFlags::default(), &HashKey::default())?;
//! for day in 0..300 {
//!     let (city, late) = if day % 2 == 0 { ("Bergen", 1) } else { ("Kyoto", 0) };
//!     let record = format!(r#"{{"label":{late},"features":{{"city":"{city}","day":{day}}}}}"#);
//!     model.learn_json(record.as_bytes())?; // the prediction it made before it learned
//! }
//! let scored = model.predict_json(br#"{"features":{"city":"Bergen","never seen":[1,2]}}"#)?;
//! assert!(scored.predictions[0] > 0.9); // a probability, for logistic loss
//! assert!(model.summary().figures.loss < 0.2); // progressive: each record predicted before it was learned
//!
//! // A model is a folder of generations; a crash at any instant leaves the one before.
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("model");
//! model.save(&mut Writer::create_or_open(&path, 2)?)?;
//!
//! let mut generation = ModelDir::open(&path)?.latest()?.expect("a generation was saved");
//! let mut same = Model::load(&mut generation, &HashKey::default())?;
//! assert_eq!(same.predict_json(b"{}")?, model.predict_json(b"{}")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which part to use
//!
//! | you have | use |
//! |---|---|
//! | records one at a time, in a job of your own | [`Model`]; `examples/ingest.rs`, `examples/resume.rs` |
//! | a stream to be parsed by many threads, with checkpoints, predictions and dead letters | [`Engine`] over a [`record::Source`]: [`source::LinesSource`] or your own (`examples/custom_source.rs`) |
//! | topics of a Kafka cluster, each record once | [`Engine`] over a `source::KafkaSource`, with a `sink::KafkaPublisher` |
//! | a model that answers others, while it learns or as its folder grows | `engine::Live` by `Engine::with_live` or `engine::Follower`, and `serve::Server` with it |
//! | a run to be watched | `metrics::Metrics` by `Engine::with_metrics`, and `serve::Server` for a live page, Prometheus and probes |
//! | a model of your own that wants fixed-size vectors of feature dicts | [`FlexiHashEmbedding`]; `examples/embed_dicts.rs`, and `examples/embed_network.rs` with candle |
//! | the same with the rows on a GPU | `FlexiHashEmbedding::on_device`, feature `cuda` |
//! | a published network, trained online from JSON lines | [`Model`] with [`ModelFlags::network`] and [`ModelFlags::fields`], as in `examples/models` |
//! | a network of your own, trained so | `Model::of_network` over a `model::network::Network`; `examples/custom_model.rs` |
//! | the dense part of a network alone, on rows of your own | `model::network::NetworkHead` |
//! | records whose parts are different inputs of a model | [`field::Fields`] and [`field::FieldEncoder`] |
//! | vectors of known items, and a query | [`retrieve::ItemVectors`]: the best, exactly |
//! | so many ids, and a table to be sized for them | [`collision`] |
//! | hashed batches already, or other wiring | [`Learner`] on a [`batch::Batch`] |
//!
//! [`Model`], [`Learner`] and all records, options and summaries are `Send`; what is shared by threads (parser, hasher,
//! table, embedding) is `Send + Sync`.
//!
//! # Features of the crate
//!
//! `pipeline`: sources, sinks, checkpoints and the engine. `serve`: predictions, metrics and probes over HTTP; `tls`: HTTPS. `kafka`
//! (default): topics in and out on top of `pipeline`; `kafka-ssl`: with TLS and SASL. `cli` (default): the command, and `serve`. `network`
//! (default): models on candle, `model::network`, on the core alone. `cuda`: rows on an NVIDIA GPU, `kernel::cuda`, on the core alone;
//! `candle-cuda`: networks there, too, with NVIDIA's compiler and libraries.
//! Without these the core is left: records, hash, table, optimizers, heads, learner, embedding.
#![cfg_attr(not(feature = "pipeline"), allow(rustdoc::broken_intra_doc_links))]

// ground
pub mod sync;
#[allow(unsafe_code, reason = "the one module that may: instructions the language has no word for")]
pub mod kernel;

// words
pub mod record;
pub mod example;
pub mod batch;
pub mod sketch;
#[cfg(feature = "pipeline")]
pub mod metrics;

// in
#[cfg(feature = "pipeline")]
pub mod source;
pub mod parse;
pub mod hash;
pub mod field;
pub mod collision;

// state
pub mod optim;
pub mod table;
pub mod embedding;

// learning
pub mod model;
pub mod retrieve;
pub mod learner;

// out
#[cfg(feature = "pipeline")]
pub mod checkpoint;
#[cfg(feature = "pipeline")]
pub mod sink;
#[cfg(feature = "serve")]
pub mod serve;

// wiring
#[cfg(feature = "pipeline")]
pub mod config;
#[cfg(feature = "pipeline")]
pub mod engine;

pub use embedding::FlexiHashEmbedding;
pub use hash::HashKey;
pub use learner::Learner;

#[cfg(feature = "pipeline")]
pub use config::ModelFlags;
#[cfg(feature = "pipeline")]
pub use engine::{Engine, Model};

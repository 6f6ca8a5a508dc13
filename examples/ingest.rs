//! Learns inside an ingestion job: the job has the records already, one at a time, and decides what to do with bad ones.
//!
//! A bad record is an error with a reason and a byte; it changes nothing in the model, so the job can log it, count it
//! or drop it and go on. The prediction comes back before the label was learned, so a running mean of the loss is an
//! honest measure of quality.
//!
//! Run it with `cargo run --release --example ingest`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use flexihash::{HashKey, Model, ModelFlags};
use std::error::Error;

/// What some queue delivers: every hundredth message is damaged.
fn messages() -> impl Iterator<Item = String> {
    (0..5000_u64).map(|n| {
        let hour = n % 24;
        let page = ["home", "search", "cart"][(n / 7 % 3) as usize];
        let click = u8::from(page == "cart" && hour > 8);
        let message = format!(
            r#"{{"id":{n},"label":{click},"features":{{"page":"{page}","hour":{hour},"user":{{"plan":"free"}}}}}}"#
        );
        if n % 100 == 99 { message[..message.len() / 2].to_owned() } else { message }
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut model = Model::new(&ModelFlags::default(), &HashKey::default())?;
    let mut last = 0.0;
    for (number, message) in messages().enumerate() {
        match model.learn_json(message.as_bytes()) {
            Ok(scored) => last = scored.predictions[0],
            Err(error) if number < 300 => println!("message {number} is left out: {error}"),
            Err(_) => {} // counted by the model
        }
    }
    let summary = model.summary();
    println!("{} learned, {} bad, log loss {:.4}", summary.examples, summary.skipped, summary.figures.loss);
    println!("the last prediction, made before its label was known: {last:.3}");

    assert_eq!((summary.examples, summary.skipped), (4950, 50));
    assert!(summary.figures.normalized_entropy.is_some_and(|entropy| entropy < 0.5));
    Ok(())
}

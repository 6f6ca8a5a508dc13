//! Saves a model, opens it again and goes on, as a job does that is restarted every day.
//!
//! Going on is exact: the model that was saved and loaded ends with the same bits as one that never stopped. A second
//! save writes only the rows that changed.
//!
//! Run it with `cargo run --release --example resume`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use flexihash::checkpoint::{ModelDir, Writer};
use flexihash::{HashKey, Model, ModelFlags};
use std::error::Error;
use std::ops::Range;
use std::path::Path;

/// Prices that depend on a shop and a size.
fn learn(model: &mut Model, records: Range<u32>) -> Result<(), Box<dyn Error>> {
    for n in records {
        let (shop, size) = (n % 17, n % 5);
        let price = f64::from(shop) * 3.5 + f64::from(size) * 20.0;
        let record = format!(r#"{{"label":{price},"features":{{"shop":"s{shop}","size":{size}}}}}"#);
        model.learn_json(record.as_bytes())?;
    }
    Ok(())
}

/// One day's job: opens the model, or starts one, learns the day's records, saves.
fn day(path: &Path, flags: &ModelFlags, records: Range<u32>) -> Result<(), Box<dyn Error>> {
    let mut writer = Writer::create_or_open(path, 2)?; // holds the folder's lock until it is dropped
    let mut model = match writer.latest()? {
        Some(mut generation) => Model::load(&mut generation, &HashKey::default())?,
        None => Model::new(flags, &HashKey::default())?,
    };
    learn(&mut model, records)?;
    model.save(&mut writer)?;
    println!(
        "{} examples, RMSE {:.3}",
        model.summary().examples,
        model.summary().figures.rmse.unwrap_or(0.0)
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("prices");
    let flags: ModelFlags = serde_json::from_str(r#"{"loss":"squared","buckets":65536}"#)?;
    for start in [0, 1000, 2000] {
        day(&path, &flags, start..start + 1000)?;
    }

    let mut generation = ModelDir::open(&path)?.latest()?.ok_or("nothing was saved")?;
    let mut resumed = Model::load(&mut generation, &HashKey::default())?;
    let mut at_once = Model::new(&flags, &HashKey::default())?;
    learn(&mut at_once, 0..3000)?;
    let question = br#"{"features":{"shop":"s3","size":4}}"#;
    let (a, b) = (resumed.predict_json(question)?, at_once.predict_json(question)?);
    println!("s3, size 4 costs 90.5; the model says {:.2}", a.predictions[0]);

    assert_eq!(a.predictions[0].to_bits(), b.predictions[0].to_bits());
    assert_eq!(resumed.summary().figures, at_once.summary().figures);
    assert!((a.predictions[0] - 90.5).abs() < 5.0);
    Ok(())
}

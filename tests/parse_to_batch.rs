//! Parser and hasher together: what reaches a batch, and what must not.

use flexihash::batch::Batch;
use flexihash::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashOptions};
use flexihash::parse::{Fault, PATH_BYTES_LIMIT, Parser};

#[test]
fn long_paths_above_many_values_end_in_an_error_and_not_in_hours_of_hashing() {
    let record = format!("{{\"features\":{{\"{}\":[{}1]}}}}", "k".repeat(1 << 20), "1,".repeat(1 << 20));
    let hasher = FeatureHasher::new(HashOptions::default(), &HashKey::default()).unwrap();
    let (mut scratch, mut batch) = (EncoderScratch::default(), Batch::default());
    let mut encoder = Encoder::new(&hasher, &mut scratch, &mut batch);
    let error = Parser::default().parse(record.as_bytes(), &mut encoder).unwrap_err();
    assert_eq!(error.fault, Fault::Paths { limit: PATH_BYTES_LIMIT });
}

#[test]
fn the_tasks_of_a_bad_record_leave_no_trace_in_the_batch() {
    let hasher = FeatureHasher::new(HashOptions::default(), &HashKey::default()).unwrap();
    let (mut scratch, mut batch) = (EncoderScratch::default(), Batch::default());
    let parser = Parser::default();
    for (record, names) in [
        (r#"{"label":{"a":1}}"#, vec!["a"]),
        (r#"{"label":{"a":1,"b":1,"c":9}}"#, vec!["a"]),
        (r#"{"label":{"c":1}}"#, vec!["a", "c"]),
    ] {
        let mut encoder = Encoder::new(&hasher, &mut scratch, &mut batch);
        match parser.parse(record.as_bytes(), &mut encoder) {
            Ok(()) => encoder.finish().unwrap(),
            Err(_) => encoder.abandon(),
        }
        assert_eq!(batch.task_names(), names);
    }
    assert_eq!(batch.targets(1).first().and_then(|target| target.task), Some(1));
}

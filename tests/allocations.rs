//! No allocation per record, from bytes to a learned model, once memory has grown to what a batch needs: counted by the
//! allocator itself. (Two per batch for the name of a task.)

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait; it only counts and passes on")]

mod stream;

use flexihash::batch::Batch;
use flexihash::example::LabelRange;
use flexihash::field::{FieldBatch, FieldEncoder, FieldHasher, FieldScratch, Fields};
use flexihash::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashOptions};
use flexihash::learner::{HeadKind, LearnerOptions, Mode};
use flexihash::parse::Parser;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use stream::{Stream, fixture};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of the same method.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Records of every kind that the fast reader takes, their numbers different in each.
fn records(round: usize) -> Vec<String> {
    let flat = (0..40).map(|i| format!("\"key {i}\":{},\"word {i}\":\"v{}\"", i * round, i + round));
    vec![
        format!(
            r#"{{"id":"{round}","label":1,"features":{{"a":"x{round}","b":{round}.5,"c":-1e3,"d":true}}}}"#
        ),
        format!(r#"{{"id":{round},"label":{{"click":1,"like":null}},"weight":0.5,"features":{{"é":"ü"}}}}"#),
        format!(
            r#"{{ "label" : 0, "features": {{"n": {{"m": [1, 2, {round}, ["x"]]}}, "f": 0.8414709848078965}} }}"#
        ),
        format!(r#"{{"features":{{{}}},"other":[null,{{"a":false}}]}}"#, flat.collect::<Vec<_>>().join(",")),
        format!(r#"{{"label":1,"features":{{"{}":{round}}}}}"#, "a long key ".repeat(20)),
    ]
}

fn fill(
    parser: &Parser,
    hasher: &FeatureHasher,
    records: &[String],
    (scratch, batch): (&mut EncoderScratch, &mut Batch),
) {
    batch.clear();
    for record in records {
        let mut encoder = Encoder::new(hasher, scratch, batch);
        parser.parse(record.as_bytes(), &mut encoder).unwrap();
        encoder.finish().unwrap();
    }
}

#[test]
fn records_become_rows_without_an_allocation_once_memory_has_grown() {
    for hashes in [1, 3] {
        let options = HashOptions { hashes, ..HashOptions::default() };
        let (parser, hasher) = (Parser::default(), FeatureHasher::new(options, &HashKey::default()).unwrap());
        let (mut scratch, mut batch) = (EncoderScratch::default(), Batch::default());
        let all: Vec<String> = (10..50).flat_map(records).collect();
        let again: Vec<String> = (50..90).flat_map(records).collect();
        fill(&parser, &hasher, &all, (&mut scratch, &mut batch));
        let before = COUNT.get();
        assert!(before > 0, "the allocator does not count");
        fill(&parser, &hasher, &again, (&mut scratch, &mut batch));
        // A task is named anew in each batch, whatever the number of records: once in the list, once in the index.
        assert!(
            COUNT.get() - before <= 2,
            "{} allocations for {} records",
            COUNT.get() - before,
            again.len()
        );
        assert_eq!(batch.len(), again.len());
    }
}

/// A record with every kind of field, its ids and numbers different in each.
fn with_fields(round: usize) -> String {
    let item = |i: usize| {
        format!(r#"{{"post":{i},"acts":["like"],"tags":["t{i}","u"],"surface":1,"other":{{"a":[1]}}}}"#)
    };
    let history: Vec<String> = (0..round % 7).map(|i| item(i * round)).collect();
    format!(
        r#"{{"id":"{round}","label":1,"features":{{"user":{{"id":"user {round}","age":{round}}},"history":[{}]}}}}"#,
        history.join(",")
    )
}

#[test]
fn records_become_columns_without_an_allocation_once_memory_has_grown() {
    let options = r#"[{"name":"user","kind":"sum"},{"name":"id","kind":"id","path":"user.id","hashes":2},
        {"name":"raw","kind":"raw","path":"user.id"},{"name":"history","kind":"list","max-items":5},
        {"name":"post","kind":"id","path":"history.post","hash":"mmh3"},{"name":"tags","kind":"sum","path":"history.tags"},
        {"name":"acts","kind":"numbers","path":"history.acts","names":["like"]},
        {"name":"y","kind":"labels","path":"history.acts","names":["like"]},
        {"name":"surface","kind":"category","path":"history.surface","width":3}]"#;
    let fields = Arc::new(Fields::new(serde_json::from_str(options).unwrap()).unwrap());
    let hasher = FieldHasher::new(fields, &HashKey::default(), LabelRange::Binary).unwrap();
    let (mut scratch, mut batch) = (FieldScratch::default(), FieldBatch::default());
    let parser = Parser::default();
    let mut fill = |records: &[String]| {
        let before = COUNT.get();
        batch.clear();
        for record in records {
            let mut encoder = FieldEncoder::new(&hasher, &mut scratch, &mut batch);
            parser.parse(record.as_bytes(), &mut encoder).unwrap();
            encoder.finish().unwrap();
        }
        (COUNT.get() - before, batch.len(), batch.cut_items())
    };
    let records: Vec<String> = (100..200).map(with_fields).collect();
    let again: Vec<String> = (107..207).map(with_fields).collect();
    assert!(fill(&records).0 > 0, "the allocator does not count");
    let (allocations, rows, cut) = fill(&again);
    assert!(rows == 100 && cut > 0);
    assert_eq!(allocations, 0);
}

/// Allocations of three passes over a batch that was learned once before.
fn allocations(options: LearnerOptions) -> usize {
    let text = std::fs::read_to_string(fixture("learn/clicks.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut stream = Stream::new(options);
    stream.learn(&lines, lines.len());
    assert!(COUNT.get() > 0, "the allocator does not count");
    let Stream { learner, batch, outcomes, .. } = &mut stream;
    let before = COUNT.get();
    for _ in 0..3 {
        learner.process(batch, 0..batch.len(), Mode::Learn, outcomes).unwrap();
    }
    COUNT.get() - before
}

#[test]
fn learning_allocates_nothing_once_its_buffers_have_grown() {
    for head in [HeadKind::Linear, HeadKind::Fm] {
        let options = LearnerOptions { head, buckets: 1 << 12, ..LearnerOptions::default() };
        assert_eq!(allocations(options), 0, "{head:?}");
    }
}

//! The same bytes through a set of declared fields with every kind in it: both readers make the same columns or the same
//! error, a record that is refused leaves no trace, and every item has its cell.

use super::careful::Careful;
use flexihash::example::LabelRange;
use flexihash::field::{Column, FieldBatch, FieldEncoder, FieldHasher, FieldScratch, Fields};
use flexihash::hash::HashKey;
use flexihash::parse::{ParseError, Parser};
use std::sync::{Arc, LazyLock};

/// The keys are those of the seeds: few bytes lead to every field.
static HASHER: LazyLock<FieldHasher> = LazyLock::new(|| {
    let options = r#"[{"name":"all","kind":"sum","path":"","hashes":2,"buckets":31},
        {"name":"a","kind":"list","max-items":3},{"name":"ids","kind":"id","path":"a.b","hashes":2,"separate":true,"buckets":31},
        {"name":"sums","kind":"sum","path":"a","buckets":31},{"name":"numbers","kind":"numbers","path":"a.c","names":["a","b"]},
        {"name":"labels","kind":"labels","path":"a.d","names":["a","b"]},{"name":"b","kind":"id","hash":"modulo","buckets":31},
        {"name":"c","kind":"category","width":3},{"name":"d","kind":"raw"},{"name":"e","kind":"numbers","width":2}]"#;
    let fields =
        Fields::new(serde_json::from_str(options).expect("options")).expect("fields that go together");
    FieldHasher::new(Arc::new(fields), &HashKey::default(), LabelRange::Binary).expect("checked options")
});

/// Reads `record` twice, by each reader, into a batch of its own.
pub fn check(parser: &Parser, record: &[u8]) {
    let mut batches = [FieldBatch::new(HASHER.fields()), FieldBatch::new(HASHER.fields())];
    let [fast, careful] = &mut batches;
    for _ in 0..2 {
        let before = content(fast);
        let added = add(fast, |encoder| parser.parse(record, encoder));
        let carefully = add(careful, |encoder| parser.parse(record, &mut Careful(encoder)));
        assert_eq!(added, carefully, "the two readers differ");
        assert_eq!(content(fast), content(careful), "the two readers differ");
        if added.is_err() {
            assert_eq!(content(fast), before, "a refused record left a trace");
        }
    }
    check_shapes(fast);
}

/// Adds what is read to `batch`, or says why not.
fn add(
    batch: &mut FieldBatch,
    read: impl FnOnce(&mut FieldEncoder<'_>) -> Result<(), ParseError>,
) -> Result<(), String> {
    let mut scratch = FieldScratch::default();
    let mut encoder = FieldEncoder::new(&HASHER, &mut scratch, batch);
    match read(&mut encoder) {
        Ok(()) => encoder.finish().map_err(|error| error.to_string()),
        Err(error) => {
            encoder.abandon();
            Err(error.to_string())
        }
    }
}

/// All that a batch shows.
fn content(batch: &FieldBatch) -> String {
    let columns = (0..HASHER.fields().fields().len()).map(|index| match batch.column(index) {
        Some(Column::Sum(sum)) => format!("{:?}", (sum.offsets(), sum.slots(), sum.values(), sum.len())),
        other => format!("{other:?}"),
    });
    format!("{:?} {:?} {}", columns.collect::<Vec<_>>(), batch.items(0), batch.cut_items())
}

fn check_shapes(batch: &FieldBatch) {
    for (index, field) in HASHER.fields().fields().iter().enumerate() {
        let items =
            field.list.map_or(batch.len(), |list| batch.items(list).last().copied().expect("an offset"));
        let found = match batch.column(index).expect("a column") {
            Column::Sum(sum) => sum.len(),
            Column::Ids(ids) => ids.offsets.len() - 1,
            Column::Numbers(numbers) => {
                assert!(numbers.values.iter().all(|value| value.is_finite()));
                numbers.values.len() / numbers.width
            }
            Column::Categories(all) => all.len(),
            Column::Raw(all) => all.len(),
        };
        assert_eq!(found, items, "{}", field.name);
    }
}

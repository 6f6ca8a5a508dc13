//! Any bytes through parser and encoder into a batch that already holds a row.
//!
//! The first byte chooses the options, the rest is the record. Checked: a record that is taken is JSON that
//! serde_json takes too; its row is finite, sorted and free of duplicates; reading it again gives the same row; a
//! record that is refused leaves the batch as it was, and the error names a byte of the record; the fast reader and
//! the careful walk on serde_json make the same row or the same error of it. `fields` does the same with declared fields.
#![no_main]

#[path = "../../tests/support/careful.rs"]
mod careful;
mod fields;

use careful::Careful;
use flexihash::batch::Batch;
use flexihash::example::LabelRange;
use flexihash::hash::{Encoder, EncoderScratch, FeatureHasher, HashKey, HashKind, HashOptions};
use flexihash::parse::{ParseOptions, Parser};
use libfuzzer_sys::fuzz_target;

struct Setting {
    parser: Parser,
    hasher: FeatureHasher,
}

impl Setting {
    fn chosen_by(byte: u8) -> Self {
        let labels = [LabelRange::Binary, LabelRange::NonNegative, LabelRange::Finite, LabelRange::Binary];
        let kinds = [HashKind::Siphash, HashKind::Sklearn, HashKind::Mmh3, HashKind::Modulo];
        let options = ParseOptions {
            flat: byte & 1 == 1,
            labels: labels[usize::from(byte >> 1 & 3)],
            ..ParseOptions::default()
        };
        // Few buckets, so that slots collide and sums are formed.
        let hash = HashOptions {
            kind: kinds[usize::from(byte >> 3 & 3)],
            buckets: 31,
            hashes: 1 + u32::from(byte >> 5 & 1),
            alternate_sign: byte >> 6 & 1 == 1,
        };
        let hasher = FeatureHasher::new(hash, &HashKey::default()).expect("the options are in range");
        Self { parser: Parser::new(options), hasher }
    }

    /// The same by the careful walk alone.
    fn add_carefully(&self, record: &[u8], batch: &mut Batch) -> Result<(), String> {
        let mut scratch = EncoderScratch::default();
        let mut encoder = Encoder::new(&self.hasher, &mut scratch, batch);
        match self.parser.parse(record, &mut Careful(&mut encoder)) {
            Ok(()) => encoder.finish().map_err(|error| error.to_string()),
            Err(error) => {
                encoder.abandon();
                Err(error.to_string())
            }
        }
    }

    /// Appends the record to `batch`, or says why not.
    fn add(&self, record: &[u8], batch: &mut Batch) -> Result<(), String> {
        let mut scratch = EncoderScratch::default();
        let mut encoder = Encoder::new(&self.hasher, &mut scratch, batch);
        match self.parser.parse(record, &mut encoder) {
            Ok(()) => encoder.finish().map_err(|error| error.to_string()),
            Err(error) => {
                assert!(error.byte <= record.len(), "{error}");
                encoder.abandon();
                Err(error.to_string())
            }
        }
    }
}

/// All that a batch shows.
fn content(batch: &Batch) -> String {
    let rows =
        (0..batch.len()).map(|row| (batch.row(row), batch.targets(row), batch.weight(row), batch.id(row)));
    format!("{:?} {:?} {:?}", rows.collect::<Vec<_>>(), batch.task_names(), batch.offsets())
}

/// A row as the learner needs it.
fn check_row(batch: &Batch, index: usize) {
    let row = batch.row(index);
    assert!(row.values.iter().all(|value| value.is_finite()));
    assert!(row.slots.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(row.slots.iter().all(|slot| slot.0 < 31));
    assert!(batch.weight(index).is_finite() && batch.weight(index) >= 0.0);
    assert!(batch.targets(index).iter().all(|target| target.value.is_finite()));
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, record)) = input.split_first() else { return };
    let setting = Setting::chosen_by(choice);
    fields::check(&setting.parser, record);
    let mut batch = Batch::default();
    let first: &[u8] =
        if choice >> 3 & 2 == 0 { br#"{"id":1,"label":{"a":1},"features":{"a":1.5}}"# } else { b"{}" };
    setting.add(first, &mut batch).expect("a good record");
    let before = content(&batch);
    let rows = batch.len();
    let mut careful = batch.clone();
    let read = setting.add_carefully(record, &mut careful);
    assert_eq!(setting.add(record, &mut batch), read, "the two readers differ");
    assert_eq!(content(&batch), content(&careful), "the two readers differ");
    let mut batch = Batch::default();
    setting.add(first, &mut batch).expect("a good record");
    match setting.add(record, &mut batch) {
        Err(reason) => {
            assert_eq!(content(&batch), before, "a refused record left a trace");
            assert_eq!(setting.add(record, &mut batch), Err(reason), "refused with another reason");
        }
        Ok(()) => {
            check_row(&batch, rows);
            setting.add(record, &mut batch).expect("taken once, refused the second time");
            let show = |row| format!("{:?} {:?}", batch.row(row), batch.targets(row));
            assert_eq!(show(rows), show(rows + 1));
            assert_eq!(batch.id(rows), batch.id(rows + 1));
            // serde_json gives this key of its own a meaning in a tree.
            if !record.windows(10).any(|part| part == b"serde_json") {
                serde_json::from_slice::<serde_json::Value>(record).expect("taken, but not JSON");
            }
        }
    }
});

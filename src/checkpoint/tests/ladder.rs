//! Each rung of the ladder that untrusted files climb: one damage, one error that names the file.

#![expect(clippy::disallowed_methods, reason = "damaged files need not be durable")]

use super::*;
use crate::checkpoint::name::Name;
use crate::checkpoint::storage::sha256;

const MANIFEST: &str = "g0000000002.manifest.json";
const ROWS: &str = "g0000000002.0.rows.safetensors";
const STATE: &str = "g0000000002.state.safetensors";

/// A folder of two whole generations; the rows 3 and 8 of `main` changed in the second.
struct Good {
    folder: tempfile::TempDir,
}

impl Good {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create_or_open(folder.path(), 2).unwrap();
        let mut model = Model::default();
        model.learn(1);
        writer.commit(model.snapshot()).unwrap();
        model.learn(3);
        model.learn(8);
        writer.commit(model.snapshot()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Writes the newest manifest anew, checksum and all.
    fn sign(&self, change: impl FnOnce(&mut Manifest)) {
        let mut manifest = ModelDir::open(self.folder.path()).unwrap().manifest(2).unwrap();
        change(&mut manifest);
        std::fs::write(self.path(MANIFEST), manifest.encode().unwrap()).unwrap();
    }

    /// Puts `bytes` in the place of a file, with a manifest that vouches for them.
    fn forge(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
        self.sign(|manifest| {
            let chains = manifest.tables.iter_mut().flat_map(|table| &mut table.chain);
            let stored = chains.map(|file| &mut file.stored).chain([&mut manifest.state]);
            for stored in stored.filter(|stored| stored.file == name) {
                (stored.sha256, stored.bytes) = (sha256(bytes), bytes.len() as u64);
            }
        });
    }

    /// Forges the file of rows with this header and these data.
    fn forge_rows(&self, header: &serde_json::Value, data: &[u32]) {
        self.forge(ROWS, &safetensors(header, data));
    }

    /// The error that loading gives; checks that it names `file` and the way back.
    fn error(&self, file: &str) -> Damage {
        let error = load_latest(self.folder.path()).expect_err("a damaged model was loaded");
        let text = error.to_string();
        assert!(text.contains(file), "{text}");
        assert!(
            text.ends_with("generation 1 is whole: to go back to it, remove g0000000002.manifest.json"),
            "{text}"
        );
        std::fs::remove_file(self.path(MANIFEST)).unwrap();
        assert_eq!(load_latest(self.folder.path()).unwrap().state.step, 1, "the way back works");
        let CheckpointError::Damaged { damage, .. } = error else { panic!("{error:?}") };
        damage
    }
}

fn safetensors(header: &serde_json::Value, data: &[u32]) -> Vec<u8> {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(data.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

/// The header of two rows of `main`, and data that fit it.
fn header() -> serde_json::Value {
    serde_json::json!({
        "rows": { "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] },
        "sides": { "dtype": "F32", "shape": [2, 2], "data_offsets": [24, 40] },
        "slots": { "dtype": "U32", "shape": [2], "data_offsets": [40, 48] },
    })
}

fn data(slots: [u32; 2], first: f32) -> Vec<u32> {
    let mut data = vec![first.to_bits(); 1];
    data.extend([1_f32.to_bits(); 9]);
    data.extend(slots);
    data
}

macro_rules! rung {
    ($name:ident, $file:expr, $change:expr, $damage:pat) => {
        #[test]
        fn $name() {
            let good = Good::new();
            ($change)(&good);
            let damage = good.error($file);
            assert!(matches!(damage, $damage), "{damage:?}");
        }
    };
}

rung!(
    a_missing_file_of_rows,
    ROWS,
    |good: &Good| std::fs::remove_file(good.path(ROWS)).unwrap(),
    Damage::Missing
);
rung!(
    a_missing_state_file,
    STATE,
    |good: &Good| std::fs::remove_file(good.path(STATE)).unwrap(),
    Damage::Missing
);
rung!(
    a_truncated_file_of_rows,
    ROWS,
    |good: &Good| good.damage(ROWS, |bytes| bytes.truncate(100)),
    Damage::Length { got: 100, .. }
);
rung!(
    a_truncated_state_file,
    STATE,
    |good: &Good| good.damage(STATE, |bytes| bytes.truncate(bytes.len() - 1)),
    Damage::Length { .. }
);
rung!(
    a_flipped_bit_in_the_rows,
    ROWS,
    |good: &Good| good.damage(ROWS, |bytes| *bytes.last_mut().unwrap() ^= 1),
    Damage::Checksum { .. }
);
rung!(
    a_flipped_bit_in_the_state,
    STATE,
    |good: &Good| good.damage(STATE, |bytes| *bytes.last_mut().unwrap() ^= 1),
    Damage::Checksum { .. }
);
rung!(
    a_file_too_short_for_a_header,
    ROWS,
    |good: &Good| good.forge(ROWS, &[1, 0, 0]),
    Damage::Length { expected: 8, got: 3 }
);
rung!(
    a_header_longer_than_its_file,
    ROWS,
    |good: &Good| good.forge(ROWS, &[255; 20]),
    Damage::HeaderLength { got: u64::MAX, limit: 12 }
);
rung!(
    a_header_longer_than_any,
    STATE,
    |good: &Good| {
        let mut bytes = (header::MAX_HEADER + 1).to_le_bytes().to_vec();
        bytes.resize(header::MAX_HEADER as usize + 100, b' ');
        good.forge(STATE, &bytes);
    },
    Damage::HeaderLength { limit: header::MAX_HEADER, .. }
);
rung!(
    a_header_that_is_no_json,
    ROWS,
    |good: &Good| good.forge(ROWS, b"\x03\0\0\0\0\0\0\0no!"),
    Damage::Header(_)
);
rung!(
    tensors_that_overlap,
    ROWS,
    |good: &Good| {
        let mut header = header();
        header["slots"]["data_offsets"] = serde_json::json!([36, 44]);
        good.forge_rows(&header, &data([3, 8], 1.0));
    },
    Damage::Header(_)
);
rung!(
    a_shape_whose_size_overflows,
    ROWS,
    |good: &Good| {
        let mut header = header();
        header["rows"]["shape"] = serde_json::json!([u64::MAX, u64::MAX]);
        good.forge_rows(&header, &data([3, 8], 1.0));
    },
    Damage::Header(_)
);
rung!(
    data_beyond_the_last_tensor,
    ROWS,
    |good: &Good| good.forge_rows(&header(), &[data([3, 8], 1.0), vec![0]].concat()),
    Damage::DataLength { expected: 48, got: 52 }
);
rung!(
    another_width,
    ROWS,
    |good: &Good| {
        let mut header = header();
        header["rows"]["shape"] = serde_json::json!([3, 2]);
        good.forge_rows(&header, &data([3, 8], 1.0));
    },
    Damage::Tensors { .. }
);
rung!(
    another_type,
    ROWS,
    |good: &Good| {
        let mut header = header();
        header["slots"]["dtype"] = "I32".into();
        good.forge_rows(&header, &data([3, 8], 1.0));
    },
    Damage::Tensors { .. }
);
rung!(
    a_tensor_too_few,
    ROWS,
    |good: &Good| {
        let mut header = header();
        header.as_object_mut().unwrap().remove("slots");
        good.forge_rows(&header, &data([3, 8], 1.0)[..10]);
    },
    Damage::Tensors { .. }
);
rung!(
    another_number_of_rows_than_the_manifest_says,
    ROWS,
    |good: &Good| good.sign(|manifest| manifest.tables[0].chain[1].rows = 3),
    Damage::Tensors { .. }
);
rung!(
    slots_that_descend,
    ROWS,
    |good: &Good| good.forge_rows(&header(), &data([8, 3], 1.0)),
    Damage::Order { slot: 3, after: 8 }
);
rung!(
    a_slot_twice,
    ROWS,
    |good: &Good| good.forge_rows(&header(), &data([8, 8], 1.0)),
    Damage::Order { slot: 8, after: 8 }
);
rung!(
    a_slot_outside_the_table,
    ROWS,
    |good: &Good| good.forge_rows(&header(), &data([8, 1000], 1.0)),
    Damage::Slot { slot: 1000, rows: 1000 }
);
rung!(
    a_weight_that_is_not_a_number,
    ROWS,
    |good: &Good| good.forge_rows(&header(), &data([3, 8], f32::NAN)),
    Damage::NotFinite { slot: 3 }
);
rung!(
    a_tensor_of_a_type_that_is_never_stored,
    STATE,
    |good: &Good| {
        let header = serde_json::json!({ "step": { "dtype": "I8", "shape": [4], "data_offsets": [0, 4] } });
        good.forge(STATE, &safetensors(&header, &[0]));
    },
    Damage::Dtype { .. }
);
rung!(
    a_manifest_of_garbage,
    MANIFEST,
    |good: &Good| good.damage(MANIFEST, |bytes| bytes.fill(0)),
    Damage::Manifest(_)
);
rung!(
    a_truncated_manifest,
    MANIFEST,
    |good: &Good| good.damage(MANIFEST, |bytes| bytes.truncate(bytes.len() / 2)),
    Damage::Manifest(_)
);
rung!(
    a_manifest_that_was_edited,
    MANIFEST,
    |good: &Good| good.damage(MANIFEST, |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("\"examples\": 3", "\"examples\": 4").into_bytes();
        assert_ne!(*bytes, text.into_bytes());
    }),
    Damage::Checksum { .. }
);
rung!(
    a_manifest_longer_than_any,
    MANIFEST,
    |good: &Good| {
        let file = std::fs::File::options().write(true).open(good.path(MANIFEST)).unwrap();
        file.set_len(1 << 40).unwrap();
    },
    Damage::ManifestLength { .. }
);
rung!(
    a_manifest_of_another_generation,
    MANIFEST,
    |good: &Good| good.sign(|manifest| manifest.generation = 1),
    Damage::Generation { expected: 2, got: 1 }
);
rung!(
    a_manifest_that_refers_out_of_its_folder,
    MANIFEST,
    |good: &Good| good.sign(|manifest| manifest.tables[0].chain[0].stored.file = "../x".to_owned()),
    Damage::ForeignName { .. }
);
rung!(
    a_manifest_that_takes_the_key_for_rows,
    MANIFEST,
    |good: &Good| good.sign(|manifest| manifest.tables[0].chain[0].stored.file = Name::Key.to_string()),
    Damage::ForeignName { .. }
);
rung!(
    a_format_that_never_was,
    MANIFEST,
    |good: &Good| good.damage(MANIFEST, |bytes| *bytes = br#"{"format":0}"#.to_vec()),
    Damage::Format { found: 0 }
);

#[test]
fn a_newer_format_asks_for_a_newer_release() {
    let good = Good::new();
    let before = files(good.folder.path());
    good.damage(MANIFEST, |bytes| *bytes = br#"{"format":2,"what":"ever"}"#.to_vec());
    let error = Writer::create_or_open(good.folder.path(), 2).unwrap_err();
    assert!(matches!(error, CheckpointError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
    assert_eq!(files(good.folder.path()), before, "nothing was removed");
}

#[test]
fn a_damaged_model_is_not_trained_on_and_not_swept() {
    let good = Good::new();
    let before = files(good.folder.path());
    good.damage(MANIFEST, |bytes| bytes.truncate(9));
    let error = Writer::create_or_open(good.folder.path(), 1).unwrap_err();
    assert!(matches!(error, CheckpointError::Damaged { older: Some(1), .. }), "{error}");
    assert_eq!(files(good.folder.path()), before);
}

#[test]
fn no_older_generation_is_called_whole_that_is_not() {
    let good = Good::new();
    good.damage("g0000000001.state.safetensors", |bytes| *bytes.last_mut().unwrap() ^= 1);
    good.damage(MANIFEST, |bytes| bytes.truncate(9));
    let error = load_latest(good.folder.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::Damaged { older: None, .. }), "{error}");
    assert!(error.to_string().ends_with("no older generation is whole"), "{error}");
}

#[test]
fn no_change_of_a_byte_goes_unnoticed() {
    let good = Good::new();
    let whole = load_latest(good.folder.path()).unwrap().state;
    for name in [MANIFEST, ROWS, STATE] {
        let bytes = std::fs::read(good.path(name)).unwrap();
        for index in 0..bytes.len() {
            good.damage(name, |bytes| bytes[index] ^= 0x11);
            // White space around the manifest's keys may change; what is loaded may not.
            if let Ok(model) = load_latest(good.folder.path()) {
                assert_eq!(model.state, whole, "{name} byte {index}");
                assert_eq!(name, MANIFEST, "byte {index}");
            }
            std::fs::write(good.path(name), &bytes).unwrap();
        }
    }
}

#[test]
fn a_fold_does_not_cover_up_for_a_damaged_file() {
    let good = Good::new();
    let mut writer = Writer::create_or_open(good.folder.path(), 2).unwrap();
    writer.max_deltas = 0;
    good.damage(ROWS, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let mut model = Model::default();
    model.learn(9);
    writer.commit(model.snapshot()).unwrap();
    let error = writer.wait_for_fold().unwrap_err().to_string();
    assert!(error.contains(ROWS) && error.contains("SHA-256"), "{error}");
    writer.commit(model.snapshot()).unwrap();
    assert!(load_latest(good.folder.path()).unwrap_err().to_string().contains(ROWS));
}

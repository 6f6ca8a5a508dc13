//! The format on disk: what releases wrote is read for ever, and others can read it too.

use super::*;
use crate::hash::HashKey;
use safetensors::{Dtype, SafeTensors};
use std::path::PathBuf;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/model-v1")
}

fn sample_tables() -> [(&'static str, Table); 2] {
    let main = TableOptions { rows: 100, width: 3, side: 1, init: Init::Zeros, seed: 1 };
    let bias = TableOptions { rows: 1, width: 2, side: 0, init: Init::Zeros, seed: 1 };
    [("main", Table::new(main).unwrap()), ("bias", Table::new(bias).unwrap())]
}

/// The rows of `main` in the sample: from a folded file, and from the file after it.
const MAIN: [(u32, [f32; 3], [f32; 1]); 4] = [
    (0, [1.0, 2.0, 3.0], [4.0]),
    (5, [0.5, -1.25, 1.0e-40], [0.125]),
    (77, [0.1, 0.2, 0.3], [0.4]),
    (99, [f32::MAX, f32::MIN_POSITIVE, -0.0], [7.0]),
];

fn sample_tensors() -> BTreeMap<String, Tensor> {
    let odd = f64::from_bits(0x7ff8_dead_beef_0001);
    BTreeMap::from([
        (
            "mixer".to_owned(),
            Tensor { shape: vec![2, 2], data: TensorData::F32(vec![0.1, -0.0, 1e30, 0.125]) },
        ),
        ("range".to_owned(), Tensor::vector(TensorData::F64(vec![1.0 / 3.0, f64::INFINITY, odd]))),
        ("random".to_owned(), Tensor { shape: vec![], data: TensorData::U64(vec![u64::MAX]) }),
        ("none".to_owned(), Tensor::vector(TensorData::F32(vec![]))),
    ])
}

fn sample_progress() -> Progress {
    let mut progress = Progress { finished: true, ..Progress::default() };
    progress.positions.pass = 1;
    progress.positions.advance("data/a b.jsonl", Position { lines: 12, offset: 3456 });
    progress.outputs.insert("out.jsonl".to_owned(), 789);
    progress.counters = serde_json::json!({ "examples": 12, "loss": 0.30000000000000004, "text": "ä" });
    progress.config = serde_json::json!({ "hash": { "kind": "siphash", "default_key": false } });
    progress
}

/// Bit patterns, so that NaN equals itself and 0 differs from −0.
fn bits(tensor: &Tensor) -> (Vec<usize>, Vec<u64>) {
    let bits = match &tensor.data {
        TensorData::F32(values) => values.iter().map(|v| u64::from(v.to_bits())).collect(),
        TensorData::F64(values) => values.iter().map(|v| v.to_bits()).collect(),
        TensorData::U64(values) => values.clone(),
    };
    (tensor.shape.clone(), bits)
}

fn learn(table: &Table, row: &(u32, [f32; 3], [f32; 1])) {
    let mut lease = table.lease_all();
    let (weights, side) = lease.row_mut(Slot(row.0));
    weights.copy_from_slice(&row.1);
    side.copy_from_slice(&row.2);
}

/// Writes the sample: four generations, of which the first three are folded, the last two kept.
fn write_sample(path: &Path) {
    let mut writer = Writer::create_or_open(path, 2).unwrap();
    writer.max_deltas = 2;
    writer.store_hash_key(&HashKey::from_bytes(std::array::from_fn(|i| i as u8))).unwrap();
    let tables = sample_tables().map(|(name, table)| (name, Arc::new(table)));
    let commit = |writer: &mut Writer| {
        let cuts = tables.iter().map(|(name, table)| TableCut::begin(*name, table)).collect();
        let snapshot = Snapshot { tables: cuts, tensors: sample_tensors(), progress: sample_progress() };
        writer.commit(snapshot).unwrap();
        writer.wait_for_fold().unwrap();
    };
    let main = &tables[0].1;
    tables[1].1.lease_all().row_mut(Slot(0)).0.copy_from_slice(&[0.25, -8.0]);
    learn(main, &(0, [9.0; 3], [9.0]));
    learn(main, &MAIN[3]);
    commit(&mut writer);
    learn(main, &MAIN[0]);
    learn(main, &(77, [8.0; 3], [8.0]));
    commit(&mut writer);
    learn(main, &(5, [6.0; 3], [6.0]));
    commit(&mut writer);
    learn(main, &MAIN[1]);
    learn(main, &MAIN[2]);
    commit(&mut writer);
}

fn assert_is_sample(path: &Path) {
    let dir = ModelDir::open(path).unwrap();
    assert_eq!(dir.hash_key().unwrap().unwrap().to_hex(), "000102030405060708090a0b0c0d0e0f");
    let mut generation = dir.latest().unwrap().unwrap();
    assert_eq!(generation.manifest().generation, 4);
    assert_eq!(generation.manifest().progress, sample_progress());
    let chain: Vec<_> = generation.manifest().tables[0]
        .chain
        .iter()
        .map(|file| (file.stored.file.as_str(), file.rows))
        .collect();
    let folded = "f0000000001-0000000003.0.rows.safetensors";
    assert_eq!(chain, [(folded, 4), ("g0000000004.0.rows.safetensors", 2)]);
    let tensors = generation.load_tensors().unwrap();
    assert_eq!(
        tensors.iter().map(|(name, tensor)| (name, bits(tensor))).collect::<Vec<_>>(),
        sample_tensors().iter().map(|(name, tensor)| (name, bits(tensor))).collect::<Vec<_>>()
    );
    let tables = sample_tables();
    tables.iter().for_each(|(name, table)| generation.load_table(name, table).unwrap());
    let expected = |floats: &[f32]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
    let main: Rows = MAIN.iter().map(|(slot, row, side)| (*slot, (expected(row), expected(side)))).collect();
    assert_eq!(rows_of(&tables[0].1), main);
    assert_eq!(rows_of(&tables[1].1), Rows::from([(0, (expected(&[0.25, -8.0]), vec![]))]));
}

#[test]
fn a_model_of_format_1_is_read_with_its_exact_values() {
    assert_is_sample(&sample());
}

#[test]
fn what_is_written_today_reads_back_as_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    write_sample(folder.path());
    assert_is_sample(folder.path());
    let rows = "f0000000001-0000000003.0.rows.safetensors";
    let [new, old] = [folder.path(), &sample()].map(|path| std::fs::read(path.join(rows)).unwrap());
    assert_eq!(new, old, "byte for byte");
}

#[test]
fn the_safetensors_crate_reads_every_file_of_a_model() {
    let read = |name: &str| std::fs::read(sample().join(name)).unwrap();
    let bytes = read("g0000000004.0.rows.safetensors");
    let rows = SafeTensors::deserialize(&bytes).unwrap();
    let slots = rows.tensor("slots").unwrap();
    assert_eq!((slots.dtype(), slots.shape()), (Dtype::U32, &[2][..]));
    assert_eq!(slots.data(), [5, 0, 0, 0, 77, 0, 0, 0]);
    let weights = rows.tensor("rows").unwrap();
    assert_eq!((weights.dtype(), weights.shape()), (Dtype::F32, &[2, 3][..]));
    assert_eq!(weights.data()[..4], 0.5_f32.to_le_bytes());
    assert_eq!(rows.tensor("sides").unwrap().shape(), [2, 1]);
    let bytes = read("g0000000004.state.safetensors");
    let state = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(state.tensor("random").unwrap().data(), [255; 8]);
    assert_eq!(state.tensor("range").unwrap().shape(), [3]);
    assert_eq!(bytes.len() % 4, 0);
}

#[test]
fn the_manifest_is_as_documented() {
    let text = std::fs::read_to_string(sample().join("g0000000004.manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&manifest), ["body", "format", "sha256"]);
    let body = &manifest["body"];
    assert_eq!(
        keys(body).join(" "),
        "config counters crate_version finished generation outputs positions state tables"
    );
    assert_eq!(keys(&body["tables"][0]).join(" "), "chain name rows side width");
    assert_eq!(keys(&body["tables"][0]["chain"][0]).join(" "), "bytes file rows sha256");
    assert_eq!(keys(&body["state"]).join(" "), "bytes file sha256");
    assert_eq!(body["positions"]["sources"]["data/a b.jsonl"]["offset"], 3456);
    // The checksum can be repeated over the bytes as they stand, from the body's first brace to its last.
    let start = text.find("\"body\":").unwrap() + 7;
    let end = text.trim_end().len() - 1;
    assert_eq!(storage::sha256(&text.as_bytes()[start..end]), manifest["sha256"].as_str().unwrap());
}

//! What the embedding promises beyond fixed values.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy does not see a test in `not(loom)`"
)]

use super::*;
use crate::parse::Fault;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

const DIM: usize = 5;

type Dict = Vec<(String, f64)>;

fn embedding(kind: HashKind, buckets: u32) -> FlexiHashEmbedding {
    let hash = HashOptions { kind, buckets, ..HashOptions::default() };
    FlexiHashEmbedding::new(EmbeddingOptions { dim: DIM, seed: 11, hash }).unwrap()
}

fn batch(embedding: &FlexiHashEmbedding, dicts: &[Dict]) -> Batch {
    embedding.batch(dicts.iter().map(|dict| dict.iter().map(|(key, value)| (key, *value)))).unwrap()
}

fn embed(embedding: &FlexiHashEmbedding, dicts: &[Dict]) -> Vec<f32> {
    embedding.embed(&batch(embedding, dicts)).unwrap()
}

fn all_rows(embedding: &FlexiHashEmbedding) -> Vec<Vec<f32>> {
    (0..embedding.options().hash.buckets).map(|slot| embedding.row(Slot(slot)).unwrap()).collect()
}

fn kind() -> impl Strategy<Value = HashKind> {
    prop_oneof![Just(HashKind::Siphash), Just(HashKind::Sklearn)]
}

/// Keys of one dict are unique; few buckets make them collide all the same.
fn dict() -> impl Strategy<Value = Dict> {
    btree_map("[a-zäß漢]{0,3}", -9.0..9.0, 0..9).prop_map(|pairs| pairs.into_iter().collect())
}

fn assert_close(got: &[f32], expected: impl IntoIterator<Item = f32>, scale: f32) {
    for (&got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-5 * (1.0 + scale), "{got} is not {expected}");
    }
}

fn magnitude(dict: &Dict) -> f32 {
    dict.iter().map(|(_, value)| 6.0 * value.abs() as f32).sum()
}

proptest! {
    #[test]
    fn a_scaled_dict_has_the_scaled_vector(kind in kind(), dict in dict(), factor in -8.0..8.0) {
        let embedding = embedding(kind, 50);
        let scaled = dict.iter().map(|(key, value)| (key.clone(), factor * value)).collect();
        let (one, other) = (embed(&embedding, std::slice::from_ref(&dict)), embed(&embedding, &[scaled]));
        assert_close(&other, one.iter().map(|value| factor as f32 * value), 8.0 * magnitude(&dict));
    }

    #[test]
    fn the_union_of_disjoint_dicts_has_the_sum_of_their_vectors(kind in kind(), dict in dict(), at in 0..9_usize) {
        let embedding = embedding(kind, 50);
        let (left, right) = dict.split_at(at.min(dict.len()));
        let rows = embed(&embedding, &[dict.clone(), left.to_vec(), right.to_vec()]);
        let sum = rows[DIM..2 * DIM].iter().zip(&rows[2 * DIM..]).map(|(left, right)| left + right);
        assert_close(&rows[..DIM], sum, magnitude(&dict));
    }

    #[test]
    fn the_order_of_keys_changes_no_bit(
        kind in kind(),
        (dict, shuffled) in dict().prop_flat_map(|dict| (Just(dict.clone()), Just(dict).prop_shuffle())),
    ) {
        let embedding = embedding(kind, 3);
        let bits = |dict: Dict| embed(&embedding, &[dict]).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(dict), bits(shuffled));
    }

    #[test]
    fn a_zero_value_is_no_feature(kind in kind(), dict in dict(), key in "[a-z]{1,3}") {
        let embedding = embedding(kind, 50);
        let mut with_zeros = dict.clone();
        with_zeros.extend([(key.clone(), 0.0), (key.clone(), -0.0)]);
        let rows = embed(&embedding, &[dict, with_zeros, vec![(key, 0.0)], vec![]]);
        assert_eq!(rows.len(), 4 * DIM, "one row per dict");
        assert_eq!(rows[..DIM], rows[DIM..2 * DIM]);
        assert_eq!(rows[2 * DIM..], [0.0; 2 * DIM]);
    }

    #[test]
    fn a_key_that_occurs_twice_adds_up(kind in kind(), dict in dict(), key in "[a-z]{1,3}", a in -99..99, b in -99..99) {
        let embedding = embedding(kind, 50);
        let with = |values: &[i32]| {
            let more = values.iter().map(|&value| (key.clone(), f64::from(value)));
            dict.iter().filter(|(other, _)| *other != key).cloned().chain(more).collect::<Dict>()
        };
        let rows = embed(&embedding, &[with(&[a, b]), with(&[a + b])]);
        assert_close(&rows[..DIM], rows[DIM..].iter().copied(), magnitude(&dict) + 1200.0);
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences(kind in kind(), dicts in vec(dict(), 1..5)) {
        let embedding = embedding(kind, 6);
        let batch = batch(&embedding, &dicts);
        // loss = ½ Σ out², so the upstream gradient is out itself; central differences of a square are exact.
        let loss = || embedding.embed(&batch).unwrap().iter().map(|&v| f64::from(v).powi(2) / 2.0).sum::<f64>();
        let gradient = embedding.gradient(&batch, &embedding.embed(&batch).unwrap()).unwrap();
        assert!(gradient.slots().is_sorted_by(|a, b| a < b));
        for slot in 0..6 {
            let weights = embedding.row(Slot(slot)).unwrap();
            for column in 0..DIM {
                let at = |step: f32| {
                    let mut moved = weights.clone();
                    moved[column] += step;
                    embedding.set_row(Slot(slot), &moved).unwrap();
                    loss()
                };
                let slope = (at(0.5) - at(-0.5)) as f32;
                at(0.0);
                let index = gradient.slots().iter().position(|&used| used == Slot(slot));
                let got = index.map_or(0.0, |index| gradient.rows()[index * DIM + column]);
                assert!((got - slope).abs() <= 1e-3 * (1.0 + loss() as f32).max(slope.abs()), "{got} is not {slope}");
            }
        }
    }

    #[test]
    fn a_step_moves_exactly_the_rows_of_its_gradient(kind in kind(), dicts in vec(dict(), 0..5), rate in 0.001_f32..1.0) {
        let embedding = embedding(kind, 200);
        let batch = batch(&embedding, &dicts);
        let upstream = (0..batch.len() * DIM).map(|i| 1.0 + i as f32).collect::<Vec<_>>();
        let gradient = embedding.gradient(&batch, &upstream).unwrap();
        let mut expected = all_rows(&embedding);
        assert_eq!(embedding.table().touched(), 0, "reading is not learning");
        for (slot, slopes) in gradient.slots().iter().zip(gradient.rows().chunks(DIM)) {
            for (weight, slope) in expected[slot.0 as usize].iter_mut().zip(slopes) {
                *weight -= rate * slope;
            }
        }
        embedding.sgd_step(&gradient, rate).unwrap();
        assert_eq!(all_rows(&embedding), expected);
        assert_eq!(embedding.table().touched(), gradient.slots().len() as u64);
    }

    #[test]
    fn json_gives_the_rows_of_the_same_pairs(kind in kind(), dicts in vec(dict(), 0..4)) {
        let embedding = embedding(kind, 1 << 20);
        let json = dicts.iter().map(|dict| {
            let mut object = dict.iter().map(|(k, v)| (k.clone(), (*v).into())).collect::<serde_json::Map<_, _>>();
            object.extend([("label".into(), "b".into()), ("weight".into(), true.into()), ("0".into(), 0.into())]);
            serde_json::Value::Object(object).to_string()
        });
        let pairs = dicts.iter().map(|dict| {
            let pairs = dict.iter().map(|(key, value)| (key.as_str(), FeatureValue::from(*value)));
            pairs.chain([("label", "b".into()), ("weight", true.into()), ("0", 0.into())])
        });
        let (json, pairs) = (embedding.batch_from_json(json).unwrap(), embedding.batch(pairs).unwrap());
        assert_eq!((json.offsets(), json.slots()), (pairs.offsets(), pairs.slots()));
        assert_close(json.values(), pairs.values().iter().copied(), 9.0);
    }
}

/// More features than one lease takes, of dicts with none to ten.
fn many(embedding: &FlexiHashEmbedding) -> Batch {
    let pair = |dict: usize, i: usize| (format!("key {}", (dict * 11 + i) * 7919 % 5000), 0.5 + i as f64);
    embedding.batch((0..20_000).map(|dict| (0..dict % 11).map(move |i| pair(dict, i)))).unwrap()
}

#[test]
fn vectors_have_the_same_bits_for_any_number_of_threads_and_leases() {
    let embedding = embedding(HashKind::Siphash, 3000);
    let batch = many(&embedding);
    assert!(batch.features() * DIM > forward::FLOATS_A_LEASE, "several leases");
    let mut sums = vec![0.0; batch.len() * DIM];
    for (row, sum) in sums.chunks_mut(DIM).enumerate() {
        let features = batch.row(row);
        for (&slot, value) in features.slots.iter().zip(features.values) {
            let weights = embedding.row(slot).unwrap();
            sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
    }
    for threads in [0, 1, 2, 3, 64] {
        let mut vectors = vec![f32::NAN; sums.len()];
        embedding.embed_into(&batch, threads, &mut vectors).unwrap();
        assert_eq!(vectors, sums, "{threads} threads");
    }
    assert!(embedding.embed_into(&batch, 1, &mut sums[1..]).is_err());
}

#[test]
fn a_batch_written_over_holds_nothing_of_the_one_before() {
    let embedding = embedding(HashKind::Siphash, 1 << 20);
    let dicts = [vec![("a", 1.0), ("b", 2.0)], vec![], vec![("c", 3.0)]];
    let fresh = embedding.batch(dicts.clone()).unwrap();
    let mut batch = many(&embedding);
    embedding.batch_into(dicts, &mut batch).unwrap();
    assert_eq!((batch.len(), batch.offsets()), (3, fresh.offsets()));
    assert_eq!((batch.slots(), batch.values()), (fresh.slots(), fresh.values()));
}

#[test]
fn an_output_that_overflows_is_named_by_its_row_in_the_batch() {
    let embedding = embedding(HashKind::Siphash, 3000);
    let mut dicts: Vec<Dict> = (0..60_000).map(|i| vec![(format!("{}", i % 900), 1.0)]).collect();
    dicts[59_990] = vec![("k".to_owned(), 3e38), ("l".to_owned(), 3e38)];
    let batch = batch(&embedding, &dicts);
    for threads in [1, 2] {
        let mut vectors = vec![0.0; batch.len() * DIM];
        let error = embedding.embed_into(&batch, threads, &mut vectors).unwrap_err();
        assert!(matches!(error, EmbeddingError::NotFinite { what: "output", row: 59_990, .. }), "{error}");
    }
}

#[test]
fn rows_that_begin_with_zero_are_summed_as_they_are() {
    let (one, other) = (embedding(HashKind::Siphash, 50), embedding(HashKind::Siphash, 50));
    let batch = |embedding: &FlexiHashEmbedding| embedding.batch([[("a", 1), ("b", 2)]]).unwrap();
    let slots = batch(&one).slots().to_vec();
    one.set_row(slots[0], &[0.0; DIM]).unwrap();
    let weights = other.row(slots[1]).unwrap();
    let value = batch(&one).values()[1];
    let expected: Vec<f32> = weights.iter().map(|weight| value * weight).collect();
    assert_eq!(one.embed(&batch(&one)).unwrap(), expected);
}

#[test]
fn one_pass_back_moves_the_rows_as_gradient_and_step_do() {
    let (one, other) = (embedding(HashKind::Siphash, 3000), embedding(HashKind::Siphash, 3000));
    let batch = many(&one);
    let upstream: Vec<f32> =
        (0..batch.len() * DIM).map(|i| ((i * 7919 % 2500) as f32 - 1250.0) / 1e5).collect();
    one.sgd_backward(&batch, &upstream, 0.25).unwrap();
    let gradient = other.gradient(&batch, &upstream).unwrap();
    other.sgd_step(&gradient, 0.25).unwrap();
    for (got, expected) in all_rows(&one).iter().zip(all_rows(&other)) {
        assert_close(got, expected, 6.0);
    }
    assert_eq!(one.table().touched(), other.table().touched());
    assert_eq!(one.table().touched(), gradient.slots().len() as u64);
}

#[test]
fn one_pass_back_never_stores_what_is_not_finite_and_stops_there() {
    let embedding = embedding(HashKind::Siphash, 1000);
    let batch = embedding.batch([[("a", 1.0)], [("b", 1.0)], [("c", 1.0)]]).unwrap();
    let before = all_rows(&embedding);
    let slots = batch.slots();
    let mut upstream = [1.0; 3 * DIM];
    upstream[DIM + 2] = f32::NAN;
    let error = embedding.sgd_backward(&batch, &upstream, 1.0).unwrap_err();
    let place = slots[1].0 as usize;
    assert!(matches!(error, EmbeddingError::NotFinite { row, column: 2, .. } if row == place), "{error}");
    let after = all_rows(&embedding);
    for slot in 0..1000 {
        let step = if slot == slots[0].0 as usize { 1.0 } else { 0.0 };
        let expected: Vec<f32> = before[slot].iter().map(|weight| weight - step).collect();
        assert_eq!(after[slot], expected, "slot {slot}");
    }
    assert!(matches!(
        embedding.sgd_backward(&batch, &upstream, f32::NAN),
        Err(EmbeddingError::LearningRate { .. })
    ));
    assert!(matches!(embedding.sgd_backward(&batch, &upstream[1..], 1.0), Err(EmbeddingError::Shape { .. })));
    let foreign =
        self::embedding(HashKind::Siphash, 1 << 20).batch([[("a", 1), ("b", 1), ("c", 1)]]).unwrap();
    let refused = embedding.sgd_backward(&foreign, &[1.0; DIM], 1.0);
    assert!(matches!(refused, Err(EmbeddingError::Slot { .. })));
    assert_eq!(all_rows(&embedding), after);
}

#[test]
fn collisions_are_summed_in_f64_before_they_are_rounded() {
    let embedding = embedding(HashKind::Sklearn, 1);
    let batch = embedding.batch([[("a", 16_777_216.0), ("b", 1.0), ("c", 1.0), ("d", 0.1)]]).unwrap();
    assert_eq!((batch.slots(), batch.values()), (&[Slot(0)][..], &[16_777_218.0][..]));
    let cancelled = embedding.batch([[("a", 0.1), ("b", -0.1)]]).unwrap();
    assert_eq!(cancelled.values(), [0.0], "as the reference, a slot that cancels stays");
}

#[test]
fn the_order_of_colliding_keys_changes_no_bit_where_an_f64_sum_would() {
    let embedding = embedding(HashKind::Sklearn, 1);
    let pairs = [("a", 1e17), ("b", -1e17), ("c", 3.0)];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let batch = embedding.batch(orders.map(|order| order.map(|at: usize| pairs[at]))).unwrap();
    assert_eq!(batch.values(), [batch.values()[0]; 6]);
}

#[test]
fn a_row_of_many_dicts_has_its_gradients_summed_in_their_order() {
    let embedding = embedding(HashKind::Siphash, 100);
    let batch = embedding.batch((0..500).map(|_| [("a", 1), ("b", 1), ("c", 1)])).unwrap();
    let upstream = (0..500 * DIM).map(|i| 1.0 / (1.0 + (i * 7919 % 2500) as f32)).collect::<Vec<_>>();
    let sum = upstream.chunks(DIM).fold([0.0_f32; DIM], |mut sum, row| {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        sum
    });
    let gradient = embedding.gradient(&batch, &upstream).unwrap();
    assert_eq!((gradient.slots().len(), gradient.rows()), (3, [sum; 3].as_flattened()));
}

#[test]
fn composed_and_decomposed_characters_are_different_keys() {
    for kind in [HashKind::Siphash, HashKind::Sklearn] {
        let embedding = embedding(kind, 1 << 20);
        let batch =
            embedding.batch([["caf\u{e9}"], ["cafe\u{301}"], ["cafe"]].map(|k| k.map(|k| (k, 1)))).unwrap();
        let rows = embedding.embed(&batch).unwrap();
        assert!(rows[..DIM] != rows[DIM..2 * DIM] && rows[DIM..2 * DIM] != rows[2 * DIM..]);
    }
}

#[test]
fn unknown_keys_have_rows_that_depend_on_the_seed_alone() {
    let (one, other) = (embedding(HashKind::Siphash, 1 << 20), embedding(HashKind::Siphash, 1 << 20));
    let dict = |key: &str| vec![(key.to_owned(), 1.0)];
    let first = embed(&one, &[dict("new"), dict("newer")]);
    assert_eq!(first[DIM..], embed(&other, &[dict("newer")]), "whatever was asked for before");
    assert_eq!(first, embed(&one, &[dict("new"), dict("newer")]));
    let seeded = EmbeddingOptions { seed: 12, ..*one.options() };
    assert_ne!(first, embed(&FlexiHashEmbedding::new(seeded).unwrap(), &[dict("new"), dict("newer")]));
}

#[test]
fn strings_numbers_and_several_hashes_have_rows_of_their_own() {
    let hash = HashOptions { hashes: 3, buckets: 1 << 20, alternate_sign: true, ..HashOptions::default() };
    let embedding = FlexiHashEmbedding::new(EmbeddingOptions { dim: DIM, seed: 0, hash }).unwrap();
    let pairs =
        [("a", FeatureValue::from("b")), ("a", 2_u8.into()), ("a=b", true.into()), ("a", false.into())];
    let batch = embedding.batch([pairs]).unwrap();
    assert_eq!(batch.features(), 9);
    assert!(batch.values().iter().all(|value| [1.0, 2.0].contains(&value.abs())));
    assert!(batch.values().iter().any(|&value| value < 0.0), "alternate signs");
}

#[test]
fn the_defaults_are_2_to_the_20_rows_of_128() {
    let embedding = FlexiHashEmbedding::new(EmbeddingOptions::default()).unwrap();
    assert_eq!((embedding.table().options().rows, embedding.options().dim), (1 << 20, 128));
    assert_eq!(embed(&embedding, &[vec![("a".to_owned(), 1.0)]]).len(), 128);
}

#[test]
fn what_is_not_finite_is_refused_with_its_place() {
    let embedding = embedding(HashKind::Siphash, 100);
    for found in [f64::NAN, f64::INFINITY, -1e39] {
        let error = embedding.batch([vec![], vec![("k", found)]]).unwrap_err().to_string();
        assert!(error.starts_with("dict 1, key \"k\": expected a number finite in f32, found"), "{error}");
    }
    let twice = embedding.batch([[("k", 3e38), ("k", 3e38)]]).unwrap_err();
    assert!(matches!(twice, EmbeddingError::Feature { dict: 0, .. }), "{twice}");
    let huge = embedding.batch([[("k", 3e38), ("l", -3e38)]]).unwrap();
    assert!(matches!(embedding.embed(&huge), Err(EmbeddingError::NotFinite { what: "output", row: 0, .. })));
    assert!(matches!(embedding.gradient(&huge, &[9.0; DIM]), Err(EmbeddingError::NotFinite { .. })));
    let mut upstream = [0.0; DIM];
    upstream[3] = f32::NAN;
    let error = embedding.gradient(&huge, &upstream).unwrap_err().to_string();
    assert_eq!(error, "upstream gradient, row 0, column 3: expected a finite number, found NaN");
    assert!(embedding.set_row(Slot(0), &[f32::NAN; DIM]).is_err());
}

#[test]
fn a_step_that_would_overflow_changes_nothing() {
    let embedding = embedding(HashKind::Siphash, 100);
    let batch = embedding.batch([[("k", 1.0), ("l", 2e38)]]).unwrap();
    let gradient = embedding.gradient(&batch, &[1.0; DIM]).unwrap();
    let before = all_rows(&embedding);
    assert!(matches!(embedding.sgd_step(&gradient, 2.0), Err(EmbeddingError::NotFinite { .. })));
    assert!(matches!(embedding.sgd_step(&gradient, f32::NAN), Err(EmbeddingError::LearningRate { .. })));
    let mut poisoned = gradient.clone();
    poisoned.rows_mut()[DIM] = f32::INFINITY;
    assert!(embedding.sgd_step(&poisoned, 0.0).is_err());
    assert_eq!((all_rows(&embedding), embedding.table().touched()), (before, 0));
}

#[test]
fn what_belongs_to_another_embedding_is_refused() {
    let (small, large) = (embedding(HashKind::Siphash, 10), embedding(HashKind::Siphash, 1 << 20));
    let foreign = large.batch([[("k", 1.0), ("l", 1.0)]]).unwrap();
    assert!(matches!(small.embed(&foreign), Err(EmbeddingError::Slot { buckets: 10, .. })));
    let gradient = large.gradient(&foreign, &[1.0; DIM]).unwrap();
    assert!(matches!(small.sgd_step(&gradient, 1.0), Err(EmbeddingError::Slot { .. })));
    assert!(matches!(
        large.gradient(&foreign, &[1.0; 2]),
        Err(EmbeddingError::Shape { expected: DIM, got: 2, .. })
    ));
    let wide = FlexiHashEmbedding::new(EmbeddingOptions { dim: DIM + 1, ..*large.options() }).unwrap();
    assert!(matches!(wide.sgd_step(&gradient, 1.0), Err(EmbeddingError::Shape { .. })));
    assert!(small.row(Slot(10)).is_err() && small.set_row(Slot(10), &[0.0; DIM]).is_err());
    assert!(small.set_row(Slot(9), &[0.0; 2]).is_err());
}

#[test]
fn impossible_options_are_refused() {
    let with = |options| FlexiHashEmbedding::new(options).unwrap_err();
    let hash = |hash| with(EmbeddingOptions { hash, ..EmbeddingOptions::default() });
    let default = EmbeddingOptions::default().hash;
    assert!(matches!(with(EmbeddingOptions { dim: 0, ..Default::default() }), EmbeddingError::Table(_)));
    assert!(matches!(hash(HashOptions { buckets: 0, ..default }), EmbeddingError::HashOptions(_)));
    for kind in [HashKind::Mmh3, HashKind::Modulo] {
        assert_eq!(hash(HashOptions { kind, ..default }), EmbeddingError::HashKind { got: kind });
    }
}

#[test]
fn bad_json_is_refused_with_its_dict_and_byte() {
    let embedding = embedding(HashKind::Siphash, 100);
    for bad in ["", "[]", "{\"a\":1", "{\"a\":1e39}", "{\"a\":NaN}", "{},\"a\":1", "{\"a\":1}}", "null"] {
        let error = embedding.batch_from_json(["{}", bad]).unwrap_err();
        assert!(matches!(error, EmbeddingError::Json { dict: 1, .. }), "{bad}: {error}");
    }
    let EmbeddingError::Json { error, .. } = embedding.batch_from_json([r#"{"a": 1e39}"#]).unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!((error.byte, error.fault), (6, Fault::Number { found: 1e39 }));
}

#[test]
fn threads_see_no_torn_row_and_lose_no_step() {
    let embedding = embedding(HashKind::Siphash, 64);
    (0..64).for_each(|slot| embedding.set_row(Slot(slot), &[0.0; DIM]).unwrap());
    let dicts: Vec<Dict> = ["a", "b", "c"].map(|key| vec![(key.to_owned(), 1.0)]).to_vec();
    let batch = batch(&embedding, &dicts);
    let gradient = embedding.gradient(&batch, &[-1.0; 3 * DIM]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..250).for_each(|_| embedding.sgd_step(&gradient, 1.0).unwrap()));
            scope.spawn(|| {
                (0..250).for_each(|_| embedding.sgd_backward(&batch, &[-1.0; 3 * DIM], 1.0).unwrap())
            });
            scope.spawn(|| {
                for round in 0..500 {
                    let mut vectors = [0.0; 3 * DIM];
                    embedding.embed_into(&batch, 1 + round % 2, &mut vectors).unwrap();
                    assert!(vectors.chunks(DIM).all(|row| row.iter().all(|value| *value == row[0])));
                }
            });
        }
    });
    let total: f32 = embedding.embed(&batch).unwrap().iter().sum();
    let rows = gradient.rows().iter().map(|slope| slope * slope).sum::<f32>();
    assert_eq!(total, 1000.0 * rows, "2 × 500 steps of each row");
}

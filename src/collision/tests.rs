//! Theory against enumeration and chance; our hashes against theory.

use super::theory::classes;
use super::*;
use crate::hash::HashKey;
use crate::hash::HashKind;
use std::collections::HashMap;

const BOTH: [Tables; 2] = [Tables::Shared, Tables::Separate];

fn scheme(buckets: u32, hashes: u32, tables: Tables) -> Scheme {
    Scheme::new(buckets, hashes, tables).unwrap()
}

fn close(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= 1e-12 * expected.abs()
}

/// Every tuple of `length` numbers below `sides`.
fn tuples(sides: u32, length: u32) -> impl Iterator<Item = Vec<u32>> {
    (0..sides.pow(length)).map(move |number| (0..length).map(|i| number / sides.pow(i) % sides).collect())
}

/// The tuple as the table sees it.
fn seen(mut rows: Vec<u32>, tables: Tables) -> Vec<u32> {
    if tables == Tables::Shared {
        rows.sort_unstable();
    }
    rows
}

#[test]
fn a_pair_is_what_counting_all_pairs_gives() {
    for (buckets, hashes) in [(1_u32, 3), (2, 1), (2, 5), (3, 4), (5, 3), (7, 2), (4, 4)] {
        for tables in BOTH {
            let mut groups: HashMap<Vec<u32>, f64> = HashMap::new();
            let all = f64::from(buckets.pow(hashes));
            for rows in tuples(buckets, hashes) {
                *groups.entry(seen(rows, tables)).or_default() += 1.0 / all;
            }
            let scheme = scheme(buckets, hashes, tables);
            let pair: f64 = groups.values().map(|q| q * q).sum();
            assert!(close(scheme.pair_probability(), pair), "{scheme:?}");
            for ids in [2, 3, 10, 1000] {
                let share: f64 = groups.values().map(|q| q * (1.0 - (1.0 - q).powi(ids - 1))).sum();
                assert!((scheme.expected_share(ids as u64) - share).abs() < 1e-12, "{scheme:?}, {ids} ids");
            }
        }
    }
}

#[test]
fn a_share_is_what_trying_every_assignment_gives() {
    for (buckets, hashes, ids) in [(2, 1, 4), (3, 1, 5), (2, 2, 4), (3, 2, 3), (2, 3, 3)] {
        for tables in BOTH {
            let worlds = tuples(buckets, hashes * ids);
            let (mut shared, mut all) = (0, 0);
            for world in worlds {
                let rows: Vec<_> =
                    world.chunks(hashes as usize).map(|rows| seen(rows.to_vec(), tables)).collect();
                shared +=
                    rows.iter().filter(|own| rows.iter().filter(|other| other == own).count() > 1).count();
                all += rows.len();
            }
            let scheme = scheme(buckets, hashes, tables);
            let share = shared as f64 / all as f64;
            assert!(close(scheme.expected_share(u64::from(ids)), share), "{scheme:?}, {ids} ids");
        }
    }
}

#[test]
fn known_values() {
    // Over two letters there are C(2k, k) abelian squares of length 2k.
    for (hashes, squares) in [(1, 2.0), (2, 6.0), (3, 20.0), (4, 70.0), (10, 184_756.0)] {
        let pair = scheme(2, hashes, Tables::Shared).pair_probability();
        assert!(close(pair, squares / 4f64.powi(hashes as i32)), "{hashes}");
    }
    // k!/B^k, the more exactly the larger B is; B^-k with separate tables.
    let pair = scheme(1 << 31, 3, Tables::Shared).pair_probability();
    assert!((pair / (6.0 / 2f64.powi(93)) - 1.0).abs() < 1e-8);
    assert!(close(scheme(10, 3, Tables::Separate).pair_probability(), 1e-3));
    // The birthday of 23 people.
    let share = scheme(365, 1, Tables::Shared).expected_share(23);
    assert!(close(share, 1.0 - (364f64 / 365.0).powi(22)));
    for tables in BOTH {
        let one = scheme(1, 1, tables);
        assert_eq!([0, 1, 2].map(|ids| one.expected_share(ids)), [0.0, 0.0, 1.0]);
    }
    // What f64 could lose in a 1.
    let share = scheme(1 << 31, 16, Tables::Separate).expected_share(1_000_001);
    assert!(close(share, 1e6 / 2f64.powi(496)));
}

#[test]
fn what_an_id_can_have_adds_up_to_one() {
    for buckets in [1, 2, 15, 16, 100_000, 1 << 31] {
        for hashes in 1..=16 {
            for tables in BOTH {
                let scheme = scheme(buckets, hashes, tables);
                let sum: f64 = classes(&scheme).iter().map(|class| class.weight).sum();
                assert!(close(sum, 1.0), "{scheme:?}: {sum}");
            }
        }
    }
    assert_eq!(classes(&scheme(1 << 31, 16, Tables::Shared)).len(), 231);
}

/// Mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

#[test]
fn our_hashes_share_rows_as_often_as_chance() {
    // Few buckets beside the ids, so that there is much to count; a key a run, so that runs are independent.
    let shared = [(1000, 1, 300), (40, 2, 300), (12, 3, 200), (7, 4, 100), (3, 8, 60)];
    let separate = [(1000, 1, 300), (30, 2, 300), (8, 3, 200), (4, 4, 100), (2, 8, 100)];
    for (tables, cases) in BOTH.into_iter().zip([shared, separate]) {
        for (buckets, hashes, ids) in cases {
            let scheme = scheme(buckets, hashes, tables);
            let run = |seed: u128| {
                let key = HashKey::from_bytes((seed + 1).to_le_bytes());
                measure(ids, &scheme, HashKind::Siphash, &key).unwrap() as f64 / ids as f64
            };
            let (measured, error) = mean(&(0..400).map(run).collect::<Vec<_>>());
            let expected = scheme.expected_share(ids);
            // By chance beyond five standard errors: once in two million.
            assert!(
                (measured - expected).abs() < 5.0 * error,
                "{scheme:?}: {measured} ± {error}, {expected}"
            );
            assert!(error < 0.05 * expected, "{scheme:?}: nothing is measured with an error of {error}");
        }
    }
}

#[test]
fn a_large_run_of_each_hash_agrees_with_theory() {
    for kind in [HashKind::Siphash, HashKind::Sklearn, HashKind::Mmh3] {
        for (buckets, hashes) in [(50_000, 1), (300, 2)] {
            let scheme = scheme(buckets, hashes, Tables::Shared);
            let shared = measure(20_000, &scheme, kind, &HashKey::default()).unwrap() as f64;
            let expected = 20_000.0 * scheme.expected_share(20_000);
            // Ids come in company two by two or more: at most a few times the variance of independent ones.
            assert!(
                (shared - expected).abs() < 5.0 * (3.0 * expected).sqrt(),
                "{kind:?}, {scheme:?}: {shared}"
            );
        }
    }
}

#[test]
fn integers_modulo_are_counted_as_they_fall() {
    let shared = |ids, hashes| {
        measure(ids, &scheme(100, hashes, Tables::Shared), HashKind::Modulo, &HashKey::default())
    };
    assert_eq!([0, 100, 101, 199, 250].map(|ids| shared(ids, 1).unwrap()), [0, 0, 2, 198, 250]);
    assert!(matches!(shared(10, 2), Err(CollisionError::Field(_))), "modulo is one hash");
}

#[test]
fn rows_beyond_128_bits_are_told_apart_too() {
    // 2^31 buckets: four rows fit into 128 bits, five do not. With one bucket everything is one group.
    for hashes in [4, 5, 16] {
        let shared =
            measure(5000, &scheme(1 << 31, hashes, Tables::Shared), HashKind::Siphash, &HashKey::default());
        assert_eq!(shared.unwrap(), 0);
    }
    let rows = |order: [u32; 5]| {
        let slots = order.map(|row| crate::batch::Slot(row << 28)).to_vec();
        BOTH.map(|tables| measure::row_key(&scheme(1 << 31, 5, tables), &mut slots.clone()))
    };
    let (a, b) = (rows([1, 2, 3, 4, 5]), rows([5, 2, 3, 4, 1]));
    assert_eq!(a[0], b[0], "one table");
    assert_ne!(a[1], b[1], "a table each");
    assert_ne!(a[0], rows([1, 2, 3, 4, 4])[0]);
}

#[test]
fn what_cannot_be_is_refused() {
    for (buckets, hashes) in [(0, 1), (1 << 31 | 1, 1), (1, 0), (1, 17)] {
        assert!(matches!(Scheme::new(buckets, hashes, Tables::Shared), Err(CollisionError::Options(_))));
    }
    let key = HashKey::default();
    let shared = scheme(1 << 31, 2, Tables::Shared);
    let error = measure(MAX_MEASURED + 1, &shared, HashKind::Siphash, &key).unwrap_err().to_string();
    assert_eq!(error, "ids to measure: expected at most 134217728, 16 bytes each, got 134217729");
    let error = measure(2, &scheme(1 << 31, 2, Tables::Separate), HashKind::Siphash, &key).unwrap_err();
    assert!(matches!(error, CollisionError::Field(_)), "{error}");
}

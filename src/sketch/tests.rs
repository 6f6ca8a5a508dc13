//! The bounds that each summary promises.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// A 64-bit hash of a number, as good as random.
fn hash(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 29)
}

proptest! {
    #[test]
    fn heavy_counts_are_within_their_bounds(
        keys in proptest::collection::vec((0_u64..60, 1_u64..4), 1..600),
        limit in 1_usize..20,
    ) {
        let (mut heavy, mut exact, mut all) = (Heavy::new(limit), HashMap::<u64, u64>::new(), 0);
        for &(key, times) in &keys {
            // A skewed stream: half of it is a few keys.
            let key = if key < 30 { key % 4 } else { key };
            heavy.add(key, times, || key);
            *exact.entry(key).or_default() += times;
            all += times;
        }
        prop_assert!(heavy.kept().len() <= limit);
        prop_assert_eq!(heavy.kept().iter().map(|kept| kept.count).sum::<u64>(), all);
        for kept in heavy.kept() {
            let truth = exact[&kept.key];
            prop_assert_eq!(kept.value, kept.key);
            prop_assert!(kept.count >= truth && kept.count - kept.error <= truth, "{:?} {}", kept, truth);
            prop_assert!(kept.error <= all / limit as u64);
        }
        for (key, truth) in exact {
            let there = heavy.kept().iter().any(|kept| kept.key == key);
            prop_assert!(there || truth <= all / limit as u64, "{} came {} of {}", key, truth, all);
        }
    }

    #[test]
    fn heavy_goes_on_where_it_was_left(
        keys in proptest::collection::vec(0_u64..40, 1..400),
        cut in 0_usize..400,
    ) {
        let (mut whole, mut parted) = (Heavy::new(7), Heavy::new(7));
        for (at, &key) in keys.iter().enumerate() {
            if at == cut {
                parted = Heavy::restore(7, parted.turns(), parted.kept().to_vec()).unwrap();
            }
            whole.add(key, 1, || key);
            parted.add(key, 1, || key);
        }
        prop_assert_eq!(whole.kept(), parted.kept());
    }

    #[test]
    fn distinct_keys_do_not_depend_on_order_or_on_how_often_they_come(
        mut keys in proptest::collection::vec(0_u64..500, 0..800),
    ) {
        let add = |keys: &[u64]| {
            let distinct = Distinct::default();
            keys.iter().for_each(|&key| distinct.add(hash(key)));
            distinct
        };
        let there = add(&keys);
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(there.state(), add(&keys).state());
        let (estimate, truth) = (there.estimate(), keys.len() as f64);
        prop_assert!((estimate - truth).abs() <= 3.0 + 0.1 * truth, "{} for {}", estimate, truth);
    }
}

/// The stated error, as the root of the mean square over many streams; at every size, small ones too.
#[test]
fn distinct_keys_are_within_the_stated_error() {
    for truth in [10_u64, 1000, 10_000, 100_000] {
        let errors = (0..40_u64).map(|stream| {
            let distinct = Distinct::default();
            (0..truth).for_each(|key| distinct.add(hash(hash(stream) ^ key)));
            distinct.estimate() / truth as f64 - 1.0
        });
        let errors: Vec<f64> = errors.collect();
        let rms = (errors.iter().map(|error| error * error).sum::<f64>() / 40.0).sqrt();
        let mean = errors.iter().sum::<f64>() / 40.0;
        assert!(rms < 0.016 * 1.3 && mean.abs() < 0.008, "{truth}: {rms} {mean}");
    }
}

#[test]
fn states_that_are_none_are_refused() {
    assert!(Distinct::restore(&[0; 17]).is_none());
    assert!(Distinct::restore(&[60; 4096]).is_none());
    let kept = |key, count| Kept { key, count, error: 0, turn: key, value: () };
    assert!(Heavy::restore(1, 3, vec![kept(1, 1), kept(2, 1)]).is_none(), "more than its limit");
    assert!(Heavy::restore(3, 3, vec![kept(1, 1), kept(1, 1)]).is_none(), "twice the same");
    assert!(Heavy::restore(3, 2, vec![kept(1, 5), kept(2, 1)]).is_none(), "of a turn that is still to come");
}

#[test]
fn fingerprints_are_spread_evenly_and_never_none() {
    let mut counts = [0_u64; 256];
    for key in 0..255 * 2000 {
        counts[usize::from(fingerprint(hash(key)))] += 1;
    }
    assert_eq!(counts[0], 0);
    assert!(counts[1..].iter().all(|count| (1700..2300).contains(count)), "{counts:?}");
}

#[test]
fn a_sample_has_the_share_it_should_whatever_the_rhythm() {
    for step in [1, 2, 16, 64, 1000] {
        let is_taken = |number: &u64| next_sampled(number * step, 16) == number * step;
        let taken = (0..100_000).filter(is_taken).count();
        assert!((5900..6600).contains(&taken), "{step}: {taken}");
    }
    let mut number = 0;
    for block in 0..10_000 {
        number = next_sampled(number, 16) + 1;
        assert_eq!((number - 1) / 16, block, "one of each sixteen");
    }
    assert!(next_sampled(u64::MAX, 16) >= u64::MAX - 15 && next_sampled(7, 1) == 7);
}

#[test]
fn known_owners_have_a_place_each_or_are_guests_beside_it() {
    let mut known = KnownOwners::default();
    let hashes: Vec<u64> = (0..1000).map(hash).collect();
    assert!(known.are_all(&[]) && known.others(&hashes) == u64::MAX);
    hashes.iter().for_each(|&hash| known.add(hash));
    let is_at_home = |known: &KnownOwners, hash| known.others(&[hash]) == 0;
    let kept: Vec<u64> = hashes.iter().copied().filter(|&hash| is_at_home(&known, hash)).collect();
    // 1,000 in 32,768 places: about 15 share one.
    assert!((970..1000).contains(&kept.len()) && known.are_all(&kept), "{}", kept.len());
    let guests = hashes.iter().filter(|&&hash| known.is_guest(hash)).count();
    assert!(guests > 0 && kept.len() + guests == 1000, "{guests} guests");
    assert!(!known.are_all(&hashes) && !known.are_all(&[kept[0], hash(1000)]));
    let rival = kept[0] ^ 1 << 40;
    assert!(!known.is_guest(rival));
    known.add(rival);
    assert!(known.is_guest(rival) != is_at_home(&known, rival));
    let times = (1..100).find(|_| {
        known.add(rival);
        is_at_home(&known, rival)
    });
    assert!((1..=64).contains(&times.unwrap()) && known.is_guest(kept[0]) && known.are_all(&kept[1..]));
    assert_eq!(known.others(&[kept[1], kept[0], kept[2], rival, hash(1000)]), 0b10010);
}

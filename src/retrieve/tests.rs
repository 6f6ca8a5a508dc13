//! Against sorting everything.

use super::*;
use crate::kernel::Isa;
use proptest::prelude::*;

fn items(dim: usize, vectors: &[f32], bias: &[f32]) -> ItemVectors {
    let mut items = ItemVectors::new(dim).unwrap();
    vectors.chunks(dim).zip(bias).for_each(|(vector, bias)| items.push(vector, *bias).unwrap());
    items
}

/// All scores in f64, sorted, cut off: exact for the small whole numbers of these tests.
fn sorted(dim: usize, vectors: &[f32], bias: &[f32], query: &[f32]) -> Vec<(usize, f64)> {
    let dot = |x: &[f32]| x.iter().zip(query).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let scores = vectors.chunks(dim).zip(bias).map(|(vector, bias)| dot(vector) + f64::from(*bias));
    let mut all: Vec<(usize, f64)> = scores.enumerate().collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whole numbers, so that there are many ties and every sum is exact.
    #[test]
    fn the_best_are_the_first_of_all_sorted(
        dim in 1_usize..40,
        count in 0_usize..200,
        asked in 0_usize..4,
        n in 0_usize..60,
        seed in any::<u32>(),
    ) {
        let at = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9).wrapping_add(seed).wrapping_mul(0x85eb_ca6b);
        let number = |i: usize| (at(i) >> 29) as f32 - 3.0;
        let vectors: Vec<f32> = (0..count * dim).map(number).collect();
        let bias: Vec<f32> = (0..count).map(|i| number(i + 1_000_000)).collect();
        let queries: Vec<f32> = (0..asked * dim).map(|i| number(i + 2_000_000)).collect();
        let items = items(dim, &vectors, &bias);
        for isa in Isa::available() {
            let best = items.best_on(isa, &queries, n).unwrap();
            prop_assert_eq!(best.len(), asked);
            for (hits, query) in best.iter().zip(queries.chunks(dim)) {
                let mut all = sorted(dim, &vectors, &bias, query);
                all.truncate(n);
                let hits: Vec<(usize, f64)> = hits.iter().map(|hit| (hit.index, f64::from(hit.score))).collect();
                prop_assert_eq!(&hits, &all, "{}", isa.name());
            }
        }
    }

    /// Any scores in any order, ties, both zeros and NaN among them.
    #[test]
    fn what_is_kept_does_not_depend_on_the_order(
        scores in prop::collection::vec(prop_oneof![
            Just(0.0_f32), Just(-0.0), Just(1.0), Just(f32::NAN), Just(f32::MIN), -2.0_f32..2.0,
        ], 0..100),
        n in 0_usize..40,
        rotation in any::<prop::sample::Index>(),
    ) {
        let mut expected: Vec<(usize, f32)> =
            scores.iter().copied().enumerate().filter(|item| !item.1.is_nan()).collect();
        expected.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
        expected.truncate(n);
        let hits = |top: TopN| top.into_hits().map(|hit| (hit.index, hit.score)).collect::<Vec<_>>();
        let mut together = TopN::new(n);
        together.offer_all(0, &scores);
        prop_assert_eq!(&hits(together), &expected);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.rotate_left(if scores.is_empty() { 0 } else { rotation.index(scores.len()) });
        let mut one_by_one = TopN::new(n);
        order.into_iter().rev().for_each(|index| one_by_one.offer(index, scores[index]));
        prop_assert_eq!(&hits(one_by_one), &expected);
    }
}

#[test]
fn more_items_than_a_block_and_several_queries_are_as_one_query_at_a_time() {
    let (dim, count) = (20, 5000);
    let number = |i: usize| ((i as f32 * 0.618).sin() * 1e3).sin();
    let vectors: Vec<f32> = (0..dim * count).map(number).collect();
    let bias: Vec<f32> = (0..count).map(|i| number(i + 7)).collect();
    let queries: Vec<f32> = (0..dim * 5).map(|i| number(i + 99)).collect();
    let items = items(dim, &vectors, &bias);
    let bits = |hits: &[Hit]| hits.iter().map(|hit| (hit.index, hit.score.to_bits())).collect::<Vec<_>>();
    let together = items.best(&queries, 100).unwrap();
    for (hits, query) in together.iter().zip(queries.chunks(dim)) {
        let exact = sorted(dim, &vectors, &bias, query);
        for isa in Isa::available() {
            assert_eq!(bits(hits), bits(&items.best_on(isa, query, 100).unwrap()[0]), "{}", isa.name());
        }
        // No two scores are as close as the rounding of f32.
        assert!(exact.windows(2).take(100).all(|pair| pair[0].1 - pair[1].1 > 1e-6));
        let places: Vec<usize> = exact.iter().take(100).map(|item| item.0).collect();
        assert_eq!(hits.iter().map(|hit| hit.index).collect::<Vec<_>>(), places);
    }
}

#[test]
fn what_cannot_be_searched_is_refused() {
    assert_eq!(ItemVectors::new(0).unwrap_err(), RetrieveError::NoDim);
    let mut items = ItemVectors::new(3).unwrap();
    let length = |what, got| RetrieveError::Length { what, expected: 3, got };
    assert_eq!(items.push(&[1.0; 4], 0.0), Err(length("item", 4)));
    assert!(matches!(
        items.push(&[1.0, f32::NAN, 1.0], 0.0),
        Err(RetrieveError::NotFinite { what: "item", .. })
    ));
    let infinite = RetrieveError::NotFinite { what: "bias", got: f32::INFINITY };
    assert_eq!(items.push(&[1.0; 3], f32::INFINITY), Err(infinite));
    assert!(items.is_empty());
    assert_eq!(items.best(&[1.0; 6], 5).unwrap(), [vec![], vec![]], "no items");
    items.push(&[f32::MAX, f32::MAX, 0.0], 0.0).unwrap();
    assert_eq!((items.len(), items.dim()), (1, 3));
    assert_eq!(items.best(&[1.0; 4], 5), Err(length("queries", 4)));
    assert!(matches!(items.best(&[f32::NAN; 3], 5), Err(RetrieveError::NotFinite { what: "queries", .. })));
    let overflows = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
    assert_eq!(items.best(&overflows, 5), Err(RetrieveError::Overflow { query: 1 }));
    assert_eq!(items.best(&[], 5).unwrap(), Vec::<Vec<Hit>>::new());
}

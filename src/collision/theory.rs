//! The formulas of the [module](super), partition by partition.

use super::{Scheme, Tables};

/// The multisets of rows with one set of multiplicities.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    /// The probability that an id has any of them: N·q.
    pub(super) weight: f64,
    /// The probability that an id has one given one of them: q.
    pub(super) each: f64,
}

pub(super) fn pair_probability(scheme: &Scheme) -> f64 {
    classes(scheme).iter().map(|class| class.weight * class.each).sum()
}

pub(super) fn expected_share(scheme: &Scheme, ids: u64) -> f64 {
    if ids < 2 {
        return 0.0;
    }
    let others = (ids - 1) as f64;
    // 1 − (1 − q)^(n−1), without losing a small q in the 1.
    let met = |each: f64| -libm::expm1(others * libm::log1p(-each));
    classes(scheme).iter().map(|class| class.weight * met(class.each)).sum()
}

/// Every class once; their weights add up to 1. No value leaves f64: 2^31 buckets and 16 hashes make B^k = 2^496.
pub(super) fn classes(scheme: &Scheme) -> Vec<Class> {
    let tuples = power(f64::from(scheme.buckets), scheme.hashes);
    if scheme.tables == Tables::Separate {
        return vec![Class { weight: 1.0, each: 1.0 / tuples }];
    }
    let mut classes = Vec::new();
    for_each_partition(scheme.hashes, scheme.hashes, &mut Vec::new(), &mut |parts| {
        if parts.len() > scheme.buckets as usize {
            return; // more different rows than there are
        }
        let orders = factorial(scheme.hashes) / parts.iter().map(|&part| factorial(part)).product::<f64>();
        let each = orders / tuples;
        classes.push(Class { weight: count(scheme.buckets, parts) * each, each });
    });
    classes
}

/// How many multisets of `buckets` rows have the multiplicities `parts`, no more than there are buckets: rows for the parts, one after the other, of which
/// those of equal parts can be exchanged.
fn count(buckets: u32, parts: &[u32]) -> f64 {
    let rows = (0..).zip(parts).map(|(taken, _)| f64::from(buckets - taken));
    // Parts descend, so equal ones are neighbours.
    let exchanges = parts.chunk_by(|a, b| a == b).map(|equal| factorial(equal.len() as u32));
    rows.product::<f64>() / exchanges.product::<f64>()
}

/// Calls `visit` with each way to write `rest` as a sum of parts from `largest` down, behind those in `parts`.
fn for_each_partition(rest: u32, largest: u32, parts: &mut Vec<u32>, visit: &mut dyn FnMut(&[u32])) {
    if rest == 0 {
        return visit(parts);
    }
    for part in (1..=largest.min(rest)).rev() {
        parts.push(part);
        for_each_partition(rest - part, part, parts, visit);
        parts.pop();
    }
}

/// Exact: 16! is below 2^53.
fn factorial(n: u32) -> f64 {
    (1..=n).map(f64::from).product()
}

/// By multiplication, so that every system has the same bits.
fn power(base: f64, exponent: u32) -> f64 {
    (0..exponent).map(|_| base).product()
}

/// Of `balls` thrown into `bins`, both counts, the share that fell into a bin where another was first: 1 − the expected number
/// of bins that are not empty, B·(1 − (1 − 1/B)^n), by n.
pub(super) fn displaced(balls: f64, bins: f64) -> f64 {
    if balls <= 1.0 || bins < 1.0 {
        return 0.0;
    }
    if bins == 1.0 {
        return 1.0 - 1.0 / balls;
    }
    let taken = -bins * libm::expm1(balls * libm::log1p(-1.0 / bins));
    (1.0 - taken / balls).max(0.0)
}

//! Joining rows that several learners moved apart.
//!
//! A learner works on a copy of a row as it was *before*, makes of it what comes *after*, and joins that with the row as it
//! is *now*, others having learned meanwhile. Gradient steps add up. A Gaussian belief (a weight with a precision) is
//! joined in its natural parameters, where evidence adds up: precision P, and P·w. For records that are independent given the
//! weights that is exact (cf. expectation propagation over parts of the data: Gelman et al. 2017).

/// now += after − before, float by float; what would not be finite stays as it is.
#[inline]
pub(super) fn add_differences(now: &mut [f32], before: &[f32], after: &[f32]) {
    for ((now, before), after) in now.iter_mut().zip(before).zip(after) {
        *now = difference(*now, *before, *after);
    }
}

/// now + (after − before), or `now` if that is not finite.
#[inline]
pub(super) fn difference(now: f32, before: f32, after: f32) -> f32 {
    // Where nobody else moved it, the result is `after` to the bit.
    let moved = if now == before { after } else { now + (after - before) };
    if moved.is_finite() { moved } else { now }
}

/// A mean and its precision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Belief {
    pub(super) mean: f32,
    pub(super) precision: f32,
}

/// The belief that holds the evidence of `now` and what `after` has beyond `before`; its precision is given.
#[inline]
pub(super) fn mean_of(now: Belief, before: Belief, after: Belief, precision: f32) -> f32 {
    let evidence = now.mean * now.precision + (after.mean * after.precision - before.mean * before.precision);
    let mean = evidence / precision;
    if mean.is_finite() { mean } else { now.mean }
}

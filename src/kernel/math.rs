//! Functions of the exact arithmetic: the same bits on every system, whatever its mathematics library.

/// e^x lane by lane: range reduction by ln 2 in two parts and the degree-5 polynomial of Cephes' `expf` (Moshier
/// 1989), relative error below 2e-7. Inputs beyond ±87 saturate; NaN gives a finite value.
#[inline(always)]
#[expect(clippy::manual_clamp, reason = "clamp keeps NaN, this order of max and min gives a bound")]
pub fn exp<const N: usize>(x: [f32; N]) -> [f32; N] {
    // Adding 1.5·2^23 rounds to an integer and leaves it in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let mut out = [0.0; N];
    for (out, x) in out.iter_mut().zip(x) {
        let x = x.max(-87.0).min(87.0);
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = x - n * LN2_HIGH - n * LN2_LOW;
        let mut p = 1.987_569_2e-4;
        p = p * r + 1.398_199_9e-3;
        p = p * r + 8.333_452e-3;
        p = p * r + 4.166_579_6e-2;
        p = p * r + 1.666_666_5e-1;
        p = p * r + 5.000_000_3e-1;
        let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
        *out = (p * r * r + r + 1.0) * power;
    }
    out
}

/// 1 / (1 + e^−x) lane by lane, in [1e-38, 1].
#[inline(always)]
pub fn sigmoid<const N: usize>(x: [f32; N]) -> [f32; N] {
    let mut out = exp(x.map(|x| -x));
    for p in &mut out {
        *p = 1.0 / (1.0 + *p);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_and_saturates() {
        for i in -8700..=8700 {
            let x = i as f32 / 100.0;
            let [y] = exp([x]);
            let exact = f64::from(x).exp();
            assert!((f64::from(y) / exact - 1.0).abs() < 2.5e-7, "exp({x}) = {y}, expected {exact}");
        }
        for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN] {
            assert!(exp([x])[0].is_finite());
        }
    }

    #[test]
    fn lanes_do_not_depend_on_their_number() {
        let xs: [f32; 8] = std::array::from_fn(|i| i as f32 * 1.37 - 4.0);
        for (i, x) in xs.into_iter().enumerate() {
            assert_eq!(sigmoid(xs)[i].to_bits(), sigmoid([x])[0].to_bits());
        }
    }
}

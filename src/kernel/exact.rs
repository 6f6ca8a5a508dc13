//! e^x, ln x and ln(1 + x) in f64 lanes: the bits of the crate libm's functions, without their branches.
//!
//! The algorithms are those of FreeBSD's msun (as libm has them), every branch a choice between results. Figures and stored
//! models depend on these bits, so the tests hold them against libm itself.

const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
const INVERSE_LN2: f64 = std::f64::consts::LOG2_E;

/// e^x for −700 ≤ x ≤ 700, as `libm::exp`.
#[inline(always)]
pub fn exp_f64<const N: usize>(x: [f64; N]) -> [f64; N] {
    const P: [f64; 5] = [
        1.666_666_666_666_660_2e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    let mut out = [0.0; N];
    for (out, x) in out.iter_mut().zip(x) {
        let high = (x.to_bits() >> 32) as u32 & 0x7fff_ffff;
        let half = 0.5_f64.copysign(x);
        let one = if high > 0x3fd6_2e42 { 1.0_f64.copysign(x) } else { 0.0 };
        let k = if high >= 0x3ff0_a2b2 { (INVERSE_LN2 * x + half) as i32 } else { one as i32 };
        let n = f64::from(k);
        let (hi, lo) = (x - n * LN2_HIGH, n * LN2_LOW);
        let r = hi - lo;
        let rr = r * r;
        let c = r - rr * (P[0] + rr * (P[1] + rr * (P[2] + rr * (P[3] + rr * P[4]))));
        let y = 1.0 + (r * c / (2.0 - c) - lo + hi);
        let power = f64::from_bits(((k + 1023) as u64) << 52);
        *out = if high > 0x3e30_0000 { y * power } else { 1.0 + x };
    }
    out
}

/// ln x for normal x > 0, as `libm::log`.
#[inline(always)]
pub fn ln_f64<const N: usize>(x: [f64; N]) -> [f64; N] {
    let mut out = [0.0; N];
    for (out, x) in out.iter_mut().zip(x) {
        let (k, f) = reduce(x);
        *out = series(f, k, 0.0);
    }
    out
}

/// ln(1 + x) for −1 < x ≤ −2^−52, as `libm::log1p`.
#[inline(always)]
pub fn ln_1p_f64<const N: usize>(x: [f64; N]) -> [f64; N] {
    let mut out = [0.0; N];
    for (out, x) in out.iter_mut().zip(x) {
        let near = (x.to_bits() >> 32) as u32 <= 0xbfd2_bec4;
        let u = 1.0 + x;
        let (k, f) = reduce(u);
        let c = (x - (u - 1.0)) / u;
        *out = if near { series(x, 0.0, 0.0) } else { series(f, k, c) };
    }
    out
}

/// x = 2^k·(1 + f) with 1 + f between √½ and √2.
#[inline(always)]
fn reduce(x: f64) -> (f64, f64) {
    const ROOT_HALF: u64 = 0x3fe6_a09e;
    let bits = x.to_bits();
    let high = (bits >> 32) + (0x3ff0_0000 - ROOT_HALF);
    let k = (high >> 20) as i32 - 0x3ff;
    let mantissa = (high & 0x000f_ffff) + ROOT_HALF;
    (f64::from(k), f64::from_bits(mantissa << 32 | bits & 0xffff_ffff) - 1.0)
}

/// ln(2^k·(1 + f)) + c.
#[inline(always)]
fn series(f: f64, k: f64, c: f64) -> f64 {
    const G: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    let half = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (G[1] + w * (G[3] + w * G[5]));
    let odd = z * (G[0] + w * (G[2] + w * (G[4] + w * G[6])));
    s * (half + (odd + even)) + (k * LN2_LOW + c) - half + f + k * LN2_HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Isa;

    /// Evenly spread bits, the whole range of exponents included, mapped into `range` by `map`.
    fn spread(map: impl Fn(f64) -> f64) -> impl Iterator<Item = [f64; 8]> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        std::iter::repeat_with(move || std::array::from_fn(|_| map(next()))).take(40_000)
    }

    fn same(name: &str, xs: [f64; 8], ours: [f64; 8], theirs: fn(f64) -> f64) {
        for (x, y) in xs.into_iter().zip(ours) {
            assert_eq!(y.to_bits(), theirs(x).to_bits(), "{name}({x:e}): {y:e} beside {:e}", theirs(x));
        }
    }

    #[test]
    fn exponentials_are_those_of_libm_to_the_bit() {
        let edges = [0.0, -0.0, 1e-9, -1e-9, 0.346_573_590_279, -0.35, 1.039_720_77, -1.04];
        let far = [700.0, -700.0, 30.0, -30.0, 3.725e-9, -3.726e-9, 1e-300, 0.5];
        for isa in Isa::available() {
            let wide = spread(|u| (u - 0.5) * 1400.0);
            let near = spread(|u| (u - 0.5) * 60.0);
            let tiny = spread(|u| (u - 0.5) * 2.0_f64.powf(-60.0 * u));
            for xs in [edges, far].into_iter().chain(wide).chain(near).chain(tiny) {
                same("exp", xs, isa.run(|| exp_f64(xs)), libm::exp);
            }
        }
    }

    #[test]
    fn logarithms_are_those_of_libm_to_the_bit() {
        let edges = [1e-15, 1.0 - 1e-15, 0.5, 0.25, 0.707_2, 0.292_893_2, 0.292_893_3, 0.9];
        for isa in Isa::available() {
            let shares = spread(|u| u.clamp(1e-15, 1.0 - 1e-15));
            let small = spread(|u| 2.0_f64.powf(-49.0 * u).clamp(1e-15, 1.0 - 1e-15));
            for xs in [edges].into_iter().chain(shares).chain(small) {
                same("log", xs, isa.run(|| ln_f64(xs)), libm::log);
                let below = xs.map(|x| -x);
                same("log1p", below, isa.run(|| ln_1p_f64(below)), libm::log1p);
                let above = xs.map(|x| x - 1.0);
                same("log1p", above, isa.run(|| ln_1p_f64(above)), libm::log1p);
            }
        }
    }
}

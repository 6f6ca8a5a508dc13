//! Numeric features on a common scale, learned as they come.
//!
//! A number may be 1e-6 or 1e9, centred or not, dense or rare, clean or full of outliers; a learner with one set of
//! rates needs it near ±1. Each numeric feature keeps four floats beside its row: how often it was seen, mean,
//! standard deviation, and how far to centre it. An absent feature counts as 0, so only a column that is always
//! present is centred on its mean; a rare one (a word count) stays sparse. Values enter the statistics clipped to 30
//! root mean squares, and the standardized value is clipped to ±5, so that one wild record changes little.

use super::{Input, Number};

/// Floats of the side column.
pub const SIDE: usize = 4;

const CLIP: f32 = 5.0;
const WINSOR: f64 = 30.0;
/// Counts stop at 2^23: the statistics then forget at that rate, and f32 still counts by one.
const COUNT_MAX: f32 = 8_388_608.0;

/// Running statistics of one numeric feature.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Standardizer {
    count: f32,
    mean: f32,
    deviation: f32,
    centre: f32,
}

impl Standardizer {
    /// From a side column; a missing float counts as 0.
    #[inline]
    pub fn load(side: &[f32]) -> Self {
        match *side {
            [count, mean, deviation, centre] => Self { count, mean, deviation, centre },
            _ => Self::default(),
        }
    }

    /// Into a side column.
    #[inline]
    pub fn store(&self, side: &mut [f32]) {
        if let [count, mean, deviation, centre] = side {
            (*count, *mean, *deviation, *centre) = (self.count, self.mean, self.deviation, self.centre);
        }
    }

    /// Takes `value` into the statistics and returns it standardized, in ±5. `examples`: records so far, this one
    /// included.
    #[inline]
    pub fn see(&mut self, value: f32, examples: f64) -> f32 {
        let value = f64::from(value);
        let (mean, deviation) = (f64::from(self.mean), f64::from(self.deviation));
        let rms = self.square().sqrt();
        let known = self.count > 0.0 && rms > 0.0;
        let clipped = if known { value.clamp(-WINSOR * rms, WINSOR * rms) } else { value };
        self.count = (self.count + 1.0).min(COUNT_MAX);
        let k = 1.0 / f64::from(self.count);
        let from_mean = clipped - mean;
        let mean = mean + from_mean * k;
        let variance = (deviation * deviation * (1.0 - k) + from_mean * (clipped - mean) * k).max(0.0);
        self.mean = saturate(mean);
        self.deviation = saturate(variance.sqrt());
        self.set_centre(examples);
        standardized(value, mean, variance, f64::from(self.centre))
    }

    /// Joins statistics gathered apart: counts, sums and sums of squares add up. `now` is what others left, `after` what
    /// this learner made of `before`.
    pub fn merge(now: &mut [f32], before: &[f32], after: &[f32]) {
        if *now == *before {
            now.copy_from_slice(after);
            return;
        }
        let (mut old, before, after) = (Self::load(now), Self::load(before), Self::load(after));
        let count = f64::from(old.count) + (f64::from(after.count) - f64::from(before.count));
        if count >= 1.0 {
            let joined = |moment: fn(&Self) -> f64| {
                let sum = |seen: &Self| f64::from(seen.count) * moment(seen);
                (sum(&old) + (sum(&after) - sum(&before))) / count
            };
            let (mean, square) = (joined(|s| f64::from(s.mean)), joined(Self::square));
            old.mean = saturate(mean);
            old.deviation = saturate((square - mean * mean).max(0.0).sqrt());
            old.count = count.min(f64::from(COUNT_MAX)) as f32;
            old.centre = after.centre;
        }
        old.store(now);
    }

    fn square(&self) -> f64 {
        let (mean, deviation) = (f64::from(self.mean), f64::from(self.deviation));
        mean * mean + deviation * deviation
    }

    /// (share of records that hold the feature)^16: near 1 for a dense column, near 0 for any other.
    #[inline]
    fn set_centre(&mut self, examples: f64) {
        if examples <= f64::from(COUNT_MAX) {
            let share = (f64::from(self.count) / examples.max(1.0)).min(1.0);
            let squared = share * share;
            let fourth = squared * squared;
            let eighth = fourth * fourth;
            self.centre = (eighth * eighth) as f32;
        }
    }
}

/// Numbers that are standardized side by side.
const WIDE: usize = 8;

/// Lets the statistics of each number see its value, and standardizes it: what [`Standardizer::see`] does, for many
/// numbers at once.
#[inline(always)]
pub(super) fn standardize(numbers: &mut [Number], examples: f64) {
    let mut chunks = numbers.chunks_exact_mut(WIDE);
    for chunk in &mut chunks {
        see_wide::<WIDE>(chunk, examples);
    }
    match chunks.into_remainder() {
        few @ ([] | [_]) => {
            for number in few {
                let mut seen = Standardizer::load(&number.side);
                number.input = Input::plain(seen.see(number.value, examples));
                seen.store(&mut number.side);
            }
        }
        some if some.len() <= WIDE / 2 => see_wide::<{ WIDE / 2 }>(some, examples),
        many => see_wide::<WIDE>(many, examples),
    }
}

/// [`Standardizer::see`] for up to `N` numbers, with choices in place of branches.
#[inline(always)]
fn see_wide<const N: usize>(numbers: &mut [Number], examples: f64) {
    let mut padded = [Number::new(0.0, [0.0; SIDE]); N];
    for (place, number) in padded.iter_mut().zip(numbers.iter()) {
        *place = *number;
    }
    let value: [f64; N] = std::array::from_fn(|i| f64::from(padded[i].value));
    let count: [f32; N] = std::array::from_fn(|i| padded[i].side[0]);
    let mean: [f64; N] = std::array::from_fn(|i| f64::from(padded[i].side[1]));
    let deviation: [f64; N] = std::array::from_fn(|i| f64::from(padded[i].side[2]));
    let mut centre: [f32; N] = std::array::from_fn(|i| padded[i].side[3]);
    let mut out = [[0.0_f32; N]; 4];
    let fades = examples <= f64::from(COUNT_MAX);
    let total = examples.max(1.0);
    let clipped = clipped(&value, &count, &mean, &deviation);
    for i in 0..N {
        let (value, mean, deviation) = (value[i], mean[i], deviation[i]);
        let clipped = clipped[i];
        let more = count[i] + 1.0;
        let more = if more < COUNT_MAX { more } else { COUNT_MAX };
        let k = 1.0 / f64::from(more);
        let from_mean = clipped - mean;
        let mean = mean + from_mean * k;
        let variance = deviation * deviation * (1.0 - k) + from_mean * (clipped - mean) * k;
        let variance = if variance > 0.0 { variance } else { 0.0 };
        let share = f64::from(more) / total;
        let share = if share < 1.0 { share } else { 1.0 };
        let squared = share * share;
        let fourth = squared * squared;
        let eighth = fourth * fourth;
        centre[i] = if fades { (eighth * eighth) as f32 } else { centre[i] };
        let middle = mean * f64::from(centre[i]);
        let off = mean - middle;
        let (spread, floor) = ((variance + off * off).sqrt(), 1e-6 * mean.abs());
        let spread = if spread > floor { spread } else { floor };
        let x = (((value - middle) / spread) as f32).clamp(-CLIP, CLIP);
        out[0][i] = more;
        out[1][i] = saturate(mean);
        out[2][i] = saturate(variance.sqrt());
        out[3][i] = if spread > 0.0 { x } else { 0.0 };
    }
    for (i, number) in numbers.iter_mut().enumerate().take(N) {
        number.side = [out[0][i], out[1][i], out[2][i], centre[i]];
        number.input = Input::plain(out[3][i]);
    }
}

/// Values within [`WINSOR`] root mean squares, where those are known. Most records' are well within: squares tell so
/// without a root.
#[inline(always)]
fn clipped<const N: usize>(
    value: &[f64; N],
    count: &[f32; N],
    mean: &[f64; N],
    deviation: &[f64; N],
) -> [f64; N] {
    let squares: [f64; N] = std::array::from_fn(|i| mean[i] * mean[i] + deviation[i] * deviation[i]);
    let calm = |i: usize| value[i] * value[i] <= 0.9 * WINSOR * WINSOR * squares[i];
    if (0..N).fold(true, |all, i| all & calm(i)) {
        return *value;
    }
    std::array::from_fn(|i| {
        let (value, rms) = (value[i], squares[i].sqrt());
        let least = if value < -WINSOR * rms { -WINSOR * rms } else { value };
        let within = if least > WINSOR * rms { WINSOR * rms } else { least };
        if count[i] > 0.0 && rms > 0.0 { within } else { value }
    })
}

#[inline(always)]
fn standardized(value: f64, mean: f64, variance: f64, centre: f64) -> f32 {
    let middle = mean * centre;
    let off = mean - middle;
    let spread = (variance + off * off).sqrt().max(1e-6 * mean.abs());
    if spread > 0.0 { (((value - middle) / spread) as f32).clamp(-CLIP, CLIP) } else { 0.0 }
}

#[inline(always)]
fn saturate(x: f64) -> f32 {
    x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_scale_and_offset_ends_near_one() {
        for (scale, offset) in [(1e-6, 0.0), (1e9, 0.0), (1.0, 1e5), (1e-3, -7.0)] {
            let mut seen = Standardizer::default();
            let values = (1..=2000).map(|i| f64::from(i * 7919 % 2000) / 1000.0 - 1.0);
            let last: Vec<f32> = values
                .enumerate()
                .map(|(i, v)| seen.see((v * scale + offset) as f32, i as f64 + 1.0))
                .collect();
            let squares: f32 = last[1000..].iter().map(|x| x * x).sum();
            assert!((0.5..2.0).contains(&(squares / 1000.0)), "scale {scale}, offset {offset}: {squares}");
        }
    }

    #[test]
    fn statistics_gathered_apart_join_to_those_of_all() {
        let values = |from: u32| (from..from + 500).map(|i| (i * 7919 % 1000) as f32 / 10.0 + 3.0);
        let learn = |seen: &mut Standardizer, from| values(from).for_each(|v| _ = seen.see(v, 1e3));
        let side = |seen: Standardizer| {
            let mut side = [0.0; SIDE];
            seen.store(&mut side);
            side
        };
        let mut start = Standardizer::default();
        learn(&mut start, 0);
        let (mut one, mut other, mut all) = (start, start, start);
        learn(&mut one, 500);
        learn(&mut other, 1000);
        learn(&mut all, 500);
        learn(&mut all, 1000);
        let mut joined = side(one);
        Standardizer::merge(&mut joined, &side(start), &side(other));
        for (joined, all) in joined.iter().zip(side(all)) {
            assert!((joined - all).abs() <= 1e-3 * all.abs(), "{joined} beside {all}");
        }
    }

    #[test]
    fn extreme_values_stay_finite() {
        let mut seen = Standardizer::default();
        let extremes = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -1e-45, 1.0, f32::MAX, f32::MAX];
        for (i, value) in extremes.iter().cycle().take(1000).enumerate() {
            assert!(seen.see(*value, i as f64 + 1.0).abs() <= CLIP);
            let mut side = [0.0; SIDE];
            seen.store(&mut side);
            assert!(side.iter().all(|x| x.is_finite()), "{side:?}");
            assert_eq!(Standardizer::load(&side), seen);
        }
    }

    #[test]
    fn side_by_side_is_one_by_one_to_the_bit() {
        let random = |i: u32| f32::from_bits(i.wrapping_mul(2_654_435_761).rotate_left(7));
        let tame = |i: u32| if i.is_multiple_of(3) { (i % 17) as f32 * 1e-3 } else { random(i) };
        for isa in crate::kernel::Isa::available() {
            for count in 0..=2 * WIDE + 3 {
                let mut numbers = vec![Number::new(0.0, [0.0; SIDE]); count];
                let mut alone = vec![Standardizer::default(); count];
                for record in 0..300 {
                    let examples = if record < 250 { f64::from(record) + 1.0 } else { 1e7 };
                    let values = (0..count as u32)
                        .map(|i| tame(record * 31 + i))
                        .map(|value| if value.is_finite() { value } else { -0.0 });
                    numbers.iter_mut().zip(values).for_each(|(number, value)| number.value = value);
                    isa.run(|| standardize(&mut numbers, examples));
                    for (number, alone) in numbers.iter().zip(&mut alone) {
                        let x = alone.see(number.value, examples);
                        let mut side = [0.0; SIDE];
                        alone.store(&mut side);
                        assert_eq!(side.map(f32::to_bits), number.side.map(f32::to_bits));
                        assert_eq!(x.to_bits(), number.input.x.to_bits());
                    }
                }
            }
        }
    }
}

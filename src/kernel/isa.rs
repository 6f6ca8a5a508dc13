//! Which instruction set the kernels run on, found at run time.
//!
//! A release binary is built for the plain processor of its architecture and carries each hot loop several times. An [`Isa`]
//! is proof that this processor has the instructions: only [`Isa::available`] makes one. All give the same bits, so the
//! choice is about time only; `FLEXIHASH_ISA=scalar|avx2|avx512` lowers it, for tests and comparisons.

use std::sync::OnceLock;

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Level);

/// What a kernel with a body of its own per instruction set matches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// What every processor of this architecture has (on x86-64: SSE2).
    pub const SCALAR: Self = Self(Level::Scalar);

    /// Those that this processor has, from the plainest to the widest.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let all = {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            [(true, Level::Scalar), (avx2, Level::Avx2), (avx512, Level::Avx512)]
        };
        #[cfg(not(target_arch = "x86_64"))]
        let all = [(true, Level::Scalar)];
        all.into_iter().filter_map(|(has, level)| has.then_some(Self(level)))
    }

    /// The widest that this processor has, or what `FLEXIHASH_ISA` asks for if it has that. Looked up once, and logged.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let asked = std::env::var("FLEXIHASH_ISA").ok();
            let widest = Self::available().last().unwrap_or(Self::SCALAR);
            let found = asked.as_deref().and_then(|name| Self::available().find(|isa| isa.name() == name));
            if let (Some(asked), None) = (&asked, found) {
                tracing::warn!(%asked, "FLEXIHASH_ISA: not an instruction set that this processor has");
            }
            let isa = found.unwrap_or(widest);
            tracing::debug!(isa = isa.name(), "instruction set");
            isa
        })
    }

    pub(super) fn level(self) -> Level {
        self.0
    }

    /// Its name, as `FLEXIHASH_ISA` takes it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    /// Runs `work` compiled for this instruction set: what is inlined into the closure (mark it `#[inline(always)]`) is
    /// vectorized as wide as the set allows. Call it once a batch, not once a row: the call itself cannot be inlined. Results
    /// are those of plain code, bit for bit: no multiplication and addition are fused, nothing is reassociated.
    #[inline]
    pub fn run<T>(self, work: impl FnOnce() -> T) -> T {
        match self.0 {
            Level::Scalar => work(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this level is only made where the processor has these features.
            Level::Avx2 => unsafe { with_avx2(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { with_avx512(work) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn with_avx2<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
fn with_avx512<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_sets_are_found_by_name_from_plain_to_wide() {
        let all: Vec<Isa> = Isa::available().collect();
        assert_eq!(all.first(), Some(&Isa::SCALAR));
        assert!(all.is_sorted());
        assert!(all.contains(&Isa::best()));
    }

    #[test]
    fn work_gives_the_same_bits_on_each() {
        let x: Vec<f32> = (0..1003).map(|i| (i as f32 * 0.37).sin()).collect();
        let work = || x.iter().fold([0.0f32; 4], |sum, x| sum.map(|s| s * 0.99 + x * x));
        for isa in Isa::available() {
            assert_eq!(isa.run(work).map(f32::to_bits), work().map(f32::to_bits), "{}", isa.name());
        }
    }
}

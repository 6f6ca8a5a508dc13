//! The one place where options choose types.

use super::arm::{Arm, TypedArm};
use super::{HeadKind, LearnerError, LearnerOptions, Learning};
use crate::model::{BilinearMixture, Head, Mixture, PlainHead};
use crate::optim::{Bilinear, Factors, Lanes, Plain, RowRule};

/// A learner of one task for `options`.
pub(super) fn arm(options: &LearnerOptions) -> Result<Box<dyn Arm>, LearnerError> {
    let loss = options.loss;
    match (options.head, options.learning) {
        (HeadKind::Linear, Learning::Auto) => typed(options, Lanes, Mixture::new(loss)),
        (HeadKind::Linear, Learning::Given(given)) => {
            typed(options, Plain::new(given), PlainHead::new(loss, given))
        }
        (HeadKind::Fm, Learning::Auto) => match options.dim {
            4 => bilinear::<4>(options),
            8 => bilinear::<8>(options),
            16 => bilinear::<16>(options),
            32 => bilinear::<32>(options),
            got => Err(LearnerError::Dim { expected: "4, 8, 16 or 32 with --learning-rate auto", got }),
        },
        (HeadKind::Fm, Learning::Given(given)) => match options.dim {
            dim @ 1..=1024 => typed(options, Factors::new(given, dim), PlainHead::new(loss, given)),
            got => Err(LearnerError::Dim { expected: "1 to 1024", got }),
        },
    }
}

fn bilinear<const K: usize>(options: &LearnerOptions) -> Result<Box<dyn Arm>, LearnerError> {
    typed(options, Bilinear::<K>, BilinearMixture::<K>::new(options.loss))
}

fn typed<R, H>(options: &LearnerOptions, rule: R, head: H) -> Result<Box<dyn Arm>, LearnerError>
where
    R: RowRule + Clone + 'static,
    H: Head<Sums = R::Sums, Step = R::Step> + Clone + 'static,
{
    Ok(Box::new(TypedArm::new(rule, head, options.buckets, options.seed)?))
}

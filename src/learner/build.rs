//! The one place where options choose types.

use super::arm::{Arm, TypedArm};
use super::{HeadKind, LearnerError, LearnerOptions, Learning};
use crate::model::{BilinearMixture, Head, Mixture, PlainHead};
use crate::optim::{
    Adagrad, Adam, Bilinear, Factors, Ftrl, Lanes, Optimizer, OptimizerKind, OptimizerOptions, Plain,
    RowRule, Sgd,
};

/// A learner of one task for `options`.
pub(super) fn arm(options: &LearnerOptions) -> Result<Box<dyn Arm>, LearnerError> {
    let loss = options.loss;
    match (options.head, options.learning) {
        (HeadKind::Linear, Learning::Auto) => typed(options, Lanes, Mixture::new(loss)),
        (HeadKind::Fm, Learning::Auto) => match options.dim {
            4 => bilinear::<4>(options),
            8 => bilinear::<8>(options),
            16 => bilinear::<16>(options),
            32 => bilinear::<32>(options),
            got => Err(LearnerError::Dim { expected: "4, 8, 16 or 32 with --learning-rate auto", got }),
        },
        (_, Learning::Given(with)) => match with.kind {
            OptimizerKind::Sgd => given(options, with, Sgd(with)),
            OptimizerKind::Adagrad => given(options, with, Adagrad(with)),
            OptimizerKind::Ftrl => given(options, with, Ftrl(with)),
            OptimizerKind::Adam => given(options, with, Adam(with)),
        },
    }
}

fn given<O: Optimizer<N>, const N: usize>(
    options: &LearnerOptions,
    given: OptimizerOptions,
    optimizer: O,
) -> Result<Box<dyn Arm>, LearnerError> {
    let loss = options.loss;
    match (options.head, options.dim) {
        (HeadKind::Linear, _) => typed(options, Plain::new(optimizer), PlainHead::new(loss, given)),
        (HeadKind::Fm, dim @ 1..=1024) => {
            typed(options, Factors::new(optimizer, dim), PlainHead::new(loss, given))
        }
        (HeadKind::Fm, got) => Err(LearnerError::Dim { expected: "1 to 1024", got }),
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

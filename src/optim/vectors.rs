//! Vectors under a given optimizer: as many weights as there are dimensions, each moved by a gradient of its own.
//!
//! The rows that a network looks up are such vectors, and so are its dense parameters. The layout is by columns, `[floats, dim]`:
//! the first floats of all weights (FTRL's z), then the second floats of all, and so on; so the weights of most optimizers lie
//! side by side, as they are summed.

use super::plain::{Adagrad, Adam, Ftrl, Optimizer, Sgd};
use super::{Init, OptimizerKind, OptimizerOptions};
#[cfg(feature = "cuda")]
use crate::kernel::cuda::{FtrlConstants, Move, Weights};

/// How vectors are laid out, `[floats, dim]`, and how they move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vectors {
    options: OptimizerOptions,
}

/// Runs `$body` with the optimizer that `$options` ask for.
macro_rules! with_optimizer {
    ($options:expr, $optimizer:ident => $body:expr) => {
        match $options.kind {
            OptimizerKind::Sgd => {
                let $optimizer = Sgd($options);
                $body
            }
            OptimizerKind::Adagrad => {
                let $optimizer = Adagrad($options);
                $body
            }
            OptimizerKind::Ftrl => {
                let $optimizer = Ftrl($options);
                $body
            }
            OptimizerKind::Adam => {
                let $optimizer = Adam($options);
                $body
            }
        }
    };
}

impl Vectors {
    /// Vectors moved as `options` say.
    pub fn new(options: OptimizerOptions) -> Self {
        Self { options }
    }

    /// Floats that are stored for a weight.
    pub fn floats(&self) -> usize {
        fn of<O: Optimizer<N>, const N: usize>(_: O) -> usize {
            N
        }
        with_optimizer!(self.options, optimizer => of(optimizer))
    }

    /// What a table of vectors `[dim]` starts with: N(`mean`, `scale`²).
    pub fn init(&self, dim: usize, mean: f32, scale: f32) -> Init {
        let stored = self.init_scale();
        let (mean, scale) = ((f64::from(mean) * stored) as f32, (f64::from(scale) * stored) as f32);
        Init::Normal { start: 0, columns: dim, mean, scale, tail: &[] }
    }

    /// The vector `[floats, dim]` whose weights are `weights` `[dim]`, before it has moved.
    pub fn initial(&self, weights: &[f32]) -> Vec<f32> {
        let scale = self.init_scale();
        let first = weights.iter().map(|&weight| (f64::from(weight) * scale) as f32);
        let rest = std::iter::repeat_n(0.0, (self.floats() - 1) * weights.len());
        first.chain(rest).collect()
    }

    /// Adds `x` times the weights of `vector` `[floats, dim]` to `sum` `[dim]`.
    #[inline(always)]
    pub fn add_to(&self, vector: &[f32], x: f32, sum: &mut [f32]) {
        #[inline(always)]
        fn of<O: Optimizer<N>, const N: usize>(optimizer: O, vector: &[f32], x: f32, sum: &mut [f32]) {
            let Some(columns) = columns::<N>(vector, sum.len()) else { return };
            for (index, sum) in sum.iter_mut().enumerate() {
                *sum += x * optimizer.weight(std::array::from_fn(|k| columns[k][index]));
            }
        }
        with_optimizer!(self.options, optimizer => of(optimizer, vector, x, sum));
    }

    /// The weights `[dim]` of `vector` `[floats, dim]`.
    pub fn weights(&self, vector: &[f32]) -> Vec<f32> {
        let mut weights = vec![0.0; vector.len() / self.floats()];
        self.add_to(vector, 1.0, &mut weights);
        weights
    }

    /// Writes over `moved` what becomes of `vector` `[floats, dim]` by a step of size `rate` against `x` times `gradient` `[dim]`.
    /// `false`: f32 cannot hold all of it.
    #[inline(always)]
    pub fn step(&self, vector: &[f32], gradient: &[f32], (x, rate): (f32, f64), moved: &mut [f32]) -> bool {
        #[inline(always)]
        fn of<O: Optimizer<N>, const N: usize>(
            optimizer: O,
            vector: &[f32],
            gradient: &[f32],
            (x, rate): (f32, f64),
            moved: &mut [f32],
        ) -> bool {
            let dim = gradient.len();
            let (Some(columns), Some(next)) = (columns::<N>(vector, dim), columns_mut::<N>(moved, dim))
            else {
                return false;
            };
            let mut finite = true;
            for (index, &slope) in gradient.iter().enumerate() {
                let state = std::array::from_fn(|k| columns[k][index]);
                let floats = optimizer.moved(state, f64::from(x) * f64::from(slope), rate);
                for k in 0..N {
                    next[k][index] = floats[k] as f32;
                    finite &= next[k][index].is_finite();
                }
            }
            finite
        }
        with_optimizer!(self.options, optimizer => of(optimizer, vector, gradient, (x, rate), moved))
    }

    /// How rows on a device move, by the options' rate if [another](Move::at) is not given, and what their weights are there: the same bits as [`Vectors::step`] and
    /// [`Vectors::add_to`]. `None` for Adam, whose powers no kernel has.
    #[cfg(feature = "cuda")]
    pub fn on_device(&self) -> Option<(Move, Weights)> {
        let OptimizerOptions { kind, l1, l2, rate, ftrl_beta: beta, .. } = self.options;
        let ftrl = FtrlConstants { alpha: rate, beta, l1, l2 };
        match kind {
            OptimizerKind::Sgd => Some((Move::Sgd { rate, l1, l2 }, Weights::First)),
            OptimizerKind::Adagrad => Some((Move::Adagrad { rate, l1, l2 }, Weights::First)),
            OptimizerKind::Ftrl => Some((Move::Ftrl(ftrl), Weights::Ftrl(ftrl))),
            OptimizerKind::Adam => None,
        }
    }

    fn init_scale(&self) -> f64 {
        with_optimizer!(self.options, optimizer => optimizer.init_scale())
    }
}

/// The columns `[dim]` of a vector; `None` for one of another shape.
#[inline(always)]
fn columns<const N: usize>(vector: &[f32], dim: usize) -> Option<[&[f32]; N]> {
    let mut columns = vector.get(..N * dim)?.chunks_exact(dim.max(1));
    Some(std::array::from_fn(|_| columns.next().unwrap_or_default()))
}

#[inline(always)]
fn columns_mut<const N: usize>(vector: &mut [f32], dim: usize) -> Option<[&mut [f32]; N]> {
    let mut columns = vector.get_mut(..N * dim)?.chunks_exact_mut(dim.max(1));
    Some(std::array::from_fn(|_| columns.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [OptimizerKind; 4] =
        [OptimizerKind::Sgd, OptimizerKind::Adagrad, OptimizerKind::Ftrl, OptimizerKind::Adam];

    #[test]
    fn every_weight_moves_as_it_would_alone() {
        let (weights, gradient) = ([0.5, -1.0, 0.25], [0.1, 2.0, -0.3]);
        for kind in KINDS {
            let vectors = Vectors::new(OptimizerOptions { l2: 0.01, ..OptimizerOptions::new(kind) });
            let mut together = vectors.initial(&weights);
            let mut alone = weights.map(|weight| vectors.initial(&[weight]));
            for _ in 0..3 {
                let before = together.clone();
                assert!(vectors.step(&before, &gradient, (0.5, 0.1), &mut together));
                for (vector, slope) in alone.iter_mut().zip(gradient) {
                    let before = vector.clone();
                    assert!(vectors.step(&before, &[slope], (0.5, 0.1), vector));
                }
            }
            let found: Vec<f32> = alone.iter().flat_map(|vector| vectors.weights(vector)).collect();
            assert_eq!(vectors.weights(&together), found, "{kind:?}");
            assert_ne!(found, weights);
        }
    }

    #[test]
    fn the_weights_come_back_and_a_step_too_far_is_refused() {
        for kind in KINDS {
            let vectors = Vectors::new(OptimizerOptions::new(kind));
            let vector = vectors.initial(&[0.5, -2.0]);
            for (weight, expected) in vectors.weights(&vector).into_iter().zip([0.5, -2.0]) {
                assert!((weight - expected).abs() < 1e-6, "{kind:?}: {weight}");
            }
            let mut moved = vector.clone();
            assert!(!vectors.step(&vector, &[f32::MAX, 1.0], (f32::MAX, 1e30), &mut moved), "{kind:?}");
        }
    }
}

//! Floats that come from outside of candle, and their gradient on the way back out.

use super::NetworkError;
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

/// A tensor that candle differentiates by, made of floats that live elsewhere: rows of a table, vectors of a
/// [`FlexiHashEmbedding`](crate::FlexiHashEmbedding).
///
/// The gradient has the size of what was looked up, never that of the table. Whoever looked the rows up sends it to them:
///
/// ```
/// use flexihash::embedding::{EmbeddingOptions, FlexiHashEmbedding};
/// use flexihash::model::network::Leaf;
///
/// let embedding = FlexiHashEmbedding::new(EmbeddingOptions { dim: 4, ..Default::default() })?;
/// let batch = embedding.batch([[("city", "Bergen")], [("city", "Kyoto")]])?;
/// let loss = || -> Result<f32, Box<dyn std::error::Error>> {
///     let leaf = Leaf::new(embedding.embed(&batch)?, &[2, 4])?;
///     let loss = leaf.tensor().sqr()?.sum_all()?; // or any network of candle-nn
///     let gradient = leaf.gradient(&loss.backward()?)?; // [2, 4]
///     embedding.sgd_backward(&batch, &gradient, 0.1)?; // two rows of the table move
///     Ok(loss.to_scalar()?)
/// };
/// assert!(loss()? > loss()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Leaf(Var);

impl Leaf {
    /// A leaf of `shape` with `values`, row-major.
    ///
    /// # Errors
    /// Values of another number than the shape has.
    pub fn new(values: Vec<f32>, shape: &[usize]) -> Result<Self, NetworkError> {
        Ok(Self(Var::from_vec(values, shape, &Device::Cpu)?))
    }

    /// The same on a device of candle's.
    ///
    /// # Errors
    /// Those of [`Leaf::new`]; the device failed.
    pub fn on(device: &Device, values: &[f32], shape: &[usize]) -> Result<Self, NetworkError> {
        Ok(Self(Var::from_slice(values, shape, device)?))
    }

    /// A leaf of `shape` with the values of a tensor, where that is.
    ///
    /// # Errors
    /// Values of another number than the shape has; the device failed.
    pub fn of(values: &Tensor, shape: &[usize]) -> Result<Self, NetworkError> {
        Ok(Self(Var::from_tensor(&values.reshape(shape)?)?))
    }

    /// The tensor, for a network.
    pub fn tensor(&self) -> &Tensor {
        &self.0
    }

    /// The gradient of the loss whose `backward` gave `gradients`, in the shape of the leaf, row-major; zeros where the
    /// loss does not depend on it.
    ///
    /// # Errors
    /// None on a CPU, where candle can always copy it.
    pub fn gradient(&self, gradients: &GradStore) -> Result<Vec<f32>, NetworkError> {
        match gradients.get(&self.0) {
            None => Ok(vec![0.0; self.0.elem_count()]),
            Some(gradient) => Ok(gradient.flatten_all()?.to_vec1()?),
        }
    }

    /// The same where the leaf is, without its shape.
    ///
    /// # Errors
    /// The device failed.
    pub fn gradient_there(&self, gradients: &GradStore) -> Result<Tensor, NetworkError> {
        match gradients.get(&self.0) {
            None => Ok(self.0.zeros_like()?.flatten_all()?),
            Some(gradient) => Ok(gradient.flatten_all()?),
        }
    }
}

//! The reductions of stacked hash embeddings: an id's rows, and what stands beside it, to one vector.
//!
//! They follow the notebook on X's hash embeddings (`BlockUserReduce`, `BlockHistoryReduce`; the reduction of candidates, which
//! it names only, by analogy): everything is put side by side and goes through one linear layer without bias. No mask
//! zeroes an output: whether an item is padding is for those to ask who use its vector.

use super::{Initial, MultiHashEmbedding, NetworkError, Parameter, Pass};
use candle_core::{D, DType, Tensor};
use candle_nn::Module;

/// A user's rows to one vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserReduce {
    /// What the names of its parameters begin with, such as `block_user.`.
    pub prefix: String,
    /// Rows of a user.
    pub hashes: usize,
    /// Floats of a row, and of the vector.
    pub dim: usize,
}

impl UserReduce {
    /// `projection` `[dim, hashes·dim]`.
    pub fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::projection(&format!("{}projection", self.prefix), self.hashes * self.dim, self.dim)]
    }

    /// `[rows, hashes, dim]` to `[rows, 1, dim]`.
    ///
    /// # Errors
    /// Rows of another shape.
    pub fn forward(&self, pass: &Pass<'_>, embeddings: &Tensor) -> Result<Tensor, NetworkError> {
        let projection = pass.linear(&format!("{}projection", self.prefix))?;
        Ok(projection.forward(&embeddings.flatten_from(1)?.unsqueeze(1)?)?)
    }
}

/// What the items of a list have: their tensors.
#[derive(Debug, Clone)]
pub struct ItemTensors {
    /// Rows of the posts, `[rows, items, item hashes, dim]`.
    pub posts: Tensor,
    /// Rows of their authors, `[rows, items, author hashes, dim]`.
    pub authors: Tensor,
    /// Where they were shown, u32, `[rows, items]`.
    pub surfaces: Tensor,
}

/// Candidates: post, author and product surface to one vector each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateReduce {
    /// What the names of its parameters begin with, such as `block_user.`.
    pub prefix: String,
    /// Rows of a post.
    pub item_hashes: usize,
    /// Rows of an author.
    pub author_hashes: usize,
    /// Product surfaces: 16 in the reference.
    pub surfaces: u32,
    /// Floats of a row, and of the vector.
    pub dim: usize,
}

impl CandidateReduce {
    /// `projection` `[dim, (item hashes + author hashes + 1)·dim]`, `product_surface_emb` `[surfaces, dim]`.
    pub fn parameters(&self) -> Vec<Parameter> {
        let inputs = (self.item_hashes + self.author_hashes + 1) * self.dim;
        let projection = Parameter::projection(&format!("{}projection", self.prefix), inputs, self.dim);
        vec![projection, surface_table(&self.prefix, self.surfaces, self.dim)]
    }

    /// One vector an item, `[rows, items, dim]`.
    ///
    /// # Errors
    /// Tensors of other shapes.
    pub fn forward(&self, pass: &Pass<'_>, items: &ItemTensors) -> Result<Tensor, NetworkError> {
        let surfaces = surface_rows(pass, &self.prefix, &items.surfaces)?;
        let all = [items.posts.flatten_from(2)?, items.authors.flatten_from(2)?, surfaces];
        Ok(pass.linear(&format!("{}projection", self.prefix))?.forward(&Tensor::cat(&all, 2)?)?)
    }
}

/// A history: post, author, the actions taken and product surface to one vector each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryReduce {
    /// What the names of its parameters begin with, such as `block_user.`.
    pub prefix: String,
    /// Rows of a post.
    pub item_hashes: usize,
    /// Rows of an author.
    pub author_hashes: usize,
    /// Actions that can be taken: 19 in the reference.
    pub actions: usize,
    /// Product surfaces: 16 in the reference.
    pub surfaces: u32,
    /// Floats of a row, and of the vector.
    pub dim: usize,
}

impl HistoryReduce {
    /// `projection` `[dim, (item hashes + author hashes + 2)·dim]`, `product_surface_emb` `[surfaces, dim]`, `action_proj`
    /// `[dim, actions]`.
    pub fn parameters(&self) -> Vec<Parameter> {
        let inputs = (self.item_hashes + self.author_hashes + 2) * self.dim;
        vec![
            Parameter::projection(&format!("{}projection", self.prefix), inputs, self.dim),
            surface_table(&self.prefix, self.surfaces, self.dim),
            Parameter::projection(&format!("{}action_proj", self.prefix), self.actions, self.dim),
        ]
    }

    /// One vector an item, `[rows, items, dim]`; `actions` `[rows, items, actions]`, 1 for one that was taken.
    ///
    /// An action a enters as 2a − 1, so that one not taken says something too, but an item without any (the sum is not above
    /// 0) says nothing by its actions. Which items had some is watched as `PREFIXaction_valid_mask`.
    ///
    /// # Errors
    /// Tensors of other shapes.
    pub fn forward(
        &self,
        pass: &mut Pass<'_>,
        items: &ItemTensors,
        actions: &Tensor,
    ) -> Result<Tensor, NetworkError> {
        let taken = actions.sum_keepdim(D::Minus1)?.gt(0f32)?.to_dtype(DType::F32)?;
        pass.watch(&format!("{}action_valid_mask", self.prefix), &taken);
        let signed =
            pass.linear(&format!("{}action_proj", self.prefix))?.forward(&actions.affine(2.0, -1.0)?)?;
        let actions = signed.broadcast_mul(&taken)?;
        let surfaces = surface_rows(pass, &self.prefix, &items.surfaces)?;
        let all = [items.posts.flatten_from(2)?, items.authors.flatten_from(2)?, actions, surfaces];
        Ok(pass.linear(&format!("{}projection", self.prefix))?.forward(&Tensor::cat(&all, 2)?)?)
    }
}

fn surface_table(prefix: &str, surfaces: u32, dim: usize) -> Parameter {
    let initial = Initial::Normal { deviation: MultiHashEmbedding::DEVIATION };
    Parameter::new(&format!("{prefix}product_surface_emb.weight"), &[surfaces as usize, dim], initial)
}

/// Rows of the small table of surfaces, `[rows, items, dim]`.
fn surface_rows(pass: &Pass<'_>, prefix: &str, surfaces: &Tensor) -> Result<Tensor, NetworkError> {
    let table = pass.parameter(&format!("{prefix}product_surface_emb.weight"))?;
    Ok(candle_nn::Embedding::new(table.clone(), table.dim(1)?).forward(surfaces)?)
}

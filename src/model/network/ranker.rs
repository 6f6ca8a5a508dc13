//! User, history and candidates to the log-odds of each action on each candidate.
//!
//! The notebook on X's hash embeddings ends with the vectors of user and history (`RecsysBatch`, `RecsysEmbeddings`, the
//! reductions). What comes behind them is ours, and small: a candidate looks at the history by scaled dot-product attention
//! (Vaswani et al. 2017), in which padding plays no part and candidates do not see each other; two linear layers turn user,
//! candidate, what it found and their products into one log-odds an action.

use super::blocks::ItemTensors;
use super::{
    CandidateReduce, Field, FieldKind, HistoryReduce, Network, NetworkError, Objective, OutputLoss, Outputs,
    Parameter, Pass, Reduction, UserReduce,
};
use candle_core::{D, Tensor};
use candle_nn::Module;
use serde::{Deserialize, Serialize};

/// Options of a [`Ranker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RankerOptions {
    /// Floats of a row, and of every vector.
    pub dim: usize,
    /// Rows of a user.
    pub user_hashes: usize,
    /// Rows of a post.
    pub item_hashes: usize,
    /// Rows of an author.
    pub author_hashes: usize,
    /// Names of the actions.
    pub actions: Vec<String>,
    /// Product surfaces.
    pub surfaces: u32,
    /// Units of the layer before the outputs.
    pub hidden: usize,
}

impl Default for RankerOptions {
    /// 19 actions and 16 surfaces, as in the reference.
    fn default() -> Self {
        Self {
            dim: 32,
            user_hashes: 2,
            item_hashes: 2,
            author_hashes: 2,
            actions: (0..19).map(|action| format!("action_{action}")).collect(),
            surfaces: 16,
            hidden: 64,
        }
    }
}

/// See the module: learns which of a user's candidates are acted upon.
///
/// Fields of the record: `user`. Of the items of `history`: `history_posts`, `history_authors`, `history_actions`,
/// `history_surfaces`. Of `candidates`: `candidate_posts`, `candidate_authors`, `candidate_surfaces`. Posts share a table, and so do
/// authors: that is for whoever looks them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranker {
    options: RankerOptions,
    user: UserReduce,
    history: HistoryReduce,
    candidates: CandidateReduce,
}

const HISTORY: &str = "history";
const CANDIDATES: &str = "candidates";

impl Ranker {
    /// A ranker.
    ///
    /// # Errors
    /// No action.
    pub fn new(options: RankerOptions) -> Result<Self, NetworkError> {
        if options.actions.is_empty() {
            return Err(NetworkError::Option { name: "actions".into(), expected: "at least 1", got: 0.0 });
        }
        let RankerOptions { dim, item_hashes, author_hashes, surfaces, .. } = options;
        let (actions, hashes) = (options.actions.len(), options.user_hashes);
        Ok(Self {
            user: UserReduce { prefix: "block_user.".into(), hashes, dim },
            history: HistoryReduce {
                prefix: "block_history.".into(),
                item_hashes,
                author_hashes,
                actions,
                surfaces,
                dim,
            },
            candidates: CandidateReduce {
                prefix: "block_candidate.".into(),
                item_hashes,
                author_hashes,
                surfaces,
                dim,
            },
            options,
        })
    }

    /// The options it was made with.
    pub fn options(&self) -> &RankerOptions {
        &self.options
    }

    /// The vectors of user, history and candidates: `[rows, 1, dim]`, `[rows, items, dim]` and `[rows, candidates, dim]`;
    /// watched as `user_output`, `history_output` and `candidate_output`.
    fn reduced(&self, pass: &mut Pass<'_>) -> Result<[Tensor; 3], NetworkError> {
        let user = self.user.forward(pass, &pass.field("user")?)?;
        let history = items(pass, HISTORY)?;
        let actions = pass.field("history_actions")?;
        let history = self.history.forward(pass, &history, &actions)?;
        let candidates = self.candidates.forward(pass, &items(pass, "candidate")?)?;
        pass.watch("user_output", &user);
        pass.watch("history_output", &history);
        pass.watch("candidate_output", &candidates);
        Ok([user, history, candidates])
    }

    /// What each candidate finds in the history, `[rows, candidates, dim]`; zeros where there is none.
    fn attend(&self, pass: &Pass<'_>, history: &Tensor, candidates: &Tensor) -> Result<Tensor, NetworkError> {
        /// Far below every score, and finite, so that a history of padding alone has a softmax.
        const NEVER: f64 = 1e9;
        let mask = pass.mask(HISTORY)?.unsqueeze(1)?;
        let scores = candidates.matmul(&history.t()?.contiguous()?)?;
        let scores = scores.affine(1.0 / (self.options.dim as f64).sqrt(), 0.0)?;
        let scores = scores.broadcast_add(&mask.affine(NEVER, -NEVER)?)?;
        let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.broadcast_mul(&mask)?;
        Ok(weights.matmul(history)?)
    }
}

/// The tensors of a list whose fields' names begin with `prefix`.
fn items(pass: &Pass<'_>, prefix: &str) -> Result<ItemTensors, NetworkError> {
    Ok(ItemTensors {
        posts: pass.field(&format!("{prefix}_posts"))?,
        authors: pass.field(&format!("{prefix}_authors"))?,
        surfaces: pass.categories(&format!("{prefix}_surfaces"))?,
    })
}

impl Network for Ranker {
    fn fields(&self) -> Vec<Field> {
        let options = &self.options;
        let rows = |hashes| FieldKind::Stacked { hashes, dim: options.dim };
        let surface = FieldKind::Category { count: options.surfaces };
        let actions = FieldKind::Numbers { width: options.actions.len() };
        vec![
            Field::of_record("user", rows(options.user_hashes)),
            Field::of_item("history_posts", HISTORY, rows(options.item_hashes)),
            Field::of_item("history_authors", HISTORY, rows(options.author_hashes)),
            Field::of_item("history_actions", HISTORY, actions),
            Field::of_item("history_surfaces", HISTORY, surface),
            Field::of_item("candidate_posts", CANDIDATES, rows(options.item_hashes)),
            Field::of_item("candidate_authors", CANDIDATES, rows(options.author_hashes)),
            Field::of_item("candidate_surfaces", CANDIDATES, surface),
        ]
    }

    fn parameters(&self) -> Vec<Parameter> {
        let RankerOptions { dim, hidden, .. } = self.options;
        let blocks = [self.user.parameters(), self.history.parameters(), self.candidates.parameters()];
        let layers = [
            Parameter::linear("scorer.0", 5 * dim, hidden),
            Parameter::linear("scorer.2", hidden, self.options.actions.len()),
        ];
        blocks.into_iter().flatten().chain(layers.into_iter().flatten()).collect()
    }

    fn outputs(&self) -> Outputs {
        Outputs { names: self.options.actions.clone(), list: Some(CANDIDATES.into()) }
    }

    fn objective(&self) -> Objective {
        Objective { loss: OutputLoss::Logistic, reduction: Reduction::Sum }
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Result<Tensor, NetworkError> {
        let [user, history, candidates] = self.reduced(pass)?;
        let found = self.attend(pass, &history, &candidates)?;
        let user = user.broadcast_as(candidates.shape())?.contiguous()?;
        let (by_user, by_history) = (candidates.mul(&user)?, candidates.mul(&found)?);
        let all = Tensor::cat(&[user, candidates, found, by_user, by_history], 2)?;
        let hidden = pass.linear("scorer.0")?.forward(&all)?.relu()?;
        Ok(pass.linear("scorer.2")?.forward(&hidden)?)
    }
}

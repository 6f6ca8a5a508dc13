//! MultiHashEmbedding and the reductions of user, history and candidates, each by itself.

use crate::oracle::{self, Kind};
use crate::training::*;
use flexihash::model::network::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct File<T> {
    cases: Vec<T>,
}

/// What every case of a part has: its parameters, and two losses of its output.
#[derive(Deserialize)]
struct Part {
    params: Named,
    output: Tensor,
    #[serde(rename = "R")]
    factors: Tensor,
    target: Tensor,
    linear: Run,
    half_sse: Run,
}

impl Part {
    /// Output, gradients and steps of both losses; `trial` makes the probe anew for each. Returns 1, for one case.
    fn check(
        &self,
        trial: impl Fn(ProbeLoss, Targets, &Run) -> Trial<Probe>,
        look: impl Fn(&Backward),
    ) -> usize {
        for (loss, run) in [(ProbeLoss::Linear, &self.linear), (ProbeLoss::HalfSse, &self.half_sse)] {
            let trial = trial(loss, targets(loss, &self.factors, &self.target), run);
            let backward = trial.backward(Phase::Predict);
            close("output", &backward.outputs, &self.output.data);
            look(&backward);
            trial.check_gradients(&backward, run);
            assert!(trial.check_sgd(run) > 0, "no parameters after steps");
        }
        1
    }
}

#[derive(Deserialize)]
struct MultiHash {
    vocab_size: u32,
    emb_size: usize,
    num_hashes: usize,
    hash_indices: Tensor<i64>,
    #[serde(flatten)]
    part: Part,
}

#[test]
fn oracle_multi_hash_embedding() {
    oracle::run(Kind::MultiHashEmbedding, |file: File<MultiHash>| file.cases.iter().map(check_ids).sum());
}

fn check_ids(case: &MultiHash) -> usize {
    let ids = MultiHashEmbedding { hashes: case.num_hashes, vocab: case.vocab_size, dim: case.emb_size };
    let (rows, count) = (ids.rows(&case.hash_indices.indices()).unwrap(), case.hash_indices.shape[0]);
    let trial = |loss, targets, run: &Run| {
        let probe = Probe {
            fields: vec![Field::of_record("ids", ids.field())],
            parameters: Vec::new(),
            loss,
            forward: Box::new(|pass| Ok(pass.field("ids")?.flatten_from(1)?)),
            outputs: outputs(None, ids.field().floats()),
        };
        let table = Source::Table { name: "embeddings".into(), rows: rows.clone(), dim: ids.dim };
        let (parameters, sources) = (&case.part.params, vec![table]);
        Trial::new(probe, Setup { parameters, rows: count, lists: Vec::new(), sources, targets, run })
    };
    case.part
        .check(trial, |backward| assert_eq!(backward.outputs, case.part.output.data, "looked up exactly"))
}

#[derive(Deserialize)]
struct User {
    num_hashes: usize,
    emb_size: usize,
    user_hashes: Tensor<i64>,
    user_embeddings: Tensor,
    mask: Tensor<u8>,
    #[serde(flatten)]
    part: Part,
}

#[test]
fn oracle_block_user_reduce() {
    oracle::run(Kind::BlockUserReduce, |file: File<User>| file.cases.iter().map(check_user).sum());
}

fn check_user(case: &User) -> usize {
    let (hashes, dim, rows) = (case.num_hashes, case.emb_size, case.user_hashes.shape[0]);
    assert_eq!(mask_of(&case.user_hashes), case.mask.flags());
    let trial = |loss, targets, run: &Run| {
        let block = UserReduce { prefix: String::new(), hashes, dim };
        let probe = Probe {
            fields: vec![Field::of_record("user_embeddings", FieldKind::Stacked { hashes, dim })],
            parameters: block.parameters(),
            loss,
            forward: Box::new(move |pass| {
                let output = block.forward(pass, &pass.field("user_embeddings")?)?;
                assert_eq!(output.dims(), [pass.rows(), 1, dim]);
                Ok(output.squeeze(1)?)
            }),
            outputs: outputs(None, dim),
        };
        let (parameters, sources) = (&case.part.params, vec![floats(&case.user_embeddings)]);
        Trial::new(probe, Setup { parameters, rows, lists: Vec::new(), sources, targets, run })
    };
    case.part.check(trial, |_| ())
}

/// The mask by the first of an id's hashes, which are the last axis.
fn mask_of(hashes: &Tensor<i64>) -> Vec<bool> {
    let ids = MultiHashEmbedding { hashes: *hashes.shape.last().unwrap(), vocab: u32::MAX, dim: 1 };
    ids.mask(&hashes.indices())
}

fn stacked(tensor: &Tensor) -> FieldKind {
    FieldKind::Stacked { hashes: tensor.shape[2], dim: tensor.shape[3] }
}

fn categories(tensor: &Tensor<i64>) -> Source {
    Source::Given(Values::Categories(tensor.indices()))
}

#[derive(Deserialize)]
struct History {
    num_item_hashes: usize,
    num_author_hashes: usize,
    emb_size: usize,
    num_actions: usize,
    num_surfaces: u32,
    history_post_hashes: Tensor<i64>,
    history_post_embeddings: Tensor,
    history_author_embeddings: Tensor,
    history_product_surface: Tensor<i64>,
    history_actions: Tensor,
    mask: Tensor<u8>,
    action_valid_mask: Tensor<u8>,
    #[serde(flatten)]
    part: Part,
}

#[test]
fn oracle_block_history_reduce() {
    oracle::run(Kind::BlockHistoryReduce, |file: File<History>| file.cases.iter().map(check_history).sum());
}

fn check_history(case: &History) -> usize {
    let (dim, list) = (case.emb_size, "history");
    let (rows, count) = (case.mask.shape[0], case.mask.shape[1]);
    assert_eq!(mask_of(&case.history_post_hashes), case.mask.flags());
    let block = HistoryReduce {
        prefix: String::new(),
        item_hashes: case.num_item_hashes,
        author_hashes: case.num_author_hashes,
        actions: case.num_actions,
        surfaces: case.num_surfaces,
        dim,
    };
    let fields = vec![
        Field::of_item("history_post_embeddings", list, stacked(&case.history_post_embeddings)),
        Field::of_item("history_author_embeddings", list, stacked(&case.history_author_embeddings)),
        Field::of_item("history_product_surface", list, FieldKind::Category { count: case.num_surfaces }),
        Field::of_item("history_actions", list, FieldKind::Numbers { width: case.num_actions }),
    ];
    let trial = |loss, targets, run: &Run| {
        let (block, parameters) = (block.clone(), block.parameters());
        let forward = move |pass: &mut Pass<'_>| {
            let (items, actions) = (item_tensors(pass, "history")?, pass.field("history_actions")?);
            block.forward(pass, &items, &actions)
        };
        let (fields, outputs) = (fields.clone(), outputs(Some(list), dim));
        let probe = Probe { fields, parameters, loss, forward: Box::new(forward), outputs };
        let sources = vec![
            floats(&case.history_post_embeddings),
            floats(&case.history_author_embeddings),
            categories(&case.history_product_surface),
            floats(&case.history_actions),
        ];
        let (parameters, lists) = (&case.part.params, vec![all_items(rows, count)]);
        Trial::new(probe, Setup { parameters, rows, lists, sources, targets, run })
    };
    let valid: Vec<f32> = case.action_valid_mask.data.iter().map(|&flag| f32::from(flag)).collect();
    case.part.check(trial, |backward| assert_eq!(backward.watched["action_valid_mask"], valid))
}

fn item_tensors(pass: &Pass<'_>, prefix: &str) -> Result<ItemTensors, NetworkError> {
    Ok(ItemTensors {
        posts: pass.field(&format!("{prefix}_post_embeddings"))?,
        authors: pass.field(&format!("{prefix}_author_embeddings"))?,
        surfaces: pass.categories(&format!("{prefix}_product_surface"))?,
    })
}

#[derive(Deserialize)]
struct Candidates {
    num_item_hashes: usize,
    num_author_hashes: usize,
    emb_size: usize,
    num_surfaces: u32,
    candidate_post_hashes: Tensor<i64>,
    candidate_post_embeddings: Tensor,
    candidate_author_embeddings: Tensor,
    candidate_product_surface: Tensor<i64>,
    mask: Tensor<u8>,
    #[serde(flatten)]
    part: Part,
}

#[test]
fn oracle_block_candidate_reduce() {
    oracle::run(Kind::BlockCandidateReduce, |file: File<Candidates>| {
        file.cases.iter().map(check_candidates).sum()
    });
}

fn check_candidates(case: &Candidates) -> usize {
    let (dim, list) = (case.emb_size, "candidates");
    let (rows, count) = (case.mask.shape[0], case.mask.shape[1]);
    assert_eq!(mask_of(&case.candidate_post_hashes), case.mask.flags());
    let block = CandidateReduce {
        prefix: String::new(),
        item_hashes: case.num_item_hashes,
        author_hashes: case.num_author_hashes,
        surfaces: case.num_surfaces,
        dim,
    };
    let fields = vec![
        Field::of_item("candidate_post_embeddings", list, stacked(&case.candidate_post_embeddings)),
        Field::of_item("candidate_author_embeddings", list, stacked(&case.candidate_author_embeddings)),
        Field::of_item("candidate_product_surface", list, FieldKind::Category { count: case.num_surfaces }),
    ];
    let trial = |loss, targets, run: &Run| {
        let (block, parameters) = (block.clone(), block.parameters());
        let forward = move |pass: &mut Pass<'_>| {
            let items = item_tensors(pass, "candidate")?;
            block.forward(pass, &items)
        };
        let (fields, outputs) = (fields.clone(), outputs(Some(list), dim));
        let probe = Probe { fields, parameters, loss, forward: Box::new(forward), outputs };
        let sources = vec![
            floats(&case.candidate_post_embeddings),
            floats(&case.candidate_author_embeddings),
            categories(&case.candidate_product_surface),
        ];
        let (parameters, lists) = (&case.part.params, vec![all_items(rows, count)]);
        Trial::new(probe, Setup { parameters, rows, lists, sources, targets, run })
    };
    case.part.check(trial, |_| ())
}

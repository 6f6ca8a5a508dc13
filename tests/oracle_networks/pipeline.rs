//! Tables, lookups and reductions wired together. The loss is over user and history side by side; each vector of the user
//! stands beside every item here, and counts at the first alone.

use crate::oracle::{self, Kind};
use crate::training::*;
use flexihash::model::network::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    vocab_size: u32,
    emb_size: usize,
    num_user_hashes: usize,
    num_item_hashes: usize,
    num_author_hashes: usize,
    num_actions: usize,
    params: Named,
    batch: Batch,
    embeddings: BTreeMap<String, Tensor>,
    user_output: Tensor,
    user_mask: Tensor<u8>,
    history_output: Tensor,
    history_mask: Tensor<u8>,
    #[serde(rename = "R")]
    factors: Tensor,
    target: Tensor,
    linear: Run,
    half_sse: Run,
}

#[derive(Deserialize)]
struct Batch {
    user_hashes: Tensor<i64>,
    history_post_hashes: Tensor<i64>,
    history_author_hashes: Tensor<i64>,
    history_actions: Tensor,
    history_product_surface: Tensor<i64>,
    candidate_post_hashes: Tensor<i64>,
    candidate_author_hashes: Tensor<i64>,
    candidate_product_surface: Tensor<i64>,
}

#[test]
fn oracle_recsys_pipeline() {
    oracle::run(Kind::RecsysPipeline, |file: File| file.cases.iter().map(check_case).sum());
}

fn check_case(case: &Case) -> usize {
    check_masks(case);
    check_embeddings(case);
    check_ranker(case);
    for (loss, run) in [(ProbeLoss::Linear, &case.linear), (ProbeLoss::HalfSse, &case.half_sse)] {
        let trial = case.trial(loss, run);
        let backward = trial.backward(Phase::Predict);
        close("user", &backward.watched["user_output"], &case.user_output.data);
        close("history", &backward.watched["history_output"], &case.history_output.data);
        trial.check_gradients(&backward, run);
        assert!(trial.check_sgd(run) > 0, "no parameters after steps");
    }
    1
}

impl Case {
    fn rows(&self) -> usize {
        self.batch.user_hashes.shape[0]
    }

    fn ids(&self, hashes: usize) -> MultiHashEmbedding {
        MultiHashEmbedding { hashes, vocab: self.vocab_size, dim: self.emb_size }
    }

    fn surfaces(&self) -> u32 {
        self.params["block_history.product_surface_emb.weight"].shape[0] as u32
    }

    fn user_source(&self) -> Source {
        self.source("user_hash_table", self.num_user_hashes, &self.batch.user_hashes)
    }

    fn source(&self, table: &str, hashes: usize, indices: &Tensor<i64>) -> Source {
        let name = format!("{table}.embeddings");
        let rows = self.ids(hashes).rows(&indices.indices()).unwrap();
        Source::Table { name, rows, dim: self.emb_size }
    }

    /// Posts, authors, surfaces of the history and its actions.
    fn history_sources(&self) -> [Source; 4] {
        let batch = &self.batch;
        let surfaces = Values::Categories(batch.history_product_surface.indices());
        [
            self.source("post_hash_table", self.num_item_hashes, &batch.history_post_hashes),
            self.source("author_hash_table", self.num_author_hashes, &batch.history_author_hashes),
            floats(&batch.history_actions),
            Source::Given(surfaces),
        ]
    }

    /// Those of the candidates, whose posts and authors are in the tables of the history's.
    fn candidate_sources(&self) -> [Source; 3] {
        let batch = &self.batch;
        let surfaces = Values::Categories(batch.candidate_product_surface.indices());
        [
            self.source("post_hash_table", self.num_item_hashes, &batch.candidate_post_hashes),
            self.source("author_hash_table", self.num_author_hashes, &batch.candidate_author_hashes),
            Source::Given(surfaces),
        ]
    }

    fn trial(&self, loss: ProbeLoss, run: &Run) -> Trial<Probe> {
        let (rows, count) = (self.rows(), self.history_mask.shape[1]);
        let setup = Setup {
            parameters: &self.params,
            rows,
            lists: vec![all_items(rows, count)],
            sources: [self.user_source()].into_iter().chain(self.history_sources()).collect(),
            targets: self.targets(loss, count),
            run,
        };
        Trial::new(self.probe(loss), setup)
    }

    fn probe(&self, loss: ProbeLoss) -> Probe {
        let dim = self.emb_size;
        let user = UserReduce { prefix: "block_user.".into(), hashes: self.num_user_hashes, dim };
        let history = HistoryReduce {
            prefix: "block_history.".into(),
            item_hashes: self.num_item_hashes,
            author_hashes: self.num_author_hashes,
            actions: self.num_actions,
            surfaces: self.surfaces(),
            dim,
        };
        let of_item = |name: &str, kind| Field::of_item(name, "history", kind);
        let parameters = user.parameters().into_iter().chain(history.parameters()).collect();
        let forward = move |pass: &mut Pass<'_>| {
            let user = user.forward(pass, &pass.field("user")?)?;
            let items = ItemTensors {
                posts: pass.field("posts")?,
                authors: pass.field("authors")?,
                surfaces: pass.categories("surfaces")?,
            };
            let actions = pass.field("actions")?;
            let history = history.forward(pass, &items, &actions)?;
            pass.watch("user_output", &user);
            pass.watch("history_output", &history);
            let user = user.broadcast_as(history.shape())?.contiguous()?;
            Ok(candle_core::Tensor::cat(&[user, history], 2)?)
        };
        Probe {
            fields: vec![
                Field::of_record("user", self.ids(self.num_user_hashes).field()),
                of_item("posts", self.ids(self.num_item_hashes).field()),
                of_item("authors", self.ids(self.num_author_hashes).field()),
                of_item("actions", FieldKind::Numbers { width: self.num_actions }),
                of_item("surfaces", FieldKind::Category { count: self.surfaces() }),
            ],
            parameters,
            loss,
            forward: Box::new(forward),
            outputs: outputs(Some("history"), 2 * dim),
        }
    }

    /// `R` and `target` `[rows, 1 + count, dim]` as targets `[rows, count, 2·dim]`: the user's beside the first item.
    fn targets(&self, loss: ProbeLoss, count: usize) -> Targets {
        let dim = self.emb_size;
        let flat = targets(loss, &self.factors, &self.target);
        let deal = |values: &[f32]| -> Vec<f32> {
            assert_eq!(values.len(), self.rows() * (1 + count) * dim);
            let deal_record = |record: &[f32]| -> Vec<f32> {
                let (user, items) = record.split_at(dim);
                let beside = |item: usize| if item == 0 { user.to_vec() } else { vec![0.0; dim] };
                let items = items.chunks_exact(dim).enumerate();
                items.flat_map(|(item, values)| [beside(item), values.to_vec()].concat()).collect()
            };
            values.chunks_exact((1 + count) * dim).flat_map(deal_record).collect()
        };
        Targets { values: deal(&flat.values), weights: deal(&flat.weights) }
    }
}

fn check_masks(case: &Case) {
    let mask = |hashes, indices: &Tensor<i64>| case.ids(hashes).mask(&indices.indices());
    assert_eq!(mask(case.num_user_hashes, &case.batch.user_hashes), case.user_mask.flags());
    assert_eq!(mask(case.num_item_hashes, &case.batch.history_post_hashes), case.history_mask.flags());
}

/// All lookups, those of the candidates included.
fn check_embeddings(case: &Case) {
    let [posts, authors, ..] = case.history_sources();
    let [candidate_posts, candidate_authors, _] = case.candidate_sources();
    let looked_up = [
        ("user_embeddings", case.user_source()),
        ("history_post_embeddings", posts),
        ("history_author_embeddings", authors),
        ("candidate_post_embeddings", candidate_posts),
        ("candidate_author_embeddings", candidate_authors),
    ];
    assert_eq!(case.embeddings.len(), looked_up.len());
    for (name, source) in looked_up {
        let Source::Table { name: table, rows, dim } = source else { panic!("not looked up") };
        let table = &case.params[&table].data;
        let found: Vec<f32> = rows.iter().flat_map(|row| table[row * dim..][..dim].to_vec()).collect();
        assert_eq!(found, case.embeddings[name].data, "{name}");
    }
}

/// The ranker has the same vectors of user and history inside.
fn check_ranker(case: &Case) {
    let options = RankerOptions {
        dim: case.emb_size,
        user_hashes: case.num_user_hashes,
        item_hashes: case.num_item_hashes,
        author_hashes: case.num_author_hashes,
        actions: (0..case.num_actions).map(|action| action.to_string()).collect(),
        surfaces: case.surfaces(),
        hidden: 5,
    };
    let (rows, ranker) = (case.rows(), Ranker::new(options).unwrap());
    let [candidate_posts, candidate_authors, surfaces] = case.candidate_sources();
    let ids = case.ids(case.num_item_hashes);
    let (history, candidates) = (case.history_mask.shape[1], case.batch.candidate_product_surface.shape[1]);
    let lists = vec![
        Items { count: history, mask: case.history_mask.flags() },
        Items { count: candidates, mask: ids.mask(&case.batch.candidate_post_hashes.indices()) },
    ];
    let outputs = rows * candidates * case.num_actions;
    // What the oracle does not have keeps its first values.
    let mut parameters = case.params.clone();
    for own in NetworkHead::new(ranker.clone(), HeadOptions::default()).unwrap().state().parameters {
        let (name, shape) = (own.name, own.shape[1..].to_vec());
        let weights = own.values[..own.values.len() / 2].to_vec();
        parameters.entry(name).or_insert(Tensor { shape, data: weights });
    }
    let setup = Setup {
        parameters: &parameters,
        rows,
        lists,
        sources: [case.user_source()]
            .into_iter()
            .chain(case.history_sources())
            .chain([candidate_posts, candidate_authors, surfaces])
            .collect(),
        targets: Targets { values: vec![1.0; outputs], weights: vec![1.0; outputs] },
        run: &case.linear,
    };
    let backward = Trial::new(ranker, setup).backward(Phase::Predict);
    close("user", &backward.watched["user_output"], &case.user_output.data);
    close("history", &backward.watched["history_output"], &case.history_output.data);
    assert_eq!(backward.outputs.len(), outputs);
    assert!(backward.outputs.iter().all(|output| output.is_finite()));
}

//! Dot product, modulo hashing, murmur hashing: the row of every id, scores, two losses.

use crate::oracle::{self, Kind};
use crate::training::*;
use flexihash::hash::{modulo_bucket, murmur_bucket, murmur3_x86_32};
use flexihash::model::network::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kind: String,
    num_users_or_buckets: u32,
    num_items_or_buckets: u32,
    embedding_dim: usize,
    params: Named,
    user_id: Tensor<i64>,
    item_id: Tensor<i64>,
    user_row: Vec<usize>,
    item_row: Vec<usize>,
    output: Tensor,
    ratings: Tensor,
    labels: Tensor,
    mse_mean: Run,
    bce_logits_mean: Run,
}

#[test]
fn oracle_recommenders() {
    oracle::run(Kind::Recommenders, |file: File| file.cases.iter().map(check_case).sum());
}

fn check_case(case: &Case) -> usize {
    let users = case.rows(&case.user_id, case.num_users_or_buckets);
    let items = case.rows(&case.item_id, case.num_items_or_buckets);
    assert_eq!((&users, &items), (&case.user_row, &case.item_row), "{}", case.kind);
    let losses = [
        (OutputLoss::Squared, &case.ratings, &case.mse_mean),
        (OutputLoss::Logistic, &case.labels, &case.bce_logits_mean),
    ];
    for (loss, labels, run) in losses {
        let objective = Objective { loss, reduction: Reduction::Mean };
        let options = DotOptions { dim: case.embedding_dim, objective, ..DotOptions::default() };
        let source = |table: &str, rows: &Vec<usize>| {
            let name = format!("{table}_embed.weight");
            Source::Table { name, rows: rows.clone(), dim: case.embedding_dim }
        };
        let setup = Setup {
            parameters: &case.params,
            rows: users.len(),
            lists: Vec::new(),
            sources: vec![source("user", &users), source("item", &items)],
            targets: Targets::of(labels.data.iter().map(|&label| Some(label))),
            run,
        };
        let trial = Trial::new(Dot::new(options).unwrap(), setup);
        let backward = trial.backward(Phase::Predict);
        close("score", &backward.outputs, &case.output.data);
        trial.check_gradients(&backward, run);
        assert!(trial.check_sgd(run) > 0, "no parameters after steps");
    }
    1
}

impl Case {
    /// The row of each id.
    fn rows(&self, ids: &Tensor<i64>, buckets: u32) -> Vec<usize> {
        let row = |&id: &i64| match self.kind.as_str() {
            "dot" => usize::try_from(id).unwrap(),
            "modulo" => modulo_bucket(i128::from(id), buckets).0 as usize,
            "murmur" => {
                murmur_bucket(murmur3_x86_32(id.to_string().as_bytes(), 0) as i32, buckets).0 as usize
            }
            other => panic!("recommender {other}"),
        };
        ids.data.iter().map(row).collect()
    }
}

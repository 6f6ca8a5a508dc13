//! The multi-task estimator with each user representation, and the dense encoding of ids.

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
    representation: String,
    config: Config,
    params: Named,
    inputs: CaseInputs,
    labels: Tensor<i64>,
    user_encoding: Option<Tensor>,
    user_encoding_from: Option<Encoding>,
    eval_mode: Mode,
    train_mode_given_masks: Option<Mode>,
}

#[derive(Deserialize)]
struct Config {
    num_tasks: usize,
    user_id_embedding_dim: usize,
    user_features_size: usize,
    item_id_embedding_dim: usize,
    item_features_size: usize,
    cross_features_size: usize,
    user_value_weights: Vec<f32>,
    cohort_table_size: Option<usize>,
    cohort_lookup_dropout_rate: Option<f64>,
    cohort_enable_topk_regularization: Option<bool>,
}

#[derive(Deserialize)]
struct CaseInputs {
    user_id: Tensor<i64>,
    user_features: Tensor,
    item_id: Tensor<i64>,
    item_features: Tensor,
    cross_features: Tensor,
    position: Tensor<i64>,
}

#[derive(Deserialize, Clone, Copy)]
struct Encoding {
    seed: u64,
    k: usize,
    m: u64,
}

/// A forward pass and its gradients; what a file does not have is not compared.
#[derive(Deserialize)]
struct Mode {
    #[serde(flatten)]
    run: Run,
    logits: Tensor,
    user_embedding: Option<Tensor>,
    combined_features: Option<Tensor>,
    cohort_affinity: Option<Tensor>,
    mixture_probs: Option<Tensor>,
    top1_index: Option<Vec<usize>>,
    #[serde(default)]
    dropout: BTreeMap<String, Dropped>,
}

#[derive(Deserialize, Clone, Debug)]
struct Dropped {
    p: f64,
    keep_mask: Tensor<u8>,
}

#[test]
fn oracle_multi_task_estimator() {
    oracle::run(Kind::MultiTaskEstimator, |file: File| file.cases.iter().map(check_case).sum());
}

fn check_case(case: &Case) -> usize {
    let trial = case.trial(&case.eval_mode.run);
    let backward = trial.backward(Phase::Predict);
    case.check_mode(&backward, &case.eval_mode);
    if let Some(encoding) = &case.user_encoding {
        assert_eq!(backward.watched["user_encoding"], encoding.data);
    }
    trial.check_gradients(&backward, &case.eval_mode.run);
    check_value(case, &trial);
    assert!(trial.check_sgd(&case.eval_mode.run) > 0, "no parameters after steps");
    if let Some(mode) = &case.train_mode_given_masks {
        let trial = case.trial(&mode.run);
        let mut masks = Given(mode.dropout.clone());
        let backward = trial.backward(Phase::Train(&mut masks));
        assert!(masks.0.is_empty(), "not asked for: {:?}", masks.0.keys());
        case.check_mode(&backward, mode);
        trial.check_gradients(&backward, &mode.run);
    }
    1
}

/// The masks that the reference drew.
#[derive(Debug)]
struct Given(BTreeMap<String, Dropped>);

impl DropoutMasks for Given {
    fn keep(&mut self, layer: &str, rate: f64, count: usize) -> Vec<bool> {
        let given = self.0.remove(layer).unwrap_or_else(|| panic!("no masks of {layer}"));
        assert_eq!((rate, count), (given.p, given.keep_mask.data.len()), "{layer}");
        given.keep_mask.flags()
    }
}

impl Case {
    fn trial(&self, run: &Run) -> Trial<MultiTaskEstimator> {
        Trial::new(MultiTaskEstimator::new(self.options()).unwrap(), self.setup(run))
    }

    fn setup<'a>(&'a self, run: &'a Run) -> Setup<'a> {
        let CaseInputs { user_id, user_features, item_id, item_features, cross_features, position } =
            &self.inputs;
        let rows_of = |ids: &Tensor<i64>| ids.indices().into_iter().map(|id| id as usize).collect();
        let table = |name: &str, ids: &Tensor<i64>, dim| Source::Table {
            name: format!("{name}_id_embedding_arch.weight"),
            rows: rows_of(ids),
            dim,
        };
        let position = position.data.iter().map(|&position| position as f32).collect();
        let user = match self.representation.as_str() {
            "dhe" => Some(Source::Given(Values::Ids(user_id.data.clone()))),
            "cohort_softmax" | "cohort_top1" => None,
            _ => Some(table("user", user_id, self.config.user_id_embedding_dim)),
        };
        let own = [
            floats(user_features),
            table("item", item_id, self.config.item_id_embedding_dim),
            floats(item_features),
            floats(cross_features),
            Source::Given(Values::Floats(position)),
        ];
        Setup {
            parameters: &self.params,
            rows: user_id.data.len(),
            lists: Vec::new(),
            sources: user.into_iter().chain(own).collect(),
            targets: Targets::of(self.labels.data.iter().map(|&label| Some(label as f32))),
            run,
        }
    }

    fn options(&self) -> EstimatorOptions {
        let config = &self.config;
        EstimatorOptions {
            tasks: (0..config.num_tasks).map(|task| format!("task {task}")).collect(),
            representation: self.representation(),
            user_dim: config.user_id_embedding_dim,
            item_dim: config.item_id_embedding_dim,
            user_features: config.user_features_size,
            item_features: config.item_features_size,
            cross_features: config.cross_features_size,
            hashed_features: false,
            mixing_dropout: Mixture::DROPOUT_RATE,
            user_value_weights: config.user_value_weights.clone(),
        }
    }

    fn representation(&self) -> Representation {
        match self.representation.as_str() {
            "id_lookup" => Representation::IdLookup,
            "dhe" => {
                let Encoding { seed, k, m } = self.user_encoding_from.unwrap();
                Representation::Dhe { seed, hashes: k, range: m }
            }
            "cohort_softmax" | "cohort_top1" => Representation::Cohort(self.cohort()),
            "mixture_softmax" | "mixture_top1" => Representation::Mixture(self.cohort()),
            other => panic!("representation {other}"),
        }
    }

    fn cohort(&self) -> CohortOptions {
        let top1 = self.config.cohort_enable_topk_regularization.unwrap();
        CohortOptions {
            cohorts: self.config.cohort_table_size.unwrap(),
            dropout: self.config.cohort_lookup_dropout_rate.unwrap(),
            addressing: if top1 { Addressing::Top1 } else { Addressing::Softmax },
        }
    }

    fn check_mode(&self, backward: &Backward, mode: &Mode) {
        close("logits", &backward.outputs, &mode.logits.data);
        let watched = [
            ("user_embedding", &mode.user_embedding),
            ("combined_features", &mode.combined_features),
            ("cohort_affinity", &mode.cohort_affinity),
            ("mixture_probs", &mode.mixture_probs),
        ];
        for (name, expected) in watched {
            if let Some(expected) = expected {
                close(name, &backward.watched[name], &expected.data);
            }
        }
        if let Some(expected) = &mode.top1_index {
            let cohorts = self.config.cohort_table_size.unwrap();
            let chosen = backward.watched["cohort_affinity"].chunks_exact(cohorts);
            let chosen = chosen.map(|row| row.iter().position(|&weight| weight == 1.0).unwrap());
            assert_eq!(&chosen.collect::<Vec<_>>(), expected);
        }
    }
}

/// Probabilities of the tasks, weighed; the reference has the weights and never uses them.
fn check_value(case: &Case, trial: &Trial<MultiTaskEstimator>) {
    let predictions = trial.head.predict(&trial.inputs()).unwrap();
    let logits = case.eval_mode.logits.data.chunks_exact(case.config.num_tasks);
    for (logits, predictions) in logits.zip(predictions.chunks_exact(case.config.num_tasks)) {
        let sigmoid = |&logit: &f32| 1.0 / (1.0 + f64::from(-logit).exp());
        let weights = case.config.user_value_weights.iter();
        let expected: f64 = logits.iter().zip(weights).map(|(logit, &w)| f64::from(w) * sigmoid(logit)).sum();
        let value = trial.head.network().value(predictions).unwrap();
        close_to("user value", f64::from(value), expected);
    }
}

#[derive(Deserialize)]
struct DheFile {
    splitmix64_first_outputs_state0_hex: Vec<String>,
    cases: Vec<DheCase>,
}

#[derive(Deserialize)]
struct DheCase {
    seed: u64,
    k: usize,
    m: u64,
    a: Vec<String>,
    b: Vec<String>,
    ids: Vec<Encoded>,
}

#[derive(Deserialize)]
struct Encoded {
    id: i64,
    hash: Vec<u64>,
    encoding: Vec<f32>,
}

#[test]
fn oracle_dhe_encoding() {
    oracle::run(Kind::DheEncoding, |file: DheFile| {
        check_generator(&file.splitmix64_first_outputs_state0_hex);
        file.cases.iter().map(check_encoding).sum()
    });
}

/// Coefficients are words of the generator: aᵢ − 1 mod p − 1, bᵢ mod p.
fn check_generator(hex: &[String]) {
    let words: Vec<u64> = hex.iter().map(|word| u64::from_str_radix(word, 16).unwrap()).collect();
    let encoding = DenseHash::new(0, words.len().div_ceil(2), 2).unwrap();
    let coefficients = encoding.coefficients().iter().flat_map(|&(a, b)| [a, b]);
    let prime = (1u64 << 61) - 1;
    for (index, (word, found)) in words.into_iter().zip(coefficients).enumerate() {
        let expected = if index % 2 == 0 { 1 + word % (prime - 1) } else { word % prime };
        assert_eq!(found, expected, "word {index}");
    }
}

fn check_encoding(case: &DheCase) -> usize {
    let encoding = DenseHash::new(case.seed, case.k, case.m).unwrap();
    let number = |text: &String| text.parse::<u64>().unwrap();
    let expected: Vec<_> = case.a.iter().map(number).zip(case.b.iter().map(number)).collect();
    assert_eq!(encoding.coefficients(), expected);
    for Encoded { id, hash, encoding: expected } in &case.ids {
        assert_eq!(encoding.hashes(*id).collect::<Vec<_>>(), *hash, "id {id}");
        assert_eq!(encoding.encode(*id).collect::<Vec<_>>(), *expected, "id {id}");
    }
    1
}

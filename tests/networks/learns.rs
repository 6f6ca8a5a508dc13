//! Whole systems on tables of their own, online: what they are there for, they learn.

use crate::*;
use flexihash::hash::murmur3_x64_128;
use std::collections::HashMap;

/// Rows by table and number, made on first touch and moved by AdaGrad.
#[derive(Default)]
struct Tables(HashMap<(&'static str, u64), Vec<[f32; 2]>>);

impl Tables {
    fn row(&mut self, table: &'static str, row: u64, dim: usize) -> &mut Vec<[f32; 2]> {
        let fresh = |at: usize| {
            let bits = murmur3_x64_128(&[row.to_le_bytes(), (at as u64).to_le_bytes()].concat(), 7).0;
            [(bits >> 40) as f32 / (1 << 24) as f32 - 0.5, 0.0]
        };
        self.0.entry((table, row)).or_insert_with(|| (0..dim).map(fresh).collect())
    }

    fn look_up(&mut self, table: &'static str, rows: &[u64], dim: usize) -> Values {
        let weights = rows.iter().flat_map(|&row| self.row(table, row, dim).clone());
        Values::Floats(weights.map(|[weight, _]| weight).collect())
    }

    fn learn(&mut self, table: &'static str, rows: &[u64], (gradient, rate): (&[f32], f32)) {
        let dim = gradient.len() / rows.len();
        for (&row, slopes) in rows.iter().zip(gradient.chunks_exact(dim)) {
            for ([weight, sum], slope) in self.row(table, row, dim).iter_mut().zip(slopes) {
                *sum += slope * slope;
                *weight -= rate * slope / (sum.sqrt() + 1e-8);
            }
        }
    }
}

/// Mean logistic loss of the labels there are.
fn logloss(predictions: &[f32], targets: &Targets) -> f64 {
    let labels = targets.values.iter().zip(&targets.weights).zip(predictions);
    let losses: Vec<f64> = labels
        .filter(|((_, weight), _)| **weight > 0.0)
        .map(|((&label, _), &p)| -f64::from(if label > 0.5 { p } else { 1.0 - p }).max(1e-6).ln())
        .collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// The first action is taken on posts of authors in the history, the second on those shown on surface 1.
#[test]
fn a_ranker_learns_what_a_history_says_about_candidates() {
    const AUTHORS: u64 = 8;
    const ITEMS: usize = 3;
    let options = RankerOptions {
        dim: 8,
        user_hashes: 1,
        item_hashes: 1,
        author_hashes: 2,
        actions: names(2),
        surfaces: 3,
        hidden: 16,
    };
    let mut head = NetworkHead::new(Ranker::new(options).unwrap(), HeadOptions::default()).unwrap();
    let (mut dice, mut tables, mut last) = (Dice(17), Tables::default(), Vec::new());
    for step in 0..1500 {
        let history: Vec<u64> = (0..ITEMS).map(|_| dice.roll(AUTHORS)).collect();
        let candidates: Vec<u64> = (0..ITEMS).map(|_| dice.roll(AUTHORS)).collect();
        let surfaces: Vec<u32> = (0..ITEMS).map(|_| dice.roll(3) as u32).collect();
        let posts: Vec<u64> = (0..ITEMS).map(|_| dice.roll(500)).collect();
        let hashed = |authors: &[u64]| authors.iter().flat_map(|author| [*author, 100 + author]).collect();
        let rows: [(&'static str, Vec<u64>); 5] = [
            ("users", vec![dice.roll(20)]),
            ("posts", posts.clone()),
            ("authors", hashed(&history)),
            ("posts", posts),
            ("authors", hashed(&candidates)),
        ];
        let [user, posts, authors, candidate_posts, candidate_authors] =
            rows.each_ref().map(|(table, rows)| tables.look_up(table, rows, 8));
        let list = || Items { count: ITEMS, mask: vec![true; ITEMS] };
        let fields = vec![
            user,
            posts,
            authors,
            Values::Floats([1.0, 0.0].repeat(ITEMS)),
            Values::Categories(vec![0; ITEMS]),
            candidate_posts,
            candidate_authors,
            Values::Categories(surfaces.clone()),
        ];
        let inputs = Inputs { rows: 1, lists: vec![list(), list()], fields };
        let acted = candidates.iter().zip(&surfaces).flat_map(|(author, &surface)| {
            [f32::from(history.contains(author)), f32::from(surface == 1)].map(Some)
        });
        let targets = Targets::of(acted);
        let learned = head.learn(&inputs, &targets).unwrap();
        if step >= 1200 {
            last.push(logloss(&learned.predictions, &targets));
        }
        let Step::Taken(leaves) = learned.step else { panic!("{:?}", learned.step) };
        let looked_up = leaves.iter().map(Values::as_floats).filter(|leaf| !leaf.is_empty());
        for ((table, rows), gradient) in rows.iter().zip(looked_up) {
            tables.learn(table, rows, (gradient, 0.1));
        }
    }
    // The entropy of the two actions is 0.635 nats on average: a third of authors, a third of surfaces.
    let loss = last.iter().sum::<f64>() / last.len() as f64;
    assert!(loss < 0.2, "logloss {loss}");
}

/// A user's taste is in the features, and users of odd number like the opposite: the row must learn that.
#[test]
fn an_estimator_learns_from_features_at_once_and_from_the_user_later() {
    let options = EstimatorOptions {
        tasks: names(1),
        representation: Representation::Mixture(CohortOptions {
            cohorts: 8,
            dropout: 0.1,
            ..CohortOptions::default()
        }),
        user_dim: 8,
        item_dim: 8,
        user_features: 2,
        item_features: 2,
        cross_features: 1,
        ..EstimatorOptions::default()
    };
    let network = MultiTaskEstimator::new(options).unwrap();
    let mut head = NetworkHead::new(network, HeadOptions::default()).unwrap();
    let (mut dice, mut tables, mut last) = (Dice(23), Tables::default(), Vec::new());
    for step in 0..1500 {
        let (users, likes): (Vec<u64>, Vec<bool>) =
            (0..8).map(|_| (dice.roll(10), dice.roll(2) == 1)).unzip();
        let items: Vec<u64> = (0..8).map(|_| dice.roll(30)).collect();
        let one_hot = |likes: &[bool]| likes.iter().flat_map(|&l| [f32::from(l), f32::from(!l)]).collect();
        let fields = head.fields().iter().map(|field| match field.name.as_str() {
            "user_id" => tables.look_up("users", &users, 8),
            "item_id" => tables.look_up("items", &items, 8),
            "user_features" => Values::Floats(one_hot(&likes)),
            _ => Values::Floats(vec![0.0; 8 * field.kind.floats()]),
        });
        let inputs = Inputs { rows: 8, fields: fields.collect(), ..Inputs::default() };
        let label = |(&likes, &user): (&bool, &u64)| Some(f32::from(likes && user % 2 == 0));
        let targets = Targets::of(likes.iter().zip(&users).map(label));
        let learned = head.learn(&inputs, &targets).unwrap();
        if step >= 1200 {
            last.push(logloss(&learned.predictions, &targets));
        }
        let Step::Taken(leaves) = learned.step else { panic!("{:?}", learned.step) };
        for (field, gradient) in head.fields().to_vec().iter().zip(leaves.iter().map(Values::as_floats)) {
            match field.name.as_str() {
                "user_id" => tables.learn("users", &users, (gradient, 0.1)),
                "item_id" => tables.learn("items", &items, (gradient, 0.1)),
                _ => {}
            }
        }
    }
    // A quarter are liked: 0.562 nats by the rate alone.
    let loss = last.iter().sum::<f64>() / last.len() as f64;
    assert!(loss < 0.1, "logloss {loss}");
}

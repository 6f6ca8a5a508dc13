//! What plays no part: missing labels, padding.

use crate::*;

#[test]
fn missing_labels_and_padding_teach_nothing() {
    for (name, network) in systems() {
        let (head, mut dice) = (head(network, OptimizerKind::Sgd), Dice(8));
        let inputs = inputs(&head, 3, &mut dice);
        let mut targets = targets(&head, &inputs, &mut dice);
        let expected = head.backward(&inputs, &targets, Phase::Predict).unwrap();
        // What stands for a missing label, and any label of padding, has no part in it.
        let width = head.network().outputs().names.len();
        let list =
            head.network().outputs().list.map(|list| head.lists().iter().position(|l| *l == list).unwrap());
        let padding = |output: usize| list.is_some_and(|list| !inputs.lists[list].mask[output / width]);
        for output in 0..targets.values.len() {
            if padding(output) {
                (targets.values[output], targets.weights[output]) = (1.0, 5.0);
            } else if targets.weights[output] == 0.0 {
                targets.values[output] = f32::NAN;
            }
        }
        assert_eq!(head.backward(&inputs, &targets, Phase::Predict).unwrap(), expected, "{name}");
        // Twice the weight is twice the loss.
        targets.weights.iter_mut().for_each(|weight| *weight *= 2.0);
        let doubled = head.backward(&inputs, &targets, Phase::Predict).unwrap();
        assert!((doubled.loss - 2.0 * expected.loss).abs() < 1e-4, "{name}");
    }
}

#[test]
fn a_batch_without_labels_changes_nothing() {
    for (name, network) in systems() {
        let (mut head, mut dice) = (head(network, OptimizerKind::Adam), Dice(8));
        let inputs = inputs(&head, 3, &mut dice);
        let expected = head.predict(&inputs).unwrap();
        let before = head.state();
        let learned = head.learn(&inputs, &Targets::of(expected.iter().map(|_| None))).unwrap();
        assert_eq!(learned, Learned { predictions: expected, loss: 0.0, step: Step::Unlabelled }, "{name}");
        assert_eq!(head.state(), before, "{name}");
    }
}

#[test]
fn padding_of_the_history_is_never_looked_at() {
    let (head, mut dice) = (head(ranker(), OptimizerKind::Sgd), Dice(31));
    let inputs = inputs(&head, 3, &mut dice);
    let expected = head.predict(&inputs).unwrap();
    let mut other = inputs.clone();
    let history = head.lists().iter().position(|list| list == "history").unwrap();
    let Items { count, mask } = &inputs.lists[history];
    for (field, values) in head.fields().iter().zip(&mut other.fields) {
        let Values::Floats(values) = values else { continue };
        if field.list.as_deref() == Some("history") {
            let width = values.len() / (inputs.rows * count);
            for (item, values) in values.chunks_exact_mut(width).enumerate().filter(|(item, _)| !mask[*item])
            {
                values.iter_mut().for_each(|value| *value += item as f32 + 1.0);
            }
        }
    }
    assert_ne!(other, inputs);
    assert_eq!(head.predict(&other).unwrap(), expected);
    // A history of padding alone is none at all, and finite.
    other.lists[history].mask.fill(false);
    let none = head.predict(&other).unwrap();
    assert!(none.iter().all(|prediction| prediction.is_finite()));
    assert_ne!(none, expected);
}

#[test]
fn a_mean_of_rows_is_their_sum_by_their_number() {
    let score = |pooling, dim_rows: [f32; 2]| {
        let head = head(dot(false, pooling), OptimizerKind::Sgd);
        let row = |value: f32| Values::Floats(vec![value; 3]);
        let inputs = Inputs { rows: 1, fields: dim_rows.map(row).to_vec(), ..Inputs::default() };
        head.predict(&inputs).unwrap()[0]
    };
    assert_eq!(score(Pooling::Sum, [0.5, 2.0]), 3.0);
    assert_eq!(score(Pooling::Mean, [0.5, 2.0]), score(Pooling::Sum, [0.25, 1.0]));
}

//! What is never stored, and losses far out.

use crate::*;

/// The ways in which finite inputs can leave the range of f32: rows, numbers, labels, weights and rates.
#[test]
fn no_finite_input_stores_a_parameter_that_is_not_finite() {
    let kinds = [OptimizerKind::Sgd, OptimizerKind::Adagrad, OptimizerKind::Ftrl, OptimizerKind::Adam];
    for (index, (name, network)) in systems().into_iter().enumerate() {
        let mut head = head(network, kinds[index % kinds.len()]);
        let mut dice = Dice(77);
        let mut dropped = 0;
        for round in 0..60 {
            let mut inputs = inputs(&head, 3, &mut dice);
            let mut targets = targets(&head, &inputs, &mut dice);
            let scale = [1.0, 1e10, 1e19, 3e38][round % 4];
            for values in &mut inputs.fields {
                if let Values::Floats(values) = values {
                    values.iter_mut().for_each(|value| *value *= scale);
                }
            }
            if round % 3 == 0 {
                targets.weights.iter_mut().for_each(|weight| *weight *= 1e38);
            }
            let before = head.state();
            let learned = head.learn(&inputs, &targets).unwrap();
            assert!(learned.predictions.iter().all(|prediction| prediction.is_finite()), "{name}");
            let after = head.state();
            assert!(after.parameters.iter().flat_map(|p| &p.values).all(|value| value.is_finite()), "{name}");
            match learned.step {
                Step::Taken(leaves) => {
                    assert!(
                        leaves.iter().flat_map(Values::as_floats).all(|slope| slope.is_finite()),
                        "{name}"
                    );
                }
                Step::Dropped => {
                    dropped += 1;
                    assert_eq!(after.parameters, before.parameters, "{name}: all or nothing");
                    assert_eq!(after.examples, before.examples, "{name}");
                }
                Step::Unlabelled => panic!("{name}: there are labels"),
            }
        }
        assert_eq!(head.dropped_steps(), dropped, "{name}");
        assert!(dropped > 0, "{name}: inputs of 3e38 overflow somewhere");
        // And it still learns from what is ordinary.
        let ordinary =
            learn(&mut self::head(systems().swap_remove(index).1, OptimizerKind::Sgd), 1, &mut dice);
        assert!(matches!(ordinary[0].step, Step::Taken(_)), "{name}");
    }
}

#[test]
fn confident_log_odds_still_have_a_loss_and_a_gradient() {
    let options = DotOptions { dim: 1, objective: Objective::default(), ..DotOptions::default() };
    let head = NetworkHead::new(Dot::new(options).unwrap(), HeadOptions::default()).unwrap();
    for (odds, label, loss, slope) in [
        (20.0, 1.0, 0.0, 0.0),
        (20.0, 0.0, 20.0, 1.0),
        (-200.0, 1.0, 200.0, -1.0),
        (1e6, 0.0, 1e6, 1.0),
        (0.0, 1.0, std::f32::consts::LN_2, -0.5),
    ] {
        let fields = vec![Values::Floats(vec![odds]), Values::Floats(vec![1.0])];
        let inputs = Inputs { rows: 1, fields, ..Inputs::default() };
        let got = head.backward(&inputs, &Targets::of([Some(label)]), Phase::Predict).unwrap();
        assert!((got.loss - loss).abs() <= 1e-5 * (1.0 + loss), "{odds}: loss {}", got.loss);
        let found = got.leaves[0].as_floats()[0];
        assert!((found - slope).abs() < 1e-5, "{odds}: gradient {found}");
    }
}

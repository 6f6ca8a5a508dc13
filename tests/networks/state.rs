//! What a head keeps: its state, the generator of dropout, first values.

use crate::*;

#[test]
fn a_restored_head_learns_on_with_the_same_bits() {
    let kinds = [OptimizerKind::Sgd, OptimizerKind::Adagrad, OptimizerKind::Ftrl, OptimizerKind::Adam];
    for (index, (name, network)) in systems().into_iter().enumerate() {
        let kind = kinds[index % kinds.len()];
        let mut head = self::head(network, kind);
        learn(&mut head, 5, &mut Dice(21));
        let state = head.state();
        assert_eq!(state.examples, head.examples());
        let expected = learn(&mut head, 5, &mut Dice(22));

        let network = systems().swap_remove(index).1;
        let mut other = NetworkHead::new(
            network,
            HeadOptions {
                seed: 99,
                optimizer: OptimizerOptions {
                    schedule: Schedule::InverseSqrt,
                    ..OptimizerOptions::new(kind)
                },
            },
        )
        .unwrap();
        assert!(state.parameters.is_empty() || other.state() != state, "{name}");
        other.restore(&state).unwrap();
        assert_eq!(other.state(), state, "{name}");
        assert_eq!(learn(&mut other, 5, &mut Dice(22)), expected, "{name}");
        assert_eq!(other.state(), head.state(), "{name}");
    }
}

#[test]
fn the_dropout_of_a_batch_depends_on_the_state_and_on_nothing_else() {
    let network = || estimator(Representation::Cohort(cohort(Addressing::Softmax)), false);
    let mut first = head(network(), OptimizerKind::Sgd);
    let mut dice = Dice(3);
    let inputs = inputs(&first, 3, &mut dice);
    let targets = targets(&first, &inputs, &mut dice);
    let random = first.state().random;
    let one = first.learn(&inputs, &targets).unwrap();
    assert_ne!(first.state().random, random, "masks were drawn");
    // Predicting draws none, in between or elsewhere.
    let mut second = head(network(), OptimizerKind::Sgd);
    second.predict(&inputs).unwrap();
    assert_eq!(second.state().random, random);
    assert_eq!(second.learn(&inputs, &targets).unwrap(), one);
    // The loss is that of the pass with dropout: other masks, another loss.
    let mut state = head(network(), OptimizerKind::Sgd).state();
    state.random ^= 1 << 40;
    second.restore(&state).unwrap();
    let other = second.learn(&inputs, &targets).unwrap();
    assert_eq!(other.predictions, one.predictions);
    assert_ne!(other.loss, one.loss);
}

#[test]
fn masks_keep_the_share_that_the_rate_leaves() {
    let keep = RandomMasks::new(4).keep("a layer", 0.8, 100_000);
    let kept = keep.iter().filter(|keep| **keep).count();
    assert!((19_500..20_500).contains(&kept), "{kept} of 100000");
    assert!(RandomMasks::new(4).keep("a layer", 0.0, 1000).iter().all(|keep| *keep));
}

#[test]
fn first_values_depend_on_seed_and_name_alone() {
    let values = |seed| {
        let optimizer = OptimizerOptions::new(OptimizerKind::Sgd);
        NetworkHead::new(ranker(), HeadOptions { seed, optimizer }).unwrap().state().parameters
    };
    assert_eq!(values(1), values(1));
    assert_ne!(values(1), values(2));
    let weight = values(1).into_iter().find(|found| found.name == "scorer.0.weight").unwrap();
    let bound = 1.0 / 15f32.sqrt(); // 5·dim inputs
    assert!(weight.values.iter().all(|value| value.abs() <= bound));
    assert!(weight.values.iter().any(|value| value.abs() > 0.8 * bound));
}

#[test]
fn copies_that_learned_apart_are_averaged_by_their_records() {
    fn is_send<T: Send>(_: &T) {}
    let make = || head(ranker(), OptimizerKind::Adam);
    let (mut whole, mut one, mut other) = (make(), make(), make());
    is_send(&whole);
    learn(&mut one, 1, &mut Dice(41));
    learn(&mut other, 3, &mut Dice(42));
    let idle = make();
    let (a, b) = (one.state(), other.state());
    whole.merge(&[&one, &other, &idle]).unwrap();
    let mean = whole.state();
    assert_eq!(mean.examples, a.examples + b.examples);
    let share = a.examples as f64 / mean.examples as f64;
    for ((mean, a), b) in mean.parameters.iter().zip(&a.parameters).zip(&b.parameters) {
        for ((mean, a), b) in mean.values.iter().zip(&a.values).zip(&b.values) {
            let expected = share * f64::from(*a) + (1.0 - share) * f64::from(*b);
            assert!((f64::from(*mean) - expected).abs() <= 1e-6 * (1.0 + expected.abs()));
        }
    }
    // Nobody learned anything.
    let before = idle.state();
    let mut still = make();
    still.merge(&[&idle, &make()]).unwrap();
    assert_eq!(still.state(), before);
    still.merge(&[&head(ranker(), OptimizerKind::Sgd)]).unwrap_err();
    assert_eq!(still.state(), before);
}

#[test]
fn what_is_watched_is_that_of_predicting() {
    let mixture = Representation::Mixture(cohort(Addressing::Softmax));
    let (head, mut dice) = (head(estimator(mixture, false), OptimizerKind::Sgd), Dice(6));
    let inputs = inputs(&head, 3, &mut dice);
    let targets = targets(&head, &inputs, &mut dice);
    let watched = head.watch(&inputs).unwrap();
    assert_eq!(watched, head.backward(&inputs, &targets, Phase::Predict).unwrap().watched);
    let weights = watched["mixture_probs"].chunks_exact(2);
    assert!(weights.len() == 3 && weights.into_iter().all(|pair| (pair[0] + pair[1] - 1.0).abs() < 1e-6));
}

//! Rows that come as tensors, as from a device: what is learned is what is learned of floats, and gradients come back as tensors.

use crate::*;
use flexihash::model::network::candle_core::{DType, Device, Tensor};

/// The same inputs, looked-up rows as tensors.
fn as_tensors(head: &NetworkHead, inputs: &Inputs) -> Inputs {
    let tensor = |(field, values): (&Field, &Values)| match values {
        Values::Floats(floats) if field.kind.is_looked_up() => {
            Values::Tensor(Tensor::from_slice(floats, floats.len(), &Device::Cpu).unwrap())
        }
        values => values.clone(),
    };
    let fields = head.fields().iter().zip(&inputs.fields).map(tensor).collect();
    Inputs { fields, ..inputs.clone() }
}

fn floats(values: &Values) -> Vec<f32> {
    match values {
        Values::Tensor(tensor) => tensor.to_vec1().unwrap(),
        values => values.as_floats().to_vec(),
    }
}

fn close(name: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-6 + 1e-5 * expected.abs(), "{name}: {got} beside {expected}");
    }
}

#[test]
fn rows_that_are_tensors_are_learned_as_those_that_are_floats() {
    let mut tensors = 0;
    for ((name, network), (_, same)) in systems().into_iter().zip(systems()) {
        let (mut here, mut there) =
            (head(network, OptimizerKind::Adagrad), head(same, OptimizerKind::Adagrad));
        there.compute_on(Device::Cpu).unwrap();
        let mut dice = Dice(5);
        for _ in 0..10 {
            let inputs = inputs(&here, 3, &mut dice);
            let targets = targets(&here, &inputs, &mut dice);
            let (found, expected) = (as_tensors(&here, &inputs), inputs);
            close(name, &there.predict(&found).unwrap(), &here.predict(&expected).unwrap());
            let found = there.learn(&found, &targets).unwrap();
            let expected = here.learn(&expected, &targets).unwrap();
            close(name, &[found.loss], &[expected.loss]);
            close(name, &found.predictions, &expected.predictions);
            let (found, expected) = match (found.step, expected.step) {
                (Step::Taken(found), Step::Taken(expected)) => (found, expected),
                (Step::Unlabelled, Step::Unlabelled) => continue,
                other => panic!("{name}: {other:?}"),
            };
            for ((field, found), expected) in here.fields().iter().zip(&found).zip(&expected) {
                assert_eq!(matches!(found, Values::Tensor(_)), field.kind.is_looked_up(), "{name}");
                tensors += usize::from(field.kind.is_looked_up());
                close(name, &floats(found), expected.as_floats());
            }
        }
        let parameters = |head: &NetworkHead| head.state().parameters.into_iter().flat_map(|of| of.values);
        close(name, &parameters(&there).collect::<Vec<_>>(), &parameters(&here).collect::<Vec<_>>());
        assert_eq!(
            (there.examples(), there.state().random),
            (here.examples(), here.state().random),
            "{name}"
        );
    }
    assert!(tensors > 100, "{tensors}");
}

/// Outputs and loss are finite; the item's gradient is weight · user, and is not.
#[test]
fn gradients_that_are_tensors_and_not_finite_are_dropped_whole() {
    let mut head = head(dot(false, Pooling::Sum), OptimizerKind::Sgd);
    let tensor = |weight: f32| Values::Tensor(Tensor::full(weight, 3, &Device::Cpu).unwrap());
    let inputs = Inputs { rows: 1, fields: vec![tensor(3e38), tensor(1e-30)], ..Inputs::default() };
    let learned = head.learn(&inputs, &Targets::of([Some(0.0)]).weighted(&[4.0]).unwrap()).unwrap();
    assert!(learned.loss.is_finite(), "{}", learned.loss);
    assert_eq!(learned.step, Step::Dropped);
    assert_eq!((head.dropped_steps(), head.examples()), (1, 0));
}

#[test]
fn tensors_that_are_no_rows_are_refused() {
    let head = head(ranker(), OptimizerKind::Sgd);
    let good = inputs(&head, 3, &mut Dice(1));
    let refused = |field: &str, tensor: Tensor| {
        let place = head.fields().iter().position(|own| own.name == field).unwrap();
        let mut inputs = good.clone();
        inputs.fields[place] = Values::Tensor(tensor);
        head.predict(&inputs).unwrap_err().to_string()
    };
    let zeros = |count: usize, dtype| Tensor::zeros(count, dtype, &Device::Cpu).unwrap();
    let error = refused("user", zeros(17, DType::F32));
    assert!(error.contains("field \"user\": expected 18 values, got 17"), "{error}");
    let error = refused("user", zeros(18, DType::F64));
    assert!(error.contains("field \"user\": expected stacked table rows, got a tensor"), "{error}");
    let error = refused("history_actions", zeros(24, DType::F32));
    assert!(error.contains("field \"history_actions\": expected numbers, got a tensor"), "{error}");
}

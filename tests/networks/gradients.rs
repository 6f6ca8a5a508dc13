//! Gradients against finite differences, of every leaf and every parameter.

use crate::*;
use flexihash::optim::OptimizerKind;

/// Central differences in f32: a step of 1/64 leaves rounding below 1e-5·64 and curvature below 1e-4 for losses of about 1
/// to 30 as here. A kink between the two points (ReLU, the largest of several) makes the difference worthless: one that has not
/// settled when the step is halved is passed over, and few may be.
fn check_slope(what: &str, gradient: f32, loss: impl Fn(f32) -> f32) -> bool {
    let difference = |step: f32| (f64::from(loss(step)) - f64::from(loss(-step))) / f64::from(2.0 * step);
    let (wide, narrow) = (difference(1.0 / 64.0), difference(1.0 / 128.0));
    let bound = 4e-3 + 4e-3 * narrow.abs();
    if (wide - narrow).abs() > bound {
        return false;
    }
    let off = (f64::from(gradient) - narrow).abs();
    assert!(off <= bound, "{what}: gradient {gradient}, difference {narrow}");
    true
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (name, network) in systems() {
        let (mut head, mut dice) = (head(network, OptimizerKind::Sgd), Dice(5));
        let inputs = inputs(&head, 3, &mut dice);
        let targets = targets(&head, &inputs, &mut dice);
        let masks = || Box::new(RandomMasks::new(9));
        let backward = |head: &NetworkHead, inputs: &Inputs| {
            head.backward(inputs, &targets, Phase::Train(masks().as_mut())).unwrap()
        };
        let exact = backward(&head, &inputs);
        let (mut settled, mut all, mut largest) = (0, 0, 0.0f32);
        for (field, leaf) in exact.leaves.iter().enumerate() {
            for (at, &gradient) in leaf.as_floats().iter().enumerate() {
                let loss = |step: f32| {
                    let mut moved = inputs.clone();
                    let Values::Floats(values) = &mut moved.fields[field] else { panic!("not floats") };
                    values[at] += step;
                    backward(&head, &moved).loss
                };
                let what = format!("{name}, {} at {at}", head.fields()[field].name);
                settled += usize::from(check_slope(&what, gradient, loss));
                (all, largest) = (all + 1, largest.max(gradient.abs()));
            }
        }
        let state = head.state();
        for (index, parameter) in state.parameters.iter().enumerate() {
            let gradients = &exact.parameters[&parameter.name];
            // Large layers: some of the weights.
            let stride = if gradients.len() > 200 { 37 } else { 1 };
            for at in (0..gradients.len()).step_by(stride) {
                let mut losses = [0.0; 4];
                let steps = [1.0f32 / 64.0, -1.0 / 64.0, 1.0 / 128.0, -1.0 / 128.0];
                for (loss, step) in losses.iter_mut().zip(steps) {
                    let mut moved = state.clone();
                    moved.parameters[index].values[at] += step;
                    head.restore(&moved).unwrap();
                    *loss = backward(&head, &inputs).loss;
                }
                let what = format!("{name}, {} at {at}", parameter.name);
                let at_step = |step: f32| losses[steps.iter().position(|&known| known == step).unwrap()];
                settled += usize::from(check_slope(&what, gradients[at], at_step));
                (all, largest) = (all + 1, largest.max(gradients[at].abs()));
            }
        }
        assert!(settled * 20 >= all * 19, "{name}: {settled} of {all} differences settled");
        assert!(largest > 0.05, "{name}: nothing but small gradients");
    }
}

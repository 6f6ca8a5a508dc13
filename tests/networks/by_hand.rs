//! Networks that are written out beside candle's graph of them.

use crate::*;
use flexihash::optim::OptimizerKind;

#[test]
fn what_is_written_out_is_what_the_graph_computes() {
    let reduction = [Reduction::Sum, Reduction::Mean];
    let loss = [OutputLoss::Squared, OutputLoss::Logistic];
    let mut compared = 0;
    for (index, (biases, pooling)) in
        [(false, Pooling::Sum), (true, Pooling::Sum), (true, Pooling::Mean)].into_iter().enumerate()
    {
        for (reduction, loss) in reduction.into_iter().zip(loss.into_iter().cycle().skip(index)) {
            let objective = Objective { loss, reduction };
            let options = DotOptions { dim: 5, hashes: 3, biases, pooling, objective };
            let mut head = head(Box::new(Dot::new(options).unwrap()), OptimizerKind::Adagrad);
            let mut dice = Dice(31 + index as u64);
            for _ in 0..5 {
                let inputs = inputs(&head, 6, &mut dice);
                let targets = targets(&head, &inputs, &mut dice);
                let graph = head.backward(&inputs, &targets, Phase::Predict).unwrap();
                let link = |output: &f32| objective.prediction(*output);
                let learned = head.learn(&inputs, &targets).unwrap();
                close(&learned.predictions, &graph.outputs.iter().map(link).collect::<Vec<_>>());
                close(&[learned.loss], &[graph.loss]);
                let Step::Taken(leaves) = learned.step else { panic!("not learned") };
                for (leaf, expected) in leaves.iter().zip(&graph.leaves) {
                    close(leaf.as_floats(), expected.as_floats());
                }
                compared += leaves.len();
            }
        }
    }
    assert!(compared > 60, "{compared}");
}

fn close(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-6 + 1e-5 * expected.abs(), "{got} beside {expected}");
    }
}

//! What is refused, by which words.

use crate::*;

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (mut head, mut dice) = (head(ranker(), OptimizerKind::Sgd), Dice(4));
    let good = inputs(&head, 3, &mut dice);
    let targets = targets(&head, &good, &mut dice);
    let before = head.state();
    type Spoil = fn(&mut Inputs);
    let spoilers: [(&str, Spoil); 7] = [
        ("rows", |inputs| inputs.rows = 0),
        ("fields: expected 8", |inputs| drop(inputs.fields.pop())),
        ("lists: expected 2", |inputs| drop(inputs.lists.pop())),
        ("mask of \"history\"", |inputs| inputs.lists[0].mask.truncate(11)),
        ("field \"user\": expected 18 values", |inputs| inputs.fields[0] = Values::Floats(vec![0.0; 17])),
        ("field \"user\": expected stacked table rows", |inputs| inputs.fields[0] = Values::Ids(vec![0; 18])),
        ("expected a category below 3", |inputs| inputs.fields[4] = Values::Categories(vec![3; 12])),
    ];
    for (expected, spoil) in spoilers {
        let mut bad = good.clone();
        spoil(&mut bad);
        let error = head.learn(&bad, &targets).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let short = Targets { values: vec![0.0], weights: vec![1.0] };
    assert!(
        head.learn(&good, &short).unwrap_err().to_string().contains("targets: expected 24 values, got 1")
    );
    assert_eq!(head.state(), before);

    for spoil in [
        (|state| drop(state.parameters.pop())) as fn(&mut HeadState),
        |state| state.parameters[0].name.push('x'),
        |state| state.parameters[0].shape.push(1),
        |state| state.parameters[0].values.truncate(1),
        |state| state.parameters[0].values[2] = f32::NAN,
        |state| state.parameters.push(state.parameters[0].clone()),
    ] {
        let mut bad = before.clone();
        spoil(&mut bad);
        bad.examples += 1;
        head.restore(&bad).unwrap_err();
        assert_eq!(head.state(), before);
    }
    // The state of another optimizer has other floats a weight.
    self::head(ranker(), OptimizerKind::Adam).restore(&before).unwrap_err();
}

#[test]
fn a_network_that_does_not_fit_together_is_found_when_its_head_is_made() {
    #[derive(Debug, Clone)]
    struct Wrong {
        fields: Vec<Field>,
        parameters: Vec<Parameter>,
        outputs: usize,
        list: Option<String>,
    }
    impl Network for Wrong {
        fn fields(&self) -> Vec<Field> {
            self.fields.clone()
        }
        fn parameters(&self) -> Vec<Parameter> {
            self.parameters.clone()
        }
        fn outputs(&self) -> Outputs {
            Outputs { names: names(self.outputs), list: self.list.clone() }
        }
        fn objective(&self) -> Objective {
            Objective::default()
        }
        fn forward(&self, pass: &mut Pass<'_>) -> Result<candle_core::Tensor, NetworkError> {
            use candle_nn::Module;
            Ok(pass.linear("layer")?.forward(&pass.field("x")?)?)
        }
    }
    let right = Wrong {
        fields: vec![Field::of_record("x", FieldKind::Sum { dim: 3 })],
        parameters: Parameter::linear("layer", 3, 2).to_vec(),
        outputs: 2,
        list: None,
    };
    let made = |network: &Wrong| NetworkHead::new(network.clone(), HeadOptions::default()).map(drop);
    made(&right).unwrap();
    type Spoil = fn(&mut Wrong);
    let spoilers: [(&str, Spoil); 7] = [
        ("expected shape [2, 3], got [2, 2]", |network| network.outputs = 3),
        ("no list \"items\"", |network| network.list = Some("items".into())),
        ("no field \"x\"", |network| network.fields[0].name = "y".into()),
        ("field \"x\" is declared twice", |network| network.fields.push(network.fields[0].clone())),
        ("parameter \"layer.bias\" is declared twice", |network| {
            network.parameters.push(network.parameters[1].clone())
        }),
        ("expected a size of at least 1", |network| network.fields[0].kind = FieldKind::Sum { dim: 0 }),
        ("shape mismatch", |network| network.fields[0].kind = FieldKind::Sum { dim: 4 }),
    ];
    for (expected, spoil) in spoilers {
        let mut wrong = right.clone();
        spoil(&mut wrong);
        let error = made(&wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn options_outside_their_range_are_refused() {
    let options = EstimatorOptions { tasks: names(2), ..EstimatorOptions::default() };
    let refused = |options: EstimatorOptions| MultiTaskEstimator::new(options).unwrap_err().to_string();
    assert!(refused(EstimatorOptions { tasks: vec![], ..options.clone() }).contains("tasks"));
    let weights = EstimatorOptions { user_value_weights: vec![1.0], ..options.clone() };
    assert!(refused(weights).contains("user_value_weights: expected 2 values, got 1"));
    let dropout = Representation::Cohort(CohortOptions { dropout: 1.0, ..CohortOptions::default() });
    assert!(refused(EstimatorOptions { representation: dropout, ..options.clone() }).contains("below 1"));
    let range = Representation::Dhe { seed: 0, hashes: 3, range: 1 };
    assert!(refused(EstimatorOptions { representation: range, ..options }).contains("at least 2"));
    Dot::new(DotOptions { hashes: 0, ..DotOptions::default() }).unwrap_err();
    Ranker::new(RankerOptions { actions: vec![], ..RankerOptions::default() }).unwrap_err();
    let parts: [Box<dyn UserRepresentation>; 2] =
        [Box::new(IdLookup { dim: 3 }), Box::new(IdLookup { dim: 4 })];
    Mixture::new(parts, FieldKind::Numbers { width: 2 }).unwrap_err();
}

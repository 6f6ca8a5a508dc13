//! What a learner promises beside its figures: borders, restarts, tasks and labels.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use flexihash::learner::{
    HeadKind, LabelShape, Learner, LearnerError, LearnerOptions, LearnerState, Learning, Mode, Outcome,
    Rejection,
};
use flexihash::model::Loss;
use flexihash::optim::{OptimizerKind, OptimizerOptions};
use std::collections::BTreeMap;
use stream::{Held, Stream, checksum, flights, held};

const BUCKETS: u32 = 1 << 16;

fn options(head: HeadKind, learning: Learning) -> LearnerOptions {
    LearnerOptions { head, learning, buckets: BUCKETS, ..LearnerOptions::default() }
}

fn given(kind: OptimizerKind, rate: f64) -> Learning {
    Learning::Given(OptimizerOptions { rate, ..OptimizerOptions::new(kind) })
}

fn every_learner() -> Vec<LearnerOptions> {
    let adam = given(OptimizerKind::Adam, 0.01);
    [HeadKind::Linear, HeadKind::Fm]
        .into_iter()
        .flat_map(|head| [options(head, Learning::Auto), options(head, adam)])
        .collect()
}

/// Records with two tasks that appear one after the other, masked now and then, some without label or weight.
fn task_lines(records: usize) -> Vec<String> {
    let line = |i: usize| {
        let bit = |k: usize| i.wrapping_mul(2_654_435_761) >> k & 1;
        let label = match i {
            0..5 => "null".to_owned(),
            5..20 => format!("{{\"click\":{}}}", bit(9)),
            _ if i.is_multiple_of(7) => format!("{{\"click\":null,\"like\":{}}}", bit(10)),
            _ if i.is_multiple_of(11) => "null".to_owned(),
            _ => format!("{{\"like\":{},\"click\":{}}}", bit(10), bit(9)),
        };
        let weight = if i.is_multiple_of(13) { 0.0 } else { 0.5 + (i % 3) as f64 };
        let (user, item, size) = (i % 17, i % 23, (i % 29) as f64 / 7.0);
        format!(
            "{{\"label\":{label},\"weight\":{weight},\
             \"features\":{{\"u\":\"{user}\",\"i\":\"{item}\",\"size\":{size}}}}}"
        )
    };
    (0..records).map(line).collect()
}

/// All that a learner holds, as bits.
fn snapshot(learner: &Learner) -> (LearnerState, Vec<(String, Vec<u64>)>, u64) {
    let bits = |vector: Vec<f64>| vector.into_iter().map(f64::to_bits).collect();
    let vectors = learner.vectors().into_iter().map(|(name, vector)| (name, bits(vector))).collect();
    (learner.state(), vectors, checksum(learner))
}

#[test]
fn batch_borders_do_not_matter() {
    let flights = flights(2000);
    let tasks = task_lines(600);
    for options in every_learner() {
        let mut results = Vec::new();
        for size in [1, 7, 512] {
            let (mut single, mut several) = (Stream::new(options.clone()), Stream::new(options.clone()));
            let predictions = (single.learn(&flights, size), several.learn(&tasks, size));
            results.push((predictions, snapshot(&single.learner), snapshot(&several.learner)));
        }
        assert!(results.iter().all(|result| *result == results[0]), "{options:?}");
    }
}

#[test]
fn predictions_before_the_first_label_belong_to_no_task() {
    let lines = task_lines(30);
    let mut stream = Stream::new(options(HeadKind::Linear, Learning::Auto));
    stream.learn(&lines, 30);
    assert_eq!(stream.outcomes.unnamed, 5);
    assert_eq!(stream.outcomes.tasks.as_deref(), Some(&["click".to_owned(), "like".to_owned()][..]));
    stream.learn(&lines, 30);
    assert_eq!(stream.outcomes.unnamed, 0);
}

/// Tables by copies of their touched rows, everything else by state and vectors.
fn restored(learner: &Learner) -> Learner {
    let (state, vectors) = (learner.state(), learner.vectors());
    let copy = Learner::restore(learner.options().clone(), state, &vectors).unwrap();
    for ((_, table), rows) in copy.tables().into_iter().zip(held(learner)) {
        let slots: Vec<u32> = rows.iter().map(|held| held.slot.0).collect();
        let flat = |part: fn(&Held) -> &Vec<f32>| rows.iter().flat_map(part).copied().collect::<Vec<f32>>();
        assert!(table.restore(&slots, &flat(|held| &held.row), &flat(|held| &held.side)));
    }
    copy
}

#[test]
fn a_restored_learner_continues_bit_for_bit() {
    let lines = [task_lines(300), task_lines(300)].concat();
    for options in every_learner() {
        let mut through = Stream::new(options.clone());
        through.learn(&lines, 64);
        for stop in [3, 17, 300] {
            let mut first = Stream::new(options.clone());
            first.learn(&lines[..stop], 64);
            let mut second = Stream::of(restored(&first.learner));
            assert_eq!(snapshot(&second.learner), snapshot(&first.learner));
            second.learn(&lines[stop..], 64);
            assert_eq!(snapshot(&second.learner), snapshot(&through.learner), "{options:?}, stop at {stop}");
        }
    }
}

#[test]
fn a_state_of_another_learner_is_refused() {
    let mut linear = Stream::new(options(HeadKind::Linear, Learning::Auto));
    linear.learn(&flights(10), 10);
    let restore =
        |options, vectors: &BTreeMap<_, _>| Learner::restore(options, linear.learner.state(), vectors);
    let vectors = linear.learner.vectors();
    let fm = restore(options(HeadKind::Fm, Learning::Auto), &vectors);
    assert!(matches!(fm, Err(LearnerError::State(name)) if name == "head.0"));
    let mut squared = options(HeadKind::Linear, Learning::Auto);
    squared.loss = Loss::Squared;
    assert!(matches!(restore(squared, &vectors), Err(LearnerError::State(name)) if name == "validation.0"));
    let mut broken = vectors.clone();
    broken.get_mut("head.0").unwrap()[0] = f64::NAN;
    let same = options(HeadKind::Linear, Learning::Auto);
    assert!(matches!(restore(same, &broken), Err(LearnerError::State(name)) if name == "head.0"));
}

#[test]
fn records_without_label_or_weight_change_nothing() {
    for options in every_learner() {
        let mut stream = Stream::new(options);
        stream.learn(&flights(200), 64);
        let before = snapshot(&stream.learner);
        stream.learn(
            &[
                r#"{"features":{"new":"a","distance":7.5}}"#,
                r#"{"label":null,"features":{"carrier":"UA"}}"#,
                r#"{"label":1,"weight":0,"features":{"carrier":"UA","temp":99,"other":"b"}}"#,
            ],
            2,
        );
        let (state, vectors, rows) = snapshot(&stream.learner);
        assert_eq!((&vectors, rows), (&before.1, before.2));
        assert_eq!(state.counters.records, before.0.counters.records + 3);
        assert_eq!(state.counters.examples, before.0.counters.examples);
    }
}

#[test]
fn predicting_learns_nothing_and_agrees_with_learning() {
    let lines = flights(300);
    for options in every_learner() {
        let mut stream = Stream::new(options);
        stream.learn(&lines[..299], 64);
        let before = snapshot(&stream.learner);
        stream.read(&lines[299..]);
        stream.learner.process(&stream.batch, 0..1, Mode::Predict, &mut stream.outcomes).unwrap();
        let predicted = stream.outcomes.predictions[0];
        let after = snapshot(&stream.learner);
        assert_eq!((before.1, before.2), (after.1, after.2));
        assert_eq!(stream.learn(&lines[299..], 1)[0][0].to_bits(), predicted.to_bits());
    }
}

#[test]
fn a_task_learns_as_if_it_were_alone() {
    let lines = task_lines(400);
    for options in every_learner() {
        let mut both = Stream::new(options.clone());
        both.learn(&lines, 64);
        let names: Vec<_> = both.learner.task_names().map(|name| name.unwrap().to_owned()).collect();
        assert_eq!(names, ["click", "like"], "in the order in which they are first named");
        for (index, name) in names.iter().enumerate() {
            let mut alone = Stream::new(options.clone());
            alone.learn(&lines.iter().map(|line| only(line, name)).collect::<Vec<_>>(), 64);
            assert_eq!(held(&alone.learner)[0], held(&both.learner)[index], "{name}");
            let vectors = (alone.learner.vectors(), both.learner.vectors());
            assert_eq!(vectors.0["head.0"], vectors.1[&format!("head.{index}")]);
            assert_eq!(vectors.0["validation.0"], vectors.1[&format!("validation.{index}")]);
        }
    }
}

/// `line` with the label of `task` as its single label.
fn only(line: &str, task: &str) -> String {
    let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
    record["label"] = record["label"].get(task).cloned().unwrap_or_default();
    record.to_string()
}

#[test]
fn a_masked_task_is_not_learned() {
    let mut stream = Stream::new(options(HeadKind::Linear, Learning::Auto));
    stream.learn(&[r#"{"label":{"a":1,"b":0},"features":{"x":"1"}}"#], 1);
    let before = held(&stream.learner);
    stream.learn(&[r#"{"label":{"a":0,"b":null},"features":{"x":"1","y":"2"}}"#], 1);
    let after = held(&stream.learner);
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1], before[1]);
    assert_eq!(stream.learner.counters().examples, 2);
}

fn rejection(stream: &mut Stream, line: &str) -> Option<Rejection> {
    stream.read(&[line]);
    stream.learner.process(&stream.batch, 0..1, Mode::Learn, &mut stream.outcomes).unwrap();
    match stream.outcomes.rows[0].clone() {
        Outcome::Rejected(rejection) => Some(rejection),
        Outcome::Scored { .. } => None,
    }
}

#[test]
fn labels_of_the_other_shape_are_rejected_and_change_nothing() {
    let (single, tasks) =
        (r#"{"label":1,"features":{"x":"1"}}"#, r#"{"label":{"a":1},"features":{"x":"1"}}"#);
    for (first, other, expected, shape) in [
        (single, tasks, Rejection::TaskLabels, LabelShape::Single),
        (tasks, single, Rejection::SingleLabel, LabelShape::Tasks),
    ] {
        let mut stream = Stream::new(options(HeadKind::Linear, Learning::Auto));
        assert_eq!(rejection(&mut stream, first), None);
        assert_eq!(stream.learner.state().shape, shape);
        let before = snapshot(&stream.learner);
        assert_eq!(rejection(&mut stream, other), Some(expected));
        assert_eq!(snapshot(&stream.learner), before);
    }
}

#[test]
fn a_record_with_one_task_too_many_is_rejected_and_changes_nothing() {
    let label = |range: std::ops::Range<usize>| {
        let tasks: Vec<String> = range.map(|i| format!("\"t{i}\":1")).collect();
        format!("{{\"label\":{{{}}},\"features\":{{\"x\":\"1\"}}}}", tasks.join(","))
    };
    let small = LearnerOptions { buckets: 64, ..LearnerOptions::default() };
    let mut stream = Stream::new(small);
    assert_eq!(rejection(&mut stream, &label(0..63)), None);
    let before = snapshot(&stream.learner);
    assert_eq!(rejection(&mut stream, &label(63..65)), Some(Rejection::TooManyTasks("t64".to_owned())));
    assert_eq!(snapshot(&stream.learner), before, "not even the first of the two tasks was taken up");
    assert_eq!(rejection(&mut stream, &label(63..64)), None);
    let many =
        LearnerOptions { tasks: (0..65).map(|i| i.to_string()).collect(), ..LearnerOptions::default() };
    assert!(matches!(Learner::new(many), Err(LearnerError::TooManyTasks(65))));
}

#[test]
fn the_order_of_keys_is_irrelevant() {
    let flip = |line: &Vec<u8>| {
        let record: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).unwrap();
        let features = record["features"].as_object().unwrap();
        let features: Vec<String> =
            features.iter().rev().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{\"features\":{{{}}},\"label\":{}}}", features.join(","), record["label"]).into_bytes()
    };
    let lines = flights(500);
    let flipped: Vec<_> = lines.iter().map(flip).collect();
    for options in every_learner() {
        let (mut straight, mut turned) = (Stream::new(options.clone()), Stream::new(options));
        assert_eq!(straight.learn(&lines, 64), turned.learn(&flipped, 64));
        assert_eq!(snapshot(&straight.learner), snapshot(&turned.learner));
    }
}

/// A median out of reach and rate 2: gradient ±1/2, so every occurrence moves its weight by exactly 1.
#[test]
fn quantile_with_sgd_counts_occurrences() {
    let loss = Loss::Quantile(0.5);
    let learning = given(OptimizerKind::Sgd, 2.0);
    let mut stream = Stream::new(LearnerOptions { loss, learning, ..LearnerOptions::default() });
    let line = |label: f64, name: &str| format!("{{\"label\":{label},\"features\":{{\"f\":\"{name}\"}}}}");
    let mut lines = vec![line(1e9, "up"); 5];
    lines.extend(vec![line(-1e9, "down"); 3]);
    stream.learn(&lines, 3);
    let mut weights: Vec<f32> = held(&stream.learner)[0].iter().map(|held| held.row[0]).collect();
    let constant = weights.pop();
    weights.sort_by(f32::total_cmp);
    assert_eq!((weights.as_slice(), constant), (&[-3.0, 5.0][..], Some(2.0)));
}

/// A step of SGD with rate r moves the rows by −r times the gradient of the loss as finite differences see it.
#[test]
fn the_step_of_a_factorization_machine_is_its_gradient() {
    let rate = 1e-2;
    let options = LearnerOptions {
        loss: Loss::Logistic,
        dim: 3,
        ..options(HeadKind::Fm, given(OptimizerKind::Sgd, rate))
    };
    let mut stream = Stream::new(options);
    let train = [r#"{"label":1,"features":{"a":"x","b":2.5,"c":-0.5}}"#];
    let other = [r#"{"label":0,"features":{"a":"x","b":1.5,"c":2}}"#];
    for _ in 0..200 {
        stream.learn(&other, 1);
        stream.learn(&train, 1);
    }
    let before = held(&stream.learner)[0].clone();
    let loss = |rows: &[Held]| {
        let mut copy = Stream::of(restored(&stream.learner));
        write(&copy.learner, rows);
        copy.read(&train);
        copy.learner.process(&copy.batch, 0..1, Mode::Predict, &mut copy.outcomes).unwrap();
        Loss::Logistic.value(f64::from(copy.outcomes.predictions[0]), 1.0)
    };
    let mut checked = 0;
    let mut after = Stream::of(restored(&stream.learner));
    after.learn(&train, 1);
    for (index, moved) in held(&after.learner)[0].iter().enumerate() {
        for column in 0..moved.row.len() {
            let step = 1.0 / 32.0;
            let at = |sign: f32| {
                let mut rows = before.clone();
                rows[index].row[column] += sign * step;
                loss(&rows)
            };
            let numeric = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
            let taken = f64::from(before[index].row[column] - moved.row[column]) / rate;
            assert!((numeric - taken).abs() < 2e-3, "row {index}, column {column}: {numeric} beside {taken}");
            checked += usize::from(numeric.abs() > 1e-2);
        }
    }
    assert!(checked >= 10, "only {checked} gradients are not near 0");
}

fn write(learner: &Learner, rows: &[Held]) {
    let (_, table) = learner.tables().swap_remove(0);
    for held in rows {
        assert!(table.restore(&[held.slot.0], &held.row, &held.side));
    }
}

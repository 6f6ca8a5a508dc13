//! No finite input may ever store a number that is not finite, and none may spoil what comes after it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use flexihash::learner::{HeadKind, LearnerOptions, Learning};
use flexihash::model::Loss;
use flexihash::optim::{OptimizerKind, OptimizerOptions};
use std::fmt::Write;
use stream::{Stream, flights, held};

const EXTREMES: [&str; 12] = [
    "3.4e38",
    "-3.4e38",
    "1e-45",
    "-1e-45",
    "1e20",
    "-1e20",
    "1",
    "1e-38",
    "-7.5",
    "1e9",
    "0",
    "3.4028234e38",
];
const WEIGHTS: [&str; 7] = ["3.4e38", "1", "1e-45", "1e20", "0", "1e6", "1e-20"];

/// Pseudo-random words, the same in every run (xorshift64*).
struct Words(u64);

impl Words {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

fn labels(loss: Loss) -> &'static [&'static str] {
    match loss {
        Loss::Logistic | Loss::Hinge => &["0", "1", "0.5", "1e-45"],
        Loss::Poisson => &["0", "3.4e38", "1e-45", "1", "1e20"],
        Loss::Squared | Loss::Quantile(_) => &["0", "3.4e38", "-3.4e38", "1e-45", "1", "1e20", "-1e20"],
    }
}

/// `records` records of a few extreme numbers and categories.
fn torture(loss: Loss, records: usize, seed: u64) -> Vec<String> {
    let mut words = Words(seed);
    let record = |_| {
        let mut features = String::new();
        for _ in 0..words.below(8) {
            let (name, value) = (words.below(12), words.pick(&EXTREMES));
            match words.below(3) {
                0 => write!(features, "\"t{name}\":\"{value}\",").unwrap(),
                _ => write!(features, "\"t{name}\":{value},").unwrap(),
            }
        }
        let (label, weight) = (words.pick(labels(loss)), words.pick(&WEIGHTS));
        let record = format!("{{\"label\":{label},\"weight\":{weight},\"features\":{{{features}\"z\":1}}}}");
        record
    };
    // Equal signs of one repeated key could add up beyond f32: such a record is bad, and no matter of learning.
    (0..records).map(record).filter(|record| !repeats(record)).collect()
}

fn repeats(record: &str) -> bool {
    (0..12).any(|name| record.matches(&format!("\"t{name}\":")).count() > 1)
}

/// One feature thousands of times; as many features as a text; the same with huge numbers.
fn wide(loss: Loss) -> Vec<String> {
    let label = labels(loss)[1];
    let repeated = |feature: &str| vec![feature; 5000].join(",");
    let many = |value: &str| (0..100_000).map(|i| format!("\"w{i}\":{value}")).collect::<Vec<_>>().join(",");
    [repeated("\"a\":\"b\""), repeated("\"c\":6e34"), many("\"x\""), many("2e37"), many("-1e-45")]
        .into_iter()
        .flat_map(|features| {
            ["3.4e38", "1"].map(|weight| {
                format!("{{\"label\":{label},\"weight\":{weight},\"features\":{{{features}}}}}")
            })
        })
        .collect()
}

fn assert_finite(stream: &Stream, context: &str) {
    for held in held(&stream.learner).iter().flatten() {
        let finite = held.row.iter().chain(&held.side).all(|value| value.is_finite());
        assert!(finite, "{context}: {held:?}");
    }
    stream.learner.for_each_weight(0, |weight| assert!(weight.is_finite(), "{context}: weight {weight}"));
    for (name, vector) in stream.learner.vectors() {
        let bad = vector.iter().position(|value| !value.is_finite());
        assert_eq!(bad, None, "{context}: {name} of {} values", vector.len());
    }
}

fn run(loss: Loss, head: HeadKind, learning: Learning) -> Stream {
    let context = format!("{loss:?} {head:?} {learning:?}");
    let options = LearnerOptions { loss, head, learning, buckets: 1 << 18, ..LearnerOptions::default() };
    let mut stream = Stream::new(options);
    let mut lines = torture(loss, 1500, 7);
    lines.extend(wide(loss));
    lines.extend(torture(loss, 500, 8));
    for (index, chunk) in lines.chunks(500).enumerate() {
        let predictions = stream.learn(chunk, 100);
        let bad = predictions.iter().position(|p| !p[0].is_finite());
        assert_eq!(bad, None, "{context}: a prediction of chunk {index}");
        assert_finite(&stream, &format!("{context}, chunk {index}"));
    }
    stream
}

const LOSSES: [Loss; 5] = [Loss::Logistic, Loss::Squared, Loss::Hinge, Loss::Quantile(0.9), Loss::Poisson];

fn given(kind: OptimizerKind) {
    for loss in LOSSES {
        for head in [HeadKind::Linear, HeadKind::Fm] {
            for rate in [kind.default_rate(), 1e30] {
                let options = OptimizerOptions { rate, l2: 1e-3, ..OptimizerOptions::new(kind) };
                run(loss, head, Learning::Given(options));
            }
        }
    }
}

#[test]
fn auto_linear_stores_only_finite_numbers() {
    for loss in LOSSES {
        assert_eq!(run(loss, HeadKind::Linear, Learning::Auto).learner.counters().dropped_steps, 0);
    }
}

#[test]
fn auto_fm_stores_only_finite_numbers() {
    for loss in LOSSES {
        assert_eq!(run(loss, HeadKind::Fm, Learning::Auto).learner.counters().dropped_steps, 0);
    }
}

#[test]
fn sgd_stores_only_finite_numbers() {
    given(OptimizerKind::Sgd);
}

#[test]
fn adagrad_stores_only_finite_numbers() {
    given(OptimizerKind::Adagrad);
}

#[test]
fn ftrl_stores_only_finite_numbers() {
    given(OptimizerKind::Ftrl);
}

#[test]
fn adam_stores_only_finite_numbers() {
    given(OptimizerKind::Adam);
}

#[test]
fn dropped_steps_are_counted_and_change_nothing() {
    let options = OptimizerOptions { rate: 1e10, ..OptimizerOptions::new(OptimizerKind::Sgd) };
    let learning = Learning::Given(options);
    let mut stream =
        Stream::new(LearnerOptions { loss: Loss::Squared, learning, ..LearnerOptions::default() });
    stream.learn(&[r#"{"label":1,"features":{"a":1}}"#], 1);
    let before = held(&stream.learner);
    stream.learn(&[r#"{"label":-3e38,"features":{"a":1}}"#], 1);
    assert_eq!(held(&stream.learner), before);
    assert_eq!(stream.learner.counters().dropped_steps, 2, "the feature's and the constant's");
}

/// Weights up to 3.4e38 and numbers of every size first; then the real stream must still be learned.
#[test]
fn extreme_records_do_not_poison_later_learning() {
    let lines = flights(20_000);
    let positives = lines.iter().filter(|line| line.windows(9).any(|w| w == b"\"label\":1")).count();
    let rate = positives as f64 / lines.len() as f64;
    let entropy = Loss::Logistic.value(rate, rate);
    for head in [HeadKind::Linear, HeadKind::Fm] {
        let mut clean = Stream::new(LearnerOptions { head, ..LearnerOptions::default() });
        let mut poisoned = run(Loss::Logistic, head, Learning::Auto);
        let mut losses = Vec::new();
        for stream in [&mut clean, &mut poisoned] {
            let predictions = stream.learn(&lines, 512);
            let loss = |(line, p): (&Vec<u8>, &Vec<f32>)| {
                let label = f64::from(u8::from(line.windows(9).any(|w| w == b"\"label\":1")));
                Loss::Logistic.value(f64::from(p[0]), label)
            };
            losses.push(lines.iter().zip(&predictions).map(loss).sum::<f64>() / lines.len() as f64);
        }
        assert!(losses[0] < entropy, "{head:?} clean: {losses:?}, entropy {entropy}");
        assert!(
            losses[1] < entropy.min(1.06 * losses[0]),
            "{head:?} after torture: {losses:?}, entropy {entropy}"
        );
    }
}

//! Learning runs to the bit: `fixtures/learn/cases.json` says who learns what, `golden/` holds what came of it.
//!
//! `FLEXIHASH_BLESS=1` writes `golden/` anew. The cases of textbook optimizers also hold the figures of a reference
//! learner that shares no code with the crate, so that what is blessed is right and not just stable.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use flexihash::learner::LearnerOptions;
use serde::{Deserialize, Serialize};
use std::io::Write;
use stream::{Stream, checksum, fixture};

#[derive(Deserialize)]
struct Case {
    name: String,
    stream: String,
    options: LearnerOptions,
    reference: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    loss: f64,
    last: Vec<f64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Golden {
    /// Progressive loss of each task: as a number to read, and its bits.
    losses: Vec<f64>,
    loss_bits: Vec<String>,
    /// Bits of the predictions of the last five records, one a task.
    last_bits: Vec<Vec<String>>,
    /// FNV-1a over slots, rows and sides.
    checksum: String,
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(fixture("learn/cases.json")).unwrap()).unwrap()
}

fn run(case: &Case) -> (Golden, Vec<Vec<f32>>) {
    let text = std::fs::read_to_string(fixture(&format!("learn/{}.jsonl", case.stream))).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut stream = Stream::new(case.options.clone());
    let mut predictions = stream.learn(&lines, 64);
    let last = predictions.split_off(predictions.len() - 5);
    let losses: Vec<f64> = stream.learner.reports().map(|(report, _)| report.figures.loss).collect();
    let golden = Golden {
        loss_bits: losses.iter().map(|loss| format!("{:016x}", loss.to_bits())).collect(),
        losses,
        last_bits: last
            .iter()
            .map(|record| record.iter().map(|p| format!("{:08x}", p.to_bits())).collect())
            .collect(),
        checksum: format!("{:016x}", checksum(&stream.learner)),
    };
    (golden, last)
}

#[test]
fn every_case_gives_its_golden_bits() {
    let bless = std::env::var_os("FLEXIHASH_BLESS").is_some();
    for case in cases() {
        let path = fixture(&format!("learn/golden/{}.json", case.name));
        let (golden, _) = run(&case);
        if bless {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let json = serde_json::to_string_pretty(&golden).unwrap() + "\n";
            std::fs::File::create(&path).unwrap().write_all(json.as_bytes()).unwrap();
        }
        let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(golden, serde_json::from_slice::<Golden>(&stored).unwrap(), "{}", case.name);
    }
}

#[test]
fn textbook_optimizers_agree_with_the_reference() {
    let near = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1e-4 * theirs.abs().max(1e-2);
    let mut compared = 0;
    for case in cases() {
        let Some(reference) = &case.reference else { continue };
        let (golden, last) = run(&case);
        assert!(
            near(golden.losses[0], reference.loss),
            "{}: {} {}",
            case.name,
            golden.losses[0],
            reference.loss
        );
        for (ours, &theirs) in last.iter().zip(&reference.last) {
            assert!(near(f64::from(ours[0]), theirs), "{}: {ours:?} beside {theirs}", case.name);
        }
        compared += 1;
    }
    assert!(compared >= 40, "only {compared} cases have a reference");
}

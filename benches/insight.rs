//! Question: what does looking cost (`--insight`, of which the watch of keys can be left out, and `--names`)? Data: the flights stream
//! from memory, over and over, learned by a new model as `train` does, without and with each kind of looking in turn, the order
//! changing from round to round. Asserted: what is learned is the same, and every record was looked at. Printed: seconds of each, and
//! the median, over the rounds (`INSIGHT_ROUNDS`), of what it costs more than not looking in the same round, with its quartiles: by the
//! clock, and in time of all processors together.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

mod endless;

use endless::{Memory, flights, size};
use flexihash::engine::{EngineOptions, Insight, InsightOptions, Outputs};
use flexihash::{Engine, HashKey, Model, ModelFlags};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What is looked at: nothing, who shares rows, the keys of the records too, names too.
const LOOKS: [(&str, Option<InsightOptions>); 4] = [
    ("none", None),
    ("features alone", Some(InsightOptions { names: 0, without_keys: true })),
    ("--insight", Some(InsightOptions { names: 0, without_keys: false })),
    ("--names 2000", Some(InsightOptions { names: 2000, without_keys: false })),
];

/// Time that the processors have given to all threads of this process, in hundredths of a second.
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit_once(") ").unwrap().1;
    behind_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Learns `count` records; returns how long it took, by the clock and in processor time, and the loss in bits.
fn learn(lines: &Arc<[Vec<u8>]>, count: usize, options: Option<InsightOptions>) -> ([f64; 2], u64) {
    let mut model = Model::new(&ModelFlags::default(), &HashKey::default()).unwrap();
    options.iter().for_each(|&options| model.observe(options).unwrap());
    let insight = Insight::new();
    let mut engine = Engine::new(model, EngineOptions::default(), Outputs::default(), None);
    engine = engine.with_insight(&insight);
    let source = Box::new(Memory::new(lines, count));
    let (began, ticks) = (Instant::now(), processor_ticks());
    let finished = engine.run(source, &Arc::new(AtomicBool::new(false)), &mut ()).unwrap();
    let seconds = [began.elapsed().as_secs_f64(), (processor_ticks() - ticks) as f64 / 100.0];
    let looked = if options.is_some() { count as u64 } else { 0 };
    assert_eq!(insight.report().records, looked);
    (seconds, finished.model.learner().reports().next().unwrap().0.figures.loss.to_bits())
}

fn main() {
    let rounds = size("INSIGHT_ROUNDS", 1, 11) as usize;
    let lines = flights(327_346);
    let count = size("INSIGHT_RECORDS", 5000, 4_000_000) as usize;
    let mut costs = [const { [Vec::new(), Vec::new()] }; LOOKS.len()];
    for round in 0..rounds {
        let mut seen = [([0.0; 2], 0); LOOKS.len()];
        for place in 0..LOOKS.len() {
            let look = (round + place) % LOOKS.len();
            seen[look] = learn(&lines, count, LOOKS[look].1);
        }
        for (look, (seconds, loss)) in seen.iter().enumerate() {
            assert_eq!(*loss, seen[0].1, "{}: something else was learned", LOOKS[look].0);
            for ((costs, seconds), none) in costs[look].iter_mut().zip(seconds).zip(seen[0].0) {
                costs.push(seconds / none - 1.0);
            }
        }
        println!("{}", seen.map(|([clock, all], _)| format!("{clock:.4} s ({all:.2})")).join("  "));
    }
    for ((name, _), costs) in LOOKS.iter().zip(&mut costs).skip(1) {
        let [clock, all] = costs.each_mut().map(|costs| {
            costs.sort_by(f64::total_cmp);
            let at = |q: f64| 100.0 * costs[((costs.len() - 1) as f64 * q) as usize];
            format!("{:+.1} % ({:+.1} to {:+.1})", at(0.5), at(0.25), at(0.75))
        });
        println!("{name}: {clock} by the clock, {all} of processor time");
    }
}

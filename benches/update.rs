//! Question: what does it cost to move a row, once it is in the cache?
//! Data: 4,096 rows, one step for all, gradient 0.3, curvature 0.2. Seed: none. Rivals: one AdaGrad weight and one
//! Adam weight a row instead of eight lanes.
#![allow(missing_docs, reason = "a bench")]

use divan::Bencher;
use divan::counter::ItemsCount;
use flexihash::optim::{
    Adagrad, Adam, Bilinear, BilinearStep, Input, LaneStep, Lanes, MACHINES, OptimizerKind, OptimizerOptions,
    Plain, PlainStep, RowRule,
};

const ROWS: usize = 4096;
const LANE_STEP: LaneStep =
    LaneStep { gradient: [0.3; 8], inverse_curvature: [5.0; 8], innovation: [6.0; 8] };

fn main() {
    divan::main();
}

fn bench<R: RowRule>(bencher: Bencher<'_, '_>, rule: &R, step: &R::Step) {
    let (width, sums) = (rule.width(), rule.sums());
    let mut rows = vec![0.0_f32; ROWS * width];
    let mut all = || {
        let moved = |row: &mut [f32]| {
            let kept = rule.keep(row);
            rule.update(row, (Input::plain(1.0), kept), &sums, step)
        };
        rows.chunks_exact_mut(width).map(moved).fold(true, |all, moved| all & moved)
    };
    assert!(all());
    bencher.counter(ItemsCount::new(ROWS)).bench_local(all);
}

#[divan::bench]
fn eight_lanes(bencher: Bencher<'_, '_>) {
    bench(bencher, &Lanes, &LANE_STEP);
}

#[divan::bench]
fn eight_lanes_and_two_machines(bencher: Bencher<'_, '_>) {
    let step = BilinearStep::<8> {
        lanes: LANE_STEP,
        innovation: [0.3; MACHINES],
        precision: [0.2; MACHINES],
        factors: [[0.1; 8]; MACHINES],
        scale: 0.8,
    };
    bench(bencher, &Bilinear::<8>, &step);
}

#[divan::bench(args = ["adagrad", "adam"])]
fn rival_one_weight(bencher: Bencher<'_, '_>, name: &str) {
    let step = PlainStep { gradient: 0.3, rate: 0.1 };
    match name {
        "adam" => bench(bencher, &Plain::new(Adam(OptimizerOptions::new(OptimizerKind::Adam))), &step),
        _ => bench(bencher, &Plain::new(Adagrad(OptimizerOptions::new(OptimizerKind::Adagrad))), &step),
    }
}

//! Every kind of model goes on exactly where it stopped: nothing that decides its bits is missing from a checkpoint.

use crate::support::*;

/// Trains on a file that grows, resuming after each part, and compares with one run over the whole.
fn grows(records: &[u8], cuts: &[usize], options: &str) {
    let scene = Scene::new();
    scene.file("in", records);
    let outputs = |name: &str| format!("-p {name}.out --dead-letters {name}.dead --summary {name}.json");
    scene.train(&format!("in -q -m whole {} {options}", outputs("whole")));
    let lines: Vec<&[u8]> = records.split_inclusive(|&byte| byte == b'\n').collect();
    for &cut in cuts {
        scene.file("in", lines[..cut].concat());
        scene.train(&format!("in -q -m grown --resume {} {options}", outputs("grown")));
    }
    scene.file("in", records);
    scene.train(&format!("in -q -m grown --resume {}", outputs("grown")));
    assert_same(options, &learned(&scene.path("whole")), &learned(&scene.path("grown")));
    for file in ["out", "dead"] {
        let (whole, grown) = (format!("whole.{file}"), format!("grown.{file}"));
        assert_same(options, &scene.text(&whole), &scene.text(&grown));
    }
    let summary = |name: &str| timeless(scene.json(&format!("{name}.json")));
    assert_eq!(summary("whole"), summary("grown"), "{options}");
}

#[test]
fn with_any_loss_head_optimizer_and_hash() {
    let records = flights_with_faults(1200, 90);
    for options in [
        "",
        "--head fm",
        "--head fm --dim 4 --optimizer adagrad",
        "--optimizer sgd --schedule inverse-sqrt",
        "--optimizer adam --l2 0.001",
        "--optimizer ftrl --l1 0.01 --l2 1",
        "--optimizer adagrad --schedule power --power-t 0.3 --initial-t 10",
        "--loss squared --head fm --seed 5",
        "--loss hinge --hashes 3",
        "--loss quantile --quantile 0.3",
        "--loss poisson --alternate-sign",
        "--hash sklearn --alternate-sign",
        "--hash mmh3",
        "--insight --names 40",
        "--head fm --hashes 2 --names 7",
    ] {
        grows(&records, &[1, 400, 401, 900], options);
    }
}

#[test]
fn with_tasks_that_turn_up_one_after_the_other() {
    let mut records = String::new();
    for i in 0..900 {
        let (y, feature) = (i % 3 % 2, i % 7);
        let label = match i / 150 {
            0 => "null".to_owned(),
            1 => format!("{{\"click\":{y},\"like\":null}}"),
            2 => format!("{{\"like\":{y}}}"),
            3 => format!("{{\"click\":{y},\"share\":{y}}}"),
            4 => y.to_string(),
            _ => format!("{{\"share\":{y},\"like\":{y},\"click\":0.5}}"),
        };
        records.push_str(&format!("{{\"label\":{label},\"features\":{{\"a\":\"{feature}\",\"b\":{i}}}}}\n"));
    }
    for options in ["", "--head fm", "--tasks like,share", "--optimizer adam"] {
        grows(records.as_bytes(), &[10, 149, 151, 310, 455, 620, 760], options);
    }
}

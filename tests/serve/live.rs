//! Predictions by the table that is learned: what they are, and that learning does not know of them.

use crate::http::Client;
use crate::support::metrics::until;
use crate::support::*;
use crate::train;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

#[test]
fn a_run_that_waits_predicts_what_its_model_will() {
    for options in ["", "--threads 0 --head fm", "--threads 2 --head fm"] {
        let scene = Scene::new();
        let mut run = train(&scene, &format!("- -q -m model --checkpoint-every 1000000 {options}"));
        let mut client = Client::connect(&run.address);
        let mut stdin = run.child.stdin.take().unwrap();
        let records = flights(4000);
        let mut fed = 0;
        for part in records.chunks(records.len().div_ceil(4)) {
            stdin.write_all(part).unwrap();
            fed += part.iter().filter(|&&byte| byte == b'\n').count();
            until(&run.address, "what came is learned", |now| {
                now.get("records_total") >= Some(fed as f64 - 1.0)
            });
            assert_eq!(client.post_lines("/predict", flights(20)).status, 200);
        }
        until(&run.address, "all is learned", |now| now.get("records_total") == Some(4000.0));
        // Heads that are this old are asked for anew.
        thread::sleep(std::time::Duration::from_millis(200));
        let answer = client.post_lines("/predict", flights(500));
        let about = client.get("/model").json();
        assert_eq!((&about["learning"], &about["summary"]["examples"]), (&true.into(), &4000.into()));
        drop(stdin);
        assert!(run.wait().success(), "{}", run.said());
        scene.file("asked", flights(500));
        scene.ok("predict asked -m model -p out");
        assert_eq!(answer.body, scene.text("out"), "{options}");
    }
}

/// Trains on `in` while `clients` ask for predictions as fast as they can; returns how many answers there were.
fn asked_while_learning(scene: &Scene, args: &str, clients: usize) -> usize {
    let mut run = train(scene, &format!("- {args}"));
    let (ended, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (address, mut stdin) = (run.address.clone(), run.child.stdin.take().unwrap());
    let records = scene.read("in");
    thread::scope(|scope| {
        for number in 0..clients {
            let (address, ended, asked) = (&address, &ended, &asked);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let part: Vec<u8> = flights(10 * (number + 1)).split_off(1000 * number);
                let records = part.splitn(2, |&byte| byte == b'\n').last().unwrap().to_vec();
                while !ended.load(Ordering::Relaxed) {
                    let path = if number == 2 { "/embed" } else { "/predict" };
                    let answer = client.post_lines(path, &records);
                    assert!([200, 404].contains(&answer.status), "{answer:?}");
                    assert!(!answer.body.contains("NaN"), "{answer:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for part in records.chunks(1 << 16) {
            stdin.write_all(part).unwrap();
            thread::sleep(std::time::Duration::from_millis(if clients > 0 { 20 } else { 0 }));
        }
        let lines = records.iter().filter(|&&byte| byte == b'\n').count();
        until(&address, "all is learned", |now| now.get("records_total") == Some(lines as f64));
        ended.store(true, Ordering::Relaxed);
    });
    drop(stdin);
    assert!(run.wait().success(), "{}", run.said());
    asked.into_inner()
}

#[test]
fn a_model_is_the_same_whoever_asks() {
    for head in ["linear", "fm"] {
        let scene = Scene::new();
        scene.file("in", flights(20_000));
        let args = |model: &str| format!("-q -m {model} --checkpoint-every 3000 --head {head}");
        asked_while_learning(&scene, &args("alone"), 0);
        let asked = asked_while_learning(&scene, &args("asked"), 3);
        assert!(asked > 50, "{asked}");
        assert_same(head, &learned(&scene.path("alone")), &learned(&scene.path("asked")));
    }
}

#[test]
fn several_learners_answer_too() {
    let scene = Scene::new();
    scene.file("in", flights(20_000));
    let asked = asked_while_learning(&scene, "-q -m model --learners 2 --summary summary --head fm", 3);
    assert!(asked > 50, "{asked}");
    assert_eq!(scene.json("summary")["examples"], 20_000);
}

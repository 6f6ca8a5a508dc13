//! Why a record was predicted as it was, and what there is to see of the stream, over HTTP.

use crate::http::Client;
use crate::support::*;
use crate::{serve, train};
use serde_json::Value;
use std::io::Write;

#[test]
fn explanations_are_those_of_the_command() {
    let scene = Scene::new();
    scene.file("in", flights(2000));
    scene.train("in -q -m model --names 100");
    scene.file("asked", flights(20));
    let said = scene.ok("explain asked -m model --json --top 20");
    let served = serve(&scene, "");
    let mut client = Client::connect(&served.address);
    let answer = client.post_lines("/explain", flights(20));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body.as_bytes(), said.stdout);
    assert!(
        answer.body.lines().count() == 20 && answer.body.contains("\"feature\":\"carrier="),
        "{answer:?}"
    );
    let bad = client.post("/explain", "{\"features\":");
    assert_eq!(bad.status, 400, "{bad:?}");
    let many = client.post_lines("/explain", flights(65));
    assert_eq!((many.status, many.error().as_str()), (400, "expected at most 64 records to explain"));
    let insight = client.get("/insight").json();
    let names = insight["names"]["top"].as_array().unwrap();
    assert!(names.iter().any(|name| name["feature"].as_str().unwrap().contains('=')), "{insight}");
    assert_eq!(insight["records"], 2000);
}

#[test]
fn a_run_that_learns_explains_and_tells_what_it_sees() {
    let scene = Scene::new();
    let mut run = train(&scene, "- --names 100");
    let stdin = run.child.stdin.as_mut().unwrap();
    stdin.write_all(&flights(3000)).unwrap();
    stdin.flush().unwrap();
    let mut client = Client::connect(&run.address);
    let seen = || client.get("/insight").json();
    let insight = eventually(seen, |insight| insight["records"] == 3000);
    assert!(insight["collisions"]["distinct_keys"].as_u64().unwrap() > 100, "{insight}");
    assert!(!insight["names"]["top"].as_array().unwrap().is_empty(), "{insight}");
    let record = r#"{"id":"a","features":{"carrier":"UA","origin":"EWR"}}"#;
    let explained = client.post("/explain", record).json();
    let predicted = client.post("/predict", record).json();
    let output = &explained["outputs"][0];
    let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-6;
    assert!(near(&output["prediction"], &predicted["prediction"]), "{explained} beside {predicted}");
    assert_eq!((&explained["id"], &explained["features"]), (&"a".into(), &2.into()));
    assert_eq!(output["contributions"].as_array().unwrap().len(), 2);
}

/// Looks again until `is_so`, half a minute at most.
fn eventually(mut look: impl FnMut() -> Value, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let seen = look();
        if is_so(&seen) {
            return seen;
        }
        assert!(began.elapsed().as_secs() < 30, "{seen}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

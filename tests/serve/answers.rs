//! Answers are those of `flexihash predict` and `flexihash embed`, to the byte.

use crate::http::Client;
use crate::serve;
use crate::support::*;
use serde_json::{Value, json};

/// Records of every kind of fault among good ones, some without an id.
fn records() -> Vec<u8> {
    let mut records = flights_with_faults(700, 60);
    records.extend_from_slice(
        b"{\"features\":{\"new\":[1,2.5,\"x\"]}}\n{}\n{\"id\":{\"a\": 1},\"label\":\"odd\"}\n",
    );
    records
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect()
}

/// Trains on flights, then compares what the command says of records with what the server does, in each form.
fn compare(options: &str) {
    let (scene, records) = (Scene::new(), records());
    scene.file("in", flights(2000));
    scene.train(&format!("in -q -m model {options}"));
    scene.file("asked", &records);
    scene.ok("predict asked -m model -p out --dead-letters dead");
    let served = serve(&scene, "");
    let mut client = Client::connect(&served.address);
    let answer = client.post_lines("/predict", &records);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("content-type: application/x-ndjson"), "{answer:?}");
    let (good, bad): (Vec<&str>, Vec<&str>) =
        answer.body.lines().partition(|line| line.starts_with("{\"id\":"));
    assert!(good.iter().copied().eq(scene.text("out").lines()), "{options}");
    let dead: Vec<Value> = scene
        .text("dead")
        .lines()
        .map(|line| json!({"error": serde_json::from_str::<Value>(line).unwrap()["reason"]}))
        .collect();
    let bad: Vec<Value> = bad.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!bad.is_empty() && bad == dead, "{bad:?}\n{dead:?}");
    // An array of those that JSON can hold has the same answers.
    let whole: Vec<&[u8]> =
        lines(&records).into_iter().filter(|line| serde_json::from_slice::<Value>(line).is_ok()).collect();
    let array = [b"[".as_slice(), &whole.join(b",".as_slice()), b"]"].concat();
    let answers = client.post("/predict", array);
    assert!(answers.status == 200 && answers.head.contains("content-type: application/json"));
    let by_line = client.post_lines("/predict", whole.join(b"\n".as_slice()));
    let by_line: Vec<Value> = by_line.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.json(), Value::Array(by_line));
    // And each alone, but for its number.
    for (line, expected) in whole.iter().zip(answers.json().as_array().unwrap()).step_by(50) {
        let alone = client.post("/predict", line);
        assert_eq!(alone.json()["prediction"], expected["prediction"]);
        assert_eq!(alone.status, if expected["error"].is_null() { 200 } else { 400 });
        assert_eq!(alone.json()["error"], expected["error"]);
    }
}

#[test]
fn predictions_are_those_of_the_command() {
    compare("");
}

#[test]
fn predictions_of_machines_with_factors_are_too() {
    compare("--head fm");
}

#[test]
fn one_bad_record_alone_is_a_bad_request() {
    let scene = Scene::new();
    scene.file("in", flights(50));
    scene.train("in -q -m model");
    let served = serve(&scene, "--record-limit 100");
    let mut client = Client::connect(&served.address);
    let answer = client.post("/predict", "{\"features\":{\"a\":tru}}");
    assert_eq!(answer.status, 400);
    assert!(answer.error().contains("byte "), "{answer:?}");
    let among = client.post("/predict", "[{\"features\":{\"a\":1}},{\"features\":[]},5]");
    assert_eq!(among.status, 200);
    let all = among.json();
    assert!(all[0]["prediction"].is_f64() && all[1]["error"].is_string() && all[2]["error"].is_string());
    let long = client.post("/predict", format!("{{\"features\":{{\"a\":\"{}\"}}}}", "x".repeat(100)));
    assert_eq!(long.status, 400);
    assert!(long.error().contains("within the limit of 100 bytes"), "{long:?}");
    for (body, why) in [("", "found nothing"), ("[{}", "array of records"), ("[{}]]", "array of records")] {
        let answer = client.post("/predict", body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.error().contains(why), "{answer:?}");
    }
    assert_eq!(client.post_lines("/predict", "\n\n").body, "");
    assert_eq!(client.post("/predict", "[]").json(), json!([]));
    assert_eq!(client.post("/embed", "{}").status, 404);
    assert_eq!(client.post("/learn", "{\"label\":1}").status, 404);
}

#[test]
fn vectors_are_those_of_the_command() {
    let scene = Scene::new();
    scene.file("in", flights(1500));
    scene.train("in -q -m model --head fm");
    scene.file("asked", flights(300));
    scene.ok("embed asked -m model -o out");
    let served = serve(&scene, "");
    let mut client = Client::connect(&served.address);
    let answer = client.post_lines("/embed", flights(300));
    assert_eq!(answer.body, scene.text("out"));
    let one = client.post("/embed", flights(1));
    assert_eq!(one.body.lines().next(), scene.text("out").lines().next());
    let some = client.post("/embed", "[{\"features\":{\"a\":1}},{\"features\":{\"a\":1}},7]").json();
    assert_eq!((&some[0]["embedding"], &some[1]["id"]), (&some[1]["embedding"], &json!(1)));
    assert!(some[2]["error"].is_string());
}

#[test]
fn the_model_says_what_it_is_and_no_secret() {
    let scene = Scene::new();
    let key = "00112233445566778899aabbccddeeff";
    scene.file("key", key);
    scene.file("in", flights(500));
    scene.train("in -q -m model --hash-key-file key --summary summary");
    let mut served = serve(&scene, "");
    let mut client = Client::connect(&served.address);
    let answer = client.get("/model");
    let about = answer.json();
    assert_eq!((&about["generation"], &about["learning"]), (&json!(1), &json!(false)));
    assert_eq!(about["config"]["buckets"], 65536);
    assert_eq!(timeless(about["summary"].clone()), timeless(scene.json("summary")));
    assert!(client.post("/predict", flights(1)).status == 200);
    let metrics = client.get("/metrics");
    signal(&served.child, "TERM");
    assert!(served.wait().success());
    for text in [&answer.body, &metrics.body, &served.said()] {
        assert!(!text.to_lowercase().contains(key) && !text.contains("112233"), "{text}");
    }
}

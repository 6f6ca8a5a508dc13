//! What a stranger can ask for, and how a server ends.

use crate::http::Client;
use crate::serve;
use crate::support::metrics::scrape;
use crate::support::*;
use std::time::{Duration, Instant};

fn model() -> Scene {
    let scene = Scene::new();
    scene.file("in", flights(100));
    scene.train("in -q -m model");
    scene
}

#[test]
fn bodies_are_bounded_however_they_come() {
    let scene = model();
    let served = serve(&scene, "");
    let connect = || Client::connect(&served.address);
    let said = connect();
    let mut client = said;
    client.send(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16777217\r\n\r\n{");
    assert_eq!(client.answer().unwrap().status, 413);
    let mut client = connect();
    client.send(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    (0..17).for_each(|_| client.send(&chunk));
    assert_eq!(client.answer().unwrap().status, 413);
    let mut client = connect();
    let many = client.post_lines("/predict", "{}\n".repeat(70_000));
    assert_eq!((many.status, many.error()), (400, "expected at most 65536 records".to_owned()));
    assert_eq!(client.post_lines("/predict", "{}\n".repeat(65_536)).body.lines().count(), 65_536);
    // As deep as it likes: the reader has a limit of its own.
    let deep = client.post("/predict", format!("[{}{}]", "[".repeat(1 << 20), "]".repeat(1 << 20)));
    assert!([200, 400].contains(&deep.status) && deep.body.contains("error"), "{}", deep.status);
    assert_eq!(client.get("/predict").status, 405);
    assert_eq!(client.get("/nowhere").status, 404);
    let now = scrape(&served.address);
    let count = |path: &str, status: &str| {
        now.get(&format!("http_requests_total{{path=\"{path}\",status=\"{status}\"}}"))
    };
    assert_eq!(
        (count("/predict", "4xx"), count("other", "4xx")),
        (Some(4.0 + f64::from(u8::from(deep.status == 400))), Some(1.0))
    );
    assert_eq!(now.get("http_records_total{path=\"/predict\"}"), Some(65_536.0));
    let timed = now.get("http_request_duration_seconds_count{path=\"/predict\"}");
    assert_eq!(timed, Some(count("/predict", "4xx").unwrap() + count("/predict", "2xx").unwrap()));
}

#[test]
fn a_connection_carries_many_requests_and_an_end_lets_them_finish() {
    let scene = model();
    let mut served = serve(&scene, "");
    let mut client = Client::connect(&served.address);
    let record = flights(1);
    for _ in 0..2000 {
        assert_eq!(client.post("/predict", &record).status, 200);
    }
    // Two at once, one behind the other on the wire.
    let request = [
        format!("POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", record.len())
            .as_bytes(),
        &record,
    ]
    .concat();
    client.send(&request.repeat(2));
    assert_eq!(client.answer().unwrap().body, client.answer().unwrap().body);
    // One that is under way when the signal comes.
    let (first, rest) = request.split_at(request.len() - 5);
    client.send(first);
    std::thread::sleep(Duration::from_millis(100));
    signal(&served.child, "TERM");
    served.until_said("stopping");
    client.send(rest);
    assert_eq!(client.answer().expect("an answer, though it ends").status, 200);
    let began = Instant::now();
    assert!(served.wait().success() && began.elapsed() < Duration::from_secs(4), "{}", served.said());
    assert!(client.answer().is_none());
}

#[test]
fn an_idle_connection_is_let_go_of() {
    let scene = model();
    let served = serve(&scene, "");
    let mut client = Client::connect(&served.address);
    assert_eq!(client.get("/healthz").status, 200);
    let began = Instant::now();
    assert!(client.answer().is_none());
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(5) && waited < Duration::from_secs(25), "{waited:?}");
}

#[test]
fn options_that_belong_to_a_server_need_one() {
    let scene = model();
    assert!(scene.fails("train in --token-file t").contains("--token-file: needs --listen"));
    assert!(scene.fails("serve -m model --tls-cert c").contains("--tls-cert: needs --tls-key"));
    assert!(scene.fails("serve -m model --listen here").contains("--listen: \"here\": expected PORT"));
}

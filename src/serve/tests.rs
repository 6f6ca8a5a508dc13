//! What a server says, and what it takes.

use super::connection::{CONNECTION_TIME, HEAD_BYTES, HEADERS};
use super::*;
use std::io::{Read, Write};
use std::time::Instant;

fn server() -> (Server, Arc<AtomicBool>) {
    let stop = Arc::new(AtomicBool::new(false));
    (Server::start("0", Metrics::new(), &stop).unwrap(), stop)
}

fn exchange(server: &Server, request: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    // A server that has refused may close before it has read all.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn get(server: &Server, path: &str) -> String {
    exchange(server, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
}

#[test]
fn probes_say_how_things_stand() {
    let (server, stop) = server();
    assert!(server.address().ip().is_loopback());
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get(&server, "/readyz").starts_with("HTTP/1.1 503 "));
    server.set_ready(true);
    assert!(get(&server, "/readyz").starts_with("HTTP/1.1 200 "));
    stop.store(true, Ordering::Relaxed);
    assert!(get(&server, "/readyz").starts_with("HTTP/1.1 503 "));
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get(&server, "/nothing").starts_with("HTTP/1.1 404 "));
    let posted = exchange(&server, b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
}

#[test]
fn metrics_come_with_their_type() {
    let (server, _) = server();
    let answer = get(&server, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(MEDIA_TYPE), "{head}");
    assert!(body.contains("\nflexihash_records_total 0\n") && body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn the_page_and_what_it_asks_for_are_guarded() {
    let (server, _) = server();
    for (path, media_type, holds) in [
        ("/", "text/html", "<title>flexihash</title>"),
        ("/page/base.js", "text/javascript", "textContent"),
        ("/page/uplot.css", "text/css", ".uplot"),
        ("/page/offers.json", "application/json", "\"explain\":false"),
        ("/history?since=5", "application/json", "\"samples\":[]"),
        ("/dead-letters", "application/json", "[]"),
    ] {
        let answer = get(&server, path);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && body.contains(holds), "{path}: {head}");
        assert!(head.contains(&format!("content-type: {media_type}")), "{path}: {head}");
        for guard in ["content-security-policy: default-src 'none'; ", "nosniff", "no-store", "deny"] {
            assert!(head.contains(guard), "{path}: {guard}: {head}");
        }
    }
}

#[test]
fn bad_records_are_shown_to_this_machine_alone() {
    let metrics = Metrics::new();
    let private = |private| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let health = Health { ready: AtomicBool::new(true), stop: Arc::default() };
        let shared = Shared { metrics: metrics.clone(), health: Arc::new(health), is_private: private };
        let router = router(shared, ServerOptions::default());
        let request = hyper::Request::get("/dead-letters").body(axum::body::Body::empty()).unwrap();
        let answer = runtime.block_on(tower_of(router, request));
        String::from_utf8(answer).unwrap()
    };
    metrics.watch();
    let (bad, reason, source) = (crate::metrics::Bad::Parse, "no", "in");
    metrics.bad(crate::metrics::BadRecord { bad, reason, source, line: 1, length: 6, bytes: b"secret" });
    assert!(private(true).contains("secret"));
    let told = private(false);
    assert!(!told.contains("secret") && told.contains("\"reason\":\"no\""), "{told}");
}

async fn tower_of(router: Router, request: hyper::Request<axum::body::Body>) -> Vec<u8> {
    use hyper::service::Service;
    let answer = hyper_util::service::TowerToHyperService::new(router).call(request).await.unwrap();
    axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()
}

#[test]
fn what_a_request_may_bring_is_bounded() {
    let (server, _) = server();
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(HEAD_BYTES));
    assert!(exchange(&server, long.as_bytes()).starts_with("HTTP/1.1 431 "));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(HEADERS));
    assert!(exchange(&server, many.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert!(exchange(&server, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn connections_that_say_nothing_hold_up_nobody_for_long() {
    let (server, _) = server();
    let silent = || std::net::TcpStream::connect(server.address()).unwrap();
    let held: Vec<_> = (0..Bounds::PROBES.connections).map(|_| silent()).collect();
    let began = Instant::now();
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "));
    let waited = began.elapsed();
    assert!(waited > CONNECTION_TIME / 2, "those before it are held to their time: {waited:?}");
    assert!(waited < 2 * CONNECTION_TIME, "{waited:?}");
    drop(held);
}

#[test]
fn it_ends_at_once_and_gives_the_port_back() {
    let (server, _) = server();
    let address = server.address();
    let held = std::net::TcpStream::connect(address).unwrap();
    let began = Instant::now();
    drop(server);
    assert!(began.elapsed() < 2 * FAREWELL);
    drop(held);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_bad_address_says_what_was_expected() {
    let stop = Arc::new(AtomicBool::new(false));
    let error = |address: &str| Server::start(address, Metrics::new(), &stop).unwrap_err().to_string();
    assert!(error("metrics").contains("expected PORT, or HOST:PORT"));
    assert!(error("1.2.3.4:x").contains("expected PORT, or HOST:PORT"));
    let (server, _) = server();
    let port = server.address().port();
    let taken = error(&port.to_string());
    assert!(taken.starts_with(&format!("127.0.0.1:{port}: cannot be listened on: ")), "{taken}");
}

/// Answers as its name says.
#[derive(Debug)]
struct Fake(fn() -> Refusal);

impl Service for Fake {
    fn predict(&self, records: &[&[u8]]) -> Result<crate::sink::Answers, Refusal> {
        if records == [b"wait"] {
            thread::sleep(Duration::from_millis(400));
            return Ok(crate::sink::Answers::default());
        }
        Err((self.0)())
    }

    fn explain(&self, _: &[&[u8]]) -> Result<crate::sink::Answers, Refusal> {
        Err((self.0)())
    }

    fn embed(&self, _: &[&[u8]]) -> Result<crate::sink::Answers, Refusal> {
        Err((self.0)())
    }

    fn learn(&self, records: &[&[u8]], done: Done) -> Result<(), Refusal> {
        if records == [b"lost"] {
            drop(done);
            return Ok(());
        }
        Err((self.0)())
    }

    fn about(&self) -> Result<Vec<u8>, Refusal> {
        Err((self.0)())
    }
}

fn api(refusal: fn() -> Refusal) -> Server {
    let options = ServerOptions { service: Some(Arc::new(Fake(refusal))), ..ServerOptions::default() };
    Server::start_with("0", options, Metrics::new(), &Arc::default()).unwrap()
}

fn post(server: &Server, path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    exchange(server, (head + body).as_bytes())
}

#[test]
fn what_cannot_be_answered_says_whether_to_ask_again() {
    let busy = api(|| Refusal::Later("too much".to_owned()));
    for answer in [post(&busy, "/predict", "{}"), post(&busy, "/learn", "{}"), post(&busy, "/learn", "lost")]
    {
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
    }
    assert!(post(&busy, "/embed", "{}").ends_with("{\"error\":\"too much\"}\n"));
    let absent = api(|| Refusal::Absent("no".to_owned()));
    assert!(post(&absent, "/embed", "{}").starts_with("HTTP/1.1 404 "));
    let failed = api(|| Refusal::Failed("why".to_owned()));
    assert!(post(&failed, "/predict", "[{}]").starts_with("HTTP/1.1 500 "));
    // Metrics and probes are there without it all.
    assert!(post(&server().0, "/predict", "{}").starts_with("HTTP/1.1 404 "));
}

#[test]
fn requests_that_take_long_hold_up_no_probe() {
    let server = api(|| Refusal::Later(String::new()));
    thread::scope(|scope| {
        let slow: Vec<_> =
            (0..2 * THREADS).map(|_| scope.spawn(|| post(&server, "/predict", "wait"))).collect();
        thread::sleep(Duration::from_millis(100));
        let began = Instant::now();
        let probe =
            exchange(&server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert!(probe.starts_with("HTTP/1.1 200 ") && began.elapsed() < Duration::from_millis(200));
        slow.into_iter().for_each(|slow| assert!(slow.join().unwrap().starts_with("HTTP/1.1 200 ")));
    });
}

#[test]
fn on_loopback_without_a_token_no_other_name_is_answered() {
    let asked = |server: &Server, host: &str| {
        exchange(
            server,
            format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    };
    let (server, _) = server();
    assert!(asked(&server, "rebound.example:80").starts_with("HTTP/1.1 403 "));
    assert!(asked(&server, "127.0.0.1:80").starts_with("HTTP/1.1 200 "));
    let options = ServerOptions {
        service: Some(Arc::new(Fake(|| Refusal::Absent(String::new())))),
        ..ServerOptions::default()
    };
    let open = Server::start_with("0", options.clone(), Metrics::new(), &Arc::default()).unwrap();
    assert!(asked(&open, "rebound.example").starts_with("HTTP/1.1 403 "));
    let options = ServerOptions { token: Some(Token::new("0123456789abcdef").unwrap()), ..options };
    let closed = Server::start_with("0", options, Metrics::new(), &Arc::default()).unwrap();
    assert!(asked(&closed, "proxied.example").starts_with("HTTP/1.1 401 "));
}

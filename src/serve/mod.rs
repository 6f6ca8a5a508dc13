//! HTTP: metrics for Prometheus and probes for whoever keeps the process running.
//!
//! | path | answers |
//! |---|---|
//! | `/` | a page that shows the run, live |
//! | `/metrics` | [`Metrics::text`] |
//! | `/history?since=T` | [`Metrics::history`] |
//! | `/dead-letters` | [`Metrics::dead_letters`]; the records themselves only where none but this machine can ask |
//! | `/healthz` | 200 as long as the process lives |
//! | `/readyz` | 200 while records can be read: the model is loaded and the source open, and no stop was asked for; else 503 |
//!
//! One thread of its own with one runtime: nothing here ever waits for the learner, nor the learner for it. What a stranger can
//! ask for is bounded: connections at a time, bytes and number of headers, and the time one connection may take. A connection
//! carries one request, so that an idle one holds nothing. Bodies are not read.
//!
//! An address without a host is on loopback: who wants to be seen from outside says so (`0.0.0.0:9100`).

mod page;

use crate::metrics::{MEDIA_TYPE, Metrics};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS: u32 = 32;
/// From the first byte of a connection to its last.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Bytes of a request line with its headers (hyper's least is 8 KiB), and how many headers.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;
/// How long the end waits for answers that are under way.
const FAREWELL: Duration = Duration::from_secs(1);

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Not an address.
    #[error("{address:?}: expected PORT, or HOST:PORT such as 0.0.0.0:9100")]
    Address {
        /// What was given.
        address: String,
    },
    /// The port cannot be had.
    #[error("{address}: cannot be listened on: {cause}")]
    Bind {
        /// Where.
        address: String,
        /// Why.
        cause: io::Error,
    },
    /// No thread or runtime.
    #[error("the HTTP server cannot start: {0}")]
    Start(io::Error),
}

/// What the probes are told.
#[derive(Debug)]
struct Health {
    ready: AtomicBool,
    stop: Arc<AtomicBool>,
}

/// See the [module](self). Ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    health: Arc<Health>,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    health: Arc<Health>,
}

impl Server {
    /// Listens on `address`: a port on loopback, or `HOST:PORT`. Not ready before [`Server::set_ready`], nor after `stop`.
    pub fn start(address: &str, metrics: Metrics, stop: &Arc<AtomicBool>) -> Result<Self, ServeError> {
        let listener = bind(address)?;
        let bound = listener.local_addr().map_err(ServeError::Start)?;
        listener.set_nonblocking(true).map_err(ServeError::Start)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(ServeError::Start)?;
        let health = Arc::new(Health { ready: AtomicBool::new(false), stop: Arc::clone(stop) });
        metrics.watch();
        let router = router(Shared { metrics, health: Arc::clone(&health) }, bound.ip().is_loopback());
        let (shutdown, ended) = oneshot::channel();
        let work = move || {
            if let Err(error) = runtime.block_on(serve(listener, router, ended)) {
                tracing::error!("the HTTP server ended: {error}");
            }
        };
        let thread = thread::Builder::new().name("http".to_owned()).spawn(work).map_err(ServeError::Start)?;
        Ok(Self { address: bound, health, shutdown: Some(shutdown), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says whether records can be read.
    pub fn set_ready(&self, ready: bool) {
        self.health.ready.store(ready, Ordering::Release);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            // It logs what went wrong by itself.
            let _ = thread.join();
        }
    }
}

fn bind(address: &str) -> Result<TcpListener, ServeError> {
    let wrong = || ServeError::Address { address: address.to_owned() };
    let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    TcpListener::bind((host, port)).map_err(|cause| ServeError::Bind { address: place, cause })
}

/// `private`: only this machine can ask.
fn router(shared: Shared, private: bool) -> Router {
    Router::new()
        .merge(page::files(page::Offers::default()))
        .merge(page::data(shared.metrics.clone(), private))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(shared)
}

async fn metrics(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], shared.metrics.text()).into_response()
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.health.stop.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if shared.health.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// Takes connections until told to end, then waits a little for those under way.
async fn serve(listener: TcpListener, router: Router, mut ended: oneshot::Receiver<()>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let next = async || {
        let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>((permit, listener.accept().await?.0))
    };
    loop {
        tokio::select! {
            _ = &mut ended => break,
            accepted = next() => match accepted {
                Ok((permit, stream)) => drop(tokio::spawn(answer(stream, router.clone(), permit))),
                Err(error) => {
                    // Out of descriptors, or a client that was gone at once.
                    tracing::debug!("a connection could not be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    // All permits are back when nobody is being answered; after that time it does not matter any more.
    let _ = tokio::time::timeout(FAREWELL, room.acquire_many(CONNECTIONS)).await;
    Ok(())
}

async fn answer(stream: TcpStream, router: Router, permit: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a request could not be answered: {error}"),
        Err(_) => tracing::debug!("a connection took too long"),
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
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
        exchange(server, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
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
        let posted = exchange(&server, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
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
            let router = router(Shared { metrics: metrics.clone(), health: Arc::new(health) }, private);
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
        let answer = TowerToHyperService::new(router).call(request).await.unwrap();
        axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()
    }

    #[test]
    fn what_a_request_may_bring_is_bounded() {
        let (server, _) = server();
        let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(HEAD_BYTES));
        assert!(exchange(&server, long.as_bytes()).starts_with("HTTP/1.1 431 "));
        let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(HEADERS));
        assert!(exchange(&server, many.as_bytes()).starts_with("HTTP/1.1 431 "));
        assert!(exchange(&server, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn connections_that_say_nothing_hold_up_nobody_for_long() {
        let (server, _) = server();
        let silent = || std::net::TcpStream::connect(server.address()).unwrap();
        let held: Vec<_> = (0..CONNECTIONS).map(|_| silent()).collect();
        let began = Instant::now();
        assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "));
        let waited = began.elapsed();
        assert!(
            waited > CONNECTION_TIME / 2,
            "the {CONNECTIONS} before it are held to their time: {waited:?}"
        );
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
}

//! HTTP: a live page, a model's predictions, metrics for Prometheus, and probes for whoever keeps the process running.
//!
//! | path | answers |
//! |---|---|
//! | `GET /` | a page that shows the run, live |
//! | `POST /predict` | the predictions of records; nothing is learned |
//! | `POST /explain` | what the features of records contributed to their predictions |
//! | `POST /embed` | their vectors |
//! | `POST /learn` | the predictions of records, which are then learned |
//! | `GET /model` | options, counters and figures |
//! | `GET /metrics` | [`Metrics::text`] |
//! | `GET /insight` | names, collisions and schema, if a [`Sight`] is there: [`InsightReport`](crate::engine::InsightReport) |
//! | `GET /history?since=T` | [`Metrics::history`] |
//! | `GET /dead-letters` | [`Metrics::dead_letters`]; the records themselves only where none but this machine can ask, or a token is asked for |
//! | `GET /healthz` | 200 as long as the process lives |
//! | `GET /readyz` | 200 while records can be read: the model is loaded and the source open, and no stop was asked for; else 503 |
//!
//! Those of records and of the model are there if a [`Service`] is, `/embed` and `/learn` if it does that (`api`).
//!
//! One thread of its own with one runtime: nothing here ever waits for the learner, nor the learner for it; records are read and predicted on
//! a few more ([`THREADS`]). What a stranger can ask for is bounded: connections at a time, bytes and number of headers, bytes and records of
//! a body, bytes of all bodies, and the time that a request, a pause between two and a connection as a whole may take. Where there are only metrics
//! and probes a connection carries one request, so that an idle one holds nothing.
//!
//! An address without a host is on loopback: who wants to be seen from outside says so (`0.0.0.0:9100`), and had better have a
//! [`Token`].

mod api;
mod auth;
mod connection;
mod page;
mod service;
#[cfg(feature = "tls")]
mod tls;

pub use api::BODY_BYTES;
pub use auth::Token;
pub use service::{Done, Refusal, Service, Sight};
#[cfg(feature = "tls")]
pub use tls::Tls;

use crate::metrics::{MEDIA_TYPE, Metrics};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use connection::{Bounds, Door, FAREWELL};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Threads that read and predict records.
pub const THREADS: usize = 2;
/// From a request's head to its answer.
const REQUEST_TIME: Duration = Duration::from_secs(30);

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
    /// Not a token.
    #[error("the token: expected 16 to 1024 visible ASCII characters")]
    Token,
    /// No certificate or key.
    #[error("{path}: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No thread or runtime.
    #[error("the HTTP server cannot start: {0}")]
    Start(io::Error),
}

/// What is served beside metrics and probes, and to whom.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Answers for the model.
    pub service: Option<Arc<dyn Service>>,
    /// What there is to see of the stream.
    pub insight: Option<Arc<dyn Sight>>,
    /// What requests must bring, but for the probes.
    pub token: Option<Token>,
    /// HTTPS instead of HTTP.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
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
    shutdown: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    health: Arc<Health>,
    /// Only this machine can ask, or whoever has the token.
    is_private: bool,
}

impl Server {
    /// Metrics and probes on `address`: a port on loopback, or `HOST:PORT`. Not ready before [`Server::set_ready`], nor after `stop`.
    ///
    /// # Errors
    /// No address, or one that cannot be had.
    pub fn start(address: &str, metrics: Metrics, stop: &Arc<AtomicBool>) -> Result<Self, ServeError> {
        Self::start_with(address, ServerOptions::default(), metrics, stop)
    }

    /// The same with what `options` say.
    ///
    /// # Errors
    /// No address, or one that cannot be had.
    pub fn start_with(
        address: &str,
        options: ServerOptions,
        metrics: Metrics,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, ServeError> {
        let listener = bind(address)?;
        let bound = listener.local_addr().map_err(ServeError::Start)?;
        listener.set_nonblocking(true).map_err(ServeError::Start)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(THREADS)
            .build()
            .map_err(ServeError::Start)?;
        let health = Arc::new(Health { ready: AtomicBool::new(false), stop: Arc::clone(stop) });
        let (shutdown, ended) = watch::channel(());
        let door = Door {
            bounds: if options.service.is_some() { Bounds::API } else { Bounds::PROBES },
            #[cfg(feature = "tls")]
            tls: options.tls.as_ref().map(Tls::acceptor),
            ended,
        };
        metrics.watch();
        let shared = Shared {
            metrics,
            health: Arc::clone(&health),
            is_private: bound.ip().is_loopback() || options.token.is_some(),
        };
        let router = router(shared, options);
        let work = move || {
            if let Err(error) = runtime.block_on(door.serve(listener, router)) {
                tracing::error!("the HTTP server ended: {error}");
            }
            runtime.shutdown_timeout(FAREWELL);
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

fn router(shared: Shared, options: ServerOptions) -> Router {
    let metrics_of = shared.metrics.clone();
    let is_named = shared.is_private && options.token.is_none();
    let named =
        |router: Router| if is_named { router.layer(middleware::from_fn(auth::by_own_name)) } else { router };
    let offers = page::Offers {
        token: options.token.is_some(),
        predict: options.service.is_some(),
        explain: options.service.is_some(),
        insight: options.insight.is_some(),
        model: options.service.is_some(),
    };
    let files = page::files(offers);
    let router = Router::new()
        .merge(page::data(shared.metrics.clone(), shared.is_private))
        .merge(page::insight(options.insight))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(shared);
    let Some(service) = options.service else { return named(router.merge(files)) };
    let router = router
        .merge(files)
        .merge(api::router(service, metrics_of.clone()))
        .layer(middleware::from_fn_with_state(options.token, auth::check));
    named(router).layer(middleware::from_fn_with_state(metrics_of, metered))
}

/// Bounds how long a request takes, and counts it.
async fn metered(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let (began, path) = (Instant::now(), known(request.uri().path()));
    let answered = tokio::time::timeout(REQUEST_TIME, next.run(request)).await;
    let late = |_| api::failure(StatusCode::REQUEST_TIMEOUT, "the request took too long");
    let response = answered.unwrap_or_else(late);
    metrics.requested(path, response.status().as_u16(), began.elapsed());
    response
}

/// A path as metrics call it: those that exist, so that no stranger can make more of them.
fn known(path: &str) -> &'static str {
    let paths = [
        "/predict",
        "/explain",
        "/embed",
        "/learn",
        "/model",
        "/metrics",
        "/history",
        "/dead-letters",
        "/insight",
        "/healthz",
        "/readyz",
        "/",
    ];
    paths.into_iter().find(|known| *known == path).unwrap_or("other")
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

#[cfg(test)]
mod tests;

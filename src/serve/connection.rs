//! Connections: how many, for how long, and how they end.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

/// From the first byte of a connection to its last, where it carries one request.
pub(super) const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Bytes of a request line with its headers (hyper's least is 8 KiB), and how many headers.
pub(super) const HEAD_BYTES: usize = 16 << 10;
pub(super) const HEADERS: usize = 64;
/// How long the end waits for answers that are under way.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// What connections may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// At a time; more wait in the system's queue.
    pub(super) connections: usize,
    /// Whether one may carry several requests.
    keep_alive: bool,
    /// From the end of an answer, or the beginning, to the end of the next request's head.
    idle: Duration,
    /// Of a connection; the request that is under way then is the last.
    life: Duration,
    /// What that one may take.
    last: Duration,
}

impl Bounds {
    /// Metrics and probes: an idle connection holds nothing.
    pub(super) const PROBES: Self = Self {
        connections: 32,
        keep_alive: false,
        idle: CONNECTION_TIME,
        life: CONNECTION_TIME,
        last: Duration::ZERO,
    };
    /// Requests follow each other.
    pub(super) const API: Self = Self {
        connections: 256,
        keep_alive: true,
        idle: Duration::from_secs(15),
        life: Duration::from_secs(300),
        last: Duration::from_secs(60),
    };
}

/// Where connections come in.
pub(super) struct Door {
    pub(super) bounds: Bounds,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<tokio_rustls::TlsAcceptor>,
    /// Closed when the server is to end.
    pub(super) ended: watch::Receiver<()>,
}

impl Door {
    /// Takes connections until told to end, then waits a little for answers under way.
    pub(super) async fn serve(self, listener: TcpListener, router: Router) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let room = Arc::new(Semaphore::new(self.bounds.connections));
        let next = async || {
            let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((permit, listener.accept().await?.0))
        };
        let mut ended = self.ended.clone();
        let door = Arc::new(self);
        loop {
            tokio::select! {
                _ = ended.changed() => break,
                accepted = next() => match accepted {
                    Ok((permit, stream)) => {
                        let (door, router) = (Arc::clone(&door), router.clone());
                        drop(tokio::spawn(async move {
                            door.enter(stream, router).await;
                            drop(permit);
                        }));
                    }
                    Err(error) => {
                        // Out of descriptors, or a client that was gone at once.
                        tracing::debug!("a connection could not be taken: {error}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        drop(listener);
        // All permits are back when nobody is being answered; after that time it does not matter any more.
        let all = u32::try_from(door.bounds.connections).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(FAREWELL, room.acquire_many(all)).await;
        Ok(())
    }

    async fn enter(&self, stream: TcpStream, router: Router) {
        // An answer is one segment: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return match tokio::time::timeout(CONNECTION_TIME, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.answer(stream, router).await,
                Ok(Err(error)) => tracing::debug!("a connection without TLS: {error}"),
                Err(_) => tracing::debug!("a connection took too long to begin"),
            };
        }
        self.answer(stream, router).await;
    }

    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
        let Bounds { keep_alive, idle, life, last, .. } = self.bounds;
        let connection = http1::Builder::new()
            .keep_alive(keep_alive)
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut connection = std::pin::pin!(connection);
        let mut ended = self.ended.clone();
        let over = async {
            tokio::select! {
                _ = ended.changed() => FAREWELL,
                () = tokio::time::sleep(life) => last,
            }
        };
        let last = tokio::select! {
            answered = connection.as_mut() => return note(answered),
            last = over => last,
        };
        connection.as_mut().graceful_shutdown();
        match tokio::time::timeout(last, connection).await {
            Ok(answered) => note(answered),
            Err(_) => tracing::debug!("a connection took too long"),
        }
    }
}

fn note(answered: hyper::Result<()>) {
    if let Err(error) = answered {
        tracing::debug!("a request could not be answered: {error}");
    }
}

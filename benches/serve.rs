//! Question: what do predictions cost a learner that goes on, and how long do they take? Data: the flights stream from memory, again and
//! again, by a model that has seen it; the whole pipeline on one core, the server and who asks it on another, if there are two. Asked is
//! for 10 records at a time, 5,000 times a second (`SERVE_RATE`), on 16 connections, at instants that do not wait for answers: a
//! time is from the instant at which a request was due to the last byte of its answer. Asserted: every request is answered, and each
//! record of it. Printed: seconds of pairs of runs (`SERVE_ROUNDS`), without and with requests, the median of what they cost, and
//! quantiles of the times.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

mod endless;

use endless::{Memory, flights, size};
use flexihash::engine::{EngineOptions, Live, Outputs};
use flexihash::metrics::Metrics;
use flexihash::serve::{Server, ServerOptions};
use flexihash::{Engine, HashKey, Model, ModelFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 16;
const RECORDS: usize = 10;
/// Of the pipeline, and of the server.
const CORES: [usize; 2] = [0, 1];

/// This thread, and those that it starts, on one core: also if it was on another before.
fn pin(core: usize) {
    let mut one = CpuSet::new();
    one.set(core);
    if sched_setaffinity(None, &one).is_err() {
        println!("core {core} cannot be had: not pinned");
    }
}

/// A connection, and when what it waits for was due.
struct Connection {
    stream: TcpStream,
    due: Option<Instant>,
    read: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, due: None, read: Vec::new() }
    }

    /// Status and body, once all of it is there.
    fn answer(&mut self) -> Option<(u16, Vec<u8>)> {
        let mut part = [0; 4096];
        match self.stream.read(&mut part) {
            Ok(count) => self.read.extend_from_slice(&part[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        let end = self.read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&self.read[..end]).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let length: usize = length.parse().unwrap();
        if self.read.len() < end + length {
            return None;
        }
        let body = self.read[end..].to_vec();
        self.read.clear();
        Some((head[9..12].parse().unwrap(), body))
    }
}

/// Asks until `ended`; returns the seconds that each answer took.
fn ask(address: &str, requests: &[Vec<u8>], rate: f64, ended: &AtomicBool) -> Vec<f64> {
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| Connection::open(address)).collect();
    let (mut times, mut sent, mut is_up) = (Vec::new(), 0, false);
    let mut due = Instant::now();
    while !ended.load(Ordering::Relaxed) || connections.iter().any(|connection| connection.due.is_some()) {
        let now = Instant::now();
        for connection in connections.iter_mut().filter(|connection| connection.due.is_none()) {
            if due > now || ended.load(Ordering::Relaxed) {
                break;
            }
            connection.stream.write_all(&requests[sent % requests.len()]).unwrap();
            connection.due = Some(due);
            (sent, due) = (sent + 1, due + Duration::from_secs_f64(1.0 / rate));
        }
        let is_free = connections.iter().any(|connection| connection.due.is_none());
        let wait =
            if is_free { due.saturating_duration_since(Instant::now()) } else { Duration::from_millis(5) };
        let wait = Timespec { tv_sec: 0, tv_nsec: wait.min(Duration::from_millis(5)).subsec_nanos().into() };
        let mut polled: Vec<PollFd<'_>> =
            connections.iter().map(|connection| PollFd::new(&connection.stream, PollFlags::IN)).collect();
        poll(&mut polled, Some(&wait)).unwrap();
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        for (connection, _) in connections.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            let Some((status, body)) = connection.answer() else { continue };
            let due = connection.due.take().unwrap();
            if status == 503 && !is_up {
                continue; // the run has not begun yet
            }
            is_up = true;
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
            let predictions =
                body.windows(14).filter(|part| part == b"\"prediction\":0" || part == b"\"prediction\":1");
            assert_eq!(predictions.count(), RECORDS, "{}", String::from_utf8_lossy(&body));
            times.push(due.elapsed().as_secs_f64());
        }
    }
    times
}

/// A run of `count` records; returns its model, how long it took, and the times of answers if it was asked.
fn run(model: Model, lines: &Arc<[Vec<u8>]>, count: usize, rate: Option<f64>) -> (Model, f64, Vec<f64>) {
    let stop = Arc::new(AtomicBool::new(false));
    // On one core the learner parses by itself, as in the command.
    let options = EngineOptions { threads: size("SERVE_THREADS", 0, 0) as usize, ..EngineOptions::default() };
    let mut engine = Engine::new(model, options, Outputs::default(), None);
    let source = Box::new(Memory::new(lines, count));
    let Some(rate) = rate else {
        let began = Instant::now();
        let finished = engine.run(source, &stop, &mut ()).unwrap();
        return (finished.model, began.elapsed().as_secs_f64(), Vec::new());
    };
    let live = Live::new(1 << 20);
    let options = ServerOptions { service: Some(Arc::new(live.clone())), ..ServerOptions::default() };
    pin(CORES[1]);
    let server = Server::start_with("0", options, Metrics::new(), &stop).unwrap();
    let address = server.address().to_string();
    let requests: Vec<Vec<u8>> = lines.chunks_exact(RECORDS).take(5000).map(request).collect();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&address, &requests, rate, &ended));
        pin(CORES[0]);
        engine = engine.with_live(&live);
        let began = Instant::now();
        let finished = engine.run(source, &stop, &mut ()).unwrap();
        let seconds = began.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (finished.model, seconds, asking.join().unwrap())
    })
}

fn request(records: &[Vec<u8>]) -> Vec<u8> {
    let body = [b"[".as_slice(), &records.join(b",".as_slice()), b"]"].concat();
    let head = format!("POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q) as usize]
}

fn main() {
    let rounds = size("SERVE_ROUNDS", 1, 7);
    let count = size("SERVE_RECORDS", 40_000, 1_000_000) as usize;
    let rate = size("SERVE_RATE", 500, 5000) as f64;
    let lines = flights(size("SERVE_LINES", 5000, 300_000) as usize);
    let flags = ModelFlags { buckets: Some(1 << 20), ..ModelFlags::default() };
    pin(CORES[0]);
    let model = Model::new(&flags, &HashKey::default()).unwrap();
    let (mut model, ..) = run(model, &lines, lines.len(), None);
    let (mut costs, mut times) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut seconds = [0.0; 2];
        // The one that comes first changes from round to round.
        for place in 0..2 {
            let asked = (round + place) % 2 == 1;
            let (after, took, answers) = run(model, &lines, count, asked.then_some(rate));
            assert_eq!(asked, !answers.is_empty());
            (model, seconds[usize::from(asked)]) = (after, took);
            times.extend(answers);
        }
        let cost = seconds[1] / seconds[0] - 1.0;
        println!("alone {:>6.3} s, asked {:>6.3} s: {:>+6.1} %", seconds[0], seconds[1], 100.0 * cost);
        costs.push(cost);
    }
    costs.sort_by(f64::total_cmp);
    times.sort_by(f64::total_cmp);
    let [half, most, nearly] = [0.5, 0.99, 0.999].map(|q| 1e3 * quantile(&times, q));
    println!("{} answers: p50 {half:.3} ms, p99 {most:.3} ms, p99.9 {nearly:.3} ms", times.len());
    println!("cost to the learner, median of {rounds}: {:+.1} %", 100.0 * quantile(&costs, 0.5));
}

//! What is asked over HTTP, and by what it is answered.

use super::names::{Late, Names, Timings};
use super::{Labelled, Metrics, whole};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::time::Duration;

type Answered = [(&'static str, &'static str); 2];

pub(super) struct Http {
    requests: Family<Answered, Counter>,
    request_duration: Timings,
    answered_records: Labelled<Counter>,
    serving_generation: Late<Gauge>,
    model_loads: Labelled<Counter>,
}

impl Http {
    pub(super) fn new(named: &mut Names) -> Self {
        Self {
            requests: named.plain("http_requests", "Requests answered by a server that has a model"),
            request_duration: named.timings("http_request_duration", "How long requests took"),
            answered_records: named.plain("http_records", "Good records of these requests"),
            serving_generation: named.late("serving_generation", "The generation that answers", None),
            model_loads: named.plain("model_loads", "Generations loaded, or not, to answer by"),
        }
    }
}

impl Metrics {
    /// A request was answered. `path`: one of a few, `status`: of HTTP.
    pub fn requested(&self, path: &'static str, status: u16, took: Duration) {
        let class = match status {
            500.. => "5xx",
            400.. => "4xx",
            300.. => "3xx",
            _ => "2xx",
        };
        self.0.http.requests.get_or_create(&[("path", path), ("status", class)]).inc();
        self.0.http.request_duration.get_or_create(&[("path", path)]).observe(took.as_secs_f64());
    }

    /// So many records of a request were good.
    pub fn answered(&self, path: &'static str, records: u64) {
        self.0.http.answered_records.get_or_create(&[("path", path)]).inc_by(records);
    }

    /// A generation was loaded to answer by, or could not be.
    pub fn loaded(&self, generation: Option<u64>) {
        let result = if generation.is_some() { "ok" } else { "failed" };
        self.0.http.model_loads.get_or_create(&[("result", result)]).inc();
        if let Some(generation) = generation {
            self.0.http.serving_generation.get().set(whole(generation));
        }
    }
}

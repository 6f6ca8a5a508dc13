//! Registering metrics under their names, and those that are absent until they have a value.

use super::figures::Told;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry, Unit};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// What all names begin with.
const PREFIX: &str = "flexihash";

/// Upper ends of a duration's buckets, in seconds: commits take milliseconds, a large generation on a slow disk minutes.
const DURATIONS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];

/// The same for requests, which take from a tenth of a millisecond on.
const REQUESTS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Histograms by one label.
pub(super) type Timings = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// One that is absent until it has a value.
#[derive(Debug, Clone)]
pub(super) struct Late<M> {
    metric: Arc<OnceLock<M>>,
    make: fn() -> M,
}

impl<M> Late<M> {
    pub(super) fn get(&self) -> &M {
        self.metric.get_or_init(self.make)
    }
}

impl<M: EncodeMetric + TypedMetric> EncodeMetric for Late<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.metric.get().map_or(Ok(()), |metric| metric.encode(encoder))
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.metric.get().is_none()
    }
}

/// Registers each under its name as it is made.
pub(super) struct Names {
    registry: Registry,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { registry: Registry::with_prefix(PREFIX) }
    }

    pub(super) fn plain<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.add(name, help, None, M::default())
    }

    pub(super) fn with<M: Metric + Clone + Default>(&mut self, name: &str, help: &str, unit: Unit) -> M {
        self.add(name, help, Some(unit), M::default())
    }

    pub(super) fn late<M>(&mut self, name: &str, help: &str, unit: Option<Unit>) -> Late<M>
    where
        M: EncodeMetric + TypedMetric + Clone + Default + fmt::Debug + Send + Sync + 'static,
    {
        self.add(name, help, unit, Late { metric: Arc::default(), make: M::default })
    }

    pub(super) fn durations(&mut self, name: &str, help: &str) -> Late<Histogram> {
        let make = || Histogram::new(DURATIONS);
        self.add(name, help, Some(Unit::Seconds), Late { metric: Arc::default(), make })
    }

    pub(super) fn timings(&mut self, name: &str, help: &str) -> Timings {
        let make: fn() -> Histogram = || Histogram::new(REQUESTS);
        self.add(name, help, Some(Unit::Seconds), Timings::new_with_constructor(make))
    }

    /// What the learner tells as a whole.
    pub(super) fn told(&mut self) -> Told {
        let told = Told::default();
        self.registry.register_collector(Box::new(told.clone()));
        told
    }

    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, unit: Option<Unit>, metric: M) -> M {
        match unit {
            Some(unit) => self.registry.register_with_unit(name, help, unit, metric.clone()),
            None => self.registry.register(name, help, metric.clone()),
        }
        metric
    }

    pub(super) fn finish(mut self) -> Registry {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        self.registry.register("build", "This program", version);
        self.registry
    }
}

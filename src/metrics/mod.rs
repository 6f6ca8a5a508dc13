//! Names every counter and gauge once, counts, and writes it all as text for Prometheus.
//!
//! [`Metrics`] is a handle that may be cloned and shared by threads: the engine counts batches and commits with it, a source
//! tells it about partitions. Other modules say what happened ([`Metrics::batch`], [`Metrics::committed`]) and never how it is
//! called or stored, so the names stand here and nowhere else. The hot path counts by batches, never by records. A process
//! may have several of them; nothing here is global.
//!
//! **Frozen**: dashboards and alerts go by these names, labels and units, so none is renamed or gets another meaning; new ones
//! may come.
//!
//! | name | labels | is |
//! |---|---|---|
//! | `flexihash_records_total` | | records that went through the learner, good and bad, of all passes |
//! | `flexihash_record_bytes_total` | | their bytes |
//! | `flexihash_examples_total` | | labelled records that were learned |
//! | `flexihash_features_total` | | their features |
//! | `flexihash_dropped_steps_total` | | row updates dropped because they were not finite |
//! | `flexihash_dead_letters_total` | `reason`: `length`, `parse`, `feature`, `learner` | bad records |
//! | `flexihash_model_examples` | | examples over the model's whole life |
//! | `flexihash_loss` | `over`: `life`, `window` | progressive loss; the window is the last 10,000 to 20,000 examples |
//! | `flexihash_auc` | `over`, `task` | area under the ROC curve |
//! | `flexihash_normalized_entropy` | `over`, `task` | log loss / entropy of the base rate |
//! | `flexihash_calibration_ratio` | `over`, `task` | mean prediction / mean label |
//! | `flexihash_task_examples` | `task` | a task's examples over the model's whole life |
//! | `flexihash_task_loss` | `over`, `task` | a task's progressive loss; `flexihash_loss` is the mean, weighted by examples |
//! | `flexihash_calibration_prediction_mean` | `over`, `task`, `bin` | of the predictions from `bin` up to the next one |
//! | `flexihash_calibration_label_mean` | `over`, `task`, `bin` | of the labels of these |
//! | `flexihash_calibration_weight` | `over`, `task`, `bin` | sum of their weights |
//! | `flexihash_table_rows` | `table` | rows of a table |
//! | `flexihash_table_rows_touched` | `table` | rows that were ever changed; of a large table some seconds old |
//! | `flexihash_row_norm_share` | `table`, `norm` | of the touched rows in a sample, how many have a norm from `norm` up to the next |
//! | `flexihash_distinct_keys` | | estimated number of different features looked up (HyperLogLog, relative error 1.6 %) |
//! | `flexihash_collision_rate_all` | | share of lookups, 0 to 1, that found a row which another feature had first |
//! | `flexihash_collision_rate` | `field` | the same by field: a declared one, else the key right below the features; at most 256, then others under an empty name |
//! | `flexihash_table_fill` | `table` | share of a table's rows, 0 to 1, that were looked up; empty for the table of a head |
//! | `flexihash_schema_keys` | | keys of the stream that are followed, at most 1,000 |
//! | `flexihash_schema_changes_total` | `change`: `new`, `vanished`, `type` | keys that came, vanished, or hold a kind of value they never held, over the model's life |
//! | `flexihash_schema_null_ratio` | `key` | share, 0 to 1, of the records with this key where it is `null`; those that have been, at most 256 |
//! | `flexihash_generation` | | the newest durable generation of the model folder |
//! | `flexihash_checkpoints_total` | | generations made durable |
//! | `flexihash_checkpoint_duration_seconds` | | histogram of how long each took |
//! | `flexihash_last_checkpoint_timestamp_seconds` | | when the last one was, in Unix time |
//! | `flexihash_last_checkpoint_age_seconds` | | how long ago that was; before the first one, since the run began |
//! | `flexihash_commits_total` | | transactions committed: offsets, results and generation together |
//! | `flexihash_commit_duration_seconds` | | histogram of how long each took |
//! | `flexihash_last_commit_timestamp_seconds` | | when the last one was, in Unix time |
//! | `flexihash_partitions` | | partitions that are assigned to this member now |
//! | `flexihash_lag_records` | `topic`, `partition` | offsets between the last commit and the partition's end, as last heard |
//! | `flexihash_rebalances_total` | `event`: `assigned`, `revoked`, `lost` | what the group asked of this member |
//! | `flexihash_brokers_up` | | brokers that the consumer has a connection to |
//! | `flexihash_http_requests_total` | `path`, `status`: `2xx`, `4xx`, `5xx` | requests answered by a server that has a model; paths it does not have are `other` |
//! | `flexihash_http_request_duration_seconds` | `path` | histogram of how long each took, from its head to its answer |
//! | `flexihash_http_records_total` | `path` | good records of these requests: predicted, embedded or learned |
//! | `flexihash_serving_generation` | | the generation that `flexihash serve` answers by |
//! | `flexihash_model_loads_total` | `result`: `ok`, `failed` | generations that `flexihash serve` has loaded, or could not read |
//! | `flexihash_build_info` | `version` | 1 |
//!
//! Counters are those of this process and begin at 0 with it; what is learned again after a lost commit is counted again.
//! Records a second are `rate(flexihash_records_total[1m])`. What a run has nothing of, checkpoints without a model folder or lag
//! of a file, is absent rather than 0. So are labels: there is no `task` where records have a single label, no `table` where there is
//! one. From `flexihash_auc` to `flexihash_row_norm_share` they are told once a second, and only where somebody listens
//! ([`Metrics::watch`]). Written as [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) 1.0,
//! the text format that Prometheus asks for first.

mod figures;
mod history;
mod http;
mod letters;
mod names;
mod seen;
#[cfg(test)]
mod tests;

pub use crate::sketch::CalibrationBin;
pub use figures::{CALIBRATION, Figures, NORMS, Quality, TableFigures, TaskFigures};
pub use letters::BadRecord;

use crate::sync::{Mutex, lock};
use figures::Told;
use history::{Goodness, History, Sample};
use letters::Letters;
use names::{Late, Names};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why a record is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// Longer than the limit.
    Length,
    /// Not a record: no JSON, or another form or label than is expected.
    Parse,
    /// A feature that the hash cannot take.
    Feature,
    /// The learner refused it: labels of another shape than before, too many tasks.
    Learner,
}

impl Bad {
    const ALL: [(Self, &str); 4] = [
        (Self::Length, "length"),
        (Self::Parse, "parse"),
        (Self::Feature, "feature"),
        (Self::Learner, "learner"),
    ];

    /// Its word in labels.
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(bad, _)| *bad == self).map_or("", |(_, name)| name)
    }
}

/// What a group asked of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebalance {
    /// It gave partitions.
    Assigned,
    /// It wants partitions back.
    Revoked,
    /// It gave them to others already.
    Lost,
}

impl Rebalance {
    const ALL: [(Self, &str); 3] =
        [(Self::Assigned, "assigned"), (Self::Revoked, "revoked"), (Self::Lost, "lost")];
}

/// What a batch brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCount {
    /// Records, good and bad.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Labelled records that were learned.
    pub examples: u64,
    /// Their features.
    pub features: u64,
    /// Row updates dropped because they were not finite.
    pub dropped_steps: u64,
}

type Real = Gauge<f64, AtomicU64>;
type Labelled<M> = Family<[(&'static str, &'static str); 1], M>;
type Place = [(&'static str, String); 2];

/// See the [module](self).
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    records: Counter,
    record_bytes: Counter,
    examples: Counter,
    features: Counter,
    dropped_steps: Counter,
    dead_letters: Labelled<Counter>,
    model_examples: Gauge,
    loss: Labelled<Real>,
    told: Told,
    generation: Late<Gauge>,
    checkpoints: Late<Counter>,
    checkpoint_duration: Late<Histogram>,
    checkpoint_time: Late<Real>,
    checkpoint_age: Late<Real>,
    commits: Late<Counter>,
    commit_duration: Late<Histogram>,
    commit_time: Late<Real>,
    partitions: Late<Gauge>,
    lag: Family<Place, Gauge>,
    rebalances: Labelled<Counter>,
    brokers_up: Late<Gauge>,
    http: http::Http,
    seen: seen::Seen,
    /// What the age of a checkpoint counts from; none if the run saves nothing.
    aged_since: Mutex<Option<Instant>>,
    /// Somebody looks at what costs more than a count.
    watched: AtomicBool,
    history: Mutex<History>,
    letters: Mutex<Letters>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at 0, or absent.
    pub fn new() -> Self {
        let mut named = Names::new();
        let dead_letters = named.plain("dead_letters", "Bad records");
        let seconds = Some(Unit::Seconds);
        let inner = Inner {
            records: named.plain("records", "Records that went through the learner, good and bad"),
            record_bytes: named.with("record", "Bytes of these records", Unit::Bytes),
            examples: named.plain("examples", "Labelled records that were learned"),
            features: named.plain("features", "Features of these examples"),
            dropped_steps: named.plain("dropped_steps", "Row updates dropped because they were not finite"),
            dead_letters,
            model_examples: named.plain("model_examples", "Examples over the model's whole life"),
            loss: named.plain("loss", "Progressive loss, over the model's life and its last window"),
            told: named.told(),
            generation: named.late("generation", "The newest durable generation of the model folder", None),
            checkpoints: named.late("checkpoints", "Generations made durable", None),
            checkpoint_duration: named.durations("checkpoint_duration", "How long generations took"),
            checkpoint_time: named.late(
                "last_checkpoint_timestamp",
                "When the last generation was made durable, in Unix time",
                seconds.clone(),
            ),
            checkpoint_age: named.late(
                "last_checkpoint_age",
                "Time since the last generation, or since the run began",
                seconds.clone(),
            ),
            commits: named.late("commits", "Transactions committed", None),
            commit_duration: named.durations("commit_duration", "How long transactions took"),
            commit_time: named.late(
                "last_commit_timestamp",
                "When the last transaction was committed, in Unix time",
                seconds,
            ),
            partitions: named.late("partitions", "Partitions assigned to this member", None),
            lag: named.with(
                "lag",
                "Offsets between the last commit and the end of the partition",
                Unit::Other("records".to_owned()),
            ),
            rebalances: named.plain("rebalances", "What the group asked of this member"),
            brokers_up: named.late("brokers_up", "Brokers that the consumer has a connection to", None),
            http: http::Http::new(&mut named),
            seen: seen::Seen::new(&mut named),
            aged_since: Mutex::new(None),
            watched: AtomicBool::new(false),
            history: Mutex::default(),
            letters: Mutex::default(),
            registry: named.finish(),
        };
        for (_, reason) in Bad::ALL {
            drop(inner.dead_letters.get_or_create(&[("reason", reason)]));
        }
        Self(Arc::new(inner))
    }

    /// A batch went through the learner, of a model that has learned `life` examples by now.
    pub fn batch(&self, count: BatchCount, life: u64) {
        let inner = &self.0;
        inner.records.inc_by(count.records);
        inner.record_bytes.inc_by(count.bytes);
        inner.examples.inc_by(count.examples);
        inner.features.inc_by(count.features);
        inner.dropped_steps.inc_by(count.dropped_steps);
        inner.model_examples.set(whole(life));
    }

    /// Somebody looks: from now on bad records are kept, and figures beyond the losses told.
    pub fn watch(&self) {
        self.0.watched.store(true, Ordering::Relaxed);
    }

    /// Whether somebody looks.
    pub fn is_watched(&self) -> bool {
        self.0.watched.load(Ordering::Relaxed)
    }

    /// A record is bad.
    pub fn bad(&self, record: BadRecord<'_>) {
        self.0.dead_letters.get_or_create(&[("reason", record.bad.name())]).inc();
        if self.is_watched() {
            lock(&self.0.letters).push(record, unix_time());
        }
    }

    /// The newest bad records since somebody looks, 100 at most, the newest first, as a JSON array of objects `number`, `time`, `kind`,
    /// `reason`, `source`, `line`, `length` and, if `records`, `record`: its first 500 bytes.
    pub fn dead_letters(&self, records: bool) -> String {
        let letters = lock(&self.0.letters).newest(records);
        letters::json(&letters)
    }

    /// Figures as they are now, for the gauges and for [`Metrics::history`].
    pub fn figures(&self, figures: Figures) {
        let [life, window] = &figures.means;
        let bad =
            Bad::ALL.iter().map(|(_, reason)| self.0.dead_letters.get_or_create(&[("reason", reason)]).get());
        let named = figures.tasks.iter().filter(|task| task.task.is_some()).take(history::TASKS);
        let tasks = named.map(|task| Goodness::of(task.life.examples, &task.life, &task.window));
        let examples = u64::try_from(self.0.model_examples.get()).unwrap_or_default();
        let sample = Sample {
            time: unix_time(),
            records: self.0.records.get(),
            bad: bad.sum(),
            all: Goodness::of(examples, life, window),
            tasks: tasks.collect(),
        };
        lock(&self.0.history).push(sample);
        self.0.told.set(figures);
    }

    /// How figures were: the last ten minutes by the second, 600 samples at most of the time before, in the order of time, those
    /// later than `since` (Unix time). A JSON object with the names of `columns`, `tasks` as labels have them, 64 at most, and `samples`,
    /// an array of values each, null for what does not apply. With several tasks they are means weighted by examples.
    pub fn history(&self, since: f64) -> String {
        history::json(&self.samples(since), &history_tasks(&self.0.told.get()), None)
    }

    /// The same of one task; none if there is no such task.
    pub fn history_of(&self, task: &str, since: f64) -> Option<String> {
        let told = self.0.told.get();
        let tasks = history_tasks(&told);
        let place = tasks.iter().position(|known| *known == task)?;
        Some(history::json(&self.samples(since), &tasks, Some(place)))
    }

    fn samples(&self, since: f64) -> Vec<Sample> {
        lock(&self.0.history).after(since)
    }

    /// Progressive losses as they are now.
    pub fn loss(&self, life: f64, window: f64) {
        self.0.loss.get_or_create(&[("over", "life")]).set(life);
        self.0.loss.get_or_create(&[("over", "window")]).set(window);
    }

    /// A run begins that saves generations, from this one on.
    pub fn saves(&self, generation: u64) {
        self.0.generation.get().set(whole(generation));
        self.0.checkpoints.get();
        lock(&self.0.aged_since).get_or_insert_with(Instant::now);
    }

    /// A generation became durable.
    pub fn checkpointed(&self, generation: u64, took: Duration) {
        self.0.generation.get().set(whole(generation));
        self.0.checkpoints.get().inc();
        self.0.checkpoint_duration.get().observe(took.as_secs_f64());
        self.0.checkpoint_time.get().set(unix_time());
        *lock(&self.0.aged_since) = Some(Instant::now());
    }

    /// Results, positions and generation were committed in one transaction.
    pub fn committed(&self, took: Duration) {
        self.0.commits.get().inc();
        self.0.commit_duration.get().observe(took.as_secs_f64());
        self.0.commit_time.get().set(unix_time());
    }

    /// So many partitions are this member's now.
    pub fn partitions(&self, count: usize) {
        self.0.partitions.get().set(whole(count as u64));
        for (_, event) in Rebalance::ALL {
            drop(self.0.rebalances.get_or_create(&[("event", event)]));
        }
    }

    /// The group asked something of this member.
    pub fn rebalanced(&self, rebalance: Rebalance) {
        for (_, event) in Rebalance::ALL.iter().filter(|(kind, _)| *kind == rebalance) {
            self.0.rebalances.get_or_create(&[("event", event)]).inc();
        }
    }

    /// How far a partition's end is ahead of the last commit; none: it is not this member's any more.
    pub fn lag(&self, topic: &str, partition: i32, lag: Option<u64>) {
        let place = [("topic", topic.to_owned()), ("partition", partition.to_string())];
        match lag {
            Some(lag) => _ = self.0.lag.get_or_create(&place).set(whole(lag)),
            None => _ = self.0.lag.remove(&place),
        }
    }

    /// So many brokers are connected.
    pub fn brokers_up(&self, count: usize) {
        self.0.brokers_up.get().set(whole(count as u64));
    }

    /// Everything as it is now; its type is [`MEDIA_TYPE`].
    pub fn text(&self) -> String {
        if let Some(since) = *lock(&self.0.aged_since) {
            self.0.checkpoint_age.get().set(since.elapsed().as_secs_f64());
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

/// Names of the tasks whose past is kept.
fn history_tasks(figures: &Figures) -> Vec<&str> {
    figures.tasks.iter().filter_map(|task| task.task.as_deref()).take(history::TASKS).collect()
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unix_time() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64())
}

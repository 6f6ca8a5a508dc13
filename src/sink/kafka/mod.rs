//! Results into topics, in the one transaction that commits a generation: exactly once, whatever dies when.
//!
//! ```text
//! generation g durable in the model folder                    (the engine's saver)
//! begin
//!   predictions, dead letters                                 if they go to Kafka
//!   control record: model id → g                              control.rs
//!   offsets of the partitions that are ours, as the member    of the group that we are
//! commit                                                      ← the commit point
//! ```
//!
//! Before the commit nothing of g is true: a start reads the control record, goes back to the generation it names and
//! starts each partition at its committed offset. After it everything is. Nothing is sent before the generation is durable,
//! so a transaction lasts milliseconds, and no `--checkpoint-every` can outlast its timeout; all that belongs to it is kept
//! until the commit, so an aborted one is simply made again.
//!
//! Where results are to be seen at once ([`Delivery::AtLeastOnce`]), an [`KafkaEmitter`] sends them outside of transactions, and
//! the transaction holds the rest.
//!
//! A start goes: [`KafkaCommits::open`] fences whoever had the id and says which generation counts;
//! [`crate::checkpoint::Writer::go_back_to`]; [`KafkaCommits::claim`]; [`KafkaCommits::publisher`]. Two processes on copies
//! of one folder fence each other until the one that started first sees the other's incarnation and stops.

mod control;
mod death;
mod emitter;
mod outbox;
mod records;
mod topics;
mod transaction;

pub use emitter::KafkaEmitter;

use super::publish::{PublishError, Publisher, Results, Wants};
use crate::record::Positions;
use crate::source::KafkaSource;
use crate::source::kafka::{KafkaOptions, Member, Partition, Patience};
use crate::sync::AtomicBool;
use control::Control;
use death::Step;
use outbox::Fault;
use rdkafka::producer::BaseRecord;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};
use transaction::Transactor;

/// How long a commit is tried on after a signal to stop.
const GRACE: Duration = Duration::from_secs(20);
/// How long the group's refusal of an earlier membership is taken for a rebalance that is under way. Going back to
/// the last commit is always safe, so this only bounds a wait.
const STALE: Duration = Duration::from_secs(10);

/// When results in topics become visible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// With the commit of their generation, each once.
    #[default]
    ExactlyOnce,
    /// At once. After a fault some are there twice, the first time perhaps with what a model said that never came to count.
    AtLeastOnce,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaOutputs {
    /// Topic of predictions. It must have the partitions of the input, and is made with as many if it is not there.
    pub predictions: Option<String>,
    /// Topic of bad records.
    pub dead_letters: Option<String>,
    /// Topic of control records.
    pub control: String,
    /// When predictions and dead letters become visible.
    pub delivery: Delivery,
}

impl KafkaOutputs {
    fn wants(&self) -> Wants {
        Wants { predictions: self.predictions.is_some(), letters: self.dead_letters.is_some() }
    }
}

impl Default for KafkaOutputs {
    fn default() -> Self {
        Self {
            predictions: None,
            dead_letters: None,
            control: "flexihash-commits".to_owned(),
            delivery: Delivery::default(),
        }
    }
}

/// What was committed under a model's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Nothing yet.
    Nothing,
    /// This generation; 0 for a model that has none.
    Generation(u64),
}

/// The commit point of a member: opened, it fences others of its model's id; [`Self::claim`] and [`Self::publisher`] follow.
#[derive(Debug)]
pub struct KafkaCommits {
    options: KafkaOptions,
    outputs: KafkaOutputs,
    stop: Arc<AtomicBool>,
    transactional_id: String,
    transactor: Transactor,
    /// The key of our control record, and who we are in it; none if no model is saved.
    key: Option<String>,
    incarnation: String,
    /// What stood there when we came.
    found: Option<Control>,
}

fn refused(name: &str, doing: &'static str, cause: String) -> PublishError {
    PublishError::Refused { name: name.to_owned(), doing, cause }
}

impl KafkaCommits {
    /// Fences every other process of the model `id` and says what it had committed. Without an id (a model that is only
    /// read) nothing but offsets and results is committed.
    pub fn open(
        options: &KafkaOptions,
        outputs: &KafkaOutputs,
        id: Option<&str>,
        stop: &Arc<AtomicBool>,
    ) -> Result<(Self, Committed), PublishError> {
        let cluster = format!("kafka {}", options.brokers);
        let mut patience = Patience::new(stop, options.wait, Duration::ZERO);
        let incarnation = format!("{:016x}", RandomState::new().hash_one(Instant::now()));
        let topic = &outputs.control;
        if id.is_some() {
            topics::ensure(options, topic, 1, &control::SETTINGS, &mut patience)
                .map_err(|cause| refused(&cluster, "the control topic is needed", cause))?;
        }
        let transactional_id = format!("flexihash-{}-{}", options.group, id.unwrap_or(&incarnation));
        let transactor = Transactor::open(options, &transactional_id, &mut patience)
            .map_err(|cause| refused(&cluster, "transactions are needed", cause))?;
        tracing::debug!(transactional_id, "others of this id are fenced");
        let key = id.map(|id| format!("{}/{id}", options.group));
        let mut commits = Self {
            options: options.clone(),
            outputs: outputs.clone(),
            stop: Arc::clone(stop),
            transactional_id,
            transactor,
            key,
            incarnation,
            found: None,
        };
        commits.found = commits.control(&mut patience)?;
        tracing::debug!(found = ?commits.found, "control record");
        let committed = commits.found.as_ref().map(|control| Committed::Generation(control.generation));
        Ok((commits, committed.unwrap_or(Committed::Nothing)))
    }

    fn control(&self, patience: &mut Patience<'_>) -> Result<Option<Control>, PublishError> {
        let Some(key) = &self.key else { return Ok(None) };
        let found = control::read(&self.options, &self.outputs.control, key, patience);
        found.map_err(|cause| refused(&self.outputs.control, "the control record cannot be read", cause))
    }

    /// Commits that `generation` counts, and that it is we who go on from it.
    pub fn claim(&mut self, generation: u64) -> Result<(), PublishError> {
        let commit = Commit { generation: Some(generation), ..Commit::default() };
        let stop = Arc::clone(&self.stop);
        let mut patience = Patience::new(&stop, self.options.wait, Duration::ZERO);
        self.make(&commit, None, &mut patience)?;
        tracing::debug!(generation, "claimed");
        Ok(())
    }

    /// What commits for the member that `source` is. Fails if the topic of predictions has other partitions than the input.
    pub fn publisher(self, source: &KafkaSource) -> Result<KafkaPublisher, PublishError> {
        let mut patience = Patience::new(&self.stop, self.options.wait, Duration::ZERO);
        let mut widest = 1;
        let writes = self.outputs.predictions.is_some() || self.outputs.dead_letters.is_some();
        for topic in self.options.topics.iter().filter(|_| writes) {
            let count = topics::partitions(&self.options, topic, &mut patience);
            let count = count.map_err(|cause| refused(topic, "how many partitions?", cause))?;
            widest = widest.max(count);
            let Some(output) = &self.outputs.predictions else { continue };
            let found = topics::ensure(&self.options, output, count, &[], &mut patience)
                .map_err(|cause| refused(output, "predictions cannot go there", cause))?;
            if found != count {
                let cause = format!(
                    "it has {found} partitions and the input {topic} has {count}: a prediction goes to the partition \
                     its record came from"
                );
                return Err(refused(output, "predictions cannot go there", cause));
            }
        }
        let mut letter_partitions = widest;
        if let Some(output) = &self.outputs.dead_letters {
            letter_partitions = topics::ensure(&self.options, output, widest, &[], &mut patience)
                .map_err(|cause| refused(output, "dead letters cannot go there", cause))?;
        }
        tracing::debug!("topics of results are there");
        let member = Arc::clone(source.member());
        Ok(KafkaPublisher { commits: self, member, committed: Positions::default(), letter_partitions })
    }

    /// Makes one transaction, as often as it takes.
    fn make(
        &mut self,
        commit: &Commit<'_>,
        member: Option<&Member>,
        patience: &mut Patience<'_>,
    ) -> Result<(), PublishError> {
        let began = Instant::now();
        loop {
            let cause = match self.attempt(commit, member, patience) {
                Ok(()) => return Ok(()),
                Err(Fault::Refused(cause)) => {
                    self.transactor.give_up();
                    return Err(refused(&self.transactional_id, "the commit was refused", cause));
                }
                Err(Fault::Lost) => return Err(self.lost("no member any more")),
                Err(Fault::Stale(cause)) if began.elapsed() > STALE => return Err(self.lost(&cause)),
                Err(Fault::Again(cause) | Fault::Stale(cause)) => cause,
            };
            if !patience.again("committing", &cause) {
                return Err(refused(&self.transactional_id, "not committed in time", cause));
            }
            if self.renew(commit, member, patience)? {
                return Ok(());
            }
        }
    }

    fn attempt(
        &self,
        commit: &Commit<'_>,
        member: Option<&Member>,
        patience: &mut Patience<'_>,
    ) -> Result<(), Fault> {
        if member.is_some_and(Member::is_lost) {
            return Err(Fault::Lost);
        }
        self.transactor.begin()?;
        self.fill(commit, member, patience)?;
        self.transactor.commit(patience)
    }

    /// Others go on from the last commit.
    fn lost(&self, cause: &str) -> PublishError {
        tracing::info!("{}: taken for lost: {cause}", self.transactional_id);
        self.transactor.give_up();
        PublishError::Lost
    }

    fn fill(
        &self,
        commit: &Commit<'_>,
        member: Option<&Member>,
        patience: &mut Patience<'_>,
    ) -> Result<(), Fault> {
        for results in commit.results {
            let send = |record: BaseRecord<'_, [u8], [u8]>| self.transactor.send(record, patience);
            records::of(results, &self.outputs, commit.letter_partitions, send)?;
        }
        if let (Some(key), Some(generation)) = (&self.key, commit.generation) {
            let value = Control { generation, incarnation: self.incarnation.clone() };
            let value = serde_json::to_vec(&value).unwrap_or_default();
            let record = BaseRecord::<[u8], [u8]>::to(&self.outputs.control)
                .partition(control::PARTITION)
                .key(key.as_bytes())
                .payload(&value);
            self.transactor.send(record, patience)?;
        }
        if let Some(member) = member.filter(|_| !commit.offsets.is_empty()) {
            let offsets = Partition::with_offsets(&commit.offsets);
            let offsets = offsets.map_err(|error| Fault::Refused(error.to_string()))?;
            death::pass(Step::Sent);
            let group = member.metadata().ok_or(Fault::Lost)?;
            self.transactor.send_offsets(&offsets, &group, patience)?;
            death::pass(Step::Offsets);
        }
        Ok(())
    }

    /// A new producer, which ends whatever the old one had under way. True if that had been committed after all.
    fn renew(
        &mut self,
        commit: &Commit<'_>,
        member: Option<&Member>,
        patience: &mut Patience<'_>,
    ) -> Result<bool, PublishError> {
        let opened = Transactor::open(&self.options, &self.transactional_id, patience);
        self.transactor =
            opened.map_err(|cause| refused(&self.transactional_id, "not committed in time", cause))?;
        if self.key.is_none() {
            return self.has_committed(commit, member, patience);
        }
        let now = self.control(patience)?;
        match &now {
            Some(now) if now.incarnation == self.incarnation => Ok(Some(now.generation) == commit.generation),
            // Our claim is still to come.
            _ if member.is_none() && now == self.found => Ok(false),
            _ => Err(self.fenced()),
        }
    }

    /// Without a control record the group's offsets tell. Bad records that came beside the input move none: they are sent again then,
    /// for twice is better than never.
    fn has_committed(
        &self,
        commit: &Commit<'_>,
        member: Option<&Member>,
        patience: &mut Patience<'_>,
    ) -> Result<bool, PublishError> {
        let Some(member) = member.filter(|_| !commit.offsets.is_empty()) else { return Ok(false) };
        loop {
            match member.has_committed(&commit.offsets) {
                Ok(committed) => return Ok(committed),
                Err(error) => {
                    if !patience.again("looking up committed offsets", &error) {
                        return Err(refused(
                            &self.transactional_id,
                            "not committed in time",
                            error.to_string(),
                        ));
                    }
                }
            }
        }
    }

    fn fenced(&self) -> PublishError {
        PublishError::Fenced { name: self.transactional_id.clone() }
    }
}

/// What belongs to one transaction.
#[derive(Debug, Default)]
struct Commit<'a> {
    generation: Option<u64>,
    offsets: Vec<(Partition, u64)>,
    results: &'a [Results],
    letter_partitions: i32,
}

/// Commits generations with their offsets and results.
#[derive(Debug)]
pub struct KafkaPublisher {
    commits: KafkaCommits,
    member: Arc<Member>,
    /// Positions as of the last commit.
    committed: Positions,
    letter_partitions: i32,
}

impl KafkaPublisher {
    /// What sends results at once, if that is how they are to be delivered.
    pub fn emitter(&self) -> Result<Option<KafkaEmitter>, PublishError> {
        let KafkaCommits { options, outputs, stop, .. } = &self.commits;
        if outputs.delivery == Delivery::ExactlyOnce || outputs.wants() == Wants::default() {
            return Ok(None);
        }
        KafkaEmitter::open(options, outputs, self.letter_partitions, stop).map(Some)
    }
}

impl Publisher for KafkaPublisher {
    fn wants(&self) -> Wants {
        match self.commits.outputs.delivery {
            Delivery::ExactlyOnce => self.commits.outputs.wants(),
            Delivery::AtLeastOnce => Wants::default(),
        }
    }

    fn publish(
        &mut self,
        generation: Option<u64>,
        positions: &Positions,
        results: &[Results],
    ) -> Result<(), PublishError> {
        let offsets = self.member.offsets(positions, &self.committed);
        if generation.is_none() && offsets.is_empty() && results.is_empty() {
            return Ok(());
        }
        let letter_partitions = self.letter_partitions;
        let commit = Commit { generation, offsets, results, letter_partitions };
        death::pass(Step::Durable);
        let began = Instant::now();
        let stop = Arc::clone(&self.commits.stop);
        let mut patience = Patience::new(&stop, Duration::MAX, GRACE);
        self.commits.make(&commit, Some(&self.member), &mut patience)?;
        death::pass(Step::Committed);
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(generation, offsets = commit.offsets.len(), milliseconds, "committed");
        self.committed.clone_from(positions);
        Ok(())
    }
}

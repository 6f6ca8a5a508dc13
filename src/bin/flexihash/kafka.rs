//! `train --kafka` and `predict --kafka`: a member of a consumer group, from its start to its end, and again from the last
//! commit where its partitions were lost.

use crate::device::Placement;
use crate::error::{CommandError, usage};
use crate::progress::Progress;
use crate::train::{self, Start};
use crate::watch::Watch;
use crate::{inputs, predict, stop};
use flexihash::checkpoint::Writer;
use flexihash::config::{KafkaFlags, ModelFlags, Place, RunFlags};
use flexihash::engine::{Engine, EngineError, EngineOptions, Finished, Model, Outputs, Task};
use flexihash::sink::{Committed, KafkaCommits, KafkaOutputs, PublishError};
use flexihash::source::{KafkaOptions, KafkaSource};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a member that was told to stop asks which of its generations counts.
const GO_BACK: Duration = Duration::from_secs(20);

/// Everything that stays the same from one start to the next.
struct Service<'a> {
    /// With topics taken out of where paths may be.
    run: RunFlags,
    options: &'a KafkaOptions,
    outputs: KafkaOutputs,
    stop: Arc<AtomicBool>,
    watch: Watch,
    /// Records may have been read since the last start.
    running: Cell<bool>,
}

impl<'a> Service<'a> {
    fn new(run: &RunFlags, kafka: &KafkaFlags, options: &'a mut KafkaOptions) -> Result<Self, CommandError> {
        if !run.input.is_empty() {
            return Err(usage("--kafka: reads topics, not files: leave the inputs out"));
        }
        if run.passes.is_some_and(|passes| passes != 1) {
            return Err(usage("--passes: a topic is read once"));
        }
        let outputs = kafka.outputs(run.predictions.as_ref(), run.dead_letters.as_ref())?;
        let run = RunFlags {
            predictions: Place::path(run.predictions.as_ref()),
            dead_letters: Place::path(run.dead_letters.as_ref()),
            checkpoint_every: KafkaFlags::commit_every(run),
            ..run.clone()
        };
        inputs::check_outputs(
            &[],
            [&run.predictions, &run.dead_letters, &run.summary, &run.report],
            run.model.as_deref(),
        )?;
        let stop = stop::on_signal()?;
        let watch = Watch::begin(&run, &stop)?;
        options.metrics = watch.metrics().clone();
        let KafkaOptions { brokers, group, .. } = &*options;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), brokers, topics = ?options.topics, group, "started");
        Ok(Self { run, options, outputs, stop, watch, running: Cell::new(false) })
    }

    fn engine(&self, task: Task) -> EngineOptions {
        EngineOptions {
            task,
            threads: self.run.threads.unwrap_or_else(inputs::parse_threads),
            learners: if task == Task::Train { self.run.learners.unwrap_or(1) } else { 1 },
            checkpoint_every: self.run.checkpoint_every.clone(),
            max_errors: self.run.max_errors,
            allow_unseen: self.run.allow_unseen.unwrap_or(false),
        }
    }

    /// Runs until the end or a signal; again from the last commit where partitions were lost. None: the signal came
    /// before anything was read, or when partitions were lost; then `back` brings the files to the last commit.
    fn serve(
        &self,
        mut once: impl FnMut(&Self) -> Result<Finished, CommandError>,
        back: impl FnOnce(&Self) -> Result<(), CommandError>,
    ) -> Result<Option<Finished>, CommandError> {
        let mut lost = false;
        loop {
            self.running.set(false);
            self.watch.set_ready(false);
            match once(self) {
                Err(CommandError::Engine(EngineError::Publish(PublishError::Lost))) => {
                    tracing::warn!(group = self.options.group, "going back to the last commit");
                    lost = true;
                }
                Err(_) if !self.running.get() && self.is_stopped() => {}
                finished => return finished.map(Some),
            }
            if self.is_stopped() {
                if lost && let Err(error) = back(self) {
                    tracing::warn!(
                        "not gone back: {error}; the newest generation may never have been committed: the next start sees to it"
                    );
                }
                return Ok(None);
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Lengths of files that lines went to.
    fn written(&self) -> BTreeMap<String, u64> {
        let paths = [&self.run.predictions, &self.run.dead_letters].into_iter().flatten();
        let length = |path: &PathBuf| Some((path.display().to_string(), path.metadata().ok()?.len()));
        paths.filter_map(length).collect()
    }

    fn start(
        &self,
        model: Model,
        mut outputs: Outputs,
        store: Option<Writer>,
        commits: KafkaCommits,
    ) -> Result<Finished, CommandError> {
        let task = if store.is_some() { Task::Train } else { Task::Predict };
        let headers = model.flags().headers_as.is_some();
        let source = KafkaSource::open(KafkaOptions { headers, ..self.options.clone() }, &self.stop)?;
        let publisher = commits.publisher(&source)?;
        if let Some(emitter) = publisher.emitter()? {
            outputs.emitter = Some(Box::new(emitter));
        }
        outputs.publisher = Some(Box::new(publisher));
        let mut progress = Progress::new(task == Task::Predict || self.run.quiet == Some(true), 1);
        let engine = self.watch.over(Engine::new(model, self.engine(task), outputs, store));
        self.running.set(true);
        self.watch.set_ready(true);
        let finished = engine.run(Box::new(source), &self.stop, &mut progress);
        progress.finish();
        Ok(finished?)
    }
}

/// `train --kafka`.
pub(crate) fn train(
    run: &RunFlags,
    flags: &ModelFlags,
    kafka: &KafkaFlags,
    mut options: KafkaOptions,
) -> Result<(), CommandError> {
    train::check(run)?;
    // What was committed may go on whether --resume is given or not.
    let mut placement = Placement::open(run, flags, true)?;
    let service = Service::new(run, kafka, &mut options)?;
    let Some(folder) = &run.model else {
        return Err(usage("--kafka: needs --model, the folder that is committed with the offsets"));
    };
    let adopt = kafka.adopt == Some(true);
    // The committed generation and one that may never be.
    let open = || Writer::create_or_open(folder, run.keep.unwrap_or(train::KEEP).max(2));
    let once = |service: &Service<'_>| {
        let (store, mut commits, known) = go_back(service, open()?, adopt, service.options, &service.stop)?;
        let Start { mut model, store, kept } =
            train::go_on(store, &service.run, flags, known || run.resume == Some(true))?;
        placement.take(&mut model)?;
        model.watch(&service.run.watch);
        train::trace(&mut model, &service.run);
        train::observe(&mut model, &service.run)?;
        let store = store.ok_or_else(|| usage("no model folder"))?;
        commits.claim(store.manifest().map_or(0, |manifest| manifest.generation))?;
        let outputs = train::outputs(&service.run, &kept)?;
        service.start(model, outputs, Some(store), commits)
    };
    // The signal was heard: only the clock ends this.
    let back = |service: &Service<'_>| {
        let options = KafkaOptions { wait: GO_BACK, ..service.options.clone() };
        let (store, ..) = go_back(service, open()?, adopt, &options, &Arc::default())?;
        let kept = store.manifest().map(|manifest| manifest.progress.outputs.clone());
        train::outputs(&service.run, &kept.unwrap_or_default()).map(drop)
    };
    service.serve(once, back)?.map_or(Ok(()), |finished| train::finish(&service.run, &finished))
}

/// Fences others of this model and takes away what was never committed. True if the model was in the group before.
fn go_back(
    service: &Service<'_>,
    mut store: Writer,
    adopt: bool,
    options: &KafkaOptions,
    stop: &Arc<AtomicBool>,
) -> Result<(Writer, KafkaCommits, bool), CommandError> {
    let (id, _) = store.member_id()?;
    let (commits, committed) = KafkaCommits::open(options, &service.outputs, Some(&id), stop)?;
    match committed {
        Committed::Generation(generation) => {
            store.go_back_to(generation)?;
            return Ok((store, commits, true));
        }
        Committed::Nothing => {}
    }
    let of_topics = store.manifest().is_some_and(|manifest| {
        manifest.progress.positions.sources.keys().any(|name| name.ends_with(']') && name.contains('['))
    });
    if of_topics && !adopt {
        return Err(usage(format!(
            "{}: has learned from topics, but {} has no control record of it in group {}: another group, or the topic \
             was made anew? --adopt goes by its newest generation",
            store.folder().path().display(),
            service.outputs.control,
            service.options.group
        )));
    }
    Ok((store, commits, adopt))
}

/// `predict --kafka`.
pub(crate) fn predict(
    run: &RunFlags,
    kafka: &KafkaFlags,
    mut options: KafkaOptions,
) -> Result<(), CommandError> {
    let service = Service::new(run, kafka, &mut options)?;
    let Some(folder) = &run.model else { return Err(usage("--kafka: needs --model")) };
    let mut again = false;
    let once = |service: &Service<'_>| {
        let model = predict::load(folder)?.for_prediction();
        let (commits, _) = KafkaCommits::open(service.options, &service.outputs, None, &service.stop)?;
        // The lines of an earlier membership stay.
        let kept = if again { service.written() } else { BTreeMap::new() };
        again = true;
        let outputs = train::outputs(&service.run, &kept)?;
        service.start(model, outputs, None, commits)
    };
    // Lines that were written stay.
    service.serve(once, |_| Ok(())).map(drop)
}

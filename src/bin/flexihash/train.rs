//! `flexihash train`: predict, then learn, record by record.

use crate::device::Placement;
use crate::error::{CommandError, usage};
use crate::progress::Progress;
use crate::watch::Watch;
use crate::{html, inputs, report, stop};
use flexihash::checkpoint::{ModelDir, Writer};
use flexihash::config::{ConfigFile, ModelFlags, RunFlags, overlay};
use flexihash::engine::{Engine, EngineOptions, Finished, InsightOptions, Model, Outputs, Summary, Task};
use flexihash::hash::HashKey;
use flexihash::record::Source;
use flexihash::sink::LinesSink;
use flexihash::source::{LinesOptions, LinesSource};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Features by name in a report.
const REPORTED: usize = 50;

/// Generations kept unless told otherwise.
pub(crate) const KEEP: usize = 2;

/// Predict each record, then learn it, at once
#[derive(Debug, clap::Args)]
pub(crate) struct Train {
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    model: ModelFlags,
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    kafka: flexihash::config::KafkaFlags,
    /// Options from a TOML file, under their flags' names; flags win
    #[arg(long, value_name = "FILE.toml", help_heading = "Run")]
    config: Option<PathBuf>,
}

/// A model to go on with, where it is saved, and how long its output files were.
pub(crate) struct Start {
    pub(crate) model: Model,
    pub(crate) store: Option<Writer>,
    pub(crate) kept: BTreeMap<String, u64>,
}

impl Train {
    /// Whether it is to run for long, with nobody looking on.
    pub(crate) fn is_service(&self) -> bool {
        #[cfg(feature = "kafka")]
        let reads_topics = self.kafka.kafka.is_some();
        #[cfg(not(feature = "kafka"))]
        let reads_topics = false;
        (reads_topics || self.run.listen.is_some()) && self.run.quiet != Some(true)
    }

    /// `silent`: print no progress and no results.
    pub(crate) fn run(self, silent: bool) -> Result<(), CommandError> {
        let file = self.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        let mut run = overlay(&file.run, &self.run)?;
        if silent {
            run.quiet = Some(true);
        }
        let flags = overlay(&file.model, &self.model)?;
        if run.resume != Some(true) {
            flags.resolve()?; // else they may make sense only with those of the stored model
        }
        #[cfg(feature = "kafka")]
        {
            let kafka = overlay(&file.kafka, &self.kafka)?;
            if let Some(options) = kafka.options(run.record_limit)? {
                return crate::kafka::train(&run, &flags, &kafka, options);
            }
        }
        check(&run)?;
        let inputs = inputs::or_stdin(run.input.clone())?;
        inputs::check_outputs(
            &inputs,
            [&run.predictions, &run.dead_letters, &run.summary, &run.report],
            run.model.as_deref(),
        )?;
        let mut placement = Placement::open(&run, &flags, run.resume == Some(true))?;
        let stop = stop::on_signal()?;
        let watch = Watch::begin(&run, &stop)?;
        let source = source(&run, &inputs)?;
        let mut start = start(&run, &flags)?;
        placement.take(&mut start.model)?;
        start.model.watch(&run.watch);
        trace(&mut start.model, &run);
        observe(&mut start.model, &run)?;
        let outputs = outputs(&run, &start.kept)?;
        let options = EngineOptions {
            task: Task::Train,
            threads: run.threads.unwrap_or_else(inputs::parse_threads),
            learners: run.learners.unwrap_or(1),
            checkpoint_every: run.checkpoint_every.clone(),
            max_errors: run.max_errors,
            allow_unseen: run.allow_unseen.unwrap_or(false),
        };
        let quiet = run.quiet.unwrap_or(false);
        let mut progress = Progress::new(quiet, run.passes.unwrap_or(1));
        let engine = Engine::new(start.model, options, outputs, start.store);
        let engine = watch.over(engine);
        watch.set_ready(true);
        tracing::info!(inputs = inputs.len(), "training");
        let finished = engine.run(source, &stop, &mut progress);
        progress.finish();
        finish(&run, &finished?)
    }
}

/// What a report needs is kept from the beginning on.
pub(crate) fn trace(model: &mut Model, run: &RunFlags) {
    if run.report.is_some() {
        model.trace();
    }
}

/// Looks at the stream, if that is wanted, or was by whoever began the model.
pub(crate) fn observe(model: &mut Model, run: &RunFlags) -> Result<(), CommandError> {
    match (run.insight, run.names) {
        (Some(false), _) => model.rest(),
        (None, None) => {}
        (_, names) => {
            let names = names.or_else(|| model.names_kept()).unwrap_or(0);
            model.observe(InsightOptions { names, ..InsightOptions::default() })?;
        }
    }
    Ok(())
}

/// Results, where they are wanted.
pub(crate) fn finish(run: &RunFlags, finished: &Finished) -> Result<(), CommandError> {
    tracing::info!(examples = finished.summary.examples, skipped = finished.summary.skipped, "ended");
    if run.quiet != Some(true) {
        report::print(&finished.summary, &finished.model);
    }
    write_summary(run.summary.as_deref(), &finished.summary)?;
    // Features by name come here once names are kept.
    let heaviest = finished.model.heaviest(REPORTED);
    let features: Vec<(String, f64)> =
        heaviest.into_iter().map(|named| (named.feature, named.weight)).collect();
    let beside = html::Beside { features: (!features.is_empty()).then_some(&features[..]) };
    run.report.as_deref().map_or(Ok(()), |path| html::write(path, finished, beside))
}

pub(crate) fn check(run: &RunFlags) -> Result<(), CommandError> {
    if run.passes == Some(0) {
        return Err(usage("--passes: expected at least 1"));
    }
    if run.learners == Some(0) {
        return Err(usage("--learners: expected at least 1"));
    }
    if run.insight == Some(false) && run.names.is_some_and(|names| names > 0) {
        return Err(usage("--names: needs --insight, which --insight=false switches off"));
    }
    if run.keep == Some(0) {
        return Err(usage("--keep: expected at least 1"));
    }
    if run.record_limit == Some(0) {
        return Err(usage("--record-limit: expected at least 1"));
    }
    if run.model.is_none() {
        let needs = [
            ("resume", run.resume == Some(true)),
            ("checkpoint-every", !run.checkpoint_every.is_empty()),
            ("keep", run.keep.is_some()),
        ];
        if let Some((option, _)) = needs.into_iter().find(|(_, given)| *given) {
            return Err(usage(format!("--{option}: needs --model, the folder to save the model in")));
        }
    }
    Ok(())
}

fn source(run: &RunFlags, inputs: &[PathBuf]) -> Result<Box<dyn Source>, CommandError> {
    let defaults = LinesOptions::default();
    let options = LinesOptions {
        record_limit: run.record_limit.unwrap_or(defaults.record_limit),
        passes: run.passes.unwrap_or(1),
        stdin_continues: run.no_skip.unwrap_or(false),
        ..defaults
    };
    Ok(Box::new(LinesSource::open(inputs, options)?))
}

/// A fresh model, or the one to resume.
fn start(run: &RunFlags, flags: &ModelFlags) -> Result<Start, CommandError> {
    let Some(path) = &run.model else {
        let key = inputs::hash_key(run.hash_key_file.as_deref())?.unwrap_or_default();
        return Ok(Start { model: Model::new(flags, &key)?, store: None, kept: BTreeMap::new() });
    };
    let store = Writer::create_or_open(path, run.keep.unwrap_or(KEEP))?;
    go_on(store, run, flags, run.resume == Some(true))
}

/// The newest generation in `store`, if it is to be resumed, or a fresh model if there is none.
pub(crate) fn go_on(
    store: Writer,
    run: &RunFlags,
    flags: &ModelFlags,
    resume: bool,
) -> Result<Start, CommandError> {
    let given_key = inputs::hash_key(run.hash_key_file.as_deref())?;
    let fresh = |key: Option<HashKey>| Ok::<_, CommandError>(Model::new(flags, &key.unwrap_or_default())?);
    let Some(mut generation) = store.latest()? else {
        // A run that ended before its first checkpoint may have left its key, and `predict` will go by that.
        let stored = store.folder().hash_key()?.is_some();
        let key = if stored { Some(stored_key(store.folder(), given_key)?) } else { given_key };
        let model = fresh(key)?;
        if let Some(key) = key.filter(|key| !key.is_default()) {
            store.store_hash_key(&key)?;
        }
        return Ok(Start { model, store: Some(store), kept: BTreeMap::new() });
    };
    if !resume {
        let path = store.folder().path().display();
        return Err(usage(format!(
            "{path}: holds a model already: --resume goes on with it, another --model starts afresh"
        )));
    }
    let key = stored_key(store.folder(), given_key)?;
    let kept = generation.manifest().progress.outputs.clone();
    let model = Model::load(&mut generation, &key)?;
    flags.check_against(model.flags())?;
    Ok(Start { model, store: Some(store), kept })
}

/// The key stored with the model; a given one must be the same.
pub(crate) fn stored_key(folder: &ModelDir, given: Option<HashKey>) -> Result<HashKey, CommandError> {
    let stored = folder.hash_key()?.unwrap_or_default();
    match given {
        Some(given) if given != stored => Err(usage(
            "the hash key given is not the one this model was made with: leave it out, the model has its own",
        )),
        _ => Ok(stored),
    }
}

pub(crate) fn outputs(run: &RunFlags, kept: &BTreeMap<String, u64>) -> Result<Outputs, CommandError> {
    let open = |path: &Option<PathBuf>| {
        let same = |name: &str, path: &Path| inputs::identity(Path::new(name)) == inputs::identity(path);
        let keep =
            |path: &Path| kept.iter().find(|(name, _)| same(name, path)).map_or(0, |(_, length)| *length);
        path.as_deref().map(|path| LinesSink::open(path, keep(path))).transpose()
    };
    Ok(Outputs {
        predictions: open(&run.predictions)?,
        dead_letters: open(&run.dead_letters)?,
        ..Outputs::default()
    })
}

fn write_summary(path: Option<&Path>, summary: &Summary) -> Result<(), CommandError> {
    let Some(path) = path else { return Ok(()) };
    let mut json = serde_json::to_vec_pretty(summary).map_err(|error| usage(format!("summary: {error}")))?;
    json.push(b'\n');
    let mut sink = LinesSink::open(path, 0)?;
    sink.write(&json)?;
    Ok(sink.sync()?)
}

//! What the learner tells of itself while it goes: losses always, once a second; how good it is by task and how full its tables
//! are only where somebody listens. It may not hold learning up, so of the tables it looks at a part each time: a few hundred
//! microseconds a second, whatever their size and number.

use crate::engine::summary;
use crate::learner::{CalibrationBin, Learner, Report};
use crate::metrics::{CALIBRATION, Figures, Metrics, NORMS, Quality, TableFigures, TaskFigures};
use std::time::{Duration, Instant};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// How long touched rows are counted for at a time; one stripe always is.
const COUNTING: Duration = Duration::from_micros(300);
/// Rows of a table whose norms are looked at, at a time.
const SAMPLED: usize = 1024;
/// Bytes of a name that are shown; what a task is called is for the records to say.
const NAME_BYTES: usize = 100;

/// When it tells next, and what it knows of the tables.
#[derive(Debug)]
pub(super) struct Teller {
    next: Instant,
    tables: Vec<Known>,
    /// Whose touched rows are counted next, and whose norms are looked at.
    count: usize,
    sample: usize,
    turn: usize,
}

/// What is known of a table.
#[derive(Debug, Default)]
struct Known {
    /// By stripe; none: not counted yet.
    touched: Vec<Option<u64>>,
    next: usize,
    norms: Vec<f64>,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), tables: Vec::new(), count: 0, sample: 0, turn: 0 }
    }

    /// Tells how things stand, if it is time.
    pub(super) fn tell(&mut self, learner: &Learner, metrics: &Metrics) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let (lives, windows): (Vec<Report>, Vec<Report>) = learner.reports().unzip();
        if learner.counters().examples > 0 {
            metrics.loss(summary::mean(&lives).loss, summary::mean(&windows).loss);
        }
        if !metrics.is_watched() {
            return;
        }
        let means = [&lives, &windows].map(|reports| {
            let examples = reports.iter().map(|report| report.examples).sum();
            quality(&Report { examples, figures: summary::mean(reports) }, Vec::new())
        });
        let tasks =
            if learner.counters().examples > 0 { tasks(learner, &lives, &windows) } else { Vec::new() };
        metrics.figures(Figures { means, tasks, tables: self.survey(learner) });
    }

    /// Looks at a part of the tables, and says what is known of all.
    fn survey(&mut self, learner: &Learner) -> Vec<TableFigures> {
        let tables = learner.tables();
        self.tables.resize_with(tables.len(), Known::default);
        self.count(learner);
        self.look(learner);
        let (names, tasks) = (learner.table_names(), task_names(learner));
        let of = |index: usize| names.get(index).cloned().or_else(|| tasks.get(index).cloned().flatten());
        let known = tables.iter().zip(&self.tables).enumerate();
        let figures = known.map(|(index, ((_, table), known))| TableFigures {
            table: of(index).map(|name| shown(&name, index)),
            rows: table.options().rows,
            touched: known.touched.iter().flatten().sum(),
            norms: known.norms.clone(),
        });
        figures.collect()
    }

    /// Counts touched rows, stripe after stripe and table after table, for as long as it may.
    fn count(&mut self, learner: &Learner) {
        let (began, tables) = (Instant::now(), learner.tables());
        let stripes: usize = tables.iter().map(|(_, table)| table.stripes()).sum();
        for _ in 0..stripes {
            let index = self.count % tables.len().max(1);
            let (Some((_, table)), Some(known)) = (tables.get(index), self.tables.get_mut(index)) else {
                return;
            };
            known.touched.resize(table.stripes(), None);
            if let Some(count) = known.touched.get_mut(known.next) {
                *count = Some(table.touched_in(known.next));
            }
            known.next += 1;
            if known.next >= table.stripes() {
                (known.next, self.count) = (0, index + 1);
            }
            if began.elapsed() > COUNTING {
                return;
            }
        }
    }

    /// Looks at the norms of one table's rows, some of each stripe.
    fn look(&mut self, learner: &Learner) {
        let tables = learner.tables();
        let index = self.sample % tables.len().max(1);
        let (Some((_, table)), Some(known)) = (tables.get(index), self.tables.get_mut(index)) else { return };
        let (mut counts, stripes) = ([0_u32; NORMS.len()], table.stripes().max(1));
        let turn = self.turn.wrapping_mul(0x9E37_79B9);
        for stripe in 0..stripes {
            learner.sample_norms(index, (stripe, turn), SAMPLED.div_ceil(stripes), |norm| {
                let above = NORMS.partition_point(|&from| from <= f64::from(norm));
                if let Some(count) = counts.get_mut(above.saturating_sub(1)) {
                    *count += 1;
                }
            });
        }
        let all: u32 = counts.iter().sum();
        if all > 0 {
            known.norms = counts.iter().map(|&count| f64::from(count) / f64::from(all)).collect();
        }
        (self.sample, self.turn) = (index + 1, self.turn + usize::from(index + 1 == tables.len()));
    }
}

fn tasks(learner: &Learner, lives: &[Report], windows: &[Report]) -> Vec<TaskFigures> {
    let calibrations = learner.calibrations(&CALIBRATION);
    let named = task_names(learner).into_iter().zip(lives.iter().zip(windows)).zip(calibrations).enumerate();
    let tasks = named.map(|(index, ((name, (life, window)), [life_bins, window_bins]))| TaskFigures {
        task: name.map(|name| shown(&name, index)),
        life: quality(life, life_bins),
        window: quality(window, window_bins),
    });
    tasks.collect()
}

fn task_names(learner: &Learner) -> Vec<Option<String>> {
    learner.task_names().map(|name| name.map(str::to_owned)).collect()
}

fn quality(report: &Report, bins: Vec<CalibrationBin>) -> Quality {
    let Report { examples, figures } = report;
    if *examples == 0 {
        return Quality::default();
    }
    Quality {
        examples: *examples,
        loss: figures.loss,
        auc: figures.auc,
        normalized_entropy: figures.normalized_entropy,
        calibration: figures.calibration,
        bins,
    }
}

/// A name in a label: a long one is cut, and numbered so that no two are the same.
fn shown(name: &str, index: usize) -> String {
    if name.len() <= NAME_BYTES {
        return name.to_owned();
    }
    let end = (0..=NAME_BYTES).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    format!("{}… ({})", name.get(..end).unwrap_or_default(), index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelFlags;
    use crate::engine::Model;
    use crate::hash::HashKey;

    fn model(records: usize) -> Model {
        let flags = ModelFlags { buckets: Some(1 << 12), ..ModelFlags::default() };
        let mut model = Model::new(&flags, &HashKey::default()).unwrap();
        for i in 0..records {
            let (click, like) = (u8::from(i % 3 == 0), u8::from(i % 5 == 0));
            let label = format!("{{\"click\":{click},\"{}\":{like}}}", "é".repeat(300));
            let record = format!("{{\"label\":{label},\"features\":{{\"a\":\"{}\"}}}}", i % 30);
            model.learn_json(record.as_bytes()).unwrap();
        }
        model
    }

    #[test]
    fn figures_are_those_of_the_learner_and_nothing_is_told_to_nobody() {
        let (model, metrics) = (model(300), Metrics::new());
        Teller::new().tell(model.learner(), &metrics);
        let text = metrics.text();
        assert!(text.contains("flexihash_loss{") && !text.contains("flexihash_auc"), "{text}");
        assert!(metrics.history(0.0).ends_with("\"samples\":[]}"));
        metrics.watch();
        let mut teller = Teller::new();
        teller.tell(model.learner(), &metrics);
        let (text, summary) = (metrics.text(), model.summary());
        let tasks = summary.tasks.unwrap();
        let line = |name: &str, value: f64| {
            let found = text.lines().find_map(|line| line.strip_prefix(&format!("flexihash_{name} ")));
            assert_eq!(found.and_then(|found| found.parse().ok()), Some(value), "{name} in\n{text}");
        };
        let click = &tasks["click"];
        line("auc{over=\"life\",task=\"click\"}", click.report.figures.auc.unwrap());
        line("task_loss{over=\"window\",task=\"click\"}", click.window.figures.loss);
        let entropy = click.report.figures.normalized_entropy.unwrap();
        line("normalized_entropy{over=\"life\",task=\"click\"}", entropy);
        line("task_examples{task=\"click\"}", 300.0);
        line("table_rows{table=\"click\"}", 4097.0);
        line("table_rows_touched{table=\"click\"}", model.learner().tables()[0].1.touched() as f64);
        let long = format!("{}… (2)", "é".repeat(NAME_BYTES / 2));
        line(&format!("table_rows{{table=\"{long}\"}}"), 4097.0);
        assert!(
            text.contains(",bin=\"0.3\"}") && text.contains("row_norm_share{table=\"click\",norm=\"0\"}")
        );
        let history: serde_json::Value = serde_json::from_str(&metrics.history(0.0)).unwrap();
        assert_eq!(history["samples"][0][4], summary.figures.loss);
        assert_eq!(history["samples"].as_array().unwrap().len(), 1);
        teller.tell(model.learner(), &metrics);
        assert_eq!(metrics.text().lines().count(), text.lines().count(), "not again within the second");
    }

    #[test]
    fn shares_of_norms_are_those_of_all_rows_where_all_are_looked_at() {
        let model = model(60);
        let mut teller = Teller::new();
        teller.tables.resize_with(2, Known::default);
        teller.look(model.learner());
        let mut counts = [0.0; NORMS.len()];
        model.learner().for_each_weight(0, |weight| {
            counts[NORMS.iter().rposition(|from| f64::from(weight.abs()) >= *from).unwrap()] += 1.0;
        });
        let all: f64 = counts.iter().sum();
        assert_eq!(teller.tables[0].norms, counts.map(|count| count / all));
        assert!(teller.tables[1].norms.is_empty(), "it is the next one's turn");
        teller.look(model.learner());
        assert!(!teller.tables[1].norms.is_empty());
    }
}

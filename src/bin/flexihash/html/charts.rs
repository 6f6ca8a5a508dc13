//! The report's charts: how figures went, by examples rather than time, and predictions beside labels.

use crate::chart::{Chart, Corner, Curve, Ink, Mark, Scale};
use crate::error::{CommandError, usage};
use flexihash::learner::{CalibrationBin, CurvePoint, Figures, Learner};
use flexihash::metrics::CALIBRATION;

const HEIGHT: u32 = 380;
/// Tasks that are drawn: as many as there are colours.
const TASKS: usize = 6;

/// One of the figures.
type Pick = fn(&Figures) -> Option<f64>;

/// Title, note and SVG.
type Drawn = (String, String, String);

/// All charts that apply, for the first tasks.
pub(super) fn all(learner: &Learner) -> Result<Vec<Drawn>, CommandError> {
    let names: Vec<Option<String>> = learner.task_names().map(|name| name.map(short)).collect();
    let tasks: Vec<Task> = names.into_iter().zip(learner.curves()).take(TASKS).collect();
    let mut drawn = Vec::new();
    let figures: [(&str, Pick); 4] = [
        ("Progressive loss", |figures| Some(figures.loss)),
        ("AUC", |figures| figures.auc),
        ("Normalized entropy", |figures| figures.normalized_entropy),
        ("RMSE", |figures| figures.rmse),
    ];
    let all = learner.task_names().count();
    let left_out = if all > TASKS { format!("; the first {TASKS} of {all} tasks") } else { String::new() };
    for (title, pick) in figures {
        if let Some(chart) = learning(&tasks, pick) {
            let note = format!("By labelled examples{left_out}.");
            drawn.push((title.to_owned(), note, chart.svg().map_err(usage)?));
        }
    }
    let bins: Vec<[Vec<CalibrationBin>; 2]> = learner.calibrations(&CALIBRATION).take(TASKS).collect();
    if bins.iter().any(|[life, _]| !life.is_empty()) {
        let chart = calibration(&tasks, &bins);
        let note = format!("Mean label by mean prediction, where they are alike on the dashes{left_out}.");
        drawn.push(("Calibration".to_owned(), note, chart.svg().map_err(usage)?));
    }
    Ok(drawn)
}

type Task = (Option<String>, Vec<CurvePoint>);

/// A name that fits into a legend.
fn short(name: &str) -> String {
    let short: String = name.chars().take(24).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if short.len() < name.len() { short + "…" } else { short }
}

/// Life and window of a single label; the windows of several tasks.
fn learning(tasks: &[Task], pick: Pick) -> Option<Chart> {
    let mut curves = Vec::new();
    for (index, (name, points)) in tasks.iter().enumerate() {
        let of = |figures: fn(&CurvePoint) -> &Figures| -> Vec<(f64, f64)> {
            points.iter().filter_map(|point| Some((point.examples as f64, pick(figures(point))?))).collect()
        };
        let (life, window) = (of(|point| &point.life), of(|point| &point.window));
        let curve = |label: String, ink, points| Curve { label: Some(label), ink, mark: Mark::Line, points };
        match name {
            Some(name) => curves.push(curve(format!("{name}, window"), Ink::Colour(index), window)),
            None => curves.extend([
                curve("whole stream".to_owned(), Ink::Text, life),
                curve("window".to_owned(), Ink::Colour(0), window),
            ]),
        }
    }
    // The first points swing most and say least: they do not set the scale.
    let settled = |points: &[(f64, f64)]| {
        let skipped = (points.len() / 20).max(3).min(points.len().saturating_sub(1));
        points.iter().skip(skipped).map(|point| point.1).collect::<Vec<_>>()
    };
    let values: Vec<f64> = curves.iter().flat_map(|curve| settled(&curve.points)).collect();
    let last = curves.iter().filter_map(|curve| curve.points.last()).map(|point| point.0).fold(0.0, f64::max);
    if values.is_empty() || last == 0.0 {
        return None;
    }
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &y| (low.min(y), high.max(y)));
    let room = ((high - low) * 0.15).max(high.abs() * 1e-3).max(1e-6);
    // Above the curves is the place of the legend.
    let y = Scale::linear(low - room, high + 2.5 * room);
    for curve in &mut curves {
        curve.points.retain(|point| y.holds(point.1));
    }
    let axes = ["examples", ""];
    Some(Chart {
        title: String::new(),
        x: Scale::linear(0.0, last),
        y,
        axes,
        curves,
        height: HEIGHT,
        legend: Corner::UpperRight,
    })
}

fn calibration(tasks: &[Task], bins: &[[Vec<CalibrationBin>; 2]]) -> Chart {
    let points =
        |bins: &[CalibrationBin]| bins.iter().map(|bin| (bin.prediction, bin.label)).collect::<Vec<_>>();
    let mut curves = Vec::new();
    for (index, ((name, _), [life, window])) in tasks.iter().zip(bins).enumerate() {
        let ink = Ink::Colour(index);
        let label =
            |what: &str| Some(name.as_ref().map_or(what.to_owned(), |name| format!("{name}, {what}")));
        if name.is_none() {
            curves.push(Curve {
                label: label("window"),
                ink: Ink::Text,
                mark: Mark::Ring,
                points: points(window),
            });
        }
        curves.push(Curve { label: label("whole stream"), ink, mark: Mark::Line, points: points(life) });
        curves.push(Curve { label: None, ink, mark: Mark::Disc, points: points(life) });
    }
    let most = curves
        .iter()
        .flat_map(|curve| &curve.points)
        .fold(0.0, |most: f64, point| most.max(point.0).max(point.1));
    let reach = if most > 0.5 { 1.0 } else { (most * 1.1).max(1e-3) };
    let perfect = vec![(0.0, 0.0), (reach, reach)];
    curves.insert(0, Curve { label: None, ink: Ink::Text, mark: Mark::Dashes, points: perfect });
    Chart {
        title: String::new(),
        x: Scale::linear(0.0, reach),
        y: Scale::linear(0.0, reach),
        axes: ["mean prediction", "mean label"],
        curves,
        height: HEIGHT,
        legend: Corner::LowerRight,
    }
}

//! The summary a person reads at the end, on standard error.

use flexihash::engine::{Model, Summary};
use std::fmt::Write as _;
use std::io::Write as _;

/// Prints the figures of the whole stream beside those of its last window.
pub(crate) fn print(summary: &Summary, model: &Model) {
    let text = text(summary, model);
    // Nobody to tell if standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn text(summary: &Summary, model: &Model) -> String {
    let mut out = String::new();
    let rate = summary.examples_per_second;
    let _ = writeln!(
        out,
        "\n{} examples learned, {} bad records skipped, {} features",
        summary.examples, summary.skipped, summary.features
    );
    let _ = writeln!(out, "{:.1} s, {rate:.0} examples/s", summary.seconds);
    if summary.dropped_steps > 0 {
        let _ = writeln!(out, "{} row updates dropped: they were not finite", summary.dropped_steps);
    }
    let _ = writeln!(out, "\n{:<34}{:>12}{:>14}", "", "whole stream", "last window");
    let (whole, window) = (summary.figures, summary.window);
    let name = serde_json::to_value(model.flags().loss).ok();
    let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or("loss");
    row(&mut out, &format!("progressive loss ({name})"), Some(whole.loss), Some(window.loss));
    row(&mut out, "RMSE", whole.rmse, window.rmse);
    row(&mut out, "AUC", whole.auc, window.auc);
    row(&mut out, "calibration (mean p / mean label)", whole.calibration, window.calibration);
    row(&mut out, "normalized entropy", whole.normalized_entropy, window.normalized_entropy);
    row(&mut out, "mean label", Some(whole.mean_label), Some(window.mean_label));
    for (task, figures) in summary.tasks.iter().flatten() {
        let (whole, window) = (figures.report.figures, figures.window.figures);
        let _ = writeln!(out, "task {task}: {} examples", figures.report.examples);
        row(&mut out, "  progressive loss", Some(whole.loss), Some(window.loss));
        row(&mut out, "  AUC", whole.auc, window.auc);
        row(&mut out, "  RMSE", whole.rmse, window.rmse);
    }
    out
}

fn row(out: &mut String, name: &str, whole: Option<f64>, window: Option<f64>) {
    if let (Some(whole), Some(window)) = (whole, window) {
        let _ = writeln!(out, "{name:<34}{whole:>12.4}{window:>14.4}");
    }
}

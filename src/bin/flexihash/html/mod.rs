//! `train --report FILE`: what a run came to, as one file that opens anywhere: no script, nothing loaded from elsewhere.
//!
//! Everything in it is a function of the model alone, so one stream and one seed give the same bytes for any number of parse
//! threads, but for the one line that says when and how fast. Its numbers are those of `--summary`, each with all its digits in
//! `data-value`. Names come from records and files, which may be hostile: all text goes through [`escape`], and the policy in
//! the head lets nothing run. What is secret is not known here: options name no key.

mod charts;

use crate::collisions::grouped;
use crate::error::{CommandError, usage};
use flexihash::engine::{Finished, Summary};
use flexihash::sink::{LinesSink, SinkError};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
    <title>flexihash report</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n<style>\n";

/// What is not in the model's figures.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside<'a> {
    /// Names of features with their weights, the largest first, where names were kept.
    pub(crate) features: Option<&'a [(String, f64)]>,
}

/// Writes the report of a run that has ended. A file is there as a whole or not at all.
pub(crate) fn write(path: &Path, finished: &Finished, beside: Beside<'_>) -> Result<(), CommandError> {
    let page = page(finished, beside)?;
    // A pipe or a device cannot be put in place of anything.
    if path.as_os_str() == "-" || path.metadata().is_ok_and(|there| !there.is_file()) {
        return Ok(LinesSink::open(path, 0)?.write(page.as_bytes())?);
    }
    let mut name = path.file_name().ok_or_else(|| usage("--report: expected the name of a file"))?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = whole(&part, page.as_bytes()).and_then(|()| {
        let name = || path.display().to_string();
        let failed = |cause| SinkError { name: name(), what: "cannot be put in place", cause };
        std::fs::rename(&part, path).map_err(failed)
    });
    if written.is_err() {
        // What went wrong is said already.
        let _ = std::fs::remove_file(&part);
    }
    Ok(written?)
}

fn whole(path: &Path, bytes: &[u8]) -> Result<(), SinkError> {
    let mut sink = LinesSink::open(path, 0)?;
    sink.write(bytes)?;
    sink.sync()
}

fn page(finished: &Finished, beside: Beside<'_>) -> Result<String, CommandError> {
    let (summary, model) = (&finished.summary, &finished.model);
    let mut out = HEAD.to_owned();
    out.push_str(include_str!("style.css"));
    out.push_str("</style>\n</head>\n<body>\n<h1>flexihash report</h1>\n");
    time(&mut out, summary);
    tiles(&mut out, summary);
    for (title, note, svg) in charts::all(model.learner())? {
        let _ = writeln!(out, "<section>\n<h2>{}</h2>\n{svg}", escape(&title));
        let _ = writeln!(out, "<p class=\"quiet\">{}</p>\n</section>", escape(&note));
    }
    let figures = serde_json::to_value(summary).map_err(|error| usage(format!("report: {error}")))?;
    figures_table(&mut out, &figures);
    tasks_table(&mut out, &figures);
    if let Some(features) = beside.features {
        features_table(&mut out, features);
    }
    sources_table(&mut out, finished);
    let options = serde_json::to_value(model.flags()).map_err(|error| usage(format!("report: {error}")))?;
    options_table(&mut out, &options);
    out.push_str("</body>\n</html>\n");
    Ok(out)
}

/// The one line that differs from run to run.
fn time(out: &mut String, summary: &Summary) {
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    let (seconds, rate) = (summary.seconds, grouped(summary.examples_per_second.round() as u64));
    let _ = writeln!(
        out,
        "<p class=\"quiet\" id=\"time\">Written {now}; <span data-key=\"seconds\" data-value=\"{seconds:?}\">{seconds:.1} s\
         </span> of learning, {rate} examples a second</p>"
    );
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        out,
        "<p class=\"quiet\">flexihash {version}. All losses are progressive: each record was predicted before it was learned. The \
         window is the last 10,000 to 20,000 examples.</p>"
    );
}

fn tiles(out: &mut String, summary: &Summary) {
    out.push_str("<dl class=\"tiles\">\n");
    let count = |number: u64| Some(grouped(number));
    let (life, window) = (&summary.figures, &summary.window);
    let figure = |value: Option<f64>| value.map(|value| format!("{value:.4}"));
    let beside = |value: Option<f64>| value.map_or_else(String::new, |value| format!("window {value:.4}"));
    for (name, value, note) in [
        ("examples", count(summary.examples), String::new()),
        ("progressive loss", figure(Some(life.loss)), beside(Some(window.loss))),
        ("AUC", figure(life.auc), beside(window.auc)),
        ("norm. entropy", figure(life.normalized_entropy), beside(window.normalized_entropy)),
        ("RMSE", figure(life.rmse), beside(window.rmse)),
        ("calibration", figure(life.calibration), beside(window.calibration)),
        ("bad records", count(summary.skipped), String::new()),
    ] {
        if let Some(value) = value {
            let _ = writeln!(out, "<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>");
        }
    }
    out.push_str("</dl>\n");
}

/// Begins a section with a table whose first column is text.
fn begin_table(out: &mut String, title: &str, columns: &[&str]) {
    let _ = write!(out, "<section>\n<h2>{title}</h2>\n<table>\n<thead><tr>");
    for (index, column) in columns.iter().enumerate() {
        let class = if index > 0 { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th{class}>{column}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
}

fn end_table(out: &mut String) {
    out.push_str("</tbody>\n</table>\n</section>\n");
}

/// A number of the summary, under its key there.
fn cell(out: &mut String, key: &str, value: Option<&Value>) {
    let Some(value) = value.filter(|value| value.is_number()) else {
        out.push_str("<td class=\"n\">–</td>");
        return;
    };
    let text = match (value.as_u64(), value.as_f64()) {
        (Some(count), _) => grouped(count),
        (None, Some(real)) => format!("{real:.4}"),
        (None, None) => value.to_string(),
    };
    let _ = write!(out, "<td class=\"n\" data-key=\"{}\" data-value=\"{value}\">{text}</td>", escape(key));
}

/// Keys of the summary that come first, in this order.
const FIRST: [&str; 8] =
    ["examples", "records", "skipped", "features", "dropped_steps", "loss", "auc", "normalized_entropy"];

/// Every number of the summary, but the times.
fn figures_table(out: &mut String, summary: &Value) {
    begin_table(out, "Figures", &["", "whole stream", "window"]);
    let mut figures: Vec<_> = summary.as_object().into_iter().flatten().collect();
    figures.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    for (key, value) in figures {
        if !value.is_number() || matches!(key.as_str(), "seconds" | "examples_per_second") {
            continue;
        }
        let _ = write!(out, "<tr><td>{}</td>", escape(&key.replace('_', " ")));
        cell(out, key, Some(value));
        cell(out, &format!("window.{key}"), summary.get("window").and_then(|window| window.get(key)));
        out.push_str("</tr>\n");
    }
    end_table(out);
}

fn tasks_table(out: &mut String, summary: &Value) {
    let Some(tasks) = summary.get("tasks").and_then(Value::as_object) else { return };
    let keys = ["examples", "loss", "auc", "rmse", "normalized_entropy", "calibration"];
    let kept = |key: &&&str| tasks.values().any(|task| task.get(**key).is_some());
    let keys: Vec<&str> = keys.iter().filter(kept).copied().collect();
    let names: Vec<String> = keys.iter().map(|key| key.replace('_', " ")).collect();
    let columns: Vec<&str> = std::iter::once("task").chain(names.iter().map(String::as_str)).collect();
    for (title, part) in [("Tasks, whole stream", None), ("Tasks, window", Some("window"))] {
        begin_table(out, title, &columns);
        for (name, task) in tasks {
            let figures = part.map_or(Some(task), |part| task.get(part));
            let _ = write!(out, "<tr><td>{}</td>", escape(name));
            for key in &keys {
                let place = part.map_or_else(String::new, |part| format!("{part}."));
                cell(
                    out,
                    &format!("tasks.{name}.{place}{key}"),
                    figures.and_then(|figures| figures.get(*key)),
                );
            }
            out.push_str("</tr>\n");
        }
        end_table(out);
    }
}

fn features_table(out: &mut String, features: &[(String, f64)]) {
    begin_table(out, "Largest weights", &["feature", "weight"]);
    for (name, weight) in features {
        let name = escape(name);
        let _ = writeln!(
            out,
            "<tr><td>{name}</td><td class=\"n\" data-value=\"{weight:?}\">{weight:.4}</td></tr>"
        );
    }
    end_table(out);
}

fn sources_table(out: &mut String, finished: &Finished) {
    begin_table(out, "Input", &["source", "lines", "bytes"]);
    for (name, at) in &finished.positions.sources {
        let name = if name == "-" { "standard input" } else { name };
        let (lines, bytes) = (grouped(at.lines), grouped(at.offset));
        let name = escape(name);
        let _ =
            writeln!(out, "<tr><td>{name}</td><td class=\"n\">{lines}</td><td class=\"n\">{bytes}</td></tr>");
    }
    end_table(out);
}

fn options_table(out: &mut String, options: &Value) {
    begin_table(out, "Options of the model", &[]);
    for (name, value) in options.as_object().into_iter().flatten() {
        if value.is_null() || value == &Value::Array(Vec::new()) {
            continue;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Object(_) | Value::Array(_) => format!("{value:#}"),
            plain => plain.to_string(),
        };
        let (name, text) = (escape(name), escape(&text));
        let _ = writeln!(out, "<tr><td>{name}</td><td><code>{text}</code></td></tr>");
    }
    end_table(out);
}

/// Text that is text in an element and in a quoted attribute. Control characters but line ends have no place in either.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let hostile = "</td><script>\"a\" & 'b'\u{1b}\0\n";
        assert_eq!(
            escape(hostile),
            "&lt;/td&gt;&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;\u{fffd}\u{fffd}\n"
        );
    }

    #[test]
    fn features_by_name_have_a_table_of_their_own() {
        let mut out = String::new();
        features_table(&mut out, &[("a<b>".to_owned(), -1.5)]);
        assert!(out.contains("<td>a&lt;b&gt;</td><td class=\"n\" data-value=\"-1.5\">-1.5000</td>"), "{out}");
    }
}

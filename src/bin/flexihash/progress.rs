//! How a run stands, on standard error: a live line on a terminal, else a table at growing intervals.

use flexihash::engine::{Observer, Status};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const REDRAW: Duration = Duration::from_millis(100);

/// See the [module](self).
pub(crate) struct Progress {
    display: Display,
}

enum Display {
    Quiet,
    Live { bar: ProgressBar, next: Instant },
    Table { next_examples: u64 },
}

impl Progress {
    pub(crate) fn new(quiet: bool, passes: u32) -> Self {
        let display = if quiet {
            Display::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if passes > 1 {
                bar.set_prefix(format!("{passes} passes "));
            }
            Display::Live { bar, next: Instant::now() }
        } else {
            Display::Table { next_examples: 1 }
        };
        Self { display }
    }

    /// Clears the live line.
    pub(crate) fn finish(&mut self) {
        if let Display::Live { bar, .. } = &self.display {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Progress {
    fn observe(&mut self, status: &Status<'_>) {
        match &mut self.display {
            Display::Quiet => {}
            Display::Live { bar, next } => {
                if Instant::now() >= *next {
                    draw(bar, status);
                    *next = Instant::now() + REDRAW;
                }
            }
            Display::Table { next_examples } => {
                if status.run_examples >= *next_examples {
                    print_row(*next_examples == 1, status);
                    while *next_examples <= status.run_examples {
                        *next_examples *= 2;
                    }
                }
            }
        }
    }
}

fn draw(bar: &ProgressBar, status: &Status<'_>) {
    let template = match status.total_bytes {
        Some(total) => {
            bar.set_length(total);
            "{prefix}{bar:30} {percent:>3}% {msg} eta {eta}"
        }
        None => "{prefix}{spinner} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(status.bytes);
    let (whole, window) = status.figures();
    let rate = status.run_examples as f64 / status.elapsed.as_secs_f64().max(1e-9);
    let examples = status.counters.examples;
    let mut message =
        format!("{examples} examples, {rate:.0}/s, loss {:.4} (window {:.4})", whole.loss, window.loss);
    if let Some(auc) = whole.auc {
        message.push_str(&format!(", AUC {auc:.4}"));
    }
    if let Some(calibration) = whole.calibration {
        message.push_str(&format!(", calibration {calibration:.3}"));
    }
    if status.skipped > 0 {
        message.push_str(&format!(", {} bad", status.skipped));
    }
    bar.set_message(message);
}

/// One row of the table. Counts double from row to row, as far as batches allow.
fn print_row(first: bool, status: &Status<'_>) {
    let (whole, window) = status.figures();
    let mut text = String::new();
    if first {
        let head = ["examples", "loss", "window", "AUC", "calibr.", "bad", "examples/s"];
        let [examples, loss, last, auc, calibration, bad, rate] = head;
        text.push_str(&format!(
            "{examples:>12}{loss:>10}{last:>10}{auc:>9}{calibration:>9}{bad:>9}{rate:>12}\n"
        ));
    }
    let rate = status.run_examples as f64 / status.elapsed.as_secs_f64().max(1e-9);
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    text.push_str(&format!(
        "{:>12}{:>10.4}{:>10.4}{:>9}{:>9}{:>9}{rate:>12.0}\n",
        status.counters.examples,
        whole.loss,
        window.loss,
        figure(whole.auc),
        figure(whole.calibration),
        status.skipped
    ));
    // Nobody to tell if standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

//! A run with two tasks: each by itself, and one of them in the charts.

use super::driver::{Browser, settled};
use super::support::metrics::{Served, get, scrape};
use super::support::*;
use super::{open, shown};
use serde_json::Value;
use std::io::Write;

/// As it stands in the records.
const NAME: &str = r#"a\"b\\ </td><script>document.title = 1</script>"#;

/// A run that has learned 400 records of `click` and of the task with that name, and a browser that shows them all.
fn begin(scene: &Scene) -> (Served, Browser) {
    let mut run = Served::start(scene.flexihash(words("train", "- --metrics-listen 0").chain(SMALL)));
    let stdin = run.child.stdin.as_mut().unwrap();
    for i in 0..400 {
        let (x, y) = (u8::from(i % 2 == 0), u8::from(i % 3 == 0));
        let label = format!("{{\"click\":{x},\"{NAME}\":{y}}}");
        writeln!(stdin, "{{\"label\":{label},\"features\":{{\"a\":\"{}\"}}}}", i % 6).unwrap();
    }
    stdin.flush().unwrap();
    let browser = Browser::start();
    browser.size(1280, 900, false);
    open(&browser, &run);
    browser.until("all", "return document.querySelectorAll('#tasks tbody tr').length === 2 && \
                          document.querySelector('[data-metric=flexihash_records_total]').dataset.value === '400'");
    browser.until("told", "return document.querySelector('#tasks tbody tr .n').dataset.value === '400'");
    (run, browser)
}

/// The name as it is meant.
fn written() -> String {
    serde_json::from_str(&format!("\"{NAME}\"")).unwrap()
}

/// Nothing moves any more, so after some looks all that is shown stands in the metrics.
fn assert_as_in_metrics(browser: &Browser, run: &Served) {
    settled("what is shown stands in the metrics", || {
        let (shown, text) = (shown(browser), get(&run.address, "/metrics").unwrap().1);
        let said = |metric: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{metric} ")));
        let compared = shown.iter().filter(|(metric, _)| !metric.starts_with("sum:"));
        let is_said = |metric: &str, value| said(metric).is_some_and(|said| said.parse() == Ok(value));
        let wrong: Vec<_> = compared.filter(|(metric, value)| !is_said(metric, **value)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("shown {wrong:?}, said {text}")) }
    });
}

#[test]
fn tasks_are_shown_apart_under_whatever_name_they_have() {
    let scene = Scene::new();
    let (run, browser) = begin(&scene);
    let names = browser.run(
        "return [...document.querySelectorAll('#tasks tbody tr')].map(row => row.firstChild.textContent)",
    );
    assert_eq!(names, serde_json::json!(["click", written()]));
    assert_as_in_metrics(&browser, &run);
    assert_eq!(browser.run("return document.title"), "flexihash");
    assert_eq!(browser.logs().complaints, Vec::<String>::new());
}

/// Figures over time, as the server has them.
struct Past(Value);

impl Past {
    /// Once all that was learned stands in it.
    fn of(run: &Served, task: &str) -> Self {
        settled("all in the past", || {
            let past = Self::now(run, task);
            if past.newest("examples") == 400.0 { Ok(past) } else { Err(past.0.to_string()) }
        })
    }

    fn now(run: &Served, task: &str) -> Self {
        let encoded: String = task.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, text) = get(&run.address, &format!("/history?since=1&task={encoded}")).unwrap();
        assert_eq!(status, 200, "{text}");
        let past: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(past["tasks"], serde_json::json!(["click", written()]));
        Self(past)
    }

    fn newest(&self, column: &str) -> f64 {
        let place = self.0["columns"].as_array().unwrap().iter().position(|name| name == column).unwrap();
        self.0["samples"].as_array().unwrap().last().unwrap()[place].as_f64().unwrap()
    }
}

fn choose(browser: &Browser, value: &str, head: &str) {
    let script = "const list = document.getElementById('task-choice'); list.value = 'VALUE'; \
                  list.dispatchEvent(new Event('change')); return list.value";
    assert_eq!(browser.run(&script.replace("VALUE", value)), value);
    let head = serde_json::to_string(head).unwrap();
    let note = "return document.querySelector('[data-chart=auc] .head .quiet').textContent";
    browser.until("it is drawn", &format!("{note}.startsWith({head})"));
}

/// What the page shows of the chosen task is what the metrics and its past say.
fn assert_shown(browser: &Browser, run: &Served, name: &str) {
    assert_as_in_metrics(browser, run);
    let (past, label) = (Past::of(run, name), name.replace('\\', "\\\\").replace('"', "\\\""));
    let (shown, metrics) = (shown(browser), scrape(&run.address));
    let figures = [("loss", "task_loss"), ("auc", "auc"), ("normalized_entropy", "normalized_entropy")];
    for (column, metric) in figures {
        for over in ["life", "window"] {
            let metric = format!("{metric}{{over=\"{over}\",task=\"{label}\"}}");
            let said = past.newest(&format!("{column}_{over}"));
            assert_eq!(metrics.get(&metric), Some(said), "{metric}");
            let tile = shown.get(&format!("flexihash_{metric}"));
            assert!(over == "life" || tile == Some(&said), "{metric}: {shown:#?}");
        }
    }
    browser.run("document.querySelector('[data-chart=auc] details').open = true; return 1");
    let row = "[data-chart=auc] details tbody tr";
    let newest = format!("{:.4}", past.newest("auc_window"));
    let is_first = format!("return document.querySelector('{row}')?.lastChild.textContent === '{newest}'");
    browser.until(&format!("{newest} of {name} first"), &is_first);
}

#[test]
fn the_charts_show_one_task_if_the_reader_likes() {
    let scene = Scene::new();
    let (run, browser) = begin(&scene);
    let names =
        browser.run("return [...document.querySelectorAll('#task option')].map(one => one.textContent)");
    assert_eq!(names, serde_json::json!(["mean of all", "click", written()]));
    for (value, name) in [("0", "click"), ("1", &written())] {
        choose(&browser, value, &format!("task {name}, window "));
        assert_shown(&browser, &run, name);
    }
    let aucs = ["click", &written()].map(|task| Past::of(&run, task).newest("auc_window"));
    assert_ne!(aucs[0], aucs[1], "a test that cannot tell them apart");
    assert_eq!(get(&run.address, "/history?task=nobody").unwrap().0, 404);
    choose(&browser, "", "mean of the tasks, window ");
    assert_as_in_metrics(&browser, &run);
    assert_eq!(browser.run("return document.title"), "flexihash");
    assert_eq!(browser.logs().complaints, Vec::<String>::new());
}

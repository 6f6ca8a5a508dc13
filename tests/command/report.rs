//! `--report`: read back as a browser would have to, and held against `--summary`.

use crate::support::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;

/// An element that was opened: its name and attributes.
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
}

/// Walks through markup in which every element is closed and every attribute quoted; fails where it is not so. Calls `visit` with
/// the open elements and each text in them.
fn walk(page: &str, visit: &mut impl FnMut(&[Element], &str)) {
    let body = page.strip_prefix("<!doctype html>\n").expect("a doctype");
    let (mut open, mut rest) = (Vec::<Element>::new(), body);
    while let Some(start) = rest.find('<') {
        visit(&open, &unescape(&rest[..start]));
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().expect("something open").name, name, "nested");
        } else if !tag.starts_with("?xml") {
            let closed = tag.ends_with('/');
            let element = element(tag.trim_end_matches('/'));
            let is_style = element.name == "style";
            if closed {
                open.push(element);
                visit(&open, "");
                open.pop();
            } else {
                open.push(element);
            }
            if is_style {
                rest = &rest[rest.find("</style>").expect("styles end")..];
            }
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{} left open, {rest:?}", open.len());
}

fn element(tag: &str) -> Element {
    let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{tag}");
    let mut attributes = BTreeMap::new();
    while let Some((key, after)) = rest.trim_start().split_once("=\"") {
        let (value, after) = after.split_once('"').expect("a quote ends");
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || "-:".contains(c)), "{tag}");
        attributes.insert(key.to_owned(), unescape(value));
        rest = after;
    }
    assert!(rest.trim().is_empty(), "{tag}: {rest:?}");
    Element { name: name.to_owned(), attributes }
}

fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (from, to) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'")] {
        out = out.replace(from, to);
    }
    assert!(!out.replace("&amp;", "").contains('&'), "{text}");
    out.replace("&amp;", "&")
}

/// Numbers by their key, all text, and all there is to load or run.
#[derive(Default)]
struct Page {
    numbers: BTreeMap<String, f64>,
    text: String,
    elements: BTreeMap<String, usize>,
}

fn read(page: &str) -> Page {
    let mut read = Page::default();
    walk(page, &mut |open, text| {
        read.text += text;
        let Some(last) = open.last() else { return };
        *read.elements.entry(last.name.clone()).or_default() += 1;
        for (key, value) in &last.attributes {
            let loads =
                ["src", "href", "xlink:href", "action"].contains(&key.as_str()) || key.starts_with("on");
            assert!(!loads && !value.contains("url("), "{key}={value}");
        }
        if let (Some(key), Some(value)) = (last.attributes.get("data-key"), last.attributes.get("data-value"))
        {
            read.numbers.insert(key.clone(), value.parse().unwrap());
        }
    });
    for name in ["script", "link", "img", "iframe", "object", "image", "use"] {
        assert!(!read.elements.contains_key(name), "{name}");
    }
    read
}

/// The number at a key such as `window.auc` or `tasks.click.window.loss`.
fn of_summary(summary: &Value, key: &str, tasks: &[&str]) -> Option<f64> {
    let task = tasks.iter().find_map(|task| {
        let rest = key.strip_prefix("tasks.")?.strip_prefix(task)?.strip_prefix('.')?;
        Some((&summary["tasks"][*task], rest))
    });
    let (from, rest) = task.unwrap_or((summary, key));
    rest.split('.').try_fold(from, |value, part| value.get(part))?.as_f64()
}

fn assert_numbers(page: &Page, summary: &Value, tasks: &[&str], least: usize) {
    for (key, value) in &page.numbers {
        assert_eq!(of_summary(summary, key, tasks), Some(*value), "{key}");
    }
    assert!(page.numbers.len() >= least, "{:#?}", page.numbers);
}

#[test]
fn a_report_says_what_the_summary_says() {
    let scene = Scene::new();
    scene.file("in", flights_with_faults(3000, 500));
    scene.train("in -m model --report out.html --summary summary.json");
    let (text, summary) = (scene.text("out.html"), scene.json("summary.json"));
    let page = read(&text);
    assert_numbers(&page, &summary, &[], 16);
    for key in
        ["examples", "skipped", "loss", "auc", "window.auc", "window.normalized_entropy", "calibration"]
    {
        assert!(page.numbers.contains_key(key), "{key}");
    }
    assert_eq!(
        text.matches("<svg ").count(),
        page.text.matches("By labelled examples").count() + 1,
        "and calibration"
    );
    for words in
        ["Progressive loss", "Normalized entropy", "Mean label by mean prediction", "buckets", "65536"]
    {
        assert!(page.text.contains(words), "{words}");
    }
    assert!(
        !text.contains("http:")
            || text.matches("http:").count() == text.matches("http://www.w3.org/").count()
    );
    let names: Vec<_> =
        std::fs::read_dir(scene.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(".part")), "{names:?}");
}

/// Without the line that says when and how fast.
fn timeless_page(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("id=\"time\"")).collect();
    assert_eq!(lines.len() + 1, text.lines().count());
    lines.join("\n")
}

#[test]
fn the_same_stream_makes_the_same_report_whatever_the_threads() {
    let scene = Scene::new();
    scene.file("in", flights(20_000));
    scene.file(
        "a",
        scene
            .read("in")
            .split_inclusive(|&byte| byte == b'\n')
            .take(7_777)
            .flatten()
            .copied()
            .collect::<Vec<u8>>(),
    );
    scene.train("in -q --threads 1 --report one.html");
    scene.train("in -q --threads 3 --report three.html");
    assert_same(
        "one and three threads",
        &timeless_page(&scene.text("one.html")),
        &timeless_page(&scene.text("three.html")),
    );
    scene.train("a -q --threads 2 --report two.html");
    assert_ne!(timeless_page(&scene.text("one.html")), timeless_page(&scene.text("two.html")));
    // It is learned as without one.
    scene.train("in -q --summary with.json --report again.html");
    scene.train("in -q --summary without.json");
    assert_eq!(timeless(scene.json("with.json")), timeless(scene.json("without.json")));
}

#[test]
fn hostile_names_stay_text_in_tables_charts_and_options() {
    let scene = Scene::new();
    let name = "</text></svg></td><script>alert(1)</script>\"'&amp;\u{1b}";
    let mut input = String::new();
    for i in 0..500 {
        let label = serde_json::json!({"click": i % 2, name: i % 3 / 2});
        let record = serde_json::json!({"<label>": label, "features": {"a": (i % 7).to_string()}});
        input += &format!("{record}\n");
    }
    scene.file("<b>&in.jsonl", input);
    let args = ["train", "<b>&in.jsonl", "-q", "--label-field", "<label>", "--buckets", "4096"];
    let outputs = ["--report", "out.html", "--summary", "summary.json"];
    let output = scene.flexihash(args.into_iter().chain(outputs)).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let page = read(&scene.text("out.html"));
    let summary = scene.json("summary.json");
    // A control character has no place in markup: the key shows a mark for it.
    let shown = name.replace('\u{1b}', "\u{fffd}");
    let mut renamed = summary.clone();
    let task = renamed["tasks"][name].take();
    renamed["tasks"][&shown] = task;
    assert_numbers(&page, &renamed, &["click", &shown], 30);
    assert!(
        page.text.contains(&shown) && page.text.contains("<b>&in.jsonl") && page.text.contains("<label>")
    );
    assert!(page.text.contains(&shown.chars().take(24).collect::<String>()), "in a legend");
}

#[test]
fn other_losses_and_empty_streams_have_reports_too() {
    let scene = Scene::new();
    let records = |i: u32| format!("{{\"label\":{},\"features\":{{\"a\":\"{}\"}}}}\n", i % 5, i % 3);
    scene.file("in", (0..300).map(records).collect::<String>());
    scene.file("none", "{\"features\":{\"a\":1}}\n");
    for (args, words) in [
        ("in --loss squared", "RMSE"),
        ("in --loss poisson", "RMSE"),
        ("in --loss quantile --quantile 0.5", "Progressive loss"),
        ("none", "Figures"),
    ] {
        scene.train(&format!("{args} --report out.html --summary summary.json"));
        let page = read(&scene.text("out.html"));
        assert_numbers(&page, &scene.json("summary.json"), &[], 8);
        assert!(page.text.contains(words) && !page.text.contains("NaN"), "{args}");
    }
}

#[test]
fn a_stopped_run_leaves_a_whole_report_and_a_place_that_cannot_be_is_refused_at_once() {
    let scene = Scene::new();
    let args = "- --metrics-listen 0 --report out.html --summary summary.json";
    let mut run = metrics::Served::start(scene.flexihash(words("train", args).chain(SMALL)));
    let stdin = run.child.stdin.as_mut().unwrap();
    stdin.write_all(&flights(200)).unwrap();
    metrics::until(&run.address, "learned", |now| now.get("examples_total") == Some(200.0));
    assert!(!scene.path("out.html").exists());
    signal(&run.child, "TERM");
    assert!(run.wait().success(), "{}", run.said());
    let page = read(&scene.text("out.html"));
    assert_numbers(&page, &scene.json("summary.json"), &[], 16);
    assert_eq!(page.numbers["examples"], 200.0);
    scene.file("in", flights(5));
    let line = scene.fails("train in --report nowhere/out.html");
    assert!(line.contains("nowhere/out.html: cannot be written: its folder is missing"), "{line}");
    assert!(scene.fails("train in --report in").contains("is an input"));
    assert!(scene.fails("train in --report a --summary a").contains("two outputs cannot share a file"));
    let piped = scene.ok("train in -q --buckets 4096 --report -").stdout;
    assert_eq!(read(&String::from_utf8(piped).unwrap()).numbers["examples"], 5.0);
}

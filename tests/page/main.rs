//! The live page, looked at with a real browser while a real run goes on behind it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod driver;
mod tasks;
#[path = "../support/mod.rs"]
mod support;

use driver::{Browser, settled};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use support::metrics::{Samples, Served, get, scrape, until};
use support::*;

/// Bad records that would do something if they were taken for markup, or break the table.
const HOSTILE: [&str; 4] = [
    r#"<script>document.title = "taken"</script>"#,
    r#"<img src=x onerror='document.title = "taken"'>"#,
    "</td></table><style>body { display: none }</style>",
    r#"{"label":{"<b>task</b>":1},"features":{"a":1}}"#,
];

/// A run that has learned `records` and now waits for more, with bad records of all kinds.
fn waiting(scene: &Scene, records: usize) -> Served {
    let args = "- -m model --checkpoint-every 100 --metrics-listen 0";
    let mut run = Served::start(scene.flexihash(words("train", args).chain(SMALL)));
    let stdin = run.child.stdin.as_mut().unwrap();
    stdin.write_all(&flights(records)).unwrap();
    for record in HOSTILE {
        stdin.write_all(record.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }
    stdin.write_all(&[&[b'y'; 2000][..], b"\n"].concat()).unwrap();
    stdin.flush().unwrap();
    let all = (records + HOSTILE.len() + 1) as f64;
    until(&run.address, "all is counted", |now| now.get("records_total") == Some(all));
    run
}

fn open(browser: &Browser, run: &Served) {
    browser.open(&format!("http://{}/", run.address));
    browser.until_first_look();
}

/// Every number on the page that says which metric it is.
fn shown(browser: &Browser) -> BTreeMap<String, f64> {
    let script = "return [...document.querySelectorAll('[data-metric]')].map(e => [e.dataset.metric, e.dataset.value])";
    let pairs = browser.run(script);
    let pair = |pair: &Value| {
        let text = |index: usize| pair[index].as_str().unwrap().to_owned();
        (text(0), text(1).parse().unwrap())
    };
    pairs.as_array().unwrap().iter().map(pair).collect()
}

/// Whether all that is shown is what the metrics say, but for what moves with the clock.
fn differences(shown: &BTreeMap<String, f64>, metrics: &Samples) -> Vec<String> {
    let compared = shown.iter().filter(|(name, _)| !name.contains("_age_"));
    let wrong = compared.filter_map(|(name, value)| {
        let said = match name.strip_prefix("sum:") {
            Some(_) => Some(HOSTILE.len() as f64 + 1.0),
            None => metrics.get(name.strip_prefix("flexihash_")?),
        };
        (said != Some(*value)).then(|| format!("{name}: shown {value}, said {said:?}"))
    });
    wrong.collect()
}

#[test]
fn the_numbers_on_the_page_are_those_of_the_metrics() {
    let scene = Scene::new();
    let run = waiting(&scene, 3000);
    let browser = Browser::start();
    browser.size(1280, 900, false);
    open(&browser, &run);
    // Nothing moves any more, so after some looks both say the same.
    let numbers = settled("the numbers", || {
        let (numbers, metrics) = (shown(&browser), scrape(&run.address));
        let wrong = differences(&numbers, &metrics);
        let complete = numbers.contains_key("flexihash_auc{over=\"window\"}") && numbers.len() > 20;
        if wrong.is_empty() && complete { Ok(numbers) } else { Err(format!("{wrong:?}, all: {numbers:#?}")) }
    });
    for name in [
        "records_total",
        "model_examples",
        "loss{over=\"window\"}",
        "normalized_entropy{over=\"window\"}",
        "calibration_ratio{over=\"window\"}",
        "dead_letters_total{reason=\"parse\"}",
        "last_checkpoint_age_seconds",
        "table_rows",
        "table_rows_touched",
        "row_norm_share{norm=\"0.1\"}",
    ] {
        assert!(numbers.contains_key(&format!("flexihash_{name}")), "{name}: {numbers:#?}");
    }
    let text = |name: &str| {
        let script =
            format!("return document.querySelector('[data-metric=\"flexihash_{name}\"]').textContent");
        browser.run(&script).as_str().unwrap().to_owned()
    };
    assert_eq!(text("records_total"), "3,005");
    let loss = numbers["flexihash_loss{over=\"window\"}"];
    assert_eq!(text("loss{over=\\\\\"window\\\\\"}"), format!("{loss:.4}"));
    // What was before the page was opened is drawn too, and can be read without seeing it.
    let script = "const table = document.querySelector('[data-chart=loss] details'); table.open = true; \
                  return document.querySelectorAll('[data-chart=loss] canvas').length === 1";
    assert_eq!(browser.run(script), true);
    let newest_first = "const rows = document.querySelectorAll('[data-chart=loss] details tbody tr'); \
                        return rows.length >= 2 && rows[0].lastChild.textContent === 'LOSS'";
    browser.until("the newest comes first", &newest_first.replace("LOSS", &format!("{loss:.4}")));
    assert_eq!(browser.run("return document.getElementById('try').hidden"), true, "nothing answers it here");
    let logs = browser.logs();
    assert_eq!(logs.complaints, Vec::<String>::new());
    let outside: Vec<_> = logs.requests.iter().filter(|url| !is_own(url, &run)).collect();
    assert!(outside.is_empty() && logs.requests.len() > 8, "{:#?}", logs.requests);
}

fn is_own(url: &str, run: &Served) -> bool {
    url.starts_with(&format!("http://{}/", run.address)) || url.starts_with("data:")
}

#[test]
fn bad_records_are_text_and_the_end_of_the_run_is_said() {
    let scene = Scene::new();
    let mut run = waiting(&scene, 300);
    let browser = Browser::start();
    open(&browser, &run);
    browser.until("bad records", "return document.querySelectorAll('.letters tbody tr').length === 5");
    let codes =
        browser.run("return [...document.querySelectorAll('.letters code')].map(code => code.textContent)");
    let codes: Vec<&str> = codes.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert!(codes[0].starts_with("yyyy") && codes[0].ends_with('…') && codes[0].len() < 520, "{codes:?}");
    assert_eq!(codes[1..], HOSTILE.iter().rev().copied().collect::<Vec<_>>(), "newest first");
    let (script, built) =
        ("return document.scripts.length", "return document.querySelectorAll('img, style').length");
    assert_eq!((browser.run(script), browser.run(built)), (4.into(), 0.into()), "what it was sent with");
    assert_eq!(browser.run("return document.title"), "flexihash");
    assert_eq!(browser.run("return getComputedStyle(document.body).display"), "block");
    // If something of it did get in, the policy would not let it run.
    let inject = "const script = document.createElement('script'); script.textContent = 'document.title = 1'; \
                  document.head.append(script); return document.title";
    assert_eq!(browser.run(inject), "flexihash");
    let (status, letters) = get(&run.address, "/dead-letters").unwrap();
    assert!(status == 200 && letters.contains("<script>"), "{letters}");
    drop(run.child.stdin.take());
    assert!(run.wait().success());
    browser.until("gone", "return document.getElementById('status').textContent.startsWith('no answer')");
}

#[test]
fn it_fits_a_phone_follows_the_dark_and_is_reached_by_keys() {
    let scene = Scene::new();
    let run = waiting(&scene, 300);
    let browser = Browser::start();
    browser.size(360, 780, true);
    browser.dark(false);
    open(&browser, &run);
    browser.until("bad records", "return document.querySelectorAll('.letters tbody tr').length === 5");
    browser.until("charts", "return document.querySelectorAll('canvas').length >= 4");
    let widths = "return [document.documentElement.scrollWidth, innerWidth, \
                  Math.max(...[...document.querySelectorAll('canvas, .card, dd')].map(e => e.getBoundingClientRect().right))]";
    let widths = browser.run(widths);
    assert_eq!((&widths[0], &widths[1]), (&360.into(), &360.into()), "no scrolling sideways");
    assert!(widths[2].as_f64() <= Some(360.0), "{widths}");
    let colours = "const style = getComputedStyle(document.body); \
                   const sum = (text) => text.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0); \
                   return [sum(style.backgroundColor), sum(style.color)]";
    let light = browser.run(colours);
    browser.dark(true);
    let dark = browser.run(colours);
    assert!(light[0].as_u64() > Some(650) && light[1].as_u64() < Some(150), "{light}");
    assert!(dark[0].as_u64() < Some(150) && dark[1].as_u64() > Some(650), "{dark}");
    browser.size(1280, 900, false);
    let mut reached = Vec::new();
    for _ in 0..12 {
        browser.press("Tab");
        let script =
            "const at = document.activeElement; return at.tagName + ' ' + (at.name || at.textContent)";
        reached.push(browser.run(script).as_str().unwrap().to_owned());
    }
    assert_eq!(reached[0], "INPUT range");
    assert!(reached.iter().filter(|name| name.starts_with("SUMMARY")).count() >= 3, "{reached:?}");
    let outlined = "const at = [...document.querySelectorAll('.grid summary')].at(-1); at.focus({ focusVisible: true }); \
                    return getComputedStyle(at).outlineStyle";
    assert_eq!(browser.run(outlined), "solid");
    browser.press("Enter");
    assert_eq!(browser.logs().complaints, Vec::<String>::new());
}

/// What a server offers beside the metrics: a token asked for, a record explained by name, what the stream shows.
#[test]
fn a_record_is_explained_to_whoever_has_the_token() {
    let scene = Scene::new();
    scene.file("token", "0123456789abcdef\n");
    let key = "00112233445566778899aabbccddeeff";
    scene.file("key", key);
    let args = "- --names 100 --token-file token --hash-key-file key --listen 0";
    let args = words("train", args).chain(SMALL);
    let mut run = Served::start_at(scene.flexihash(args), "serving /predict");
    let stdin = run.child.stdin.as_mut().unwrap();
    stdin.write_all(&flights(3000)).unwrap();
    stdin.flush().unwrap();
    let browser = Browser::start();
    browser.size(1280, 900, false);
    browser.open(&format!("http://{}/", run.address));
    browser.until("the question", "return !document.querySelector('#token').hidden");
    browser.give("not the token, surely");
    browser.until("a refusal", "return document.querySelector('#token-wrong').textContent !== ''");
    browser.give("0123456789abcdef");
    browser.until_first_look();
    browser.until(
        "names and collisions",
        "return document.body.textContent.includes('carrier=')
        && document.body.textContent.includes('Collisions by field')",
    );
    browser.run(
        "document.querySelector('#try-text').value = '{\"features\":{\"carrier\":\"UA\",\"<b>x</b>\":\"y\"}}';
         document.querySelector('#try-explain').click()",
    );
    browser.until("an answer", "return document.querySelectorAll('#try-answer tbody tr').length === 2");
    let mut names: Vec<_> = browser.rows("try-answer").iter().map(|row| row[0].clone()).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["<b>x</b>=y", "carrier=UA"]);
    // What the model is stands there for whoever opens it, and is not asked for before.
    assert_eq!(
        browser.run("const at = document.getElementById('model'); return [at.hidden, at.open]"),
        serde_json::json!([false, false])
    );
    assert!(browser.logs().requests.iter().all(|url| !url.ends_with("/model")));
    browser.run("document.querySelector('#model summary').click(); return 1");
    browser.until("options and counts", "return document.querySelectorAll('#model table').length === 2");
    let told = browser.run(
        "return Object.fromEntries([...document.querySelectorAll('#model tbody tr')].map(row => [...row.children].map(cell => cell.textContent)))",
    );
    assert_eq!(
        (&told["buckets"], &told["examples"], &told["records"]),
        (&"65536".into(), &"3000".into(), &"3000".into()),
        "{told}"
    );
    let text = browser.run("return document.documentElement.outerHTML");
    assert!(
        !text.as_str().unwrap().contains(key) && !told.to_string().to_lowercase().contains("hash-key"),
        "{told}"
    );
    assert_eq!(browser.logs().complaints, Vec::<String>::new());
}

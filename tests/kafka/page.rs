//! The live page of a member, in a real browser: what a run on a pipe has nothing of (partitions), a token, and names that are markup wherever
//! the page shows names.

use super::driver::{Browser, settled};
use super::http::{Answer, Client};
use super::support::kafka::fresh;
use super::support::metrics::Served;
use super::support::*;
use super::{broker, train};
use serde_json::{Value, json};

const TOKEN: &str = r#"open-"sesame"-<b>"#;
const PARTITIONS: i32 = 11;
/// Partitions that have records, how many, and how that is shown: sorted as text, the second would come first.
const RECORDS: [(i32, usize, &str); 2] = [(2, 40, "40"), (10, 1500, "1,500")];

/// After a while a key comes in, and another one is of another type; a third is null half of the time.
fn record(number: usize) -> String {
    let part = if number < 300 { r#""<s>":2"# } else { r#""<s>":"2","<i>":1"# };
    let null = if number.is_multiple_of(2) { "null" } else { "2" };
    let features = format!(
        r#"{{"<img src=x>":"<b>{}</b>","<script>document.title=1</script>":0.5,"<u>":{null},{part}}}"#,
        number % 3
    );
    format!(r#"{{"label":{},"features":{features}}}"#, number % 2)
}

fn try_it(browser: &Browser, button: &str, record: &str) {
    let script = "document.getElementById('try-text').value = RECORD; document.getElementById('try-BUTTON').click(); return true";
    browser.run(&script.replace("RECORD", &Value::from(record).to_string()).replace("BUTTON", button));
}

fn ask(run: &Served, method: &str, path: &str, body: &str) -> Answer {
    let mut client = Client::connect(&run.address);
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    client.answer().unwrap()
}

/// A member that has learned all records and commits nothing for an hour, and a browser that shows it.
fn begin(scene: &Scene, topic: &str) -> (Served, Browser) {
    broker().topic(topic, PARTITIONS);
    for (partition, count, _) in RECORDS {
        let records: Vec<String> = (0..count).map(record).collect();
        broker().send(topic, partition, records.iter().map(String::as_bytes));
    }
    scene.file("token", TOKEN);
    let args = "-m model --checkpoint-every 1h --names 100 --token-file token --listen 0";
    let line = train(topic, topic, args);
    let run = Served::start_at(scene.flexihash(line.split_whitespace()), "serving /predict");
    let browser = Browser::start();
    browser.size(360, 780, true);
    browser.open(&format!("http://{}/", run.address));
    browser.until("the question", "return !document.getElementById('token').hidden");
    (run, browser)
}

/// The token is asked for, and kept in memory alone.
fn enter(browser: &Browser) {
    browser.give("wrong");
    browser.until("refused", "return document.getElementById('token-wrong').textContent !== ''");
    assert_eq!(browser.run("return document.getElementById('main').hidden"), true);
    browser.give(TOKEN);
    browser.until_first_look();
    assert_eq!(browser.run("return document.getElementById('token').hidden"), true);
    let kept = "return [localStorage.length, sessionStorage.length, document.cookie, document.getElementById('token-text').value]";
    assert_eq!(browser.run(kept), json!([0, 0, "", ""]));
}

fn assert_partitions(browser: &Browser, topic: &str) {
    browser.until(
        "what is behind",
        "return [...document.querySelectorAll('#lag tbody tr')].map(row => row.children[2].textContent).filter(text => text !== '0').length === 2",
    );
    let behind =
        |partition| RECORDS.iter().find(|(of, ..)| *of == partition).map_or("0", |(_, _, shown)| *shown);
    let row = |partition: i32| json!([topic, partition.to_string(), behind(partition), ""]);
    assert_eq!(browser.rows("lag"), (0..PARTITIONS).map(row).collect::<Vec<_>>(), "by number");
}

/// A number as it is shown: with commas, or as a share in percent, of which a small one is only bounded.
fn number(shown: &Value) -> f64 {
    let text = shown.as_str().unwrap().replace(',', "").replace("< ", "");
    let part: Option<f64> = text.strip_suffix(" %").map(|percent| percent.parse().unwrap());
    part.map_or_else(|| text.parse().unwrap(), |percent| percent / 100.0)
}

/// What the tables show of lookups, records, shares and weights is what the server says, once the page has asked again.
fn assert_numbers(browser: &Browser, run: &Served) {
    for (id, list, name, columns) in [
        ("collisions", "/collisions/fields", "field", [("lookups", 0.0), ("rate", 0.001)]),
        ("names", "/names/top", "feature", [("count", 0.0), ("weight", 0.001)]),
    ] {
        settled(id, || {
            let told = ask(run, "GET", "/insight", "").json();
            let said = told.pointer(list).unwrap().as_array().unwrap();
            let shown = browser.rows(id);
            let is_said = |(shown, said): (&Value, &Value)| {
                let near = |(at, (column, off)): (usize, &(&str, f64))| {
                    (number(&shown[at + 1]) - said[column].as_f64().unwrap()).abs() <= *off
                };
                shown[0] == said[name] && columns.iter().enumerate().all(near)
            };
            let right = shown.len() == said.len() && shown.iter().zip(said).all(is_said);
            if right { Ok(()) } else { Err(format!("{shown:?}, {said:?}")) }
        });
    }
}

fn assert_names(browser: &Browser) {
    let firsts = |id: &str| browser.rows(id).iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    let mut fields = firsts("collisions");
    fields.sort_by_key(Value::to_string);
    assert_eq!(fields, ["<i>", "<img src=x>", "<s>", "<script>document.title=1</script>", "<u>"]);
    let names = firsts("names");
    for name in ["<img src=x>=<b>1</b>", "<script>document.title=1</script>"] {
        assert!(names.contains(&name.into()), "{name}: {names:?}");
    }
    let schema = browser.rows("schema");
    for change in [["features.<i>", "new", "", ""], ["features.<s>", "type", "number", "string"]] {
        assert!(
            schema.iter().any(|row| row.as_array().unwrap().starts_with(&change.map(Value::from))),
            "{change:?}: {schema:?}"
        );
    }
    assert!(schema.iter().any(|row| row[0] == "features.<u>" && row[2] != "0 %"), "{schema:?}");
}

#[test]
fn its_page_shows_partitions_and_names_that_are_markup_as_text() {
    let (scene, topic) = (Scene::new(), fresh("page"));
    let (mut run, browser) = begin(&scene, &topic);
    enter(&browser);
    let shown = "const shown = document.querySelector('[data-metric=flexihash_records_total]'); return shown !== null && shown.dataset.value === '1540'";
    browser.until("all is learned", shown);
    assert_partitions(&browser, &topic);
    browser.until("what was seen", "return document.querySelectorAll('#schema tbody tr').length > 4");
    assert_numbers(&browser, &run);
    assert_names(&browser);
    let record = r#"{"features":{"<img src=x>":"<b>0</b>","<script>document.title=1</script>":1}}"#;
    try_it(&browser, "explain", record);
    browser.until("an explanation", "return document.querySelectorAll('#try-answer tbody tr').length === 2");
    let mut explained = browser.rows("try-answer");
    let said = ask(&run, "POST", "/explain", record).json()["outputs"][0]["contributions"]
        .as_array()
        .unwrap()
        .clone();
    for (row, said) in explained.iter().zip(&said) {
        assert_eq!(
            (&row[0], &row[1]),
            (&said["feature"], &said["value"].as_f64().unwrap().to_string().into())
        );
        let (shown, said) = (row[2].as_str().unwrap(), said["contribution"].as_f64().unwrap());
        assert!(
            (shown.replace(',', "").parse::<f64>().unwrap() - said).abs() < 0.01 * said.abs(),
            "{shown}, {said}"
        );
        assert_eq!(shown.starts_with('+'), said > 0.0, "{shown}");
    }
    explained.sort_by_key(Value::to_string);
    let names: Vec<_> = explained.iter().map(|row| row[0].clone()).collect();
    assert_eq!(names, ["<img src=x>=<b>0</b>", "<script>document.title=1</script>"]);
    let bad = r#"{"features":{"<b>":"#;
    let answer = ask(&run, "POST", "/predict", bad);
    assert_eq!(answer.status, 400, "{answer:?}");
    try_it(&browser, "predict", bad);
    let refusal = "return document.getElementById('try-answer').textContent === REASON";
    browser.until("a refusal", &refusal.replace("REASON", &Value::from(answer.error()).to_string()));
    let markup = "return document.querySelectorAll('b, s, u, img, i:not(:empty)').length";
    assert_eq!(browser.run(markup), 0, "nothing became markup");
    let page = browser.run("return [document.title, document.documentElement.scrollWidth]");
    assert_eq!(page, json!(["flexihash", 360]));
    signal(&run.child, "TERM");
    assert!(run.wait().success(), "{}", run.said());
}

//! A server of the page's own files with answers made up: for what a run on a pipe has nothing of. It wants a token.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

pub(crate) const TOKEN: &str = "open \"sesame\"";

const METRICS: &str = "flexihash_records_total 12\nflexihash_model_examples 12\n\
    flexihash_lag_records{topic=\"a<b>\",partition=\"10\"} 5\nflexihash_lag_records{topic=\"a<b>\",partition=\"2\"} 1500\n\
    flexihash_partitions 2\nflexihash_commits_total 3\nflexihash_last_commit_timestamp_seconds 1700000000.5\n# EOF\n";

const INSIGHT: &str = r#"{"records":12,
    "collisions":{"distinct_keys":2434,"tables":[],"rate":0.0123,"rate_doubled":0.006,"fields":[
        {"field":"<img src=x>","lookups":1000,"collisions":50,"rate":0.05},{"field":"","lookups":1,"collisions":0,"rate":0}]},
    "names":{"kept":1,"limit":10,"top":[{"feature":"<script>document.title=1</script>","count":9,"count_error":0,"weight":-1.25}]},
    "schema":{"window":10,"sampled_every":1,"sampled":12,"untracked":0,"keys":[
        {"key":"features.<b>","now":{"present":0.5,"null":0.25,"kinds":[["number",3]]},"before":null}],
        "changes":{"new":1,"vanished":0,"type":0},
        "latest":[{"change":"new","key":"features.<i>","was":"","is":"number","at_record":7}]}}"#;

const EXPLAINED: &str = r#"{"unit":"log-odds","features":2,"explained":2,"outputs":[{"prediction":0.25,"score":-1.0986,
    "contributions":[{"feature":"city=<b>Bergen</b>","value":1,"contribution":-0.5},{"feature":"price","value":12.5,"contribution":0.25}]}]}"#;

/// Where it listens, and the bodies of the records it was asked about. It ends with the process.
pub(crate) fn serve() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let bodies = Arc::clone(&asked);
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, &bodies)));
    (address, asked)
}

fn answer(stream: TcpStream, bodies: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length, mut authorized) = (String::new(), 0, false);
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let lower = line.to_lowercase();
        length = lower.strip_prefix("content-length: ").map_or(length, |value| value.parse().unwrap());
        authorized |= lower.starts_with("authorization:") && line.ends_with(&format!(" Bearer {TOKEN}"));
        if request.is_empty() {
            request = line;
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let (status, kind, content) = match file(&path) {
        Some((kind, content)) => (200, kind, content),
        None if !authorized => (401, "text/plain", "who?".to_owned()),
        None => {
            if length > 0 {
                bodies.lock().unwrap().push(String::from_utf8(body).unwrap());
            }
            data(&path)
        }
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    // The browser may be gone.
    let _ = reader.get_mut().write_all((head + &content).as_bytes());
}

fn file(path: &str) -> Option<(&'static str, String)> {
    let (kind, name) = match path {
        "/" => ("text/html", "index.html"),
        "/page/base.js" => ("text/javascript", "base.js"),
        "/page/chart.js" => ("text/javascript", "chart.js"),
        "/page/page.js" => ("text/javascript", "page.js"),
        "/page/page.css" => ("text/css", "page.css"),
        "/page/uplot.js" => ("text/javascript", "vendor/uPlot-1.6.32.iife.min.js"),
        "/page/uplot.css" => ("text/css", "vendor/uPlot-1.6.32.min.css"),
        "/page/offers.json" => {
            let offers = r#"{"token":true,"predict":true,"explain":true,"insight":true,"model":true}"#;
            return Some(("application/json", offers.to_owned()));
        }
        _ => return None,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve/page");
    Some((kind, std::fs::read_to_string(folder.join(name)).unwrap()))
}

fn data(path: &str) -> (u16, &'static str, String) {
    let text = match path {
        "/metrics" => METRICS,
        "/history" => r#"{"columns":["time","records"],"samples":[]}"#,
        "/dead-letters" => "[]",
        "/insight" => INSIGHT,
        "/explain" => EXPLAINED,
        "/predict" => return (400, "application/json", r#"{"reason":"byte 0: no <record>"}"#.to_owned()),
        _ => return (404, "text/plain", "not here".to_owned()),
    };
    (200, "application/json", text.to_owned())
}

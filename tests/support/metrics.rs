//! Reading `/metrics` as strictly as the format is written down: what Prometheus might forgive fails here.

use super::wait;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A run with `--metrics-listen 0` that logs at `info`: where it listens, and what it says. Its standard input is a pipe.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) address: String,
    said: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    pub(crate) fn start(command: Command) -> Self {
        Self::start_at(command, "serving /metrics")
    }

    /// The same with another server: `serving` is what it says when it listens.
    pub(crate) fn start_at(mut command: Command, serving: &str) -> Self {
        command.args(["--log", "info"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, lines) =
            (Arc::new(Mutex::new(String::new())), BufReader::new(child.stderr.take().unwrap()));
        let all = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *all.lock().unwrap() += &(line + "\n");
            }
        });
        let mut run = Self { child, address: String::new(), said, reader: Some(reader) };
        let line = run.until_said(serving);
        let start = line.find("127.0.0.1:").unwrap_or_else(|| panic!("no address: {line}"));
        let end =
            |text: &str| text.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(text.len());
        run.address = line[start..start + end(&line[start..])].to_owned();
        run
    }

    /// All it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits for a line with these words.
    pub(crate) fn until_said(&mut self, words: &str) -> String {
        let began = Instant::now();
        loop {
            let said = self.said();
            if let Some(line) = said.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{words:?} was not said: {said}");
            assert!(self.child.try_wait().unwrap().is_none() || began.elapsed().as_secs() < 2, "{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end, and for the last it says.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = wait(&mut self.child, Duration::from_secs(60));
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind; one that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer of the server: status and body.
pub(crate) fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if path == "/metrics" {
        assert!(head.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0"));
    }
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The metrics as they are now.
pub(crate) fn scrape(address: &str) -> Samples {
    let (status, text) = get(address, "/metrics").expect("an answer");
    assert_eq!(status, 200);
    Samples::parse(&text)
}

/// Waits until the metrics are as `wanted`, half a minute at most.
pub(crate) fn until(address: &str, what: &str, wanted: impl Fn(&Samples) -> bool) -> Samples {
    let began = Instant::now();
    loop {
        let samples = scrape(address);
        if wanted(&samples) {
            return samples;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "not in time: {what}: {samples:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Values by name and labels, as they are written: `flexihash_lag_records{topic="t",partition="0"}`.
#[derive(Debug)]
pub(crate) struct Samples(BTreeMap<String, f64>);

impl Samples {
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(&format!("flexihash_{name}")).copied()
    }

    /// Reads an exposition in OpenMetrics 1.0, or fails with the line that is wrong.
    pub(crate) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {text}"));
        let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
        let mut family = Family::default();
        for line in body.lines() {
            assert!(!line.is_empty() && line == line.trim(), "{line:?}");
            match line.strip_prefix("# ") {
                Some(said) => family.describe(said, &mut families),
                None => {
                    let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
                    family.check(name, line);
                    let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                    assert!(family.kind != "counter" || value >= 0.0, "{line}");
                    assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line}");
                }
            }
        }
        check_histograms(&samples);
        Self(samples)
    }
}

/// The family that lines belong to.
#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    unit: String,
}

impl Family {
    fn describe(&mut self, said: &str, families: &mut BTreeSet<String>) {
        let mut words = said.splitn(3, ' ');
        let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        assert!(name.starts_with("flexihash_") && is_name(name), "{said}");
        if name != self.name {
            assert!(families.insert(name.to_owned()), "the lines of a family stand together: {said}");
            *self = Self { name: name.to_owned(), ..Self::default() };
        }
        match what {
            "HELP" => assert!(rest.ends_with('.') && rest.len() > 5, "{said}"),
            "TYPE" => {
                assert!(["counter", "gauge", "histogram", "info"].contains(&rest), "{said}");
                self.kind = rest.to_owned();
            }
            "UNIT" => {
                assert!(name.ends_with(&format!("_{rest}")), "a unit is the end of its name: {said}");
                self.unit = rest.to_owned();
            }
            _ => panic!("{said}"),
        }
    }

    fn check(&self, sample: &str, line: &str) {
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        let ending = name.strip_prefix(&*self.name).unwrap_or_else(|| panic!("of no family: {line}"));
        let endings: &[&str] = match &*self.kind {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => panic!("no type before: {line}"),
        };
        assert!(endings.contains(&ending), "{line}");
        let timed = ["timestamp", "age", "duration"].iter().any(|word| self.name.contains(word));
        assert!(!timed || self.unit == "seconds", "{line}");
        let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(key) && value.len() > 1, "{line}");
            assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Buckets only grow, and the last holds all.
fn check_histograms(samples: &BTreeMap<String, f64>) {
    for (name, count) in samples {
        let Some(name) = name.strip_suffix("_count") else { continue };
        let of = |sample: &String| {
            Some(sample.strip_prefix(&format!("{name}_bucket{{le=\""))?.strip_suffix("\"}")?.to_owned())
        };
        let buckets = samples.iter().filter_map(|(sample, value)| Some((of(sample)?, *value)));
        let mut buckets: Vec<(f64, f64)> =
            buckets.map(|(le, value)| (le.replace("+Inf", "inf").parse().unwrap(), value)).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name}: {buckets:?}");
        assert_eq!(buckets.last().unwrap(), &(f64::INFINITY, *count), "{name}");
    }
}

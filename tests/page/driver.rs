//! A real Chromium without a window, driven by its WebDriver: JSON over HTTP, so a few lines do what a crate with a runtime would.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What to do where it is missing.
const MISSING: &str = "chromedriver or chromium cannot be started: on Debian, sudo apt-get install chromium chromium-driver \
     (as root ./test.sh installs them)";

/// Looks until what is looked at is as it should be, twenty seconds at most: a page follows what it shows by looks of its own.
pub(crate) fn settled<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(wrong) => assert!(began.elapsed() < Duration::from_secs(20), "not in time: {what}: {wrong}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A browser with one page. Ends with the test.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

/// What the page wrote to the console, and what it asked for.
pub(crate) struct Logs {
    pub(crate) complaints: Vec<String>,
    pub(crate) requests: Vec<String>,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap_or_else(|error| panic!("{MISSING}: {error}"));
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        // Whoever writes to a closed pipe may end.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Self { driver, port: port.expect(MISSING), session: String::new() };
        // Chromium refuses its own sandbox to root; here it shows one page of ours.
        let flags =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-US"];
        let always = json!({
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "timeouts": {"script": 20_000, "pageLoad": 30_000},
        });
        let body = json!({"capabilities": {"alwaysMatch": always}});
        let answer =
            browser.call("POST", "/session", &body).unwrap_or_else(|error| panic!("{MISSING}: {error}"));
        browser.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.port,
            text.len()
        );
        stream.write_all((head + &text).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        for line in reader.by_ref().lines() {
            let line = line.unwrap().to_lowercase();
            if line.is_empty() {
                break;
            }
            length =
                line.strip_prefix("content-length:").map_or(length, |value| value.trim().parse().unwrap());
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["value"].take();
        if value.get("error").is_some() { Err(value.to_string()) } else { Ok(value) }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.call("POST", &path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Calls the browser's own protocol.
    pub(crate) fn tell(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    pub(crate) fn open(&self, address: &str) {
        self.post("/url", &json!({"url": address}));
    }

    /// Runs a function's body in the page and returns its value.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until `script` returns true, twenty seconds at most.
    pub(crate) fn until(&self, what: &str, script: &str) {
        settled(what, || match self.run(script) {
            Value::Bool(true) => Ok(()),
            _ => Err(self.run("return document.body.innerText").to_string()),
        });
    }

    /// The cells of a table's rows, as they can be read.
    pub(crate) fn rows(&self, id: &str) -> Vec<Value> {
        let script = "return [...document.querySelectorAll('#ID tbody tr')].map(row => [...row.children].map(cell => cell.textContent))";
        self.run(&script.replace("ID", id)).as_array().unwrap().clone()
    }

    /// Gives the token that the page asks for.
    pub(crate) fn give(&self, token: &str) {
        let script = "document.getElementById('token-text').value = TOKEN; document.querySelector('#token button').click(); return true";
        self.run(&script.replace("TOKEN", &Value::from(token).to_string()));
    }

    /// Waits until it is shown how things stand.
    pub(crate) fn until_first_look(&self) {
        self.until("the first look", "return Number(document.documentElement.dataset.looks || 0) > 0");
    }

    pub(crate) fn size(&self, width: u32, height: u32, mobile: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.tell("Emulation.setDeviceMetricsOverride", &metrics);
    }

    pub(crate) fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.tell("Emulation.setEmulatedMedia", &features);
    }

    pub(crate) fn press(&self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            let code = if key == "Tab" { 9 } else { 13 };
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.tell("Input.dispatchKeyEvent", &event);
        }
    }

    /// What has come since the last call.
    pub(crate) fn logs(&self) -> Logs {
        let entries = |kind: &str| self.post("/se/log", &json!({"type": kind})).as_array().unwrap().clone();
        let complaints =
            entries("browser").into_iter().map(|entry| entry["message"].as_str().unwrap().to_owned());
        let request = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            is_request.then(|| message["params"]["request"]["url"].as_str().unwrap().to_owned())
        };
        let requests = entries("performance").iter().filter_map(request).collect();
        Logs { complaints: complaints.collect(), requests }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session, the driver by itself does not.
        if !self.session.is_empty() {
            let _ = self.call("DELETE", &self.session, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

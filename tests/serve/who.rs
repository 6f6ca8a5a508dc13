//! Who may ask: tokens, browsers, HTTPS.

use crate::http::Client;
use crate::support::metrics::Served;
use crate::support::*;
use crate::{SERVING, serve};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TOKEN: &str = "correct-horse-battery";

fn model() -> Scene {
    let scene = Scene::new();
    scene.file("in", flights(100));
    scene.train("in -q -m model");
    scene.file("token", format!("{TOKEN}\n"));
    scene
}

/// Only who brings the token is answered, but for the probes.
fn check(served: &mut Served) {
    let mut client = Client::connect(&served.address);
    let wrong = [
        "".to_owned(),
        format!("Authorization: Bearer {TOKEN}x\r\n"),
        format!("Authorization: Bearer {}\r\n", &TOKEN[1..]),
        format!("Authorization: Basic {TOKEN}\r\n"),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: {TOKEN}\r\n"),
    ];
    for header in wrong {
        client.headers = header;
        for path in ["/model", "/metrics", "/nowhere"] {
            let answer = client.get(path);
            assert!(answer.status == 401 && answer.head.contains("www-authenticate: bearer"), "{answer:?}");
        }
        assert_eq!(client.post("/predict", "{}").status, 401);
        assert_eq!((client.get("/healthz").status, client.get("/readyz").status), (200, 200));
    }
    for scheme in ["Bearer", "bearer"] {
        client.headers = format!("Authorization: {scheme} {TOKEN}\r\n");
        assert_eq!((client.get("/model").status, client.get("/metrics").status), (200, 200));
        assert_eq!(client.post("/predict", "{}").status, 200);
    }
    let shown = client.get("/model").body + &client.get("/metrics").body;
    signal(&served.child, "TERM");
    assert!(served.wait().success());
    assert!(!(shown + &served.said()).contains(TOKEN));
}

#[test]
fn a_token_lets_in_who_has_it() {
    let scene = model();
    check(&mut serve(&scene, "--token-file token"));
}

#[test]
fn a_token_may_stand_in_the_environment() {
    let scene = model();
    let mut command = scene.flexihash(words("serve", "-m model --listen 0"));
    command.env("FLEXIHASH_TOKEN", TOKEN);
    let mut served = Served::start_at(command, SERVING);
    served.until_said("answering");
    check(&mut served);
}

#[test]
fn a_token_that_is_none_is_refused_and_not_shown() {
    let scene = model();
    scene.file("short", "hunter2");
    let line = scene.fails("serve -m model --token-file short");
    assert!(
        line.contains("expected 16 to 1024 visible ASCII characters") && !line.contains("hunter2"),
        "{line}"
    );
    assert!(scene.fails("serve -m model --token-file nowhere").contains("nowhere"));
}

#[test]
fn an_open_address_without_a_token_is_warned_of() {
    let scene = model();
    let mut command = scene.flexihash(words("serve", "-m model --listen 0.0.0.0:0"));
    let said = |command: &mut std::process::Command| {
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        signal(&child, "TERM");
        child.wait().unwrap();
        drain(child.stderr.take().unwrap())
    };
    assert!(said(&mut command).contains("whoever reaches this address may ask"));
    command.env("FLEXIHASH_TOKEN", TOKEN);
    assert!(!said(&mut command).contains("whoever reaches"));
}

#[test]
fn a_browser_asks_for_no_other_site() {
    let scene = model();
    let served = serve(&scene, "");
    let mut client = Client::connect(&served.address);
    for (origin, status) in [("https://evil.example", 403), ("null", 403), ("http://localhost", 200)] {
        client.headers = format!("Origin: {origin}\r\n");
        assert_eq!(client.post("/predict", "{}").status, status, "{origin}");
        assert_eq!(client.get("/model").status, 200);
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls").join(name)
}

#[test]
fn answers_come_over_tls_and_nothing_else() {
    let scene = model();
    let (cert, key) = (fixture("cert.pem"), fixture("key.pem"));
    let served = serve(&scene, &format!("--tls-cert {} --tls-key {}", cert.display(), key.display()));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&cert).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let connection = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let stream = TcpStream::connect(&served.address).unwrap();
    let mut client = Client::over(StreamOwned::new(connection, stream));
    for _ in 0..3 {
        assert_eq!(client.get("/readyz").status, 200);
        let answer = client.post_lines("/predict", flights(100));
        assert_eq!((answer.status, answer.body.lines().count()), (200, 100));
    }
    let mut plain = Client::connect(&served.address);
    plain.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(plain.answer().is_none());
    scene.file("other", "no PEM");
    let wrong =
        |cert: &str, key: &str| scene.fails(&format!("serve -m model --tls-cert {cert} --tls-key {key}"));
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    assert!(wrong("other", &key).contains("expected certificates in PEM"));
    assert!(wrong(&cert, "nowhere").contains("nowhere") && wrong(&cert, "other").contains("other"));
}

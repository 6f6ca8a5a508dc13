//! What is shipped to deploy with, as far as it can be tried without Docker and a cluster: the files parse, what they name
//! is there, their arguments are taken by the real command, their probes are what it serves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

#[path = "support/mod.rs"]
mod support;

use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use support::metrics::{Served, get};
use support::*;

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The documents of a YAML file.
fn documents(name: &str) -> Vec<Value> {
    let text = text(name);
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Runs arguments of a manifest with its places moved into `scene`, until the cluster is not found: so all of them were
/// understood, and none was wrong by itself.
fn try_arguments(scene: &Scene, arguments: &[String], moves: &[(&str, &str)]) {
    let place =
        |argument: &String| moves.iter().fold(argument.clone(), |all, (from, to)| all.replace(from, to));
    let mut command = scene.flexihash(arguments.iter().map(place));
    command.args(["--kafka-wait", "1s", "--log", "info"]);
    let output = command.output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let objects: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.iter().any(|line| line["message"] == "started"), "{said}");
    let last = objects.last().unwrap()["message"].as_str().unwrap();
    assert!(last.contains("kafka 127.0.0.1:1: "), "{last}");
}

/// The port of `--metrics-listen`, which must be open to the outside.
fn metrics_port(arguments: &[String]) -> u64 {
    let address = arguments.iter().find_map(|argument| argument.strip_prefix("--metrics-listen=")).unwrap();
    address.strip_prefix("0.0.0.0:").unwrap().parse().unwrap()
}

#[test]
fn the_kubernetes_manifest_runs_the_command_and_probes_what_it_serves() {
    let documents = documents("examples/kafka/kubernetes.yaml");
    let kind = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
    let set = kind("StatefulSet");
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments = strings(&container["args"]);
    let port = metrics_port(&arguments);
    assert_eq!(container["ports"][0]["containerPort"], port);
    let name = &container["ports"][0]["name"];
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let get = &container[probe]["httpGet"];
        assert_eq!((&get["path"], &get["port"]), (&Value::from(path), name));
    }
    let annotations = &set["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], port.to_string());
    assert_eq!(annotations["prometheus.io/path"], "/metrics");
    assert_eq!(kind("Service")["spec"]["ports"][0]["port"], port);
    assert_eq!(kind("Service")["spec"]["selector"], set["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(kind("Service")["metadata"]["name"], set["spec"]["serviceName"]);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    // The user is the image's.
    let user = format!("USER {0}:{0}", pod["securityContext"]["runAsUser"]);
    assert!(text("Dockerfile").lines().any(|line| line == user), "{user}");
    let secret = kind("Secret");
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], secret["metadata"]["name"]);
    let scene = Scene::new();
    scene.file("client.properties", secret["stringData"]["client.properties"].as_str().unwrap());
    std::fs::create_dir(scene.path("models")).unwrap();
    let moves = [
        ("/etc/flexihash/", ""),
        ("/models/", "models/"),
        ("0.0.0.0:9100", "0"),
        ("$(POD_NAME)", "pod-0"),
        ("--kafka=kafka:9092", "--kafka=127.0.0.1:1"),
    ];
    try_arguments(&scene, &arguments, &moves);
}

#[test]
fn the_compose_file_runs_the_command_on_the_topics_that_are_made() {
    let compose = documents("examples/kafka/compose.yaml").remove(0);
    let train = &compose["services"]["train"];
    let arguments = strings(&train["command"]);
    let port = metrics_port(&arguments);
    assert_eq!(train["ports"][0], format!("127.0.0.1:{port}:{port}"));
    assert!(text("Dockerfile").contains(&format!("/dev/tcp/127.0.0.1/{port} ")));
    let scene = Scene::new();
    std::fs::create_dir(scene.path("models")).unwrap();
    let moves =
        [("/models/", "models/"), ("0.0.0.0:9100", "0"), ("--kafka=kafka:9092", "--kafka=127.0.0.1:1")];
    try_arguments(&scene, &arguments, &moves);
    // Topics: a tool that writes down what it is asked for.
    let tool = scene.file("tool", "#!/bin/sh\necho \"$@\" >>asked\n");
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let entry = strings(&compose["services"]["topics"]["entrypoint"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kafka/topics.sh");
    assert_eq!(entry[..3], ["sh", "/topics.sh", "kafka:9092"]);
    let mut command = Command::new("sh");
    command.arg(script).args(&entry[2..]).env("KAFKA_TOPICS", &tool).current_dir(scene.dir.path());
    assert!(command.status().unwrap().success());
    let asked = scene.text("asked");
    let wanted = |topic: &str, partitions: &str| {
        asked.lines().any(|line| {
            line.starts_with("--bootstrap-server kafka:9092 --create --if-not-exists ")
                && line.contains(&format!(" --topic {topic} --partitions {partitions} "))
        })
    };
    let topic = |option: &str| arguments.iter().find_map(|argument| argument.strip_prefix(option)).unwrap();
    assert!(wanted(topic("--topic="), "4"), "{asked}");
    assert!(wanted(topic("--predictions=kafka:"), "4"), "{asked}");
    assert!(wanted(topic("--dead-letters=kafka:"), "4"), "{asked}");
    assert!(wanted("flexihash-commits", "1"), "{asked}");
}

#[test]
fn the_image_s_health_check_tells_a_live_server_from_none() {
    let dockerfile = text("Dockerfile");
    let start = dockerfile.find("HEALTHCHECK").unwrap();
    let command = dockerfile[start..].lines().find_map(|line| line.trim().strip_prefix("CMD ")).unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    let check = |address: &str| {
        let to = address.replace(':', "/");
        let words = command[1..].iter().map(|word| word.replace("127.0.0.1/9100", &to));
        Command::new(&command[0]).args(words).output().unwrap().status.success()
    };
    let scene = Scene::new();
    let mut run = Served::start(scene.flexihash(words("train", "- --metrics-listen 0").chain(SMALL)));
    let address = run.address.clone();
    assert_eq!(get(&address, "/healthz").unwrap().0, 200);
    assert!(check(&address));
    drop(run.child.stdin.take());
    assert!(run.wait().success());
    assert!(!check(&address), "nobody listens there any more");
}

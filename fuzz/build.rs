//! Writes the seed corpus: one file a case of fixtures/parse, into `target/seeds`, where run.sh looks for it.

use serde_json::Value;
use std::path::Path;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let cases = Path::new(&root).join("../fixtures/parse");
    let seeds = Path::new(&root).join("target/seeds");
    println!("cargo::rerun-if-changed={}", cases.display());
    std::fs::create_dir_all(&seeds).expect("a folder for the seeds");
    for file in std::fs::read_dir(cases).expect("fixtures/parse") {
        let path = file.expect("a file").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let text = std::fs::read_to_string(&path).expect("a text");
        for (number, line) in text.lines().enumerate() {
            let case: Value = serde_json::from_str(line).expect("a case");
            let record = case["record"].as_str().unwrap_or_default();
            // The first byte chooses the options; the lowest bit is the flat form.
            let input = [&[u8::from(name == "flat")], record.as_bytes()].concat();
            std::fs::write(seeds.join(format!("{name}-{number}")), input).expect("a seed written");
        }
    }
}

//! The house rules that the compiler does not know: what a module may name, where `unsafe` may stand, and behind which
//! door each foreign crate lives.
//!
//! The order is that of the `mod` lines in `src/lib.rs`: a module names itself and what is declared above it, nothing
//! below, nor a re-export of the crate's root. Comments are no dependency: prose and links of the docs (`//!`, `///`) may
//! point anywhere, because a trait's docs should be able to name who implements it. Strings are no dependency either.
//! Tests inside `src/` are held to the same order: a test that needs more belongs in `tests/`.
//!
//! The rules are read off the tokens of the text, not off a syntax tree: `a::b` written in a macro counts too. Each rule
//! has a test on a made-up source that breaks it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Which module may name a foreign crate; a crate that is not listed may be named anywhere.
///
/// `clap` in `config` derives the flags, under `cfg_attr(feature = "cli")`.
const DOORS: &[(&str, &[&str])] = &[
    ("clap", &["bin", "config"]),
    ("indicatif", &["bin"]),
    ("plotters", &["bin"]), // bin/flexihash/chart.rs
    ("tracing_subscriber", &["bin"]),
    ("signal_hook", &["bin"]),
    ("safetensors", &["checkpoint"]),
    ("sha2", &["checkpoint"]),
    ("flate2", &["source"]),
    ("zstd", &["source"]),
    ("toml", &["config"]),
    ("humantime", &["config", "bin"]), // the time in bin/flexihash/html
    ("base64", &["sink"]),
    ("crossbeam_channel", &["engine"]),
    ("siphasher", &["hash"]),
    ("ryu", &["sink"]),
    ("parking_lot", &["sync"]),
    ("rdkafka", &["source", "sink"]), // source/kafka, sink/kafka
    ("prometheus_client", &["metrics"]),
    ("tokio", &["serve"]),
    ("hyper", &["serve"]),
    ("hyper_util", &["serve"]),
    ("axum", &["serve"]),
    ("subtle", &["serve"]),
    ("percent_encoding", &["serve"]),
    ("tokio_rustls", &["serve"]),
    ("cudarc", &["kernel"]),               // kernel/cuda
    ("candle_core", &["model", "kernel"]), // model/network, kernel/cuda
    ("candle_nn", &["model"]),
];

/// A source file: the module it belongs to (the first part of its path below `src`) and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// `lib` for the root, `bin` for the command, else the name of the top module.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules lie between a name in this file and the crate's root: 1 for `hash.rs` and `hash/mod.rs`, 2 for
    /// `hash/key.rs`. Inline modules are counted by the scan.
    fn depth(&self) -> usize {
        let parts = self.path.trim_end_matches(".rs").split('/').filter(|part| *part != "mod");
        parts.count()
    }
}

/// A word or a sign of the source, without comments and strings.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// Cuts Rust text into words (`crate`, `r#mod`, `0`) and single signs, with `::` as one. Comments, strings, characters
/// and lifetimes are left out.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        i = match chars[i] {
            '/' if chars.get(i + 1) == Some(&'/') => skip_until(&chars, i, |c| c == '\n'),
            '/' if chars.get(i + 1) == Some(&'*') => skip_block(&chars, i),
            '"' => skip_string(&chars, i),
            'r' | 'b' | 'c' if raw_hashes(&chars, i).is_some() => skip_raw(&chars, i),
            '\'' => skip_quote(&chars, i),
            c if c.is_alphanumeric() || c == '_' => {
                let end = skip_until(&chars, i, |c| !(c.is_alphanumeric() || c == '_'));
                out.push(Token { text: chars[i..end].iter().collect(), line });
                end
            }
            c if c.is_whitespace() => i + 1,
            ':' if chars.get(i + 1) == Some(&':') => {
                out.push(Token { text: "::".to_owned(), line });
                i + 2
            }
            c => {
                out.push(Token { text: c.to_string(), line });
                i + 1
            }
        };
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    out
}

fn skip_until(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    chars[from..].iter().position(|&c| stop(c)).map_or(chars.len(), |found| from + found)
}

fn skip_block(chars: &[char], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => {
                (depth, i) = (depth - 1, i + 2);
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    i
}

fn skip_string(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// At `r"`, `r#"`, `br##"`: how many `#`, and where the quote stands.
fn raw_hashes(chars: &[char], from: usize) -> Option<(usize, usize)> {
    if from > 0 && (chars[from - 1].is_alphanumeric() || chars[from - 1] == '_') {
        return None;
    }
    let mut i = from;
    if matches!(chars[i], 'b' | 'c') {
        i += 1;
    }
    if chars.get(i) != Some(&'r') {
        return None;
    }
    let quote = skip_until(chars, i + 1, |c| c != '#');
    (chars.get(quote) == Some(&'"')).then_some((quote - i - 1, quote))
}

fn skip_raw(chars: &[char], from: usize) -> usize {
    let Some((hashes, quote)) = raw_hashes(chars, from) else { return from + 1 };
    let mut i = quote + 1;
    while i < chars.len() {
        let closed =
            chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        if closed {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}

/// A character literal, or the tick of a lifetime.
fn skip_quote(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => skip_until(chars, from + 3, |c| c == '\'') + 1,
        (Some(_), Some('\'')) => from + 3,
        _ => skip_until(chars, from + 1, |c| !(c.is_alphanumeric() || c == '_')),
    }
}

/// Modules in the order of `src/lib.rs`.
fn order(lib: &str) -> Vec<String> {
    let tokens = tokens(lib);
    let declared = tokens.windows(3).filter(|w| w[0].text == "mod" && w[2].text == ";");
    declared.map(|w| w[1].text.clone()).collect()
}

/// First segments of every path that starts at the crate's root, `crate::x`, `crate::{x, y}`, or at `supers` times
/// `super::`, with their lines.
fn roots(tokens: &[Token], at: usize) -> Vec<Token> {
    let Some(next) = tokens.get(at) else { return Vec::new() };
    if next.text != "{" {
        return vec![next.clone()];
    }
    let (mut depth, mut found) = (0, Vec::new());
    for pair in tokens[at..].windows(2) {
        match pair[0].text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(pair[0].text.as_str(), "{" | ",") && pair[1].text != "}" {
            found.push(pair[1].clone());
        }
    }
    found
}

/// Names at the crate's root that `source` uses, by `crate::` or by enough `super::`.
fn uses(source: &Source) -> Vec<Token> {
    let tokens = tokens(&source.text);
    // One entry for each open brace: whether it is that of an inline module.
    let (mut braces, mut found, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        match text(i) {
            "{" => braces.push(i >= 2 && text(i - 2) == "mod"),
            "}" => drop(braces.pop()),
            "crate" if text(i + 1) == "::" => found.extend(roots(&tokens, i + 2)),
            "super" if text(i + 1) == "::" && text(i.wrapping_sub(2)) != "super" => {
                let supers =
                    (0..).take_while(|n| text(i + 2 * n) == "super" && text(i + 2 * n + 1) == "::").count();
                let inline = braces.iter().filter(|inline| **inline).count();
                if supers >= source.depth() + inline {
                    found.extend(roots(&tokens, i + 2 * supers));
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// Every breach of the order of modules.
fn order_breaches(order: &[String], sources: &[Source]) -> Vec<String> {
    let place = |name: &str| order.iter().position(|module| module == name);
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| !matches!(source.module(), "lib" | "bin")) {
        let Some(own) = place(source.module()) else {
            breaches.push(format!("src/{}: not declared in src/lib.rs", source.path));
            continue;
        };
        for name in uses(source) {
            let at =
                format!("src/{}:{}: `{}` names `{}`", source.path, name.line, source.module(), name.text);
            match place(&name.text) {
                Some(named) if named <= own => {}
                Some(_) => breaches.push(format!("{at}, which is declared below it in src/lib.rs")),
                None => breaches.push(format!("{at}, which is no module: name the module it comes from")),
            }
        }
    }
    breaches
}

/// Every `unsafe` outside `kernel`.
fn unsafe_breaches(sources: &[Source]) -> Vec<String> {
    let outside = sources.iter().filter(|source| source.module() != "kernel");
    let found = outside.flat_map(|source| {
        let tokens = tokens(&source.text).into_iter().filter(|token| token.text == "unsafe");
        tokens.map(move |token| format!("src/{}:{}: `unsafe` outside `kernel`", source.path, token.line))
    });
    found.collect()
}

/// Every foreign crate named outside its door.
fn door_breaches(sources: &[Source]) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources {
        let tokens = tokens(&source.text);
        for (i, token) in tokens.iter().enumerate() {
            let text =
                |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |token| token.text.as_str());
            let path = text(Some(i + 1)) == "::" && !matches!(text(i.checked_sub(1)), "::" | ".");
            let used = text(i.checked_sub(1)) == "use" || text(i.checked_sub(1)) == "crate";
            let Some((_, doors)) = DOORS.iter().find(|(name, _)| (path || used) && *name == token.text)
            else {
                continue;
            };
            if !doors.contains(&source.module()) {
                let (path, line, name) = (&source.path, token.line, &token.text);
                breaches.push(format!("src/{path}:{line}: `{name}` belongs behind the door of {doors:?}"));
            }
        }
    }
    breaches
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Source::new(&name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn lib() -> String {
    let lib = sources().into_iter().find(|source| source.path == "lib.rs");
    lib.expect("src/lib.rs is there").text
}

#[test]
fn modules_name_only_what_is_declared_above_them() {
    let breaches = order_breaches(&order(&lib()), &sources());
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn unsafe_stands_in_kernel_alone() {
    let breaches = unsafe_breaches(&sources());
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn foreign_crates_stay_behind_their_doors() {
    let breaches = door_breaches(&sources());
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn rustfmt_leaves_the_order_of_modules_alone() {
    let rustfmt = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rustfmt.toml")).unwrap();
    assert!(rustfmt.lines().any(|line| line.trim() == "reorder_modules = false"));
    let order = order(&lib());
    for pair in [("record", "parse"), ("parse", "hash"), ("table", "learner"), ("learner", "engine")] {
        let place = |name| order.iter().position(|module| module == name);
        assert!(place(pair.0).is_some() && place(pair.0) < place(pair.1), "{pair:?} in {order:?}");
    }
}

#[test]
fn the_checker_sees_a_module_that_names_a_lower_one() {
    let order = ["sync", "hash", "table", "engine"].map(str::to_owned);
    let breaches = |path: &str, text: &str| order_breaches(&order, &[Source::new(path, text)]).len();
    for (path, text, expected) in [
        ("hash/mod.rs", "use crate::table::Table;", 1),
        ("hash/mod.rs", "use crate::sync::Mutex;", 0),
        ("hash/mod.rs", "use crate::{sync, table::{Table, engine}};", 1),
        ("hash/mod.rs", "fn f() -> crate::engine::Model { todo!() }", 1),
        ("hash/mod.rs", "pub(crate) fn f(x: crate::hash::Key) {}", 0),
        ("hash/mod.rs", "use crate::Model;", 1),
        ("hash/mod.rs", "use super::table::Table;", 1),
        ("hash/key.rs", "use super::table::Table;", 0), // hash::table
        ("hash/key.rs", "use super::super::table::Table;", 1),
        ("hash.rs", "mod tests { use super::table::Table; }", 0), // hash::table
        ("hash.rs", "mod tests { use super::super::table::Table; }", 1),
        ("hash.rs", "fn f() {} struct S { a: u8 } use super::{sync, engine};", 1),
        ("hash.rs", "//! See [`crate::engine`].\n/// And [`crate::table::Table`].\nfn f() {}", 0),
        ("hash.rs", "/* crate::engine /* crate::table */ */ const C: &str = \"crate::engine\";", 0),
        ("hash.rs", "const C: &str = r#\"crate::engine\"#; fn f<'a>(_: &'a u8) -> crate::engine::E {}", 1),
        ("other.rs", "", 1),
    ] {
        assert_eq!(breaches(path, text), expected, "{path}: {text}");
    }
}

#[test]
fn the_checker_sees_unsafe_and_open_doors() {
    let one = |path: &str, text: &str| [Source::new(path, text)];
    assert_eq!(unsafe_breaches(&one("table/mod.rs", "fn f() { unsafe { g() } }")).len(), 1);
    assert_eq!(unsafe_breaches(&one("kernel/x86.rs", "fn f() { unsafe { g() } }")).len(), 0);
    assert_eq!(unsafe_breaches(&one("table/mod.rs", "// unsafe\nconst C: &str = \"unsafe\";")).len(), 0);
    assert_eq!(door_breaches(&one("engine/mod.rs", "use clap::Args;")).len(), 1);
    assert_eq!(door_breaches(&one("config/mod.rs", "use clap::Args;")).len(), 0);
    assert_eq!(door_breaches(&one("engine/mod.rs", "fn f(x: zstd::Decoder) {}")).len(), 1);
    assert_eq!(door_breaches(&one("engine/mod.rs", "use toml;")).len(), 1);
    assert_eq!(door_breaches(&one("engine/mod.rs", "use rdkafka::Message;")).len(), 1);
    assert_eq!(door_breaches(&one("source/mod.rs", "use tokio::io; fn f() { Kind::zstd::X; }")).len(), 1);
    assert_eq!(door_breaches(&one("engine/mod.rs", "fn zstd() { self.zstd(); Kind::zstd(); }")).len(), 0);
}

#[test]
fn the_order_is_read_from_the_mod_lines() {
    let lib = "//! mod docs;\npub mod sync;\n#[cfg(feature = \"x\")]\npub mod source;\npub use source::A;\nmod inline { }\n";
    assert_eq!(order(lib), ["sync", "source"]);
}

//! What the end-to-end tests share: the binary under test, streams of real records, and models compared bit by bit.
//!
//! Two models are the same if every touched row, side column and small tensor has the same bits and the counters but
//! the times agree. How many files hold them is not compared: that depends on when checkpoints fell.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "test data need not be durable")]

mod dice;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
pub(crate) mod metrics;

pub(crate) use dice::Dice;
use flexihash::batch::Slot;
use flexihash::checkpoint::{ModelDir, Tensor, TensorData};
use flexihash::table::{Init, Table, TableOptions};
use serde_json::Value;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// A small table: most tests read all of it back.
pub(crate) const SMALL: [&str; 2] = ["--buckets", "65536"];

/// A folder that goes with the test.
pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// The command, in this folder, with nothing on standard input.
    pub(crate) fn flexihash<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flexihash"));
        command.current_dir(self.dir.path()).args(args).env_remove("FLEXIHASH_HASH_KEY");
        command.env_remove("FLEXIHASH_LOG").env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Runs `train ARGS` with a small table; it must succeed.
    pub(crate) fn train(&self, args: &str) -> Output {
        let output = self.flexihash(words("train", args).chain(SMALL)).output().unwrap();
        assert!(output.status.success(), "train {args}: {}", stderr(&output));
        output
    }

    /// Runs any command; it must succeed.
    pub(crate) fn ok(&self, args: &str) -> Output {
        let output = self.flexihash(args.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "{args}: {}", stderr(&output));
        output
    }

    /// Runs a command that must fail: one clear line that starts with the program's name, no panic. Returns the line.
    pub(crate) fn fails(&self, args: &str) -> String {
        let output = self.flexihash(args.split_whitespace()).output().unwrap();
        failure(args, &output)
    }
}

/// The words of a command line.
pub(crate) fn words<'a>(command: &'a str, args: &'a str) -> impl Iterator<Item = &'a str> {
    std::iter::once(command).chain(args.split_whitespace())
}

/// The error line of a run that had to fail.
pub(crate) fn failure(what: &str, output: &Output) -> String {
    let text = stderr(output);
    assert!(!text.contains("panicked"), "{what}: {text}");
    assert!(matches!(output.status.code(), Some(1 | 2)), "{what}: {:?}, {text}", output.status);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("flexihash: ")).collect();
    assert_eq!(lines.len(), 1, "{what}: {text}");
    lines.concat()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `command` with `input` on its standard input.
pub(crate) fn piped(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The command may end before it has read everything.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    })
}

/// The first `lines` records of the flights stream.
pub(crate) fn flights(lines: usize) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/flights.jsonl.zst");
    let file = std::fs::File::open(path).unwrap();
    let mut reader = BufReader::new(zstd::stream::read::Decoder::new(file).unwrap());
    let mut out = Vec::new();
    for _ in 0..lines {
        reader.read_until(b'\n', &mut out).unwrap();
    }
    out
}

/// `flights`, with something wrong after every `every` records: what stops no run, but goes to the dead letters.
pub(crate) fn flights_with_faults(lines: usize, every: usize) -> Vec<u8> {
    let faults: [&[u8]; 5] = [b"{\"label\":1,", b"\"\xff\"", b"[]", b"{\"label\":7,\"features\":{}}", b"nul"];
    let (clean, mut out) = (flights(lines), Vec::new());
    for (index, line) in clean.split_inclusive(|&byte| byte == b'\n').enumerate() {
        out.extend_from_slice(line);
        if index % every == every - 1 {
            out.extend_from_slice(faults[index / every % faults.len()]);
            out.push(b'\n');
        }
    }
    out
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Everything a model has learned, as text: equal texts are equal bits.
pub(crate) fn learned(folder: &Path) -> String {
    let mut generation = ModelDir::open(folder).unwrap().latest().unwrap().expect("a generation");
    let manifest = generation.manifest().clone();
    let mut out = String::new();
    for stored in &manifest.tables {
        let (rows, width, side) = (stored.rows, stored.width, stored.side);
        let options = TableOptions { rows, width, side, init: Init::Zeros, seed: 0 };
        let table = Table::new(options).unwrap();
        generation.load_table(&stored.name, &table).unwrap();
        writeln!(out, "table {} {rows} {width} {side}", stored.name).unwrap();
        let mut touched = Vec::new();
        table.for_each_touched(|slot, row| touched.push((slot, bits(row))));
        let mut lease = table.lease_all();
        for (slot, row) in touched {
            writeln!(out, "{} {row:?} {:?}", slot.0, bits(lease.side(Slot(slot.0)))).unwrap();
        }
    }
    for (name, Tensor { shape, data }) in generation.load_tensors().unwrap() {
        let data: Vec<u64> = match data {
            TensorData::F32(values) => values.iter().map(|value| u64::from(value.to_bits())).collect(),
            TensorData::F64(values) => values.iter().map(|value| value.to_bits()).collect(),
            TensorData::U64(values) => values,
        };
        writeln!(out, "{name} {shape:?} {data:?}").unwrap();
    }
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Everything about a model that a resumed run must share with an undisturbed one: what it has learned, counters, the
/// place in the input, lengths of outputs.
pub(crate) fn state(folder: &Path) -> String {
    let generation = ModelDir::open(folder).unwrap().latest().unwrap().expect("a generation");
    let mut progress = generation.manifest().progress.clone();
    progress.counters.as_object_mut().unwrap().remove("seconds");
    let progress = serde_json::to_string_pretty(&progress).unwrap();
    progress + &learned(folder)
}

/// Fails if two states differ, with the first line that does.
pub(crate) fn assert_same(what: &str, expected: &str, got: &str) {
    if expected == got {
        return;
    }
    let mut lines = expected.lines().zip(got.lines()).enumerate();
    let (number, (expected, got)) =
        lines.find(|(_, (a, b))| a != b).unwrap_or((0, ("(one is longer)", "(one is longer)")));
    let short = |text: &str| text.chars().take(300).collect::<String>();
    panic!("{what}: line {number} differs\nexpected {}\n     got {}", short(expected), short(got));
}

/// A summary without its times.
pub(crate) fn timeless(mut summary: Value) -> Value {
    let fields = summary.as_object_mut().unwrap();
    assert!(fields.remove("seconds").is_some() && fields.remove("examples_per_second").is_some());
    summary
}

/// Sends a signal by name through the shell's own `kill`.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    // The process may be gone already.
    let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().unwrap();
}

/// Waits for the end of `child`, at most `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > limit {
            child.kill().unwrap();
            panic!("still running after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// All that is left in a pipe, as text.
pub(crate) fn drain(pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    BufReader::new(pipe).read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

//! `flexihash embed`: one fixed-size vector a record.

use crate::error::{CommandError, usage};
use crate::{inputs, predict, stop};
use flexihash::batch::Batch;
use flexihash::embedding::{EmbeddingOptions, FlexiHashEmbedding};
use flexihash::engine::Model;
use flexihash::example::LabelRange;
use flexihash::hash::{Encoder, EncoderScratch, FeatureHasher, HashOptions};
use flexihash::parse::{ParseOptions, Parser};
use flexihash::record::RecordBatch;
use flexihash::sink::{LinesSink, write_embedding};
use flexihash::source::{LinesOptions, LinesSource};
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Turn records into fixed-size vectors
#[derive(Debug, clap::Args)]
pub(crate) struct Embed {
    /// JSON lines: files (plain, .gz, .zst) or - for standard input [default: - when piped]
    input: Vec<PathBuf>,
    /// Folder of a model with embeddings: its learned rows; without it, the initial rows of --seed and --dim
    #[arg(long, short = 'm', value_name = "DIR", conflicts_with_all = ["seed", "dim", "buckets"])]
    model: Option<PathBuf>,
    /// Output: a .npy file (float32, [rows, dim]), or JSON lines anywhere else
    #[arg(long, short = 'o', value_name = "PATH", default_value = "-")]
    output: PathBuf,
    /// Seed of the initial rows
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Length of a vector
    #[arg(long, default_value_t = 128)]
    dim: usize,
    /// Rows of the table
    #[arg(long, default_value_t = 1 << 20)]
    buckets: u32,
}

/// Where vectors come from.
enum Rows {
    Learned(Box<Model>),
    Initial(Box<Initial>),
}

/// The rows of a table that was never learned.
struct Initial {
    embedding: FlexiHashEmbedding,
    hasher: FeatureHasher,
    parser: Parser,
    scratch: EncoderScratch,
}

impl Initial {
    fn new(options: EmbeddingOptions) -> Result<Self, CommandError> {
        let embedding = FlexiHashEmbedding::new(options).map_err(|error| usage(error.to_string()))?;
        let key = inputs::hash_key(None)?.unwrap_or_default();
        let hasher = FeatureHasher::new(options.hash, &key).map_err(|error| usage(error.to_string()))?;
        let parser = Parser::new(ParseOptions { labels: LabelRange::Ignored, ..ParseOptions::default() });
        Ok(Self { embedding, hasher, parser, scratch: EncoderScratch::default() })
    }

    fn encode(&mut self, record: &[u8], batch: &mut Batch) -> Result<(), String> {
        let mut encoder = Encoder::new(&self.hasher, &mut self.scratch, batch);
        match self.parser.parse(record, &mut encoder) {
            Ok(()) => encoder.finish().map_err(|error| error.to_string()),
            Err(error) => {
                encoder.abandon();
                Err(error.to_string())
            }
        }
    }
}

impl Rows {
    fn dim(&self) -> usize {
        match self {
            Self::Learned(model) => model.learner().dim(),
            Self::Initial(initial) => initial.embedding.options().dim,
        }
    }

    /// Hashes a record into `batch`, or says why not.
    fn encode(&mut self, record: &[u8], batch: &mut Batch) -> Result<(), String> {
        match self {
            Self::Learned(model) => model.encode(record, batch).map_err(|error| error.to_string()),
            Self::Initial(initial) => initial.encode(record, batch),
        }
    }

    /// `[rows, dim]`.
    fn embed(&mut self, batch: &Batch) -> Result<Vec<f32>, CommandError> {
        match self {
            Self::Learned(model) => Ok(model.embed(batch)),
            Self::Initial(initial) => {
                initial.embedding.embed(batch).map_err(|error| usage(error.to_string()))
            }
        }
    }
}

impl Embed {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        let stop = stop::on_signal()?;
        let inputs = inputs::or_stdin(self.input.clone())?;
        inputs::check_outputs(&inputs, [&Some(self.output.clone())], None)?;
        let mut rows = self.rows()?;
        let mut source = LinesSource::open(&inputs, LinesOptions::default())?;
        let mut output = Output::open(&self.output, rows.dim())?;
        let (mut batch, mut bad) = (Batch::default(), 0_u64);
        inputs::each_batch(&mut source, &stop, |records| {
            bad += embed_batch(&mut rows, records, &mut batch, &mut output)?;
            Ok(())
        })?;
        output.finish()?;
        if bad > 0 {
            tracing::warn!(bad, "bad records have no vector");
        }
        Ok(())
    }

    fn rows(&self) -> Result<Rows, CommandError> {
        let Some(path) = &self.model else {
            let hash = HashOptions { buckets: self.buckets, ..HashOptions::default() };
            let options = EmbeddingOptions { hash, dim: self.dim, seed: self.seed };
            return Ok(Rows::Initial(Box::new(Initial::new(options)?)));
        };
        let model = predict::load(path)?.for_prediction();
        if model.learner().dim() == 0 {
            let path = path.display();
            return Err(usage(format!("{path}: this model has no embeddings: train one with --head fm")));
        }
        Ok(Rows::Learned(Box::new(model)))
    }
}

/// Writes the vectors of `records`; returns how many records were bad.
fn embed_batch(
    rows: &mut Rows,
    records: &RecordBatch,
    batch: &mut Batch,
    output: &mut Output,
) -> Result<u64, CommandError> {
    batch.clear();
    let mut bad = 0;
    for record in records.iter() {
        let limit = || format!("{} bytes, beyond the record limit", record.length);
        let encoded = if record.is_cut() { Err(limit()) } else { rows.encode(record.bytes, batch) };
        if let Err(reason) = encoded {
            bad += 1;
            tracing::warn!(source = record.source, line = record.at.lines + 1, reason, "bad record");
        }
    }
    let vectors = rows.embed(batch)?;
    output.write(batch, &vectors)?;
    Ok(bad)
}

/// A `.npy` file, or JSON lines.
enum Output {
    Npy { file: NpyFile },
    Lines { sink: LinesSink, dim: usize, records: u64 },
}

impl Output {
    fn open(path: &Path, dim: usize) -> Result<Self, CommandError> {
        if path.extension().is_some_and(|extension| extension == "npy") {
            return Ok(Self::Npy { file: NpyFile::create(path, dim)? });
        }
        Ok(Self::Lines { sink: LinesSink::open(path, 0)?, dim, records: 0 })
    }

    fn write(&mut self, batch: &Batch, vectors: &[f32]) -> Result<(), CommandError> {
        match self {
            Self::Npy { file } => file.append(vectors),
            Self::Lines { sink, dim, records } => {
                let mut lines = Vec::new();
                for (row, vector) in vectors.chunks((*dim).max(1)).enumerate() {
                    write_embedding(&mut lines, batch.id(row), *records, vector);
                    *records += 1;
                }
                Ok(sink.write(&lines)?)
            }
        }
    }

    fn finish(self) -> Result<(), CommandError> {
        match self {
            Self::Npy { file } => file.finish(),
            Self::Lines { mut sink, .. } => Ok(sink.sync()?),
        }
    }
}

/// NumPy's format 1.0: a header of fixed length whose row count is filled in at the end, then little-endian floats.
struct NpyFile {
    path: PathBuf,
    file: BufWriter<File>,
    dim: usize,
    rows: u64,
}

/// Bytes before the data: a multiple of 64, as the format asks.
const NPY_HEADER: usize = 128;

impl NpyFile {
    fn create(path: &Path, dim: usize) -> Result<Self, CommandError> {
        let path = path.to_owned();
        let file = File::create(&path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
        let mut npy = Self { path, file: BufWriter::new(file), dim, rows: 0 };
        npy.write_header().map_err(|error| npy.error(&error))?;
        Ok(npy)
    }

    fn write_header(&mut self) -> std::io::Result<()> {
        let shape = format!("({}, {})", self.rows, self.dim);
        let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend(((NPY_HEADER - 10) as u16).to_le_bytes());
        header.extend(dict.as_bytes());
        header.resize(NPY_HEADER - 1, b' ');
        header.push(b'\n');
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)
    }

    fn append(&mut self, vectors: &[f32]) -> Result<(), CommandError> {
        for value in vectors {
            self.file.write_all(&value.to_le_bytes()).map_err(|error| self.error(&error))?;
        }
        self.rows += (vectors.len() / self.dim.max(1)) as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<(), CommandError> {
        let written = self.write_header().and_then(|()| self.file.flush());
        let synced = written.and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &std::io::Error) -> CommandError {
        usage(format!("{}: {error}", self.path.display()))
    }
}

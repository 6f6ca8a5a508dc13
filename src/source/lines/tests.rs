//! The line discipline at every chunk border, packings, resuming, and what must fail.

use super::*;
use std::collections::VecDeque;
use std::io::{self, Write};

/// A record as the tests compare it: bytes, full length, start, end.
type Told = (String, u64, Position, Position);

fn options(chunk: usize) -> LinesOptions {
    LinesOptions { batch_bytes: chunk, ..LinesOptions::default() }
}

/// Reads to the end; checks that batches join without a gap.
fn drain(source: &mut LinesSource) -> Result<Vec<Told>, SourceError> {
    let mut batch = RecordBatch::default();
    let mut told = Vec::new();
    loop {
        match source.fetch(&mut batch)? {
            Fetch::Drain | Fetch::Lost => panic!("lines are nobody else's"),
            Fetch::End => return Ok(told),
            Fetch::Idle => continue,
            Fetch::Records => {}
        }
        for record in batch.iter() {
            let text = String::from_utf8_lossy(record.bytes).into_owned();
            told.push((text, record.length, record.at, record.after));
            assert!(record.after <= batch.end());
        }
    }
}

fn read(bytes: &[u8], options: LinesOptions) -> Vec<Told> {
    let reader = Box::new(io::Cursor::new(bytes.to_vec()));
    drain(&mut LinesSource::from_reader("test", reader, options).unwrap()).unwrap()
}

fn texts(told: &[Told]) -> Vec<&str> {
    told.iter().map(|record| record.0.as_str()).collect()
}

fn place(lines: u64, offset: u64) -> Position {
    Position { lines, offset }
}

fn gzip(parts: &[&[u8]]) -> Vec<u8> {
    let member = |part: &&[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    };
    parts.iter().flat_map(member).collect()
}

fn zstd_frames(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| zstd::encode_all(*part, 3).unwrap()).collect()
}

fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

/// Hands out what it is told to, error by error.
struct Script(VecDeque<io::Result<Vec<u8>>>);

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.pop_front() {
            None => Ok(0),
            Some(Err(error)) => Err(error),
            Some(Ok(mut bytes)) => {
                let rest = bytes.split_off(bytes.len().min(buffer.len()));
                buffer[..bytes.len()].copy_from_slice(&bytes);
                if !rest.is_empty() {
                    self.0.push_front(Ok(rest));
                }
                Ok(bytes.len())
            }
        }
    }
}

const MIXED: &[u8] = b"\xef\xbb\xbf{\"a\":1}\r\n\n  \t\r\n{\"b\":2}\n\r\n{\"c\":\"\xc3\xa9\"}";

#[test]
fn positions_are_exact_with_mark_line_ends_and_blank_lines() {
    let expected = vec![
        ("{\"a\":1}".to_owned(), 7, place(0, 3), place(1, 12)),
        ("{\"b\":2}".to_owned(), 7, place(3, 18), place(4, 26)),
        ("{\"c\":\"é\"}".to_owned(), 10, place(5, 28), place(6, 38)),
    ];
    assert_eq!(read(MIXED, LinesOptions::default()), expected);
}

#[test]
fn every_chunk_size_gives_the_same_records() {
    let whole = read(MIXED, LinesOptions::default());
    for chunk in 1..=MIXED.len() {
        assert_eq!(read(MIXED, options(chunk)), whole, "chunk of {chunk}");
    }
}

#[test]
fn blank_input_has_no_records_and_still_an_end() {
    for (input, end) in [(&b""[..], place(0, 0)), (b"\n\n", place(2, 2)), (b"\xef\xbb\xbf", place(1, 3))] {
        let reader = Box::new(io::Cursor::new(input.to_vec()));
        let mut source = LinesSource::from_reader("test", reader, options(64)).unwrap();
        let (mut batch, mut last) = (RecordBatch::default(), Position::default());
        while source.fetch(&mut batch).unwrap() != Fetch::End {
            assert!(batch.is_empty());
            last = batch.end();
        }
        assert_eq!(last, end, "{input:?}");
        assert_eq!(source.fetch(&mut batch).unwrap(), Fetch::End);
    }
}

#[test]
fn the_record_limit_holds_at_every_chunk_border() {
    let limit = 10;
    for length in 8..=14 {
        for mark in ["", "\u{feff}"] {
            for line_end in ["\n", "\r\n"] {
                let record = "x".repeat(length);
                let input = format!("{mark}{record}{line_end}good\n");
                for chunk in 1..=input.len() {
                    let told = read(input.as_bytes(), LinesOptions { record_limit: limit, ..options(chunk) });
                    assert_eq!(told.len(), 2);
                    assert_eq!(told[0].0, "x".repeat(length.min(limit)), "{length} {chunk}");
                    assert_eq!(told[0].1, length as u64);
                    assert_eq!(told[1].0, "good");
                    assert_eq!(told[1].3, place(2, input.len() as u64));
                }
            }
        }
    }
}

#[test]
fn an_oversized_record_is_cut_to_its_head_and_the_next_one_is_whole() {
    let input = format!("{}\n{{}}\n", "y".repeat(50_000));
    for chunk in [1000, 4096, 100_000] {
        let told = read(input.as_bytes(), LinesOptions { record_limit: 20_000, ..options(chunk) });
        assert_eq!(told[0].0, "y".repeat(CUT_BYTES));
        assert_eq!((told[0].1, told[0].3), (50_000, place(1, 50_001)));
        assert_eq!(told[1], ("{}".to_owned(), 2, place(1, 50_001), place(2, 50_004)));
    }
}

#[test]
fn an_endless_line_does_not_grow_what_is_kept() {
    let mut splitter = Splitter::new(10_000, Position::default(), true);
    let mut batch = RecordBatch::default();
    for _ in 0..1000 {
        batch.reset(&Arc::from("-"), 0, Position::default());
        batch.space(3000).fill(b'z');
        let chunk = batch.fill(3000);
        splitter.split(chunk, &mut batch);
    }
    assert!(splitter.kept() <= 10_000, "{}", splitter.kept());
    assert!(batch.is_empty());
}

#[test]
fn packed_streams_of_several_members_read_like_plain_ones() {
    let (head, tail) = MIXED.split_at(20);
    let plain = read(MIXED, options(64));
    let mut skippable = vec![0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    skippable.extend(zstd_frames(&[MIXED]));
    for packed in [gzip(&[head, tail]), zstd_frames(&[head, tail]), skippable] {
        for chunk in [1, 7, 64] {
            assert_eq!(read(&packed, options(chunk)), plain);
        }
    }
}

#[test]
fn a_silent_pipe_is_idle_and_loses_nothing_packed_or_not() {
    for packed in [MIXED.to_vec(), gzip(&[MIXED, b"\n{}\n"]), zstd_frames(&[MIXED, b"\n{}\n"])] {
        let whole = read(&packed, options(64));
        let silence = || Err(ErrorKind::WouldBlock.into());
        let script = packed.iter().flat_map(|&byte| [silence(), Ok(vec![byte])]).collect();
        let mut source = LinesSource::from_reader("test", Box::new(Script(script)), options(64)).unwrap();
        let mut batch = RecordBatch::default();
        assert_eq!(source.fetch(&mut batch).unwrap(), Fetch::Idle);
        assert_eq!(drain(&mut source).unwrap(), whole);
    }
}

#[test]
fn what_has_arrived_is_handed_over_without_waiting_for_more() {
    let script = [Ok(b"{}\n{}\n{\"a".to_vec()), Err(ErrorKind::WouldBlock.into()), Ok(b"\":1}\n".to_vec())];
    let mut source = LinesSource::from_reader("test", Box::new(Script(script.into())), options(64)).unwrap();
    let mut batch = RecordBatch::default();
    let mut counts = Vec::new();
    loop {
        let fetch = source.fetch(&mut batch).unwrap();
        if fetch == Fetch::End {
            break;
        }
        counts.push((fetch, batch.len()));
    }
    use Fetch::{Idle, Records};
    assert_eq!(counts, [(Records, 2), (Idle, 0), (Records, 1), (Records, 0)]);
}

#[test]
fn truncated_and_corrupt_streams_are_errors_with_name_place_and_cause() {
    let text = b"{\"a\":1}\n".repeat(5000);
    for packed in [gzip(&[&text]), zstd_frames(&[&text])] {
        let mut corrupt = packed.clone();
        let at = packed.len() - 6;
        corrupt[at] ^= 0x55;
        for bad in [packed[..packed.len() - 5].to_vec(), corrupt] {
            let mut source =
                LinesSource::from_reader("bad.gz", Box::new(io::Cursor::new(bad)), options(1000)).unwrap();
            let error = drain(&mut source).unwrap_err();
            assert_eq!(error.name, "bad.gz");
            assert!(error.what.contains("cannot be read beyond line "), "{error}");
            assert!(error.cause.is_some());
            assert!(drain(&mut source).unwrap().is_empty(), "nothing is read beyond a gap");
        }
    }
}

#[test]
fn resuming_after_any_record_gives_the_rest() {
    let text: String = (0..40).map(|n| format!("{{\"n\":{n}}}{}", ["\n", "\r\n", "\n\n"][n % 3])).collect();
    let folder = tempfile::tempdir().unwrap();
    let (head, tail) = text.as_bytes().split_at(100);
    for (name, bytes) in [
        ("plain", text.clone().into_bytes()),
        ("named.gz", gzip(&[head, tail])),
        ("misnamed.gz", zstd_frames(&[head, tail])),
    ] {
        let path = file(&folder, name, &bytes);
        let whole = drain(&mut LinesSource::open(&[&path], options(64)).unwrap()).unwrap();
        assert_eq!(whole.len(), 40);
        for done in 0..=whole.len() {
            let mut positions = Positions::default();
            let after = done.checked_sub(1).map_or(Position::default(), |last| whole[last].3);
            positions.advance(path.to_str().unwrap(), after);
            let mut source = LinesSource::open(&[&path], options(64)).unwrap();
            source.resume(&positions).unwrap();
            assert_eq!(drain(&mut source).unwrap(), whole[done..], "{name} after {done}");
        }
    }
}

#[test]
fn a_resumed_pipe_passes_over_as_many_lines_or_continues() {
    let text = b"{\"n\":0}\n\n{\"n\":1}\n{\"n\":2}";
    let whole = read(text, options(5));
    for done in 1..=whole.len() {
        let mut positions = Positions::default();
        positions.advance("test", whole[done - 1].3);
        let reader = Box::new(io::Cursor::new(text.to_vec()));
        let mut source = LinesSource::from_reader("test", reader, options(5)).unwrap();
        source.resume(&positions).unwrap();
        let mut batch = RecordBatch::default();
        source.fetch(&mut batch).unwrap();
        assert!(batch.end() >= whole[done - 1].3, "a checkpoint while skipping must not fall back");
        assert_eq!(drain(&mut source).unwrap(), whole[done..]);
    }
    let mut positions = Positions::default();
    positions.advance("test", place(3, 17));
    let continues = LinesOptions { stdin_continues: true, ..options(5) };
    let reader = Box::new(io::Cursor::new("\u{feff}{}\n"));
    let mut source = LinesSource::from_reader("test", reader, continues).unwrap();
    source.resume(&positions).unwrap();
    assert_eq!(drain(&mut source).unwrap(), [("{}".to_owned(), 2, place(3, 20), place(4, 23))]);
}

#[test]
fn an_input_shorter_than_the_stored_position_is_another_input() {
    let folder = tempfile::tempdir().unwrap();
    let plain = file(&folder, "plain", b"{}\n");
    let packed = file(&folder, "packed", &gzip(&[b"{}\n"]));
    let resumed = |path: &Path| {
        let mut positions = Positions::default();
        positions.advance(path.to_str().unwrap(), place(9, 90));
        let mut source = LinesSource::open(&[path], options(64)).unwrap();
        source.resume(&positions).and_then(|()| drain(&mut source)).unwrap_err().to_string()
    };
    assert!(resumed(&plain).contains("has 3 bytes, but the stored run stopped at byte 90"));
    assert!(resumed(&packed).contains("ends 87 bytes before byte 90"));
    let mut positions = Positions::default();
    positions.advance("test", place(9, 90));
    let mut source = LinesSource::from_reader("test", Box::new(&b"{}\n{}"[..]), options(64)).unwrap();
    source.resume(&positions).unwrap();
    assert!(drain(&mut source).unwrap_err().to_string().contains("ends 7 lines before line 9"));
}

#[test]
fn passes_read_all_files_again_and_resume_in_the_middle_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [file(&folder, "a", b"a0\na1\n"), file(&folder, "b", &gzip(&[b"b0\nb1"]))];
    let twice = LinesOptions { passes: 2, ..options(64) };
    let mut source = LinesSource::open(&paths, twice.clone()).unwrap();
    let mut batch = RecordBatch::default();
    let mut seen = Vec::new();
    while source.fetch(&mut batch).unwrap() != Fetch::End {
        seen.extend(batch.iter().map(|r| format!("{} {}", batch.pass(), String::from_utf8_lossy(r.bytes))));
    }
    assert_eq!(seen, ["0 a0", "0 a1", "0 b0", "0 b1", "1 a0", "1 a1", "1 b0", "1 b1"]);

    let mut positions = Positions::default();
    positions.advance(paths[0].to_str().unwrap(), place(2, 6));
    positions.advance(paths[1].to_str().unwrap(), place(1, 3));
    for (pass, rest) in [(0, vec!["b1", "a0", "a1", "b0", "b1"]), (1, vec!["b1"]), (2, vec![])] {
        positions.pass = pass;
        let mut source = LinesSource::open(&paths, twice.clone()).unwrap();
        source.resume(&positions).unwrap();
        assert_eq!(texts(&drain(&mut source).unwrap()), rest, "pass {pass}");
    }
}

#[test]
fn inputs_that_cannot_be_read_are_refused_before_anything_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good", b"{}\n");
    let missing = folder.path().join("missing");
    let error = LinesSource::open(&[&good, &missing], options(64)).unwrap_err();
    assert_eq!(error.name, missing.to_str().unwrap());
    assert_eq!(error.cause.unwrap().kind(), ErrorKind::NotFound);
    let error = LinesSource::open(&[folder.path()], options(64)).unwrap_err();
    assert_eq!(error.cause.unwrap().kind(), ErrorKind::IsADirectory);
    let error = LinesSource::open(&[&good, &good], options(64)).unwrap_err();
    assert!(error.what.contains("twice"));
    let error = LinesSource::open(&["-"], LinesOptions { passes: 3, ..options(64) }).unwrap_err();
    assert_eq!(error.to_string(), "-: is a pipe and can be read once; expected 1 pass, got 3");
}

#[test]
fn the_size_is_known_for_plain_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [file(&folder, "a", b"{}\n"), file(&folder, "b", b"{}"), file(&folder, "c", &gzip(&[b"{}"]))];
    let twice = LinesOptions { passes: 2, ..options(64) };
    assert_eq!(LinesSource::open(&paths[..2], twice).unwrap().size_hint(), Some(10));
    assert_eq!(LinesSource::open(&paths, options(64)).unwrap().size_hint(), None);
    assert_eq!(LinesSource::open(&["-"], options(64)).unwrap().size_hint(), None);
}

#[test]
fn a_named_pipe_without_news_is_idle_within_the_time_promised() {
    let (reader, mut writer) = io::pipe().unwrap();
    let polled = open::polled(File::from(std::os::fd::OwnedFd::from(reader)));
    let mut source = LinesSource::from_reader("pipe", polled, options(64)).unwrap();
    let mut batch = RecordBatch::default();
    let start = std::time::Instant::now();
    assert_eq!(source.fetch(&mut batch).unwrap(), Fetch::Idle);
    assert!(start.elapsed().as_millis() >= 90, "it waited rather than spun");
    writer.write_all(b"{}\n").unwrap();
    assert_eq!(source.fetch(&mut batch).unwrap(), Fetch::Records);
    assert_eq!(batch.len(), 1);
    drop(writer);
    assert!(drain(&mut source).unwrap().is_empty());
}

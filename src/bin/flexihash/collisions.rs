//! `flexihash collisions`: how many buckets and hashes a number of ids needs.

use crate::chart::{self, Chart, Curve, Ink, Mark, Scale};
use crate::error::{CommandError, usage};
use crate::inputs;
use flexihash::HashKey;
use flexihash::collision::{Scheme, Tables, measure};
use flexihash::config::named;
use flexihash::hash::HashKind;
use flexihash::sink::LinesSink;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Tell how many ids share all their rows with another: theory, and the ids 0, 1, … hashed
#[derive(Debug, clap::Args)]
pub(crate) struct Collisions {
    /// How many ids there are: 1e6 or 1000000
    #[arg(long, value_name = "N", default_value = "1e6", value_parser = number)]
    ids: u64,
    /// Rows of the table; several, as 1e4,1e5,1e6, to compare
    #[arg(long, value_name = "N,…", default_value = "4194304")]
    buckets: Numbers,
    /// Rows of an id, each by an independent hash: 3, or 1..5 (5 included), or 1,2,4
    #[arg(long, value_name = "N,…", default_value = "1..4")]
    hashes: Numbers,
    /// The hash that is measured: siphash (keyed), sklearn, mmh3, modulo
    #[arg(long, default_value = "siphash", value_parser = named::<HashKind>)]
    hash: HashKind,
    /// Give each hash buckets of its own, instead of all the same ones
    #[arg(long)]
    separate: bool,
    /// Only say what to expect; hash nothing
    #[arg(long)]
    theory: bool,
    /// Draw a chart
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Numbers, ascending, each once.
#[derive(Debug, Clone)]
struct Numbers(Vec<u64>);

/// Most numbers of one option: each is a run, and a line of the table.
const MOST_NUMBERS: usize = 64;

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for part in text.split(',') {
            match part.split_once("..") {
                Some((from, to)) => all.extend((number(from)?..=number(to)?).take(MOST_NUMBERS + 1)),
                None => all.push(number(part)?),
            }
        }
        all.sort_unstable();
        all.dedup();
        match all.len() {
            0 => Err("expected the smaller number of a range first".to_owned()),
            1..=MOST_NUMBERS => Ok(Self(all)),
            _ => Err(format!("expected at most {MOST_NUMBERS} numbers, got more")),
        }
    }
}

/// A whole number in digits, or with an exponent.
fn number(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    const EXACT: f64 = (1_u64 << 53) as f64;
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && (0.0..=EXACT).contains(&number) => Ok(number as u64),
        _ => Err(format!("expected a whole number, as 1000000 or 1e6, got {text:?}")),
    }
}

/// Everything shown.
#[derive(Debug, Serialize)]
struct Report {
    ids: u64,
    hash: HashKind,
    separate: bool,
    rows: Vec<Row>,
}

/// One number of buckets and hashes.
#[derive(Debug, Clone, Serialize)]
struct Row {
    buckets: u32,
    hashes: u32,
    /// The probability that one given pair of ids has the same rows.
    pair: f64,
    /// The expected share of the ids that have all their rows in common with another.
    expected_share: f64,
    /// How many of the ids 0, 1, … have.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_ids: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_share: Option<f64>,
}

impl Collisions {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        if self.ids < 2 {
            return Err(usage(format!("--ids: expected 2 or more, got {}", self.ids)));
        }
        inputs::check_outputs(&[], [&self.svg], None)?;
        let key = inputs::hash_key(None)?.unwrap_or_default();
        let schemes = self.schemes()?;
        // Opened first: whether it can be written should not turn out at the end.
        let svg = self.svg.as_deref().map(|path| LinesSink::open(path, 0)).transpose()?;
        let rows = schemes.iter().map(|scheme| self.row(scheme, &key)).collect::<Result<_, _>>()?;
        let report = Report { ids: self.ids, hash: self.hash, separate: self.separate, rows };
        if let Some(mut svg) = svg {
            svg.write(report.chart().svg().map_err(usage)?.as_bytes())?;
            svg.sync()?;
        }
        let mut out = Vec::new();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report).map_err(|error| usage(error.to_string()))?;
            out.push(b'\n');
        } else {
            out = report.table().into_bytes();
        }
        // A chart on standard output is not to be mixed with the table.
        if self.svg.as_deref() == Some(Path::new("-")) {
            return Ok(());
        }
        Ok(LinesSink::open(Path::new("-"), 0)?.write(&out)?)
    }

    /// Every number of buckets with every number of hashes.
    fn schemes(&self) -> Result<Vec<Scheme>, CommandError> {
        let tables = if self.separate { Tables::Separate } else { Tables::Shared };
        let pairs = self.buckets.0.iter().flat_map(|b| self.hashes.0.iter().map(move |h| (*b, *h)));
        let scheme = |(buckets, hashes): (u64, u64)| {
            // What does not fit is outside the range too.
            let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            Scheme::new(narrow(buckets), narrow(hashes), tables).map_err(|error| usage(format!("--{error}")))
        };
        pairs.map(scheme).collect()
    }

    fn row(&self, scheme: &Scheme, key: &HashKey) -> Result<Row, CommandError> {
        let measured = if self.theory {
            None
        } else {
            let error = |error| usage(format!("{error}; --theory measures nothing"));
            Some(measure(self.ids, scheme, self.hash, key).map_err(error)?)
        };
        Ok(Row {
            buckets: scheme.buckets(),
            hashes: scheme.hashes(),
            pair: scheme.pair_probability(),
            expected_share: scheme.expected_share(self.ids),
            measured_ids: measured,
            measured_share: measured.map(|ids| ids as f64 / self.ids as f64),
        })
    }
}

impl Report {
    /// `1,000,000 ids by siphash`, and whose buckets.
    fn title(&self) -> String {
        let hash = serde_json::to_value(self.hash).unwrap_or_default();
        let tables = if self.separate { "buckets for each hash" } else { "one table for all hashes" };
        format!("{} ids by {}, {tables}", grouped(self.ids), hash.as_str().unwrap_or_default())
    }

    fn table(&self) -> String {
        let mut out = format!("{}; how many share all their rows with another\n\n", self.title());
        // A string takes whatever is written to it.
        let _ = writeln!(
            out,
            "{:>13} {:>7} {:>12} {:>15} {:>15} {:>15} {:>15}",
            "buckets",
            "hashes",
            "one pair",
            "expected share",
            "expected ids",
            "measured share",
            "measured ids"
        );
        for row in &self.rows {
            let expected = row.expected_share * self.ids as f64;
            let share = row.measured_share.map_or("-".to_owned(), scientific);
            let ids = row.measured_ids.map_or("-".to_owned(), grouped);
            let _ = writeln!(
                out,
                "{:>13} {:>7} {:>12} {:>15} {:>15} {share:>15} {ids:>15}",
                grouped(u64::from(row.buckets)),
                row.hashes,
                scientific(row.pair),
                scientific(row.expected_share),
                if expected < 100.0 { format!("{expected:.3}") } else { grouped(expected.round() as u64) },
            );
        }
        out
    }

    /// Buckets along the x axis if there are several, else hashes.
    fn chart(&self) -> Chart {
        let by_buckets = self.rows.windows(2).any(|pair| pair[0].buckets != pair[1].buckets);
        let along = |row: &Row| if by_buckets { row.buckets } else { row.hashes };
        let ticks: BTreeSet<u32> = self.rows.iter().map(along).collect();
        let ticks = ticks.into_iter().map(|tick| (f64::from(tick), grouped(u64::from(tick))));
        let curves = self.curves(by_buckets);
        let ys = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1));
        Chart {
            title: self.title(),
            x: Scale::of_ticks(ticks.collect(), by_buckets),
            y: Scale::decades(ys),
            axes: [if by_buckets { "buckets" } else { "hashes of an id" }, "probability, share of ids"],
            curves,
            height: chart::HEIGHT,
            legend: chart::Corner::LowerLeft,
        }
    }

    /// With buckets along the x axis a colour for each number of hashes, else one for each of the two probabilities.
    fn curves(&self, by_buckets: bool) -> Vec<Curve> {
        let mut families: BTreeMap<u32, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            families.entry(if by_buckets { row.hashes } else { 0 }).or_default().push(row);
        }
        let mut curves = Vec::new();
        for (i, (hashes, rows)) in families.iter().enumerate() {
            let points = |y: &dyn Fn(&Row) -> Option<f64>| {
                let x = |row: &Row| f64::from(if by_buckets { row.buckets } else { row.hashes });
                rows.iter().filter_map(|row| Some((x(row), y(row)?))).collect::<Vec<_>>()
            };
            let (ink, pair) = (Ink::Colour(i), Ink::Colour(if by_buckets { i } else { 1 }));
            let share =
                if by_buckets { format!("expected, hashes: {hashes}") } else { "expected share".to_owned() };
            let of = |ink, mark, points| Curve { label: None, ink, mark, points };
            let theory = of(ink, Mark::Line, points(&|row| Some(row.expected_share)));
            curves.push(Curve { label: Some(share), ..theory });
            curves.push(of(pair, Mark::Dashes, points(&|row| Some(row.pair))));
            curves.push(of(ink, Mark::Disc, points(&|row| row.measured_share.filter(|share| *share > 0.0))));
            // No place for 0 on a logarithmic axis: where two ids would stand, the fewest that can share.
            let least = 2.0 / self.ids as f64;
            curves.push(of(
                ink,
                Mark::Ring,
                points(&|row| row.measured_share.filter(|s| *s == 0.0).map(|_| least)),
            ));
        }
        let keys = [
            (Mark::Dashes, "one given pair"),
            (Mark::Disc, "measured share"),
            (Mark::Ring, "measured: none (drawn at 2 ids)"),
        ];
        for (mark, label) in keys {
            let drawn = curves.iter().find(|curve| curve.mark == mark && !curve.points.is_empty());
            if let Some(ink) = drawn.map(|curve| if by_buckets { Ink::Text } else { curve.ink }) {
                curves.push(Curve { label: Some(label.to_owned()), ink, mark, points: Vec::new() });
            }
        }
        curves
    }
}

/// `1,000,000`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn scientific(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.4e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Numbers>().map(|numbers| numbers.0);
        assert_eq!(read("1e6"), Ok(vec![1_000_000]));
        assert_eq!(read("1000000"), Ok(vec![1_000_000]));
        assert_eq!(read("1.5e3"), Ok(vec![1500]));
        assert_eq!(read("1..5"), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(read("8, 1..3,2"), Ok(vec![1, 2, 3, 8]));
        assert_eq!(read("18446744073709551615"), Ok(vec![u64::MAX]));
        for bad in ["", "x", "1.5", "-1", "5..1", "1..", "1,,2", "1e300", "inf", "nan", "1..1e9", "1..=5"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1000, 123_456_789].map(grouped), ["0", "999", "1,000", "123,456,789"]);
    }
}

//! Curves as an SVG that is readable on light and dark pages.
//!
//! plotters lays it out and draws; two things are ours. [`Scale`], because plotters' own logarithmic axis has no tick below
//! 2.2·10⁻¹⁶, and probabilities go to 10⁻²⁰ and beyond. And the dark page: plotters writes colours as attributes, which a style
//! sheet overrides, so a sheet with the dark twin of every ink is put in front of what it drew.

use plotters::chart::ChartContext;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use std::fmt::Write as _;
use std::ops::Range;

/// Width in pixels where the page does not say otherwise, and the usual height.
const WIDTH: u32 = 900;
pub(crate) const HEIGHT: u32 = 540;

/// Every ink on a light page, and on a dark one.
const INKS: [(RGBColor, RGBColor); 9] = [
    (RGBColor(255, 255, 255), RGBColor(13, 17, 23)), // the page
    (RGBColor(31, 35, 40), RGBColor(240, 246, 252)), // text
    (RGBColor(209, 217, 224), RGBColor(61, 68, 77)), // grid
    (RGBColor(9, 105, 218), RGBColor(68, 147, 248)),
    (RGBColor(188, 76, 0), RGBColor(219, 109, 40)),
    (RGBColor(26, 127, 55), RGBColor(63, 185, 80)),
    (RGBColor(130, 80, 223), RGBColor(171, 125, 248)),
    (RGBColor(207, 34, 46), RGBColor(248, 81, 73)),
    (RGBColor(27, 124, 131), RGBColor(57, 197, 207)),
];
const PAGE: RGBColor = INKS[0].0;
const TEXT: RGBColor = INKS[1].0;
const GRID: RGBColor = INKS[2].0;

/// The ink of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// That of the text.
    Text,
    /// One of six colours; more begin again.
    Colour(usize),
}

/// What is drawn at, or through, the points of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Line,
    Dashes,
    Disc,
    Ring,
}

/// Points `(x, y)` with x ascending, y above 0.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    /// In the legend; `None`: not there.
    pub(crate) label: Option<String>,
    pub(crate) ink: Ink,
    pub(crate) mark: Mark,
    pub(crate) points: Vec<(f64, f64)>,
}

/// An axis: what is written at which places, and how far it goes.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    ticks: Vec<(f64, String)>,
    range: Range<f64>,
    logarithmic: bool,
}

impl Scale {
    /// An axis with these ticks, ascending and above 0, and some room beside them.
    pub(crate) fn of_ticks(ticks: Vec<(f64, String)>, logarithmic: bool) -> Self {
        let first = ticks.first().map_or(1.0, |tick| tick.0);
        let last = ticks.last().map_or(1.0, |tick| tick.0);
        let range = if logarithmic {
            let room = (last / first).powf(0.05).max(1.1);
            first / room..last * room
        } else {
            first - 0.5..last + 0.5
        };
        Self { ticks, range, logarithmic }
    }

    /// A logarithmic axis in whole decades around `values`, those above 0: three at least, sixteen ticks at most.
    pub(crate) fn decades(values: impl Iterator<Item = f64> + Clone) -> Self {
        let exponents = values.filter(|value| *value > 0.0).map(f64::log10);
        let low = exponents.clone().fold(0.0, f64::min).floor() as i32;
        let high = (exponents.fold(f64::from(low), f64::max).ceil() as i32).max(low);
        let low = low.min(high - 3);
        let step = (high - low) / 16 + 1;
        let ticks = (low..=high).rev().step_by(step as usize).map(|exponent| {
            (10f64.powi(exponent), if exponent == 0 { "1".to_owned() } else { format!("1e{exponent}") })
        });
        // A little above the top, so that a mark there is whole.
        let range = 10f64.powi(low)..10f64.powi(high) * 10f64.powf(f64::from(high - low) * 0.02);
        Self { ticks: ticks.collect(), range, logarithmic: true }
    }

    /// An axis from `low` to `high` with some six ticks at round numbers.
    pub(crate) fn linear(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let least = (high - low) / 6.0;
        let power = 10f64.powi(least.log10().floor() as i32);
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least);
        let step = step.unwrap_or(10.0 * power);
        // Ends that are ticks themselves are in, though the quotient was rounded.
        let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        let ticks = (first..=last.min(first + 12)).map(|tick| {
            let value = tick as f64 * step;
            (value, round(value, step))
        });
        Self { ticks: ticks.collect(), range: low..high, logarithmic: false }
    }

    /// Whether it has a place for `value`.
    pub(crate) fn holds(&self, value: f64) -> bool {
        self.range.start <= value && value <= self.range.end
    }

    fn place(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (start, end) = (self.place(self.range.start), self.place(self.range.end));
        let share = (self.place(*value) - start) / (end - start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    /// All ticks are bold ones, however many are asked for.
    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|tick| tick.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|tick| tick.0 == *value).map_or(String::new(), |tick| tick.1.clone())
    }
}

/// `value` to the digits that tell it from its neighbours a step away; in thousands or millions where those are whole.
fn round(value: f64, step: f64) -> String {
    for (unit, name) in [(1e6, "M"), (1e3, "k")] {
        if step >= unit {
            return if value == 0.0 { "0".to_owned() } else { format!("{:.0}{name}", value / unit) };
        }
    }
    let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.digits$}")
}

/// Where the legend stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Corner {
    LowerLeft,
    LowerRight,
    UpperRight,
}

impl Corner {
    fn position(self) -> SeriesLabelPosition {
        match self {
            Self::LowerLeft => SeriesLabelPosition::LowerLeft,
            Self::LowerRight => SeriesLabelPosition::LowerRight,
            Self::UpperRight => SeriesLabelPosition::UpperRight,
        }
    }
}

/// A chart, without what depends on how it is drawn.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
    /// What stands along the axes.
    pub(crate) axes: [&'static str; 2],
    pub(crate) curves: Vec<Curve>,
    /// In pixels; see [`HEIGHT`].
    pub(crate) height: u32,
    pub(crate) legend: Corner,
}

type Drawn<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale, Scale>>;
type Fault = DrawingAreaErrorKind<std::io::Error>;

impl Chart {
    /// The whole file.
    ///
    /// # Errors
    /// Those of plotters, which has none when it draws to memory.
    pub(crate) fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| format!("the chart cannot be drawn: {error}"))?;
        let body = svg.find('>').map_or(0, |end| end + 1);
        svg.insert_str(body, &style());
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), Fault> {
        let page = SVGBackend::with_string(svg, (WIDTH, self.height)).into_drawing_area();
        page.fill(&PAGE)?;
        let mut builder = ChartBuilder::on(&page);
        builder.margin(12).margin_right(24);
        if !self.title.is_empty() {
            builder.caption(&self.title, font(18));
        }
        builder.x_label_area_size(48).y_label_area_size(72);
        let mut chart = builder.build_cartesian_2d(self.x.clone(), self.y.clone())?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.axes[0]).y_desc(self.axes[1]).label_style(font(13)).axis_desc_style(font(14));
        mesh.axis_style(TEXT).bold_line_style(GRID).light_line_style(TRANSPARENT).draw()?;
        for curve in &self.curves {
            curve.draw(&mut chart)?;
        }
        let mut legend = chart.configure_series_labels();
        legend.position(self.legend.position()).margin(12).legend_area_size(36);
        legend.background_style(PAGE.filled()).border_style(GRID).label_font(font(13)).draw()?;
        page.present()
    }
}

impl Curve {
    fn colour(&self) -> RGBColor {
        let colours = &INKS[3..];
        match self.ink {
            Ink::Text => TEXT,
            Ink::Colour(index) => colours.get(index % colours.len()).map_or(TEXT, |ink| ink.0),
        }
    }

    fn draw<'a, 'b: 'a>(&self, chart: &mut Drawn<'a, 'b>) -> Result<(), Fault> {
        let (mark, line) = (self.mark, self.colour().stroke_width(2));
        let points = || self.points.iter().copied();
        let drawn = match mark {
            Mark::Line => chart.draw_series(LineSeries::new(points(), line))?,
            Mark::Dashes => chart.draw_series(DashedLineSeries::new(self.points.clone(), 6, 5, line))?,
            Mark::Disc => chart.draw_series(points().map(|point| Circle::new(point, 5, line.filled())))?,
            Mark::Ring => chart.draw_series(points().map(|point| Circle::new(point, 5, line)))?,
        };
        if let Some(label) = &self.label {
            drawn.label(label).legend(move |(x, y)| match mark {
                Mark::Line => PathElement::new(vec![(x, y), (x + 28, y)], line).into_dyn(),
                Mark::Dashes => DashedPathElement::new(vec![(x, y), (x + 28, y)], 6, 5, line).into_dyn(),
                Mark::Disc => Circle::new((x + 14, y), 5, line.filled()).into_dyn(),
                Mark::Ring => Circle::new((x + 14, y), 5, line).into_dyn(),
            });
        }
        Ok(())
    }
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT)
}

/// The dark twin of every ink, where the page around is dark.
fn style() -> String {
    let hex = |ink: RGBColor| format!("#{:02X}{:02X}{:02X}", ink.0, ink.1, ink.2);
    let mut style = "\n<style>\n@media (prefers-color-scheme: dark) {\n".to_owned();
    for (light, dark) in INKS {
        let (light, dark) = (hex(light), hex(dark));
        // A string takes whatever is written to it.
        let _ = writeln!(
            style,
            "  [fill=\"{light}\"] {{ fill: {dark} }} [stroke=\"{light}\"] {{ stroke: {dark} }}"
        );
    }
    style + "}\n</style>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let ys: Vec<f64> = points.iter().map(|point| point.1).collect();
        let marks = [Mark::Line, Mark::Dashes, Mark::Disc, Mark::Ring];
        let curves = marks.into_iter().enumerate().map(|(i, mark)| Curve {
            label: Some(format!("{mark:?} <&>")),
            ink: if i == 3 { Ink::Text } else { Ink::Colour(i) },
            mark,
            points: points.clone(),
        });
        Chart {
            title: "a title".to_owned(),
            x: Scale::of_ticks(vec![(1.0, "one".to_owned()), (2.0, "two".to_owned())], false),
            y: Scale::decades(ys.into_iter()),
            axes: ["along", "up"],
            curves: curves.collect(),
            height: HEIGHT,
            legend: Corner::LowerLeft,
        }
    }

    #[test]
    fn axes_in_decades_have_a_tick_at_powers_of_ten_however_small() {
        let labels = |values: &[f64]| {
            let scale = Scale::decades(values.iter().copied());
            let labels: Vec<String> = scale.ticks.iter().map(|tick| scale.format_ext(&tick.0)).collect();
            (labels.join(" "), scale)
        };
        assert_eq!(labels(&[0.5, 0.002]).0, "1 1e-1 1e-2 1e-3");
        assert_eq!(labels(&[1.0]).0, "1 1e-1 1e-2 1e-3");
        assert_eq!(labels(&[3e-19, 1e-20]).0, "1e-18 1e-19 1e-20 1e-21");
        let (text, scale) = labels(&[1.0, 2e-136, 0.0]);
        assert!(text.starts_with("1 1e-9 ") && scale.ticks.len() <= 17, "{text}");
        for (value, expected) in [(1e-136, 0), (1.0, 98), (1e-68, 49)] {
            let place = scale.map(&value, (0, 100));
            assert!((place - expected).abs() <= 1, "{value}: {place}");
        }
        assert_eq!(labels(&[]).1.range(), 1e-3..10f64.powf(0.06));
    }

    #[test]
    fn linear_axes_have_some_round_ticks_however_wide_they_are() {
        for (low, high, expected) in [
            (0.0, 1.0, "0.0 0.2 0.4 0.6 0.8 1.0"),
            (0.42, 0.47, "0.42 0.43 0.44 0.45 0.46 0.47"),
            (0.0, 327_346.0, "0 100k 200k 300k"),
            (0.0, 20_000_000.0, "0 5M 10M 15M 20M"),
            (0.0, 120.0, "0 20 40 60 80 100 120"),
            (-0.3, 0.3, "-0.3 -0.2 -0.1 0.0 0.1 0.2 0.3"),
            (5.0, 5.0, "5.0 5.2 5.4 5.6 5.8 6.0"),
        ] {
            let labels: Vec<String> = Scale::linear(low, high).ticks.into_iter().map(|tick| tick.1).collect();
            assert_eq!(labels.join(" "), expected, "{low} {high}");
        }
    }

    #[test]
    fn every_colour_has_a_dark_twin_and_text_is_escaped() {
        let svg = chart(vec![(1.0, 0.1), (2.0, 1e-20)]).svg().unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
        let (head, body) = svg.split_once("</style>").unwrap();
        for colour in body.split('"').filter(|text| text.starts_with('#')) {
            assert!(head.contains(&format!("[fill=\"{colour}\"]")), "{colour}");
        }
        for text in ["a title", "along", "up", "one", "two", "1e-19", "Ring &lt;&amp;&gt;"] {
            assert!(body.lines().any(|line| line.trim() == text), "{text}: {body}");
        }
        assert_eq!(body.matches("<circle").count(), 2 * 2 + 2, "two marks of two curves, and their legend");
    }

    #[test]
    fn one_point_is_a_chart_too() {
        let mut one = chart(vec![(1.0, 1.0)]);
        for logarithmic in [false, true] {
            one.x = Scale::of_ticks(vec![(1.0, "one".to_owned())], logarithmic);
            assert!(!one.svg().unwrap().contains("NaN"));
        }
    }
}

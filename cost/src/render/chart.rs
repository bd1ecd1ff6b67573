//! Charts as SVG within HTML. The tables below hold the same amounts.

use super::{Chart, ChartKind, escaped};
use crate::money::Amount;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
/// Colours of the style sheet.
pub(super) const COLOURS: usize = 8;

/// Bars: height of a row, and where the bars begin and end at most.
const ROW: f64 = 26.0;
const NAMES: f64 = 220.0;
const NUMBERS: f64 = 130.0;
/// Stacks: height of the drawing, and room for the labels left and below.
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 90.0;
const BELOW: f64 = 24.0;
/// Width of a time below stacks, and how many of them are written at most.
const TIME: f64 = 76.0;
const TIMES_MAX: usize = 10;
const NAME_MAX: usize = 30;

/// Writes a chart; `index` makes its ids unique within the document.
pub(super) fn write(out: &mut String, chart: &Chart, index: usize) {
    let height = match chart.kind {
        ChartKind::Bars => chart.labels.len() as f64 * ROW,
        ChartKind::Stacks => HEIGHT + BELOW,
    };
    let title = escaped(&chart.title);

    let _ = write!(
        out,
        "<figure>\n<figcaption>{title}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" \
         aria-labelledby=\"chart-{index}-title chart-{index}-desc\">\n<title \
         id=\"chart-{index}-title\">{title}</title>\n\
         <desc id=\"chart-{index}-desc\">{}</desc>\n",
        escaped(&described(chart))
    );

    match chart.kind {
        ChartKind::Bars => write_bars(out, chart),
        ChartKind::Stacks => write_stacks(out, chart),
    }

    out.push_str("</svg>\n");
    if chart.kind == ChartKind::Stacks {
        write_legend(out, chart);
    }
    out.push_str("</figure>\n");
}

fn described(chart: &Chart) -> String {
    let (count, names) = match chart.kind {
        ChartKind::Bars => ("bars", chart.labels.clone()),
        ChartKind::Stacks => (
            "columns",
            chart
                .series
                .iter()
                .map(|series| series.name.clone())
                .collect(),
        ),
    };

    format!(
        "{} {count}: {}. The table holds the amounts.",
        chart.labels.len(),
        crate::report::listed(&names)
    )
}

fn write_bars(out: &mut String, chart: &Chart) {
    let Some(series) = chart.series.first() else {
        return;
    };
    let low = series
        .amounts
        .iter()
        .map(|amount| amount.to_f64())
        .fold(0.0, f64::min);
    let high = series
        .amounts
        .iter()
        .map(|amount| amount.to_f64())
        .fold(0.0, f64::max);
    let scale = (WIDTH - NAMES - NUMBERS) / (high - low).max(f64::MIN_POSITIVE);
    let x = |value: f64| NAMES + (value - low) * scale;

    for (index, (label, amount)) in chart.labels.iter().zip(&series.amounts).enumerate() {
        let value = amount.to_f64();
        let top = index as f64 * ROW;
        let from = x(value.min(0.0));
        let to = x(value.max(0.0));
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"s0\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
             height=\"{:.1}\"><title>{}: {}</title></rect>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            NAMES - 8.0,
            top + ROW * 0.65,
            escaped(&cut(label)),
            top + 4.0,
            (to - from).max(0.5),
            ROW - 8.0,
            escaped(named(label)),
            amount.rounded(2),
            to + 6.0,
            top + ROW * 0.65,
            formatted(*amount),
        );
    }
}

fn write_stacks(out: &mut String, chart: &Chart) {
    let sums = |is_wanted: fn(f64) -> bool| {
        let at = move |place: usize| {
            let amounts = chart
                .series
                .iter()
                .filter_map(move |series| series.amounts.get(place));

            amounts
                .map(|amount| amount.to_f64())
                .filter(|value| is_wanted(*value))
                .sum::<f64>()
        };

        (0..chart.labels.len()).map(at)
    };

    let high = sums(|value| value > 0.0).fold(0.0, f64::max);
    let low = sums(|value| value < 0.0).fold(0.0, f64::min);
    let scale = (HEIGHT - 20.0) / (high - low).max(f64::MIN_POSITIVE);
    let y = |value: f64| 10.0 + (high - value) * scale;
    let step = (WIDTH - LEFT) / chart.labels.len().max(1) as f64;

    for value in [high, high / 2.0, 0.0, low]
        .into_iter()
        .filter(|value| *value != 0.0 || high > 0.0 || low < 0.0)
    {
        let amount = Amount::from_f64(value).unwrap_or_default();
        let _ = writeln!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\
             <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            formatted(amount),
        );
    }

    for (place, label) in chart.labels.iter().enumerate() {
        let x = LEFT + place as f64 * step;
        write_column(out, chart, place, (x + step * 0.1, step * 0.8), &y);

        // A label that would cross the right edge is left out, but never the first one.
        let is_inside = place == 0 || x + TIME <= WIDTH;
        if is_inside && place % chart.labels.len().div_ceil(TIMES_MAX) == 0 {
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                HEIGHT + 16.0,
                escaped(&cut(label))
            );
        }
    }
}

/// One column of a stack: at `x` and so wide.
fn write_column(
    out: &mut String,
    chart: &Chart,
    place: usize,
    (x, width): (f64, f64),
    y: &impl Fn(f64) -> f64,
) {
    let mut above = 0.0;
    let mut below = 0.0;
    for (index, series) in chart.series.iter().enumerate() {
        let Some(amount) = series.amounts.get(place).filter(|amount| !amount.is_zero()) else {
            continue;
        };
        let value = amount.to_f64();
        let base = if value > 0.0 { &mut above } else { &mut below };
        let from = *base;
        let to = *base + value;

        *base = to;
        let _ = writeln!(
            out,
            "<rect class=\"s{}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
                height=\"{:.1}\"><title>{} {}: {}</title></rect>",
            index % COLOURS,
            y(from.max(to)),
            y(from.min(to)) - y(from.max(to)),
            escaped(&chart.labels[place]),
            escaped(named(&series.name)),
            amount.rounded(2),
        );
    }
}

fn write_legend(out: &mut String, chart: &Chart) {
    out.push_str("<ul class=\"legend\">\n");
    for (index, series) in chart.series.iter().enumerate() {
        let _ = writeln!(
            out,
            "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"s{}\" width=\"10\" \
                height=\"10\"/></svg>{}</li>",
            index % COLOURS,
            escaped(named(&series.name)),
        );
    }

    out.push_str("</ul>\n");
}

fn formatted(amount: Amount) -> String {
    let is_small = !amount.is_zero() && amount.to_f64().abs() < 1.0;
    amount.rounded(if is_small { 4 } else { 2 })
}

fn named(name: &str) -> &str {
    if name.is_empty() { "(none)" } else { name }
}

/// A name shortened to fit next to a bar.
fn cut(name: &str) -> String {
    let name = named(name);
    let is_long = name.chars().count() > NAME_MAX;
    if is_long {
        name.chars().take(NAME_MAX - 1).chain(['…']).collect()
    } else {
        name.to_owned()
    }
}

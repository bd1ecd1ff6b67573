//! Output for people: tables, sizes, ages, colours.

use console::{Style, measure_text_width};
use regionmesh_cost::render::aligned;
use regionmesh_protocol::{status::condition::Condition, text::is_unprintable};
use std::{
    io::{self, Write},
    sync::OnceLock,
};

/// Longest line, columns, where nothing is lost by it.
pub(super) const WIDTH: usize = 100;

/// Standard output can't be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(super) struct OutputError(#[source] pub io::Error);

/// Writes to standard output; unlike `println!` it does not panic when the reader is gone.
pub(super) fn print(text: &str) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(OutputError)
}

/// When tables are coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColourChoice {
    /// On a terminal
    #[default]
    Auto,
    /// Also in files and pipes
    Always,
    /// Not even on a terminal
    Never,
}

/// How this run of the program prints: set once, before a command runs.
static PRINTING: OnceLock<Printing> = OnceLock::new();

#[derive(Debug, Clone, Copy, Default)]
struct Printing {
    colour: ColourChoice,
    is_verbose: bool,
}

/// Sets how this run of the program prints; later calls change nothing.
pub(super) fn set_style(colour: ColourChoice, is_verbose: bool) {
    let _ = PRINTING.set(Printing { colour, is_verbose });
}

/// Whether `--verbose` is given.
pub(super) fn is_verbose() -> bool {
    PRINTING.get().is_some_and(|printing| printing.is_verbose)
}

/// Prints a detail to standard error if `--verbose` is given.
pub(super) fn trace(text: impl FnOnce() -> String) {
    if is_verbose() {
        eprintln!("debug: {}", text());
    }
}

/// Whether standard output takes colours: as asked for; else if `FORCE_COLOR` or `CLICOLOR_FORCE`
/// is set, or on a terminal that is not dumb while `NO_COLOR` (<https://no-color.org>) is not set.
pub(super) fn takes_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_forced =
        |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");

    match PRINTING.get().copied().unwrap_or_default().colour {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto if is_set("NO_COLOR") => false,
        ColourChoice::Auto if is_forced("FORCE_COLOR") || is_forced("CLICOLOR_FORCE") => true,
        ColourChoice::Auto => {
            io::IsTerminal::is_terminal(&io::stdout())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// A colour, by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    /// Needs attention.
    Uneasy,
    Bad,
    /// Of minor importance.
    Faint,
    /// For headings.
    Strong,
}

impl Tone {
    /// The tone of a verdict or an observation.
    pub(super) fn of(condition: Condition) -> Self {
        match condition {
            Condition::Healthy => Self::Good,
            Condition::Suspect | Condition::Draining => Self::Uneasy,
            Condition::Failed => Self::Bad,
            Condition::Unknown => Self::Faint,
        }
    }
}

/// Colours text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    /// Whether to colour at all.
    pub is_on: bool,
}

impl Paint {
    /// The text in that tone.
    pub(super) fn tone(self, tone: Tone, text: impl Into<String>) -> String {
        let text = text.into();
        let style = Style::new().force_styling(true);
        let style = match tone {
            Tone::Good => style.green(),
            Tone::Uneasy => style.yellow(),
            Tone::Bad => style.red(),
            Tone::Faint => style.dim(),
            Tone::Strong => style.bold(),
        };

        if self.is_on && !text.is_empty() {
            style.apply_to(text).to_string()
        } else {
            text
        }
    }
}

/// Text of a peer or a user, safe on a terminal: nothing unprintable, and at most `limit`
/// characters.
pub(super) fn plain(text: &str, limit: usize) -> String {
    let mut visible = text
        .chars()
        .map(|c| if is_unprintable(c) { ' ' } else { c });
    let mut kept: String = visible.by_ref().take(limit).collect();

    if visible.next().is_some() {
        kept.pop();
        kept.push('…');
    }

    kept
}

/// Breaks a text at spaces so that it fits into [`WIDTH`], the first line after `head`, the others
/// indented as far.
pub(super) fn wrap(head: &str, text: &str) -> String {
    let indent = measure_text_width(head);
    let mut lines = String::from(head);
    let mut column = indent;
    let mut is_first = true;

    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !is_first && column + 1 + length > WIDTH {
            lines.push('\n');
            lines += &" ".repeat(indent);
            column = indent;
        } else if !is_first {
            lines.push(' ');
            column += 1;
        }

        lines += word;
        column += length;
        is_first = false;
    }

    lines.truncate(lines.trim_end().len());
    lines + "\n"
}

/// A table whose columns are as wide as they need to be.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings, separated by `, `.
    pub(super) fn new(headings: &str) -> Self {
        Self {
            rows: vec![headings.split(", ").map(Into::into).collect()],
        }
    }

    /// Sets the headings off from the rows.
    #[must_use]
    pub(super) fn heading(mut self, paint: Paint) -> Self {
        for cell in self.rows.iter_mut().take(1).flatten() {
            *cell = paint.tone(Tone::Strong, std::mem::take(cell));
        }
        self
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as lines.
    pub(super) fn render(&self) -> String {
        aligned(&self.rows, |_| false, measure_text_width)
    }
}

/// How long, in the largest unit that says enough; `ms` in milliseconds.
pub(super) fn ago(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// A size, decimal units.
pub(super) fn bytes(size: u64) -> String {
    let size = size as f64;
    match size {
        ..1e3 => format!("{size} B"),
        ..1e6 => format!("{:.1} kB", size / 1e3),
        ..1e9 => format!("{:.1} MB", size / 1e6),
        _ => format!("{:.2} GB", size / 1e9),
    }
}

/// A point in time, UTC; `ms` are Unix milliseconds.
pub(super) fn moment(ms: u64) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    i64::try_from(ms / 1_000)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(format).ok())
        .unwrap_or_else(|| format!("{ms} ms after 1970"))
}

/// A number of things.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A share of 1 in percent.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 0.05 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

#[cfg(test)]
mod tests;

//! Answers from files alone, without a mesh.

use crate::cli::error::CommandError;
use anyhow::{Result, bail};
use regionmesh::{
    config::CostConfig,
    cost::{
        answers::{self, Format, Sources},
        import,
        questions::{Parameters, Question},
    },
};
use regionmesh_cost::{Currency, Group, ImportOptions, ImportReport, Ledger, StoredPart};
use regionmesh_protocol::text::visible;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// Warnings about files in one answer; the others are counted.
const WARNINGS_MAX: usize = 20;
/// Bad rows that a warning quotes.
const QUOTED_MAX: usize = 3;

/// Answers a question of a kind from files, and says whether all of them could be read to their
/// end. Warnings about the files are part of the answer. As CSV has no place for them, and a saved
/// page may be read later, these two also print them to standard error.
pub(super) fn answer(
    paths: &[PathBuf],
    currency: Option<Currency>,
    kind: &str,
    parameters: &Parameters,
    format: Format,
) -> Result<(String, bool)> {
    let now_ms = regionmesh_runtime::time::unix_ms();
    let today = regionmesh::cost::day::date(now_ms);

    // Parsed before the bills are read, so that a misspelling is reported immediately.
    let question = Question::parse(kind, parameters, today)
        .map_err(|error| CommandError::Usage(error.to_string()))?;
    let cost = CostConfig {
        tags: tags(&question),
        ..CostConfig::default()
    };
    let found = import::find(paths).map_err(CommandError::from)?;
    let options = ImportOptions {
        tag_keys: cost.tag_keys(),
        source: None,
        currency,
    };
    let read = import::read(&found.files, options, |_| ()).map_err(CommandError::from)?;
    let report = read.report;

    if report.imported == 0 {
        bail!(
            "no row of these files can be used{}",
            first_fault(&report)
                .map(|why| format!(": {why}"))
                .unwrap_or_default()
        );
    }

    let warnings = warnings(&report, found.passed_over);
    if matches!(format, Format::Csv | Format::Html) {
        warnings
            .iter()
            .for_each(|warning| eprintln!("warning: {}", visible(warning)));
    }

    let last = report.days.map_or(today, |(_, last)| last);

    let mut ledger = Ledger::default();
    for part in read.parts {
        let stored = StoredPart::new(part.source, part.period, now_ms, "files".into(), part.cells)?;
        ledger.insert(Arc::new(stored));
    }

    // The default last day is that of the bills, not today.
    let question = Question::parse(kind, parameters, last)
        .map_err(|error| CommandError::Usage(error.to_string()))?;
    let sources = Sources::of_files(ledger, cost, last);
    let mut answer = answers::answer(&question, &sources)?;

    answer.add_file_warnings(&question, warnings);
    Ok((answer.render(format), report.is_complete()))
}

/// The tags that a question names.
fn tags(question: &Question) -> Vec<String> {
    let span = match question {
        Question::Report(span)
        | Question::Trends(span, _)
        | Question::Models(span)
        | Question::Egress(span)
        | Question::Forecast(span, _) => span,
        _ => return Vec::new(),
    };

    let groups = span
        .by
        .iter()
        .chain(span.filters.iter().map(|filter| &filter.group));
    let keys: BTreeSet<String> = groups
        .filter_map(|group| match group {
            Group::Tag(key) => Some(key.clone()),
            _ => None,
        })
        .collect();

    keys.into_iter().collect()
}

/// Why a file, or else a row, can't be used.
fn first_fault(report: &ImportReport) -> Option<String> {
    let of_file = report
        .files
        .iter()
        .find_map(|file| file.error.as_ref())
        .map(ToString::to_string);

    of_file.or_else(|| report.bad_rows.first().map(ToString::to_string))
}

/// What was left out of the files, then what they lack.
fn warnings(report: &ImportReport, passed_over: Vec<String>) -> Vec<String> {
    let errors = report.files.iter().filter_map(|file| file.error.as_ref());
    let mut all: Vec<String> = errors
        .map(|error| format!("{error}; what was read before counts"))
        .collect();

    all.extend(passed_over);
    let bad: u64 = report.bad.values().sum();
    if bad > 0 {
        let quoted: Vec<String> = report
            .bad_rows
            .iter()
            .take(QUOTED_MAX)
            .map(ToString::to_string)
            .collect();

        all.push(format!(
            "{bad} of {} rows are bad and were left out; the first: {}",
            report.rows,
            quoted.join("; ")
        ));
    }

    if report.rounded > 0 {
        all.push(format!(
            "{} rows have amounts of more than 15 decimals; these were rounded",
            report.rounded
        ));
    }

    for file in &report.files {
        all.extend(
            file.warnings
                .iter()
                .map(|warning| format!("{}: {warning}", file.name)),
        );
    }

    if let Some(more) = all.len().checked_sub(WARNINGS_MAX).filter(|more| *more > 0) {
        all.truncate(WARNINGS_MAX);
        all.push(format!(
            "there are {more} more warnings about files; ask about fewer of them to read these"
        ));
    }

    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

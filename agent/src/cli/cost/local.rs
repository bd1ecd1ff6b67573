//! Answers from files alone, without a mesh.

use crate::{
    cli::client::ClientError,
    config::CostConfig,
    cost::{
        answers::{self, Format, Sources},
        import,
        questions::{Parameters, Question},
    },
};
use anyhow::Result;
use regionmesh_cost::{Currency, Group, ImportOptions, Ledger, StoredPart, date_at};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use time::Date;

/// The answer to a question of a kind, from files. What is odd about the files goes to standard error.
pub(super) fn answer(
    paths: &[PathBuf],
    currency: Option<Currency>,
    kind: &str,
    parameters: &Parameters,
    format: Format,
) -> Result<String> {
    let now_ms = crate::time::unix_ms();
    let today = date_at(now_ms).unwrap_or(Date::MIN);
    // First without the bills: what is misspelt is said before they are read.
    let question = Question::parse(kind, parameters, today).map_err(|error| ClientError::Usage(error.to_string()))?;
    let cost = CostConfig { tags: tags(&question), ..CostConfig::default() };
    let files = import::find(paths).map_err(ClientError::from)?;
    let options = ImportOptions { tag_keys: cost.tag_keys(), source: None, currency };
    let read = import::read(&files, options, |_| ())?;
    warn(&read.report);
    let last = read.report.days.map_or(today, |(_, last)| last);

    let mut ledger = Ledger::default();
    for part in read.parts {
        let stored = StoredPart::new(part.source, part.period, now_ms, "files".into(), part.cells)?;
        ledger.insert(Arc::new(stored));
    }
    // The days that are asked for end where the bills do, not today.
    let question = Question::parse(kind, parameters, last).map_err(|error| ClientError::Usage(error.to_string()))?;
    let sources = Sources::of_files(ledger, cost, last);
    Ok(answers::answer(&question, &sources)?.render(format))
}

/// The tags that a question is about.
fn tags(question: &Question) -> Vec<String> {
    let span = match question {
        Question::Report(span)
        | Question::Trends(span, _)
        | Question::Models(span)
        | Question::Egress(span)
        | Question::Forecast(span, _) => span,
        _ => return Vec::new(),
    };
    let groups = span.by.iter().chain(span.filters.iter().map(|filter| &filter.group));
    let keys: BTreeSet<String> = groups
        .filter_map(|group| match group {
            Group::Tag(key) => Some(key.clone()),
            _ => None,
        })
        .collect();
    keys.into_iter().collect()
}

fn warn(report: &regionmesh_cost::ImportReport) {
    for file in &report.files {
        for warning in &file.warnings {
            eprintln!("warning: {}: {warning}", file.name);
        }
        if let Some(error) = &file.error {
            eprintln!("warning: {error}; what was read before counts");
        }
    }
    let bad: u64 = report.bad.values().sum();
    if bad > 0 {
        eprintln!("warning: {bad} of {} rows are bad and were left out; the first:", report.rows);
        report.bad_rows.iter().take(5).for_each(|row| eprintln!("  {row}"));
    }
}

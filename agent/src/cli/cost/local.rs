//! Answers from files alone, without a mesh.

use crate::{
    cli::error::CommandError,
    config::CostConfig,
    cost::{
        answers::{self, Format, Sources},
        import,
        questions::{Parameters, Question},
    },
};
use anyhow::{Result, bail};
use regionmesh_cost::{Currency, Group, ImportOptions, ImportReport, Ledger, StoredPart};
use regionmesh_protocol::text::visible;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// Warnings about files in one answer; the others are counted.
const WARNINGS_MAX: usize = 20;
/// Bad rows that a warning quotes.
const QUOTED_MAX: usize = 3;

/// Answers a question of a kind from files, and says whether all of them could be read to their
/// end. Warnings about the files are part of the answer. As CSV has no place for them, and a saved
/// page may not be read at once, these two also print them to standard error.
pub(super) fn answer(
    paths: &[PathBuf],
    currency: Option<Currency>,
    kind: &str,
    parameters: &Parameters,
    format: Format,
) -> Result<(String, bool)> {
    let now_ms = regionmesh_runtime::time::unix_ms();
    let today = crate::cost::day::date(now_ms);

    // First without the bills: what is misspelt is said before they are read.
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

    // The days that are asked for end where the bills do, not today.
    let question = Question::parse(kind, parameters, last)
        .map_err(|error| CommandError::Usage(error.to_string()))?;
    let sources = Sources::of_files(ledger, cost, last);
    let mut answer = answers::answer(&question, &sources)?;

    answer.add_file_warnings(&question, warnings);
    Ok((answer.render(format), report.is_complete()))
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

/// What was left out of files, then what they lack.
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
mod tests {
    use super::*;
    use serde_json::Value;

    const HEAD: &str =
        "ProviderName,BillingCurrency,ChargePeriodStart,ChargeCategory,EffectiveCost\n";

    #[test]
    fn an_answer_says_what_of_its_files_was_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write =
            |name: &str, rows: &str| std::fs::write(at(name), format!("{HEAD}{rows}")).unwrap();

        write("good.csv", "AWS,USD,2026-09-01,Usage,1.5\n");
        write(
            "odd.csv",
            "AWS,USD,2026-09-02,Usage,0.0000000000000001\nAWS,USD,2026-09-02,Usage,much\n",
        );

        write("cut.csv", "AWS,USD,2026-09-03,Usage,2\nAWS,USD,20");
        write("none.csv", "AWS,USD,2026-09-02,Usage,much\n");
        std::fs::write(at("text.csv"), "no bill\n").unwrap();

        let asked = |kind: &str, names: &[&str], format| {
            let paths: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
            answer(&paths, None, kind, &Parameters::new(), format)
        };

        let all = ["good.csv", "odd.csv", "cut.csv", "text.csv"];
        let (shown, is_whole) = asked("report", &all, Format::Json).unwrap();
        assert!(!is_whole);

        let told: Value = serde_json::from_str(&shown).unwrap();
        let of_files = told["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|warning| warning["kind"] == "file");
        let told = of_files
            .map(|warning| warning["message"].to_string())
            .collect::<Vec<_>>()
            .join("\n");

        let parts = [
            "cut.csv: the file ends early",
            "text.csv: no column",
            "2 of 5 rows are bad and were left out; the first: ",
            "odd.csv:3: EffectiveCost",
            "1 rows have amounts",
            "good.csv: no column ListCost",
        ];

        for part in parts {
            assert!(told.contains(part), "{part}\n{told}");
            for format in [Format::Table, Format::Html] {
                assert!(
                    asked("report", &all, format).unwrap().0.contains(part),
                    "{part} in {format:?}"
                );
            }

            let (sources, _) = asked("sources", &all, Format::Json).unwrap();
            let sources: Value = serde_json::from_str(&sources).unwrap();
            assert!(
                sources["warnings"].to_string().contains(part),
                "{part}\n{sources}"
            );
        }

        assert!(
            asked("report", &["good.csv", "odd.csv"], Format::Json)
                .unwrap()
                .1
        );

        for (name, part) in [
            ("none.csv", "none.csv:2: EffectiveCost"),
            ("text.csv", "text.csv: no column"),
        ] {
            let error = asked("report", &[name], Format::Json)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("no row of these files can be used: ") && error.contains(part),
                "{error}"
            );
        }
    }
}

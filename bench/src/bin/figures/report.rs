//! Figures and their goals.

use serde::Serialize;
use std::{fmt::Write, time::Duration};

/// One figure.
#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    measured: String,
    /// None for figures without a goal.
    goal: Option<String>,
    holds: bool,
}

/// All figures of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

impl Report {
    /// Adds a figure whose goal is an upper limit.
    pub(crate) fn below(
        &mut self,
        name: &'static str,
        value: f64,
        limit: f64,
        unit: &str,
        detail: &str,
    ) {
        self.add(Figure {
            name,
            measured: with_detail(value, unit, detail),
            goal: Some(format!("< {limit} {unit}")),
            holds: value < limit,
        });
    }

    /// Adds a figure whose goal is a lower limit.
    pub(crate) fn at_least(
        &mut self,
        name: &'static str,
        value: f64,
        limit: f64,
        unit: &str,
        detail: &str,
    ) {
        self.add(Figure {
            name,
            measured: with_detail(value, unit, detail),
            goal: Some(format!(">= {limit} {unit}")),
            holds: value >= limit,
        });
    }

    /// Adds the 99th percentile of times with its goal, and the rest of the distribution as detail.
    pub(crate) fn times(&mut self, name: &'static str, times: &[Duration], limit: Duration) {
        let Some(p99) = percentile(times, 99) else {
            return self.failed(name, "nothing measured".into());
        };
        let goal = Some(format!("p99 < {} s", limit.as_secs_f64()));

        self.add(Figure {
            name,
            measured: distribution(times),
            goal,
            holds: p99 < limit,
        });
    }

    /// Adds a figure that could not be measured, or not as it should.
    pub(crate) fn failed(&mut self, name: &'static str, why: String) {
        self.add(Figure {
            name,
            measured: why,
            goal: None,
            holds: false,
        });
    }

    /// Adds a figure without a goal.
    pub(crate) fn note(&mut self, name: &'static str, measured: String) {
        self.add(Figure {
            name,
            measured,
            goal: None,
            holds: true,
        });
    }

    fn add(&mut self, figure: Figure) {
        let Figure {
            name,
            measured,
            goal,
            ..
        } = &figure;
        let goal = goal
            .as_deref()
            .map_or_else(String::new, |goal| format!(" ({goal})"));

        eprintln!(
            "  {}{name}: {measured}{goal}",
            if figure.holds { "" } else { "MISS " }
        );

        self.figures.push(figure);
    }

    /// Whether every goal was reached.
    pub(crate) fn holds(&self) -> bool {
        self.figures.iter().all(|figure| figure.holds)
    }

    /// As a Markdown table.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("\n| figure | measured | goal | held |\n|---|---|---|---|\n");
        for Figure {
            name,
            measured,
            goal,
            holds,
        } in &self.figures
        {
            let held = match (goal, holds) {
                (None, true) => "",
                (_, true) => "PASS",
                (_, false) => "MISS",
            };

            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "| {name} | {measured} | {} | {held} |",
                goal.as_deref().unwrap_or("")
            );
        }

        text
    }

    /// As one JSON object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn with_detail(value: f64, unit: &str, detail: &str) -> String {
    let separator = if detail.is_empty() { "" } else { "; " };
    format!("{value:.2} {unit}{separator}{detail}")
}

/// The nearest-rank percentile: the smallest time that at least `percent` % of the times do not
/// exceed.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Number, median, 99th percentile and maximum in words.
pub(crate) fn distribution(times: &[Duration]) -> String {
    let part = |percent| percentile(times, percent).unwrap_or_default().as_secs_f64();
    format!(
        "n {}, p50 {:.2}, p99 {:.2}, max {:.2} s",
        times.len(),
        part(50),
        part(99),
        part(100)
    )
}

#[cfg(test)]
mod tests;

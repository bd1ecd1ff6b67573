//! The steps of the tour: what is printed while it runs, and the summary.

use crate::cli::text::{Paint, Table, Tone, print, takes_colour};
use anyhow::Result;
use std::{
    fmt::Write,
    time::{Duration, Instant},
};

/// Prints the steps and remembers their results.
pub(super) struct Steps {
    paint: Paint,
    start: Instant,
    /// Each step that passed: its title and what was measured.
    passed: Vec<(&'static str, String)>,
    /// The step in progress.
    step: &'static str,
}

impl Steps {
    pub(super) fn new() -> Self {
        Self {
            paint: Paint {
                is_on: takes_colour(),
            },
            start: Instant::now(),
            passed: Vec::new(),
            step: "",
        }
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Begins a step and prints its title.
    pub(super) fn begin(&mut self, step: &'static str) -> Result<()> {
        self.step = step;
        let number = self.passed.len() + 1;
        print(&format!(
            "\n{}\n",
            self.paint.tone(Tone::Strong, format!("{number}. {step}"))
        ))?;

        Ok(())
    }

    /// Records that the step passed, with what was measured.
    pub(super) fn pass(&mut self, result: String) -> Result<()> {
        self.note(Tone::Good, &result)?;
        self.passed.push((self.step, result));
        Ok(())
    }

    /// Prints a line with the time since the start.
    pub(super) fn note(&self, tone: Tone, text: &str) -> Result<()> {
        let at = format!("{:6.1} s", self.start.elapsed().as_secs_f64());
        print(&format!(
            "{}  {}\n",
            self.paint.tone(Tone::Faint, at),
            self.paint.tone(tone, text)
        ))?;

        Ok(())
    }

    /// All steps as a table, with the failure of the last.
    pub(super) fn summary(&self, failure: Option<&anyhow::Error>) -> String {
        let mut table = Table::new("STEP, HELD, RESULT").heading(self.paint);
        for (step, result) in &self.passed {
            table.row(vec![
                (*step).into(),
                self.paint.tone(Tone::Good, "yes"),
                result.clone(),
            ]);
        }

        if let Some(error) = failure {
            table.row(vec![
                self.step.into(),
                self.paint.tone(Tone::Bad, "NO"),
                format!("{error:#}"),
            ]);
        }

        let mut text = format!("\n{}", table.render());
        let taken = seconds(self.start.elapsed());
        let verdict = if failure.is_none() {
            "Every step passed."
        } else {
            "The tour ended at a step that failed."
        };

        // Writing to a String can't fail.
        let _ = writeln!(text, "\n{verdict} {taken} in all.");
        text
    }
}

pub(super) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

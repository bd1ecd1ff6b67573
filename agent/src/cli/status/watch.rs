//! `status --watch`: redraws the view, also while agents come and go.

use super::render::render;
use crate::cli::{
    output::{Format, serialize_line},
    text::{self, Paint, Tone, ago, wrap},
};
use anyhow::Result;
use console::{Term, truncate_str};
use regionmesh_client::{Answer, Client, ClientError, Status};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// Where the API serves the status.
pub(super) const PATH: &str = "/v1/status";
/// How often the view is drawn again.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// How long an agent may take before the next is asked: shorter than elsewhere, so that the view
/// does not freeze.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Shows the mesh until Ctrl-C.
pub(super) async fn run(client: &Client, format: Format) -> Result<ExitCode> {
    let is_for_programs = format != Format::Table;
    let screen = Screen::open(is_for_programs);
    let mut view = View {
        last: None,
        paint: Paint {
            is_on: text::takes_colour(),
        },
    };
    let mut ticks = tokio::time::interval(REFRESH_INTERVAL);

    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let answer = async {
            ticks.tick().await;
            client.ask::<Status>(PATH, TIMEOUT).await
        };
        let answer = tokio::select! {
            answer = answer => answer,
            _ = interrupt.as_mut() => return Ok(ExitCode::SUCCESS),
        };

        if is_for_programs {
            match answer {
                Ok(Answer { value, failures }) => {
                    failures
                        .iter()
                        .for_each(|failure| eprintln!("warning: {failure}"));
                    text::print(&serialize_line(format, &value)?.unwrap_or_default())?;
                }
                Err(error) => eprintln!("error: {error}"),
            }

            continue;
        }

        screen.draw(&view.after(answer, Instant::now()))?;
    }
}

/// Turns answers into what is shown.
struct View {
    last: Option<(Status, Instant)>,
    paint: Paint,
}

impl View {
    fn after(&mut self, answer: Result<Answer<Status>, ClientError>, now: Instant) -> String {
        let paint = self.paint;
        match answer {
            Ok(Answer { value, failures }) => {
                let mut text: String = failures
                    .iter()
                    .map(|failure| {
                        wrap(
                            &paint.tone(Tone::Uneasy, "no answer: "),
                            &failure.to_string(),
                        )
                    })
                    .collect();

                text += &render(&value, paint);
                self.last = Some((value, now));
                text
            }
            Err(error) => {
                let mut text = paint.tone(Tone::Bad, "error: ") + &error.to_string() + "\n";
                if let Some((status, heard)) = &self.last {
                    let age_ms = now
                        .saturating_duration_since(*heard)
                        .as_millis()
                        .try_into()
                        .unwrap_or(u64::MAX);

                    text += &paint.tone(Tone::Bad, format!("this view is {} old", ago(age_ms)));
                    text += "\n\n";
                    text += &render(status, paint);
                }

                text
            }
        }
    }
}

/// A terminal that is redrawn, or a stream to which views are appended.
struct Screen(Option<Term>);

impl Screen {
    fn open(is_for_programs: bool) -> Self {
        let term = Some(Term::stdout()).filter(|term| !is_for_programs && term.is_term());
        if let Some(term) = &term {
            // Best effort: a visible cursor does no harm.
            let _ = term.hide_cursor().and_then(|()| term.clear_screen());
        }

        Self(term)
    }

    fn draw(&self, view: &str) -> Result<(), text::OutputError> {
        match &self.0 {
            Some(term) => {
                let (rows, columns) = term.size();
                text::print(&frame(view, rows.into(), columns.into()))
            }
            None => text::print(&format!("{view}\n")),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(term) = &self.0 {
            let _ = term.show_cursor();
        }
    }
}

/// The view from the top left corner, cut to the terminal: a line too long or too many would scroll
/// the rest away. Each line clears what the last view left behind it, so that nothing flickers.
fn frame(view: &str, rows: usize, columns: usize) -> String {
    let total = view.lines().count();
    let room = rows.saturating_sub(1).max(1);
    let visible = if total > room {
        room.saturating_sub(1)
    } else {
        total
    };
    let mut text = String::from("\x1b[H");

    for line in view.lines().take(visible) {
        text += &truncate_str(line, columns, "…");
        text += "\x1b[0m\x1b[K\r\n";
    }

    if total > visible {
        text += &truncate_str(
            &format!("… {} more lines: make the window higher", total - visible),
            columns,
            "…",
        );
    }

    text + "\x1b[J"
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

//! Waiting until a version is everywhere, and can be served.

use crate::cli::{
    duration,
    error::CommandError,
    text::{count, plain},
};
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use regionmesh_client::{Client, Status, VersionBrief};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal,
    time::{Duration, Instant},
};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long one agent may take to say.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Where a version is, as one status tells.
#[derive(Debug, PartialEq, Eq)]
struct Spread {
    /// Regions with a living agent that hold it with that content.
    holding: BTreeSet<String>,
    /// Regions with a living agent that don't.
    missing: BTreeSet<String>,
    /// Regions with a living agent that hold it and have not tried it yet.
    untested: BTreeSet<String>,
    /// Regions that can't serve it, and why.
    unservable: BTreeMap<String, String>,
    /// Regions without a living agent: nobody can say, and nobody waits.
    silent: BTreeSet<String>,
    /// The name that a conflict gave to this content.
    renamed: Option<String>,
    /// Whether the mesh knows the name with other content.
    differs: bool,
}

fn spread(status: &Status, brief: &VersionBrief) -> Spread {
    let region = |agent: &str| agent.split('/').next().unwrap_or_default().to_owned();
    let living: BTreeSet<_> = status
        .agents
        .iter()
        .filter(|agent| agent.alive)
        .map(|agent| region(&agent.agent))
        .collect();

    let all = status
        .regions
        .iter()
        .map(|region| region.region.to_string());
    let versions = || {
        status
            .models
            .iter()
            .filter(|model| model.model == brief.model)
            .flat_map(|model| &model.versions)
    };

    let of_ours = || {
        versions()
            .filter(|version| version.version == brief.version && version.content == brief.content)
    };
    let holders: BTreeSet<String> = of_ours()
        .flat_map(|version| version.regions.iter().map(ToString::to_string))
        .collect();
    let suffixed = format!("{}+conflict.", brief.version);

    Spread {
        missing: living.difference(&holders).cloned().collect(),
        untested: of_ours()
            .flat_map(|version| version.untested.iter().map(ToString::to_string))
            .collect(),
        unservable: of_ours()
            .flat_map(|version| {
                version
                    .unservable
                    .iter()
                    .map(|failed| (failed.region.to_string(), failed.reason.clone()))
            })
            .collect(),
        silent: all.filter(|region| !living.contains(region)).collect(),
        holding: living.intersection(&holders).cloned().collect(),
        renamed: versions()
            .find(|version| {
                version.version.starts_with(&suffixed) && version.content == brief.content
            })
            .map(|version| version.version.clone()),
        differs: versions()
            .any(|version| version.version == brief.version && version.content != brief.content),
    }
}

/// Waits until every region with a living agent holds the version with that content and has run an
/// inference on it.
pub(super) async fn everywhere(
    client: &Client,
    brief: &VersionBrief,
    timeout: Duration,
) -> Result<()> {
    let start = Instant::now();
    let progress = Progress::new();
    let mut last = format!("nothing was heard within {}", duration::format(timeout));

    loop {
        // Agents may come and go meanwhile: that is no reason to stop waiting.
        match client.ask::<Status>("/v1/status", TIMEOUT).await {
            Ok(answer) => {
                let spread = spread(&answer.value, brief);
                if let Some(name) = spread.renamed.as_ref().filter(|_| spread.differs) {
                    progress.end();
                    bail!(
                        "{}@{} was published elsewhere before, with other content; yours is kept \
                            as version {name}",
                        brief.model,
                        brief.version
                    );
                }

                if let Some(reasons) = refused(&spread) {
                    progress.end();
                    bail!(
                        "{}@{} is published, but can't be served: {reasons}",
                        brief.model,
                        brief.version
                    );
                }

                let missing: Vec<&str> = spread.missing.iter().map(String::as_str).collect();
                // Nobody alive means that we were not told yet who is.
                let untested: Vec<&str> = spread.untested.iter().map(String::as_str).collect();

                if missing.is_empty() && untested.is_empty() && !spread.holding.is_empty() {
                    progress.end();
                    for region in &spread.silent {
                        eprintln!(
                            "warning: {region} has no living agent; it gets the version when it \
                                returns"
                        );
                    }

                    return Ok(());
                }

                let held = count(spread.holding.len(), "region", "regions");
                if missing.is_empty() {
                    last = format!("it is not yet tested in {}", untested.join(", "));
                    progress.tell(format!(
                        "verified in {held}, waiting for a test in {}",
                        untested.join(", ")
                    ));
                } else {
                    last = format!("it is not yet in {}", missing.join(", "));
                    progress.tell(format!(
                        "verified in {held}, waiting for {}",
                        missing.join(", ")
                    ));
                }
            }
            Err(error) if error.is_unavailable() => {
                last = error.to_string();
                progress.tell("no agent answers; asking again".into());
            }
            Err(error) => return Err(error.into()),
        }

        if start.elapsed() >= timeout {
            progress.end();
            return Err(CommandError::Deadline(format!(
                "{}@{} is published, but after {} {last}; replication goes on, see `regionmesh \
                    status`",
                brief.model,
                brief.version,
                duration::format(timeout)
            ))
            .into());
        }

        tokio::time::sleep(LOOK_EVERY.min(timeout.saturating_sub(start.elapsed()))).await;
    }
}

/// Why regions can't serve it; none if none said so.
fn refused(spread: &Spread) -> Option<String> {
    let reasons = spread
        .unservable
        .iter()
        .map(|(region, reason)| match reason.as_str() {
            "" => region.clone(),
            reason => format!("{region}: {}", plain(reason, 400)),
        });
    let reasons: Vec<_> = reasons.collect();

    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// A spinner on a terminal, a line for each change elsewhere.
struct Progress {
    bar: ProgressBar,
    is_shown: bool,
    said: std::cell::RefCell<String>,
}

impl Progress {
    fn new() -> Self {
        let is_shown = std::io::stderr().is_terminal();
        let bar = if is_shown {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };

        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            is_shown,
            said: Default::default(),
        }
    }

    fn tell(&self, text: String) {
        self.bar.set_message(text.clone());
        self.bar.tick();
        if !self.is_shown && *self.said.borrow() != text {
            eprintln!("{text}");
            self.said.replace(text);
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

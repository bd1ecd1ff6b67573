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

/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long one agent may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Where a version is, by one status.
#[derive(Debug, PartialEq, Eq)]
struct Spread {
    /// Regions with a live agent that hold it with that content.
    holding: BTreeSet<String>,
    /// Regions with a live agent that don't.
    missing: BTreeSet<String>,
    /// Regions with a live agent that hold it and have not tested it yet.
    untested: BTreeSet<String>,
    /// Regions that can't serve it, and why.
    unservable: BTreeMap<String, String>,
    /// Regions without a live agent: not waited for.
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

/// Waits until every region with a live agent holds the version with that content and has run an
/// inference on it.
pub(super) async fn everywhere(
    client: &Client,
    brief: &VersionBrief,
    timeout: Duration,
) -> Result<()> {
    let progress = Progress::new();
    let outcome = poll(client, brief, timeout, &progress).await;
    progress.end();

    for region in outcome? {
        eprintln!("warning: {region} has no live agent; it gets the version when it returns");
    }
    Ok(())
}

/// Polls until the version is everywhere; returns the regions without a live agent.
async fn poll(
    client: &Client,
    brief: &VersionBrief,
    timeout: Duration,
    progress: &Progress,
) -> Result<BTreeSet<String>> {
    let name = format!("{}@{}", brief.model, brief.version);
    let start = Instant::now();
    let mut last = format!("no answer within {}", duration::format(timeout));

    loop {
        // Agents may come and go: keep waiting.
        match client.ask::<Status>("/v1/status", TIMEOUT).await {
            Ok(answer) => {
                let spread = spread(&answer.value, brief);
                check(&spread, &name)?;

                let Some(pending) = pending(&spread) else {
                    return Ok(spread.silent);
                };
                progress.report(pending.progress);
                last = pending.reason;
            }
            Err(error) if error.is_unavailable() => {
                last = error.to_string();
                progress.report("no agent answers; asking again".into());
            }
            Err(error) => return Err(error.into()),
        }

        if start.elapsed() >= timeout {
            return Err(CommandError::Deadline(format!(
                "{name} is published, but after {} {last}; replication continues, see `regionmesh \
                    status`",
                duration::format(timeout)
            ))
            .into());
        }

        tokio::time::sleep(POLL_INTERVAL.min(timeout.saturating_sub(start.elapsed()))).await;
    }
}

/// Fails if waiting is of no use: the name went to other content, or a region can't serve it.
fn check(spread: &Spread, name: &str) -> Result<()> {
    if let Some(stored) = spread.renamed.as_ref().filter(|_| spread.differs) {
        bail!(
            "{name} was published elsewhere before, with other content; yours is stored as version \
                {stored}"
        );
    }
    if let Some(reasons) = refused(spread) {
        bail!("{name} is published, but can't be served: {reasons}");
    }

    Ok(())
}

/// What is still missing, in words.
struct Pending {
    /// For the error, should the time end here.
    reason: String,
    progress: String,
}

/// None once the version is everywhere.
fn pending(spread: &Spread) -> Option<Pending> {
    let missing: Vec<&str> = spread.missing.iter().map(String::as_str).collect();
    let missing = missing.join(", ");
    let untested: Vec<&str> = spread.untested.iter().map(String::as_str).collect();
    let untested = untested.join(", ");

    // Without a holding region the answering agent does not know yet which agents live.
    if missing.is_empty() && untested.is_empty() && !spread.holding.is_empty() {
        return None;
    }

    let held = count(spread.holding.len(), "region", "regions");
    Some(if missing.is_empty() {
        Pending {
            reason: format!("it is not yet tested in {untested}"),
            progress: format!("verified in {held}, waiting for a test in {untested}"),
        }
    } else {
        Pending {
            reason: format!("it is not yet in {missing}"),
            progress: format!("verified in {held}, waiting for {missing}"),
        }
    })
}

/// Why regions can't serve it, if any can't.
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
    is_drawn: bool,
    last: std::cell::RefCell<String>,
}

impl Progress {
    fn new() -> Self {
        let is_drawn = std::io::stderr().is_terminal();
        let bar = if is_drawn {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };

        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            is_drawn,
            last: Default::default(),
        }
    }

    fn report(&self, text: String) {
        self.bar.set_message(text.clone());
        self.bar.tick();
        if !self.is_drawn && *self.last.borrow() != text {
            eprintln!("{text}");
            self.last.replace(text);
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

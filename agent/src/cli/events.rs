//! `regionmesh events`: past events of the mesh, and with `--follow` new ones.
//!
//! Any agent is asked; if it goes away, the next one is. Events that both noticed have one id and
//! are printed once.

use super::{
    common::Common,
    duration,
    output::serialize_line,
    text::{self, Paint, Tone, moment, plain},
};
use crate::cli::error::CommandError;
use anyhow::Result;
use regionmesh_client::{Client, ClientError, EventEntry, EventList, NumberedEvent, Status};
use regionmesh_protocol::{
    event::{EventKind, Severity},
    identity::RegionName,
};
use regionmesh_runtime::time::unix_ms;
use std::{
    collections::{HashSet, VecDeque},
    process::ExitCode,
    time::Duration,
};

use ::time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Longest line of a stream, bytes; an event has a few kilobytes.
const LINE_MAX: usize = 1 << 20;
/// Ids remembered, so that an event is printed once whichever agents are asked.
const IDS_MAX: usize = 4_096;
/// A stream that is silent for this long is broken: agents send a keep-alive every 15 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(40);
/// Pause before the next agent is asked.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Show what happened: verdicts, plans, leaders, ramps, fences, drift, conflicts, certificates
#[derive(Debug, clap::Args)]
pub(super) struct EventsCommand {
    /// Stream new events until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only these kinds: verdict, plan, leader, ramp, fence-lost, drift, conflict, certificate,
    /// problem
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<EventKind>,
    /// Show events for these regions only
    #[arg(long, value_name = "REGION", value_delimiter = ',')]
    region: Vec<RegionName>,
    /// Minimum severity: info, warning, critical
    #[arg(long, value_name = "SEVERITY", default_value = "info")]
    severity: Severity,
    /// Show events since then: a duration such as 1h30m, or a time such as
    /// 2026-11-29T14:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// Number of events to show, the latest [default: 50; with --since all that the agent has]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=LIMIT_MAX))]
    limit: Option<u16>,
    #[command(flatten)]
    common: Common,
}

/// Most events in one answer of an agent.
const LIMIT_MAX: i64 = 1_000;

/// The time from which events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// This long ago.
    Ago(Duration),
    /// From this point in time, Unix milliseconds.
    At(u64),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(ago) = duration::parse(text) {
        return Ok(Since::Ago(ago));
    }

    let wrong = || {
        format!(
            "{text:?} is neither a duration such as 1h30m nor a time such as 2026-11-29T14:00:00Z"
        )
    };
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
    let ms = u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).map_err(|_| wrong())?;

    Ok(Since::At(ms))
}

impl EventsCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        let client = self.common.client.connect()?;
        self.check_regions(&client).await?;

        let paint = Paint {
            is_on: text::takes_colour(),
        };
        let mut printed = Printed::default();
        let from_ms = self.since.map_or(0, |since| match since {
            Since::Ago(ago) => {
                unix_ms().saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
            }
            Since::At(ms) => ms,
        });

        let limit = self
            .limit
            .map_or(if self.since.is_some() { LIMIT_MAX } else { 50 }, i64::from);
        let list: EventList = client
            .get(&format!("/v1/events?limit={limit}&{}", self.query()))
            .await?;

        for NumberedEvent { event, .. } in list
            .events
            .iter()
            .filter(|numbered| numbered.event.time_ms >= from_ms)
        {
            self.print(event, &mut printed, paint)?;
        }

        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }

        let mut last = list.next;
        loop {
            let ended = self.follow(&client, &mut last, &mut printed, paint).await;
            match ended {
                Ok(why) => eprintln!("event stream lost ({why}); reconnecting"),
                // All agents may be restarting: keep trying.
                Err(Stop::Client(error)) if error.is_unavailable() => eprintln!("warning: {error}"),
                Err(Stop::Client(error)) => return Err(error.into()),
                Err(Stop::Output(error)) => return Err(error),
            }

            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Fails if a region does not exist: it would never have events.
    async fn check_regions(&self, client: &Client) -> Result<()> {
        if self.region.is_empty() {
            return Ok(());
        }

        let status: Status = client.get("/v1/status").await?;
        let known: Vec<&str> = status
            .regions
            .iter()
            .map(|known| known.region.as_str())
            .collect();

        match self
            .region
            .iter()
            .find(|region| !known.contains(&region.as_str()))
        {
            None => Ok(()),
            Some(region) => {
                let known = known.join(", ");
                Err(CommandError::Usage(format!(
                    "--region: the mesh has no region {region}; it has {known}"
                ))
                .into())
            }
        }
    }

    fn query(&self) -> String {
        let join = |words: Vec<String>| words.join(",");
        let kinds = join(self.kind.iter().map(ToString::to_string).collect());
        let regions = join(self.region.iter().map(ToString::to_string).collect());
        format!("kind={kinds}&region={regions}&severity={}", self.severity)
    }

    /// Prints one stream until it breaks off; returns the reason.
    async fn follow(
        &self,
        client: &Client,
        last: &mut String,
        printed: &mut Printed,
        paint: Paint,
    ) -> Result<String, Stop> {
        let path = format!("/v1/events/stream?{}", self.query());
        let mut reply = client.open(&path, Some(last)).await.map_err(Stop::Client)?;
        let mut lines = Lines::default();

        loop {
            let piece = match tokio::time::timeout(SILENCE_TIMEOUT, reply.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok("the agent ended it".into()),
                Ok(Err(error)) => return Ok(error.without_url().to_string()),
                Err(_) => return Ok(format!("silent for {SILENCE_TIMEOUT:?}")),
            };
            let Some(complete) = lines.add(&piece) else {
                return Ok("a line without an end".into());
            };

            for line in complete {
                if let Some(id) = line.strip_prefix("id: ") {
                    *last = id.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ")
                    // Other data reports lost events; the id says where the stream resumes.
                    && let Ok(NumberedEvent { event, .. }) = serde_json::from_str(data)
                {
                    self.print(&event, printed, paint).map_err(Stop::Output)?;
                }
            }
        }
    }

    fn print(&self, event: &EventEntry, printed: &mut Printed, paint: Paint) -> Result<()> {
        if !printed.add(&event.id) {
            return Ok(());
        }

        let line = serialize_line(self.common.output.format(), event)?;
        Ok(text::print(
            &line.unwrap_or_else(|| render(event, paint) + "\n"),
        )?)
    }
}

enum Stop {
    Client(ClientError),
    Output(anyhow::Error),
}

/// One event in one line.
fn render(event: &EventEntry, paint: Paint) -> String {
    let tone = match event.severity {
        Severity::Info => Tone::Faint,
        Severity::Warning => Tone::Uneasy,
        Severity::Critical => Tone::Bad,
    };
    let severity = paint.tone(tone, format!("{:8}", event.severity.as_str()));

    format!(
        "{}  {severity}  {:11}  {}",
        moment(event.time_ms),
        event.kind.as_str(),
        plain(&event.text, 1_000)
    )
}

/// Ids of the events that were printed.
#[derive(Default)]
struct Printed {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Printed {
    /// Whether it is new.
    fn add(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }

        true
    }
}

/// Splits a byte stream into lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The lines that are complete now; none if one has no end.
    fn add(&mut self, piece: &[u8]) -> Option<Vec<String>> {
        self.0.extend_from_slice(piece);
        let mut complete = Vec::new();
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            complete.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }

        (self.0.len() <= LINE_MAX).then_some(complete)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! `regionmesh events`: what happened in the mesh, and what happens.
//!
//! Any agent is asked; one that goes is followed by the next. What both noticed has the same id and
//! is shown once.

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
/// Ids remembered, so that an event is shown once whichever agents are asked.
const REMEMBERED: usize = 4_096;
/// A stream that is silent for so long is broken: agents say that they live every 15 s.
const SILENT: Duration = Duration::from_secs(40);
/// Pause before the next agent is asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Show what happened: verdicts, plans, leaders, ramps, fences, drift, conflicts, certificates
#[derive(Debug, clap::Args)]
pub(super) struct EventsCommand {
    /// Go on showing what happens, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only these kinds: verdict, plan, leader, ramp, fence-lost, drift, conflict, certificate,
    /// problem
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<EventKind>,
    /// Only what is about these regions
    #[arg(long, value_name = "REGION", value_delimiter = ',')]
    region: Vec<RegionName>,
    /// Only what is at least this severe: info, warning, critical
    #[arg(long, value_name = "SEVERITY", default_value = "info")]
    severity: Severity,
    /// Only what happened since then: a duration such as 1h30m, or a time such as
    /// 2026-11-29T14:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// The last so many [default: 50; with --since all that the agent keeps]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=LIMIT_MAX))]
    limit: Option<u16>,
    #[command(flatten)]
    common: Common,
}

/// Most events that an agent gives at once.
const LIMIT_MAX: i64 = 1_000;

/// From when on events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// So long ago.
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
        let mut shown = Shown::default();
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
            self.show(event, &mut shown, paint)?;
        }

        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }

        let mut last = list.next;
        loop {
            let ended = self.follow(&client, &mut last, &mut shown, paint).await;
            match ended {
                Ok(why) => eprintln!("the stream of events broke off ({why}); asking for another"),
                // All agents may be restarting: who follows wants to see that end.
                Err(Stop::Client(error)) if error.is_unavailable() => eprintln!("warning: {error}"),
                Err(Stop::Client(error)) => return Err(error.into()),
                Err(Stop::Output(error)) => return Err(error),
            }

            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A region that does not exist has no events, and never will: that is a mistake to be told.
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

    /// Shows one stream until it breaks off; why it did.
    async fn follow(
        &self,
        client: &Client,
        last: &mut String,
        shown: &mut Shown,
        paint: Paint,
    ) -> Result<String, Stop> {
        let path = format!("/v1/events/stream?{}", self.query());
        let mut reply = client.open(&path, Some(last)).await.map_err(Stop::Client)?;
        let mut lines = Lines::default();

        loop {
            let piece = match tokio::time::timeout(SILENT, reply.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok("the agent ended it".into()),
                Ok(Err(error)) => return Ok(error.without_url().to_string()),
                Err(_) => return Ok(format!("silent for {SILENT:?}")),
            };
            let Some(complete) = lines.add(&piece) else {
                return Ok("a line without an end".into());
            };

            for line in complete {
                if let Some(id) = line.strip_prefix("id: ") {
                    *last = id.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ")
                    // What is no event says that some are gone; the id says where it goes on.
                    && let Ok(NumberedEvent { event, .. }) = serde_json::from_str(data)
                {
                    self.show(&event, shown, paint).map_err(Stop::Output)?;
                }
            }
        }
    }

    fn show(&self, event: &EventEntry, shown: &mut Shown, paint: Paint) -> Result<()> {
        if !shown.add(&event.id) {
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

/// Ids of what was shown.
#[derive(Default)]
struct Shown {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Shown {
    /// Whether it is new.
    fn add(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }

        true
    }
}

/// Lines out of pieces.
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

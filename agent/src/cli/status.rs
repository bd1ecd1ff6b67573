//! `regionmesh status`: the whole mesh, from any agent.

use super::{
    client::{Client, ClientOptions},
    models,
    text::{Table, ago, percent},
};
use crate::api::types::Status;
use anyhow::Result;
use regionmesh_protocol::verdict::Condition;
use std::{fmt::Write, io::IsTerminal, process::ExitCode, time::Duration};

/// Show regions, verdicts, shares of traffic, agents, models and the leader.
#[derive(Debug, clap::Args)]
pub struct StatusCommand {
    #[command(flatten)]
    client: ClientOptions,
    /// The answer as JSON, as GET /v1/status gives it.
    #[arg(long)]
    json: bool,
    /// Show it again every second, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

impl StatusCommand {
    /// Runs the command.
    pub async fn run(self) -> Result<ExitCode> {
        let client = Client::new(&self.client)?;
        if !self.watch {
            print!("{}", self.show(&client.get("/v1/status").await?)?);
            return Ok(ExitCode::SUCCESS);
        }
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            }
            // An agent that is gone is what one watches for: it is said, and the next is asked.
            let shown = match client.get::<Status>("/v1/status").await {
                Ok(status) => self.show(&status)?,
                Err(error) => format!("{error}\n"),
            };
            let clear = if std::io::stdout().is_terminal() && !self.json { "\x1b[H\x1b[2J" } else { "" };
            print!("{clear}{shown}");
        }
    }

    fn show(&self, status: &Status) -> Result<String> {
        if self.json {
            return Ok(serde_json::to_string_pretty(status)? + "\n");
        }
        Ok(render(status, std::io::stdout().is_terminal()))
    }
}

/// The status as text for people.
pub fn render(status: &Status, is_coloured: bool) -> String {
    let mut text = String::new();
    let leader = status.leader.as_ref().map_or_else(
        || "none, an election is due".into(),
        |leader| format!("{} (ballot {})", leader.agent, leader.ballot),
    );
    let _ = writeln!(text, "mesh {}, answered by {}", status.mesh, status.answered_by);
    let _ = writeln!(text, "leader: {leader}");
    let plan = status.plan.as_ref().map_or_else(
        || "none committed yet".into(),
        |plan| format!("#{}, {} old: {}", plan.seq, ago(plan.age_ms), plan.reason),
    );
    let _ = writeln!(text, "plan:   {plan}\n");

    let now_ms = crate::time::unix_ms();
    let mut table = Table::new(&["REGION", "VERDICT", "SINCE", "SHARE", "STANDING", "ADDRESSES", "OBSERVERS"]);
    for region in &status.regions {
        let standing = match region.ramp_percent {
            Some(percent) => format!("ramping {percent} %"),
            None => region.standing.clone(),
        };
        let since =
            if region.verdict_since_ms == 0 { "-".into() } else { ago(now_ms.saturating_sub(region.verdict_since_ms)) };
        let votes: Vec<_> = region.votes.iter().map(|vote| format!("{}: {}", vote.region, vote.condition)).collect();
        let addresses: Vec<_> = region.addresses.iter().map(ToString::to_string).collect();
        table.row(vec![
            region.region.to_string(),
            colour(region.verdict, is_coloured),
            since,
            percent(region.share),
            standing,
            addresses.join(" "),
            votes.join(", "),
        ]);
    }
    text += &table.render();

    let mut table =
        Table::new(&["AGENT", "STATE", "UPTIME", "ROUND TRIP", "HEARD", "VERSIONS", "MISSING", "REQUESTS", "API"]);
    for agent in &status.agents {
        let round_trip = match agent.round_trip_us {
            Some(us) => format!("{:.1} ms", us as f64 / 1e3),
            None if agent.agent == status.answered_by => "self".into(),
            None => "-".into(),
        };
        table.row(vec![
            agent.agent.clone(),
            if agent.alive { "alive".into() } else { colour_text("gone", "31", is_coloured) },
            if agent.alive { ago(agent.uptime_ms) } else { "-".into() },
            round_trip,
            format!("{} ago", ago(agent.age_ms)),
            agent.holdings.versions.to_string(),
            agent.holdings.missing.to_string(),
            agent.requests_total.to_string(),
            agent.api_url.clone(),
        ]);
    }
    let _ = write!(text, "\n{}", table.render());

    if !status.models.is_empty() {
        let _ = write!(text, "\n{}", models::table(&status.models));
    }
    text
}

fn colour(condition: Condition, is_coloured: bool) -> String {
    let code = match condition {
        Condition::Healthy => "32",
        Condition::Suspect | Condition::Draining => "33",
        Condition::Failed => "31",
        Condition::Unknown => "2",
    };
    colour_text(condition.as_str(), code, is_coloured)
}

fn colour_text(text: &str, code: &str, is_coloured: bool) -> String {
    if is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status() -> Status {
        serde_json::from_value(serde_json::json!({
            "mesh": "m", "answered_by": "a/0", "leader": {"agent": "b/0", "ballot": 3},
            "plan": {"seq": 7, "ballot": {"number": 3, "agent": "b/0"}, "reason": "c failed", "made_ms": 1, "age_ms": 65_000},
            "regions": [{"region": "c", "cloud": "aws", "endpoint": "h:1", "serving_url": "http://h:2", "verdict": "failed",
                "verdict_since_ms": 0, "verdict_reason": "2 of 2", "votes": [{"region": "a", "condition": "failed"}],
                "weight_bp": 100, "share": 0.01, "standing": "ramping", "ramp_percent": 1, "addresses": ["192.0.2.1"], "flaps": 1}],
            "agents": [{"agent": "a/0", "alive": true, "version": "1", "uptime_ms": 5, "api_url": "http://a", "cloud": "aws",
                "round_trip_us": null, "age_ms": 20, "serving_ready": true, "requests_total": 9,
                "holdings": {"versions": 1, "missing": 0, "lag_ms": 0}}],
            "models": [{"model": "iris", "versions": [{"version": "1", "content": "abcdef0123456789", "size": 2_000_000,
                "published_ms": 1, "origin": "a", "regions": ["a", "b"]}], "aliases": [{"alias": "production", "version": "1", "set_ms": 1, "by": "me"}]}],
        }))
        .unwrap()
    }

    #[test]
    fn everything_an_operator_asks_for_is_shown() {
        let text = render(&status(), false);
        for part in [
            "b/0 (ballot 3)",
            "#7, 1 min old: c failed",
            "failed",
            "1 %",
            "ramping 1 %",
            "a: failed",
            "self",
            "abcdef012345",
            "production",
            "2.0 MB",
            "a b",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn colours_do_not_move_columns() {
        let strip = |text: String| text.replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert_eq!(strip(render(&status(), true)), render(&status(), false));
    }
}

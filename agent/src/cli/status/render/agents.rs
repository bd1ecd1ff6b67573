//! The table of agents.

use crate::cli::text::{Paint, Table, Tone, ago, plain};
use regionmesh_client::{AgentStatus, Status};
use std::collections::BTreeSet;

/// Every agent, then what alive agents lack, then the versions that run.
pub(super) fn table(status: &Status, paint: Paint) -> String {
    let headings = "AGENT, STATE, UPTIME, ROUND TRIP, HEARD, REQUESTS, VERSIONS, API";
    let mut table = Table::new(headings).heading(paint);
    for agent in &status.agents {
        let is_self = agent.agent == status.answered_by;
        table.row(row(agent, is_self, paint));
    }

    table.render() + &missing_versions(status, paint) + &software_versions(status, paint)
}

fn row(agent: &AgentStatus, is_self: bool, paint: Paint) -> Vec<String> {
    let round_trip = match agent.round_trip_us {
        Some(us) => format!("{:.1} ms", us as f64 / 1e3),
        None if is_self => "self".into(),
        None => "-".into(),
    };

    vec![
        plain(&agent.agent, 60),
        match (agent.alive, agent.serving_ready) {
            (true, true) => paint.tone(Tone::Good, "serving"),
            (true, false) => paint.tone(Tone::Uneasy, "alive"),
            (false, _) => paint.tone(Tone::Bad, "gone"),
        },
        if agent.alive {
            ago(agent.uptime_ms)
        } else {
            "-".into()
        },
        round_trip,
        if is_self {
            "-".into()
        } else {
            ago(agent.age_ms)
        },
        agent.requests_total.to_string(),
        agent.holdings.versions.to_string(),
        plain(&agent.api_url, 60),
    ]
}

/// One line for each agent whose region's store lacks versions.
fn missing_versions(status: &Status, paint: Paint) -> String {
    let mut text = String::new();
    for agent in status
        .agents
        .iter()
        .filter(|agent| agent.alive && agent.holdings.missing > 0)
    {
        let lacks = format!(
            "lacks {} of the mesh's versions, the oldest for {}",
            agent.holdings.missing,
            ago(agent.holdings.lag_ms)
        );

        text += &format!(
            "{}: {}\n",
            plain(&agent.agent, 60),
            paint.tone(Tone::Uneasy, lacks)
        );
    }

    text
}

/// The versions of RegionMesh that alive agents run.
fn software_versions(status: &Status, paint: Paint) -> String {
    let versions: BTreeSet<&str> = status
        .agents
        .iter()
        .filter(|agent| agent.alive)
        .map(|agent| agent.version.as_str())
        .collect();

    let list = |separator: &str| {
        plain(
            &versions.iter().copied().collect::<Vec<_>>().join(separator),
            200,
        )
    };

    match versions.len() {
        0 => String::new(),
        1 => format!("all agents run {}\n", list("")),
        _ => paint.tone(Tone::Uneasy, "agents run different versions: ") + &list(", ") + "\n",
    }
}

//! The tables of docs/reference/metrics.md. Pure.

use anyhow::{Result, bail};
use regionmesh_runtime::metrics::Description;

const PREFIX: &str = "regionmesh_";
/// Sections of the page, and how the names of their metrics begin after the prefix.
const SECTIONS: [(&str, &[&str]); 12] = [
    ("Mesh", &["mesh_", "certificate_", "peer_"]),
    ("Gossip", &["gossip_"]),
    (
        "Health",
        &["probe", "verdict", "address_verdict", "observe"],
    ),
    (
        "Plans and leader",
        &["leader_", "plan_", "failover_", "clock_"],
    ),
    ("Register", &["register_"]),
    ("Replication and stores", &["replication_", "store_"]),
    ("DNS", &["dns_"]),
    ("Serving", &["inference_", "serving_"]),
    ("Cost", &["cost_"]),
    ("Events and alerts", &["event", "problems", "alerts_"]),
    (
        "API and process",
        &["api_", "actor_", "config_", "build_info"],
    ),
    ("Front door", &["front_door_"]),
];

/// One table for each section. Fails for a metric without a section.
pub(super) fn tables(metrics: &[Description]) -> Result<String> {
    let mut text = String::new();
    let is_in = |metric: &Description, prefixes: &[&str]| {
        metric
            .name
            .strip_prefix(PREFIX)
            .is_some_and(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    };

    if let Some(stray) = metrics
        .iter()
        .find(|metric| !SECTIONS.iter().any(|(_, own)| is_in(metric, own)))
    {
        bail!(
            "{} belongs to no section of docs/reference/metrics.md",
            stray.name
        );
    }

    for (index, (title, prefixes)) in SECTIONS.iter().enumerate() {
        let gap = if index == 0 { "" } else { "\n" };
        text +=
            &format!("{gap}## {title}\n\n| metric | type | labels | help |\n|---|---|---|---|\n");
        metrics
            .iter()
            .filter(|metric| is_in(metric, prefixes))
            .for_each(|metric| text += &row(metric));
    }

    Ok(text)
}

fn row(metric: &Description) -> String {
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    let help = metric.help.trim_end_matches('.').replace('|', "\\|");

    format!(
        "| `{}` | {} | {} | {help} |\n",
        metric.name,
        metric.kind,
        labels.join(", ")
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

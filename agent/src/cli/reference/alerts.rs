//! Documentation, Prometheus rules and their tests, generated from the table of alerts. Pure.

use regionmesh_core::notify::alert::{AlertRow, KnownBy, rows};

const HEAD: &str = "# Written by `regionmesh docs`, from the table in \
    core/src/notify/alert/table.rs; scripts/test-monitoring compares.\n";
const RUNBOOKS: &str =
    "https://github.com/regionmesh/regionmesh/blob/main/docs/how-to/troubleshoot.md#";

/// The table of docs/reference/alerts.md.
pub(super) fn table() -> String {
    let mut text =
        String::from("| alert | severity | condition | ends | labels |\n|---|---|---|---|---|\n");
    for row in rows() {
        let labels: Vec<String> = row
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let name = format!(
            "[`{}`](../how-to/troubleshoot.md#{})",
            row.name, row.runbook
        );
        let condition = match row.begins {
            // All problems begin alike; the summary says which it is.
            "an agent reports the problem" => row.summary,
            begins => begins,
        };

        text += &format!(
            "| {name} | {} | {condition} | {} | {} |\n",
            row.severity.as_str(),
            row.ends,
            labels.join(", ")
        );
    }

    text
}

/// The rules that forward the alerts of agents.
pub(super) fn rules() -> String {
    let mut text = HEAD.to_owned();
    text += "# Conditions that agents conclude themselves: Prometheus forwards them, with the same \
        names and severities. An alert that all\n\
        # agents can see needs a majority of those that are scraped, so that one which is cut off \
        does not speak for all.\n\n";
    text += "groups:\n  - name: regionmesh-raised\n    rules:\n";
    for row in rows() {
        text += &rule(&row);
    }

    text
}

fn rule(row: &AlertRow) -> String {
    let AlertRow {
        name,
        severity,
        summary,
        known_by,
        ..
    } = row;
    let severity = severity.as_str();
    let firing = format!("regionmesh_alerts_firing{{alertname=\"{name}\"}}");

    let expression = match known_by {
        KnownBy::Every => format!(
            "count by (region, about) ({firing} > 0) > 0.5 * \
                scalar(count(up{{job=\"regionmesh-agents\"}} == 1))"
        ),
        KnownBy::One => format!("max by (region, about) ({firing}) > 0"),
    };
    let description = description(row);

    format!(
        "      - alert: {name}
        expr: {expression}
        labels:
          severity: {severity}
        annotations:
          summary: '{}'
          description: '{}'
          runbook_url: {RUNBOOKS}{}
",
        title(summary),
        description.replace('\'', "''"),
        row.runbook,
    )
}

/// The summary, after the region and the subject.
fn title(summary: &str) -> String {
    let of = |label: &str| format!("{{{{ with $labels.{label} }}}}{{{{ . }}}}: {{{{ end }}}}");
    of("region") + &of("about") + &summary.replace('\'', "''")
}

fn description(row: &AlertRow) -> String {
    format!(
        "Begins: {}. Ends: {}. Details: regionmesh events, or GET /v1/alerts of any agent.",
        row.begins, row.ends
    )
}

/// promtool tests of those rules: each fires for the agents that raise it, but not for a single
/// agent of three that is partitioned.
pub(super) fn tests() -> String {
    let mut text = HEAD.to_owned();
    text += "\nrule_files: [../rules/raised.yml]\nevaluation_interval: 1m\n\ntests:\n";
    for row in rows() {
        text += &test(&row);
    }
    text
}

fn test(row: &AlertRow) -> String {
    let AlertRow {
        name,
        severity,
        summary,
        ..
    } = row;
    let agents = ["us-west-2", "eu-west-1", "ap-south-1"];
    let up = agents.map(|region| {
        format!(
            "      - {{ series: 'up{{job=\"regionmesh-agents\",from_region=\"{region}\",\
                agent=\"node-0\"}}', values: '1x20' }}\n"
        )
    });

    let raised = |region: &str, values: &str| {
        format!(
            "      - {{ series: 'regionmesh_alerts_firing{{alertname=\"{name}\",severity=\"{}\",\
                region=\"ap-south-1\",about=\"x\",from_region=\"{region}\",agent=\"node-0\"}}', \
                values: '{values}' }}\n",
            severity.as_str()
        )
    };

    let (first, others) = match row.known_by {
        // One agent from the third minute, all of them from the eighth.
        KnownBy::Every => ("_x2 1x20", "_x7 1x20"),
        KnownBy::One => ("_x7 1x20", "_x20"),
    };
    let series: String =
        raised(agents[0], first) + &raised(agents[1], others) + &raised(agents[2], others);
    let title = format!("ap-south-1: x: {}", summary.replace('\'', "''"));

    format!(
        "  - name: '{name}'
    interval: 1m
    input_series:
{}{series}    alert_rule_test:
      - eval_time: 6m
        alertname: {name}
        exp_alerts: []
      - eval_time: 10m
        alertname: {name}
        exp_alerts:
          - exp_labels: {{ severity: {}, region: ap-south-1, about: x }}
            exp_annotations:
              summary: '{title}'
              description: '{}'
              runbook_url: {RUNBOOKS}{}

",
        up.concat(),
        severity.as_str(),
        description(row).replace('\'', "''"),
        row.runbook,
    )
}

#[cfg(test)]
mod tests;

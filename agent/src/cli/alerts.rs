//! `regionmesh alerts`: active alerts, as any agent sees them.

use super::{
    common::Common,
    text::{Paint, Table, Tone, moment, plain},
};
use anyhow::Result;
use regionmesh_client::{AlertEntry, AlertList, AlertState};
use std::process::ExitCode;

/// Show active alerts, and on request recently ended ones
#[derive(Debug, clap::Args)]
pub(super) struct AlertsCommand {
    /// Which alerts: active, ended within the last five minutes, or both
    #[arg(long, value_enum, default_value_t = StateOption::Firing)]
    state: StateOption,
    #[command(flatten)]
    common: Common,
}

/// Which alerts to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StateOption {
    Firing,
    Ended,
    All,
}

impl AlertsCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        let state = match self.state {
            StateOption::Firing => "firing",
            StateOption::Ended => "ended",
            StateOption::All => "all",
        };
        let list: AlertList = self
            .common
            .get(&format!("/v1/alerts?state={state}"))
            .await?;

        self.common.print(&list, |paint| render(&list, paint))
    }
}

fn render(list: &AlertList, paint: Paint) -> String {
    if list.alerts.is_empty() {
        return format!("no alerts, as {} sees it\n", plain(&list.answered_by, 200));
    }

    let mut table = Table::new("SINCE, STATE, SEVERITY, ALERT, SUMMARY").heading(paint);
    for alert in &list.alerts {
        table.row(row(alert, paint));
    }

    table.render()
}

fn row(alert: &AlertEntry, paint: Paint) -> Vec<String> {
    let label = |name: &str| {
        alert
            .labels
            .get(name)
            .map_or_else(String::new, |value| plain(value, 60))
    };
    let severity = label("severity");
    let tone = if severity == "critical" {
        Tone::Bad
    } else {
        Tone::Uneasy
    };

    let state = match alert.state {
        AlertState::Firing => paint.tone(tone, "firing"),
        AlertState::Ended => paint.tone(Tone::Faint, "ended"),
    };
    let message = plain(&format!("{}: {}", alert.summary, alert.description), 500);

    vec![
        moment(alert.starts_ms),
        state,
        severity,
        label("alertname"),
        message,
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! `regionmesh docs`: the parts of the documentation and of the monitoring that are generated from
//! the code. Checks compare the files with them.

mod alerts;
mod commands;
mod events;
mod metrics;
mod routes;
mod settings;

use anyhow::Result;
use std::process::ExitCode;

/// Print a generated part of the documentation or of the monitoring
#[derive(Debug, clap::Args)]
pub(super) struct DocsCommand {
    /// Which part
    #[arg(value_enum)]
    part: Part,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Part {
    /// The list of commands in docs/reference/commands.md
    Commands,
    /// The table of routes in docs/reference/http-api.md
    Routes,
    /// The tables of settings in docs/reference/settings.md
    Settings,
    /// The table of alerts in docs/reference/alerts.md
    Alerts,
    /// The file monitoring/prometheus/rules/raised.yml
    AlertRules,
    /// The file monitoring/prometheus/tests/raised.yml
    AlertTests,
    /// The tables of metrics in docs/reference/metrics.md
    Metrics,
    /// The table of events in docs/reference/events.md
    Events,
}

impl DocsCommand {
    /// Runs the command; `tree` is the whole command line.
    pub(super) fn run(self, tree: &clap::Command) -> Result<ExitCode> {
        let text = match self.part {
            Part::Commands => commands::list(tree),
            Part::Routes => routes::table(),
            Part::Settings => settings::tables(),
            Part::Alerts => alerts::table(),
            Part::AlertRules => alerts::rules(),
            Part::AlertTests => alerts::tests(),
            Part::Metrics => metrics::tables(&regionmesh::agent::descriptions()?)?,
            Part::Events => events::table(),
        };

        super::text::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

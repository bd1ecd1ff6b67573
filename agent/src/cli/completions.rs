//! `regionmesh completions`: for shells.

use anyhow::Result;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print a completion script for a shell, for example: source <(regionmesh completions bash)
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsCommand {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

impl CompletionsCommand {
    /// Runs the command; `tree` is the whole command line.
    pub(super) fn run(self, mut tree: clap::Command) -> Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut tree, "regionmesh", &mut script);
        super::text::print(&String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `regionmesh ca`: certificates for small installations; in Kubernetes cert-manager makes them.

use regionmesh_mesh::{CA_CERTIFICATE, CA_KEY, init_authority, issue_certificate};
use regionmesh_protocol::identity::{AgentId, AgentName, MeshName, RegionName};
use std::{path::PathBuf, process::ExitCode};

/// Longest lifetime of a certificate, days: a century.
const DAYS_MAX: i64 = 36_500;

/// Create certificates for the mesh.
#[derive(Debug, clap::Args)]
pub(super) struct CaCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Create a certificate authority for a mesh.
    Init {
        /// The mesh: the trust domain of every certificate, for example prod.example.org.
        #[arg(long)]
        mesh: MeshName,
        /// Where the authority's certificate and key go.
        #[arg(long)]
        dir: PathBuf,
        /// How long the authority is valid, days.
        #[arg(
            long,
            default_value_t = 3650,
            value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX)
        )]
        days: u32,
    },
    /// Issue a certificate to one agent.
    Issue {
        /// Where the authority is.
        #[arg(long)]
        dir: PathBuf,
        /// The agent's region.
        #[arg(long)]
        region: RegionName,
        /// The agent's name in its region.
        // Has the id of the global option --agent (an address), which it replaces here.
        #[arg(
            id = "agents",
            long = "agent",
            value_name = "NAME",
            required = true,
            value_parser = agent_name
        )]
        agent: String,
        /// Where the agent's files go; the authority's folder if not given.
        #[arg(long)]
        out: Option<PathBuf>,
        /// How long the certificate is valid, days.
        #[arg(
            long,
            default_value_t = 90,
            value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX)
        )]
        days: u32,
    },
}

fn agent_name(text: &str) -> Result<String, String> {
    AgentName::new(text)
        .map(|name| name.to_string())
        .map_err(|error| error.to_string())
}

impl CaCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Init { mesh, dir, days } => {
                init_authority(&dir, &mesh, days)?;
                println!(
                    "authority of {mesh}: {}",
                    dir.join(CA_CERTIFICATE).display()
                );

                println!("keep its key safe:    {}", dir.join(CA_KEY).display());
            }
            Action::Issue {
                dir,
                region,
                agent,
                out,
                days,
            } => {
                let agent = AgentName::new(agent)?;
                let paths = issue_certificate(
                    &dir,
                    &AgentId { region, agent },
                    days,
                    out.as_ref().unwrap_or(&dir),
                )?;

                println!("certificate: {}", paths.certificate.display());
                println!("key:         {}", paths.key.display());
                println!("authority:   {}", paths.ca.display());
            }
        }

        Ok(ExitCode::SUCCESS)
    }
}

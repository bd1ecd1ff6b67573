//! The command line: one file for each command, named in one list here.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage or bad configuration, 3 the mesh can't do it now.

pub mod agent;
pub mod ca;
pub mod client;
pub mod files;
pub mod models;
pub mod serve;
pub mod status;
pub mod text;
pub mod up;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Serve ML models from several regions and clouds at once, with no central coordinator.
#[derive(Debug, Parser)]
#[command(name = "regionmesh", version = crate::VERSION, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::UpCommand),
    Status(status::StatusCommand),
    Models(models::ModelsCommand),
    Agent(agent::AgentCommand),
    Serve(serve::ServeCommand),
    Ca(ca::CaCommand),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    // A usage error prints itself and exits with 2.
    let CommandLine { command } = CommandLine::parse();
    // One provider in the whole process; libraries that ask for the default get this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Up(command) => command.run().await,
            Command::Status(command) => command.run().await,
            Command::Models(command) => command.run().await,
            Command::Agent(command) => command.run().await,
            Command::Serve(command) => command.run().await,
            Command::Ca(command) => command.run().await,
        }
    });
    // Blocking tasks (reading a terminal, hashing) must not hold up the exit.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {cause}");
    }
    match error.downcast_ref::<client::ClientError>() {
        Some(client::ClientError::Usage(_)) => ExitCode::from(2),
        Some(client::ClientError::Unavailable(_)) => ExitCode::from(3),
        _ => ExitCode::FAILURE,
    }
}

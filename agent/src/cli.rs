//! The command line: one file per command, listed in `command`.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage or bad configuration, 3 the mesh can't do it now. A
//! command's answer goes to standard output; warnings, progress and errors go to standard error.
//! docs/reference/commands.md is the reference.

mod agent;
mod alerts;
mod ca;
mod command;
mod common;
mod completions;
mod confirm;
mod connect;
mod cost;
mod dns;
mod duration;
mod error;
mod events;
mod failover;
mod front_door;
mod models;
mod optimizer;
mod output;
mod reference;
mod serve;
mod status;
mod text;
mod up;
mod version;

use clap::FromArgMatches;
use command::CommandLine;
use error::{CommandError, UNAVAILABLE, USAGE};
use regionmesh_client::ClientError;
use std::{io, process::ExitCode};

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    // A usage error prints itself and exits with 2.
    let parsed = CommandLine::from_arg_matches(&command::tree().get_matches());
    let CommandLine { common, command } = parsed.unwrap_or_else(|error| error.exit());
    text::set_style(common.output.color, common.output.verbose);

    // One provider in the whole process; libraries that ask for the default get this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let done = runtime.block_on(command.run());
            // Blocking tasks (reading a terminal, hashing) must not hold up the exit.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the runtime")),
    };

    done.unwrap_or_else(|error| {
        let code = exit_code(&error);
        if code != 0 {
            let message = if common.is_for_people() {
                explain(&error)
            } else {
                output::error_as_json(&error)
            };
            let message = if text::is_verbose() {
                message
            } else {
                regionmesh_runtime::describe::without_numbers(&message)
            };

            eprintln!("{message}");
        }

        ExitCode::from(code)
    })
}

/// The error on one line, then one line per cause; a cause that the line before already quotes is
/// left out.
fn explain(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    let mut previous = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !previous.contains(&cause) {
            text += &format!("\n  caused by: {cause}");
        }
        previous = cause;
    }

    text
}

fn exit_code(error: &anyhow::Error) -> u8 {
    // The reader of our output has closed the pipe (`regionmesh status | head`): not a failure.
    let is_reader_gone = |cause: &io::Error| {
        cause.kind() == io::ErrorKind::BrokenPipe && error.is::<text::OutputError>()
    };
    if error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(is_reader_gone))
    {
        return 0;
    }

    let is_configuration = error.is::<regionmesh::config::ConfigError>()
        || matches!(
            error.downcast_ref(),
            Some(
                regionmesh::local_mesh::LocalMeshError::Options(_)
                    | regionmesh::local_mesh::LocalMeshError::Config(_)
            )
        );

    if error
        .downcast_ref::<regionmesh_dns::ProviderError>()
        .is_some_and(|error| error.is_passing())
    {
        return UNAVAILABLE;
    }

    match error.downcast_ref::<CommandError>() {
        Some(CommandError::Usage(_)) => return USAGE,
        Some(CommandError::Deadline(_)) => return UNAVAILABLE,
        None => {}
    }

    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Address(_) | ClientError::NoToken(_) | ClientError::Setup(_)) => USAGE,
        Some(error) if error.is_unavailable() => UNAVAILABLE,
        _ if is_configuration => USAGE,
        _ => 1,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

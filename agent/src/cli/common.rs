//! What several commands take and how they answer.

use super::{
    output::{self, Format, OutputOptions},
    text::{self, Paint},
};
use crate::cli::{connect::ClientOptions, error::CommandError};
use anyhow::{Context, Result};
use clap::Args;
use nix::unistd::{User, getuid};
use prometheus::Registry;
use regionmesh_protocol::text::unprintable;
use regionmesh_runtime::metrics::render;
use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    process::ExitCode,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::task::AbortOnDropHandle;

/// How to reach the mesh, and how to answer. The options are global: they may stand before or after
/// any command.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) client: ClientOptions,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

impl Common {
    /// Prints what was answered, for programs or for people.
    pub(super) fn tell<T: serde::Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(Paint) -> String,
    ) -> Result<ExitCode> {
        let shown = match output::serialize(self.output.format(), value)? {
            Some(shown) => shown,
            None => {
                text(Paint {
                    is_on: text::takes_colour(),
                })
                .trim_end()
                .to_owned()
                    + "\n"
            }
        };

        text::print(&shown)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Whether people read the answer.
    pub(super) fn is_for_people(&self) -> bool {
        self.output.format() == Format::Table
    }
}

/// A text of 1 to `limit` printable characters.
pub(super) fn text_within(text: &str, limit: usize) -> Result<String, String> {
    let length = text.chars().count();
    if length == 0 || length > limit {
        return Err(format!(
            "it has {length} characters, 1 to {limit} are possible"
        ));
    }

    if let Some(found) = unprintable(text) {
        return Err(format!(
            "it holds {found:?}; control characters and line breaks are not allowed"
        ));
    }

    Ok(text.into())
}

/// Names who gives a command, where `--by` does not.
const BY_VARIABLE: &str = "REGIONMESH_BY";

/// Who publishes: as given, else as the environment says, else the user of this process.
pub(super) fn whoever(given: Option<String>, limit: usize) -> String {
    let fits = |name: &String| text_within(name, limit).is_ok();
    given
        .or_else(by_variable)
        .filter(fits)
        .or_else(user)
        .filter(fits)
        .unwrap_or_else(|| format!("uid {}", getuid()))
}

/// Who gives an order: as given, else as the environment says, else the user at the terminal.
/// Elsewhere the user of a process says nothing about who gave the order: then only the mesh can
/// know, by the name of the token.
pub(super) fn operator(given: Option<String>) -> Option<String> {
    let is_attended = io::stdin().is_terminal() || io::stderr().is_terminal();
    given
        .or_else(by_variable)
        .or_else(|| user().filter(|_| is_attended))
}

/// What to do where nobody knows who gives an order.
pub(super) fn who_is_it() -> CommandError {
    CommandError::Usage(format!(
        "who gives this order? Give --by WHO, set {BY_VARIABLE}, or use a token that has a name \
            (see api.token_file)"
    ))
}

fn by_variable() -> Option<String> {
    std::env::var(BY_VARIABLE)
        .ok()
        .filter(|name| !name.trim().is_empty())
}

/// The user's name: `USER`, else that of the system's user.
fn user() -> Option<String> {
    let of_system = || {
        User::from_uid(getuid())
            .ok()
            .flatten()
            .map(|user| user.name)
    };

    std::env::var("USER")
        .ok()
        .filter(|user| !user.trim().is_empty())
        .or_else(of_system)
}

/// Keeps SIGHUP from ending the process: there is nothing to reload, and a closed terminal is no
/// reason to drop users.
pub(super) fn ignore_hangups() -> Result<AbortOnDropHandle<()>> {
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP ignored: there is nothing to reload; SIGTERM stops");
        }
    })))
}

/// Serves `/metrics` of a process that is no agent, until the handle is dropped.
pub(super) async fn serve_metrics(
    address: SocketAddr,
    registry: Registry,
) -> Result<AbortOnDropHandle<()>> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let page = move || async move {
        let content_type = [(http::header::CONTENT_TYPE, "text/plain; version=0.0.4")];
        match render(&registry) {
            Ok(text) => (http::StatusCode::OK, content_type, text),
            Err(error) => (
                http::StatusCode::INTERNAL_SERVER_ERROR,
                content_type,
                error.to_string(),
            ),
        }
    };

    let router = axum::Router::new().route("/metrics", axum::routing::get(page));
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the metrics listener ended");
        }
    })))
}

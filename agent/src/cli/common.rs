//! Options and output that several commands share.

use super::{
    output::{self, Format, OutputOptions},
    text::{self, Paint},
};
use crate::cli::{connect::ClientOptions, error::CommandError};
use anyhow::{Context, Result};
use clap::Args;
use nix::unistd::{User, getuid};
use regionmesh_protocol::text::unprintable;
use regionmesh_runtime::metrics::Registry;
use regionmesh_runtime::metrics::render;
use serde::de::DeserializeOwned;
use serde_json::Value;
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

/// How to reach the mesh, and the format of the answer. The options are global: they are accepted
/// before and after any command.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) client: ClientOptions,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

impl Common {
    /// Prints an answer in the format asked for; `text` renders it for people.
    pub(super) fn print<T: serde::Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(Paint) -> String,
    ) -> Result<ExitCode> {
        let rendered = match output::serialize(self.output.format(), value)? {
            Some(rendered) => rendered,
            None => {
                text(Paint {
                    is_on: text::takes_colour(),
                })
                .trim_end()
                .to_owned()
                    + "\n"
            }
        };

        text::print(&rendered)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Asks the mesh.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(self.client.connect()?.get(path).await?)
    }

    /// Asks the mesh for a change.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        Ok(self.client.connect()?.post(path, body).await?)
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
            "it has {length} characters; 1 to {limit} are allowed"
        ));
    }

    if let Some(found) = unprintable(text) {
        return Err(format!(
            "it holds {found:?}; control characters and line breaks are not allowed"
        ));
    }

    Ok(text.into())
}

/// The operator, if `--by` is not given.
const BY_VARIABLE: &str = "REGIONMESH_BY";

/// The author of a change: as given, else of the environment, else the user of this process.
pub(super) fn author(given: Option<String>, limit: usize) -> String {
    let fits = |name: &String| text_within(name, limit).is_ok();
    given
        .or_else(by_variable)
        .filter(fits)
        .or_else(user)
        .filter(fits)
        .unwrap_or_else(|| format!("uid {}", getuid()))
}

/// The operator who gives an order: as given, else of the environment, else the user at the
/// terminal. Without a terminal, the user of the process does not identify the operator: then only
/// the mesh knows, by the name of the token.
pub(super) fn operator(given: Option<String>) -> Option<String> {
    let is_attended = io::stdin().is_terminal() || io::stderr().is_terminal();
    given
        .or_else(by_variable)
        .or_else(|| user().filter(|_| is_attended))
}

/// The operator is unknown: what to do.
pub(super) fn unknown_operator() -> CommandError {
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

/// The user's name: `USER`, else by the user id.
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

/// Keeps SIGHUP from ending the process: there is nothing to reload, and users must not lose
/// service because a terminal closes.
pub(super) fn ignore_hangups() -> Result<AbortOnDropHandle<()>> {
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP ignored: there is nothing to reload; SIGTERM stops");
        }
    })))
}

/// Serves `/metrics` of a process other than an agent, until the handle is dropped.
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

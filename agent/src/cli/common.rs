//! What several commands take and how they answer.

use super::{
    client::ClientOptions,
    output::{self, Format, OutputOptions},
    text::{self, Paint},
};
use crate::metrics::render;
use anyhow::{Context, Result};
use clap::Args;
use prometheus::Registry;
use regionmesh_protocol::text::unprintable;
use std::{net::SocketAddr, process::ExitCode};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// How to reach the mesh, and how to answer. The options are global: they may stand before or after any command.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) client: ClientOptions,
    #[command(flatten)]
    pub(super) output: OutputOptions,
}

impl Common {
    /// Prints what was answered, for programs or for people.
    pub(super) fn tell<T: serde::Serialize>(&self, value: &T, text: impl FnOnce(Paint) -> String) -> Result<ExitCode> {
        let shown = match output::serialize(self.output.format(), value)? {
            Some(shown) => shown,
            None => text(Paint { is_on: text::takes_colour() }).trim_end().to_owned() + "\n",
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
        return Err(format!("it has {length} characters, 1 to {limit} are possible"));
    }
    if let Some(found) = unprintable(text) {
        return Err(format!("it holds {found:?}; control characters and line breaks are not allowed"));
    }
    Ok(text.into())
}

/// Who gives a command: as given, else the user's name if it has at most `limit` characters.
pub(super) fn whoever(given: Option<String>, limit: usize) -> String {
    let user = || std::env::var("USER").ok().filter(|user| text_within(user, limit).is_ok());
    given.or_else(user).unwrap_or_else(|| "unknown".into())
}

/// Serves `/metrics` of a process that is no agent, until the handle is dropped.
pub(super) async fn serve_metrics(address: SocketAddr, registry: Registry) -> Result<AbortOnDropHandle<()>> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let page = move || async move {
        let content_type = [(http::header::CONTENT_TYPE, "text/plain; version=0.0.4")];
        match render(&registry) {
            Ok(text) => (http::StatusCode::OK, content_type, text),
            Err(error) => (http::StatusCode::INTERNAL_SERVER_ERROR, content_type, error.to_string()),
        }
    };
    let router = axum::Router::new().route("/metrics", axum::routing::get(page));
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the metrics listener ended");
        }
    })))
}

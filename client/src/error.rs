//! Why a request failed.

use crate::address::AddressError;
use regionmesh_runtime::describe;
use reqwest::{StatusCode, Url};
use std::fmt;

/// One agent that did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The agent's URL.
    pub agent: Url,
    /// Why it did not.
    pub why: String,
}

impl Failure {
    pub(crate) fn of(agent: &Url, why: String) -> Self {
        let agent = agent.clone();
        Self { agent, why }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", origin(&self.agent), self.why)
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An address is not an agent's.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A change needs a token, and none is configured.
    #[error("this command needs an API token: {0}")]
    NoToken(String),
    /// The HTTP client could not be created.
    #[error("cannot create an HTTP client: {0}")]
    Setup(String),
    /// No agent answers.
    #[error("no agent of the mesh can be \
        reached{}", .tried.iter().map(|failure| format!("\n  {failure}")).collect::<String>())]
    NoAgent {
        /// The agents that were asked, and their errors.
        tried: Vec<Failure>,
    },
    /// The agent received a change, but its answer never arrived.
    #[error("{}: connection lost ({why}); the change may have been applied. Check before you \
        retry", origin(.agent))]
    BrokenOff {
        /// The agent's URL.
        agent: Url,
        /// What happened to the connection.
        why: String,
    },
    /// A connection failed before or while something was asked.
    #[error("{}: {why}", origin(.agent))]
    Connection {
        /// The agent's URL.
        agent: Url,
        /// What happened to the connection.
        why: String,
    },
    /// The server is not an agent, or of another version.
    #[error("{} is not a RegionMesh agent, or runs an incompatible version: {why}", origin(.agent))]
    Foreign {
        agent: Url,
        /// What is wrong with the answer.
        why: String,
    },
    /// The agent refused.
    #[error("{error}{}", if .hint.is_empty() { String::new() } else { format!("; {}", .hint) })]
    Refused {
        /// What was wrong.
        error: String,
        /// What to do.
        hint: String,
        /// The HTTP status.
        status: StatusCode,
        /// A code by which programs distinguish errors of one status.
        code: String,
    },
}

impl ClientError {
    /// Whether the same request may succeed at another time or another agent.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Address(_) | Self::NoToken(_) | Self::Setup(_) => false,
            Self::Refused { status, .. } => is_passing(*status),
            Self::NoAgent { .. }
            | Self::BrokenOff { .. }
            | Self::Connection { .. }
            | Self::Foreign { .. } => true,
        }
    }

    /// The reason without the agent, for output that names the agent separately.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Connection { why, .. } | Self::BrokenOff { why, .. } => why.clone(),
            Self::Foreign { why, .. } => {
                format!("not a RegionMesh agent, or an incompatible version: {why}")
            }
            error => error.to_string(),
        }
    }

    pub(crate) fn broken(agent: &Url, error: &reqwest::Error) -> Self {
        Self::Connection {
            agent: agent.clone(),
            why: root(error),
        }
    }
}

/// The URL without its final slash.
pub(crate) fn origin(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// The innermost cause: the system's error.
pub(crate) fn root(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        let what = if error.is_connect() {
            "no connection in time"
        } else {
            "no answer in time"
        };

        return what.into();
    }

    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }

    describe::without_numbers(&cause.to_string())
}

/// Whether an answer means that the request is valid, but cannot be served now.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

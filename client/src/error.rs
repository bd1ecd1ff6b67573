//! Why a request was not answered as wanted.

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

/// Why a request was not answered as wanted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An address is not an agent's.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A change needs a token, and there is none.
    #[error("this changes the mesh and needs its token: {0}")]
    NoToken(String),
    /// The system lets us make no HTTP client.
    #[error("no HTTP client can be made: {0}")]
    Setup(String),
    /// No agent answers.
    #[error("no agent of the mesh can be \
        reached{}", .tried.iter().map(|failure| format!("\n  {failure}")).collect::<String>())]
    NoAgent {
        /// Whom we asked, and how that ended.
        tried: Vec<Failure>,
    },
    /// The agent took a change, and its answer never came.
    #[error("{} broke off ({why}); it may have been done, look before you repeat \
        it", origin(.agent))]
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
    /// What answers there is not an agent, or not of our version.
    #[error("{} does not answer as an agent of this version does: {why}", origin(.agent))]
    Foreign {
        agent: Url,
        /// What is wrong with the answer.
        why: String,
    },
    /// The agent said no.
    #[error("{error}{}", if .hint.is_empty() { String::new() } else { format!("; {}", .hint) })]
    Refused {
        /// What was wrong.
        error: String,
        /// What to do.
        hint: String,
        /// The HTTP status.
        status: StatusCode,
        /// A word for programs, where errors of one status are to be told apart.
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

    /// The reason without the agent, for where the agent is named beside it.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Connection { why, .. } | Self::BrokenOff { why, .. } => why.clone(),
            Self::Foreign { why, .. } => format!("not an agent of this version: {why}"),
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

/// The URL as people write it: without the slash at its end.
pub(crate) fn origin(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// The innermost cause: what the system said.
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

/// Whether an answer means that nothing is wrong with the question, only with the moment.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

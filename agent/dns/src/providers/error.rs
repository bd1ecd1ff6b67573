//! Why a provider's zone can't be written.

use std::time::Duration;

/// Why a zone does not match the plan.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A later plan was already written.
    #[error("{plan} was not written: {why}")]
    Fenced {
        plan: String,
        /// Which plan the zone was written from.
        why: String,
    },
    /// Nothing can be written: foreign records block it, or there is nothing to write.
    #[error("{plan} was not written: {why}")]
    Blocked {
        plan: String,
        /// What to do about it.
        why: String,
    },
    /// The provider refused, and would refuse again.
    #[error("{provider} refused {operation}: {code}: {message}")]
    Refused {
        provider: &'static str,
        /// The API's operation.
        operation: &'static str,
        /// The provider's error code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider is throttling, for longer than we wait.
    #[error("{provider} throttled {operation} for {} s ({code}); retry later", .waited.as_secs())]
    Busy {
        provider: &'static str,
        /// The API's operation.
        operation: &'static str,
        /// The provider's error code.
        code: String,
        /// How long we waited.
        waited: Duration,
    },
    /// No answer; the operation may have been done.
    #[error("{provider} did not answer {operation}: {why}")]
    Unanswered {
        provider: &'static str,
        /// The API's operation.
        operation: &'static str,
        /// What happened instead.
        why: String,
    },
    /// Concurrent writers won each time.
    #[error("the zone was modified concurrently {attempts} times ({last}); retry")]
    Raced {
        /// Number of attempts.
        attempts: u32,
        /// The last message.
        last: String,
    },
    /// Written, but not visible everywhere in time.
    #[error(
        "the change was made, but after {} s {what}; it will still take effect",
        .waited.as_secs()
    )]
    NotYetVisible {
        /// What was still missing.
        what: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The configuration does not match the provider's zone.
    #[error("{0}")]
    Misconfigured(String),
}

impl ProviderError {
    /// Whether a retry may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::Unanswered { .. }
                | Self::Raced { .. }
                | Self::NotYetVisible { .. }
        )
    }

    /// The metric's label.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::Blocked { .. } | Self::Refused { .. } | Self::Misconfigured(_) => "refused",
            Self::Busy { .. } => "busy",
            Self::Unanswered { .. } => "unanswered",
            Self::Raced { .. } => "raced",
            Self::NotYetVisible { .. } => "not_visible",
        }
    }
}

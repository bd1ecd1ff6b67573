//! Regions' endpoints, and the resolvers of their users.

use super::fault::EndpointState;

/// How long a prober or a user waits for an answer.
pub(crate) const ANSWER_MS: u64 = 1_000;

/// A region's endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    pub(crate) state: EndpointState,
    /// Since when it is in that state.
    pub(crate) since_ms: u64,
    /// The fault that it is in that state for.
    pub(crate) fault: Option<usize>,
}

/// A resolver and its users.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolver {
    /// Where it stands.
    pub(crate) region: usize,
    /// The region of its last answer.
    pub(crate) answer: Option<usize>,
}

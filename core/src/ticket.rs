//! Tickets of callers that wait for a reply.

/// The caller's name for a request that waits for its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

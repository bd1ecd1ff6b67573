//! The mesh: QUIC connections between agents, who is at their other end, and what travels on them.

pub mod handle;
pub mod membership;

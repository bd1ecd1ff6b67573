//! The mesh: QUIC connections between agents, who is at their other end, and what travels on them.

pub mod ca;
pub mod handle;

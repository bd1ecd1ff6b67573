//! What one agent decides, without IO: no tokio, no clock, no randomness.
//!
//! Callers pass in time and random numbers and carry out the effects, so the same code runs in an
//! agent and in the simulator.
//!
//! [`Core`] is the whole agent; its parts can be driven alone.
//!
//! Reading order: [`agent`] → [`gossip`] → [`health`] → [`gateways`] → [`planning`] → [`recovery`]
//! → [`leader`] → [`slots`] → [`replication`] → [`notify`] → [`admission`].

pub mod admission;
pub mod agent;
pub mod backoff;
pub mod gateways;
pub mod gossip;
pub mod health;
mod keys;
pub mod leader;
pub mod notify;
pub mod now;
pub mod planning;
pub mod problem_change;
pub mod recovery;
pub mod rendezvous;
pub mod replication;
pub mod slots;
pub mod throttle;
mod ticket;

pub use agent::Core;
pub use keys::{Keys, OrderVerifier};
pub use ticket::Ticket;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;

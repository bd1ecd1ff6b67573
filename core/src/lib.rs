//! What one agent decides, without IO: no tokio, no clock, no randomness of its own.
//!
//! Time and random numbers are handed in and effects are handed out, so the same code runs in an
//! agent and in the simulator.
//!
//! Reading order: [`gossip`] → [`health`] → [`planning`] → [`recovery`] → [`leader`] →
//! [`replication`] → [`notify`] → [`admission`].

pub mod admission;
pub mod gossip;
pub mod health;
pub mod leader;
pub mod notify;
pub mod planning;
pub mod recovery;
pub mod replication;

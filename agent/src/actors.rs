//! The actors and three supervised tasks (`alerts`, `events`, `provider`).
//!
//! [`core`] owns the [`regionmesh_core::Core`], which decides. It publishes decisions in
//! [`crate::snapshots`], and gives IO to [`gossip`] (packets, exchanges), [`health`] (probes),
//! [`leader`] (acceptors, voters, the plan on disk) and [`replicator`] (the store, catalogues of
//! peers). Each of these does what it is asked, and reports how that ended ([`report`] says what a
//! restart means). Logs and metrics about a subject are in the folder of its actor.
//!
//! Actors exchange the messages of [`messages`] through an [`crate::address::Address`].

pub mod alerts;
pub(crate) mod core;
pub mod cost;
pub mod events;
pub mod gossip;
pub mod health;
pub mod leader;
pub mod messages;
pub mod provider;
pub mod replicator;
mod report;

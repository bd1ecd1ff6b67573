//! The actors and three supervised tasks (`alerts`, `events`, `provider`): thin shells around the
//! pure logic of `regionmesh-core` and `regionmesh-cost`.
//!
//! Actors never import each other: they exchange the messages of [`messages`] through an
//! [`crate::address::Address`] and read each other's results in [`crate::snapshots`].

pub mod alerts;
pub mod cost;
pub mod events;
pub mod gossip;
pub mod health;
pub mod leader;
pub mod messages;
pub mod provider;
pub mod replicator;

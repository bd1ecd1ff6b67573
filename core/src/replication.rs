//! Keeps a region's store equal to the mesh's catalogue.
//!
//! [`Replication`] decides for one agent: when to read the store and the catalogues of other
//! regions, what is missing, which agent of the region fetches it from where, and when to clean up.
//! [`plan_sync`] is the rule that all regions share: what a region lacks, and what applies if two
//! regions changed the same thing.
//!
//! With several agents in a region each version is fetched by one of them
//! ([`rendezvous`](crate::rendezvous)), so that a long-distance link carries a chunk once.
//!
//! Reading order: `input` and `effect` → `replicator` → `plan`, `sync`, `offers`, `fetches`,
//! `relay` → `peers`, `unknown` → `upkeep`, `losses`, `holdings`.

mod effect;
mod fetches;
mod holdings;
mod input;
mod lack;
mod losses;
mod offers;
mod peers;
mod plan;
mod relay;
mod replicator;
mod scanning;
mod settings;
mod sync;
mod unknown;
mod upkeep;
mod view;

pub use effect::{Effect, Notice};
pub use input::{Cleaned, Input, Routes, Scan};
pub use plan::{SyncAction, conflict_name, name_winner, plan_sync};
pub use replicator::Replication;
pub use settings::Settings;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

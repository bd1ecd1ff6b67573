//! The RegionMesh agent, run identically in every region. The binary adds the command line
//! (`main.rs`, `cli/`).
//!
//! Layers are crates: this one depends on `regionmesh-mesh`, `-dns`, `-serving`, `-replication`,
//! `-store` and `-client`, these on `-runtime`, that on `-core`, and `-core` and `-cost` on
//! `-protocol`. Within this crate imports run one way: `agent` → `api` and `actors` → the other
//! modules. Exceptions: `failover` and `peer_service` send messages to actors, and `cost` uses the
//! metrics of its actor.
//!
//! To find your way, read `agent.rs` (what is started, in what order), one actor, and then the file
//! in `regionmesh-core` that holds its decisions.

pub mod actors;
pub mod address;
pub mod agent;
mod alerts;
pub mod api;
mod catalogue_pages;
mod clocks;
pub mod config;
mod core_settings;
pub mod cost;
mod events;
mod failover;
pub mod front_door;
pub mod local_mesh;
mod operators;
mod peer_service;
mod probe;
mod refusals;
mod reload;
mod replication_adapters;
mod servability;
mod service;
pub mod serving;
mod snapshots;
mod supervisor;
mod tokens;

pub use regionmesh_runtime::VERSION;

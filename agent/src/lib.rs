//! The RegionMesh agent: one binary, run identically in every region.
//!
//! Imports run one way: `cli`, `api` → `actors` → `mesh`, `dns`, `serving` and the crates
//! `regionmesh-store`, `regionmesh-replication` → `regionmesh-protocol`. A newcomer's path: `main.rs` → `agent.rs` (what is started, in what
//! order, who supervises whom) → one actor → the protocol file that it drives.

pub mod actors;
pub mod address;
pub mod agent;
pub mod alerts;
pub mod api;
pub mod cli;
pub mod clocks;
pub mod config;
pub mod cost;
pub mod events;
pub mod failover;
pub mod front_door;
pub mod operators;
pub mod peer_service;
pub mod probe;
pub mod refusals;
pub mod reload;
mod replication_adapters;
pub mod servability;
pub mod service;
mod serving;
pub mod snapshots;
pub mod supervisor;
mod tokens;

pub use regionmesh_runtime::VERSION;

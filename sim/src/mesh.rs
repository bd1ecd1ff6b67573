//! Whole meshes from one seed: agents' real cores under virtual time, with a network, object
//! stores, DNS, endpoints, users and operators, and faults in all of them.
//!
//! The same seed gives the same run, in every process: one queue of events with an order of its
//! own, random numbers from streams that the seed determines, and no iteration in random order. A
//! hash over every event proves it.
//!
//! - [`node`]: what goes into one agent and comes out of it
//! - `shape`, `swarm`, `fault`: what a seed determines: settings, distances, a list of faults
//! - `world`, `run`, `delivery`: the mesh and its events
//! - `network`, `links`, `calls`, `watch`: packets, links, streams between agents
//! - `store`, `slots`, `storage`: object stores and the register's slots in them
//! - `users`, `reach`, `orders`, `inject`: endpoints, users, operators, faults
//! - `laws`, `orders`, `answers`, `forged`, `healed`: what must hold, always and soon after healing
//! - `failover`: what must not happen under loss: traffic taken from regions that work
//! - `models`: users publish versions, agents copy them; what must hold for them
//! - `batch`, `minimise`: many runs; and the smallest list of faults that still breaks a law
//! - `core_node`, `keys`, `liar`: an agent around its real core, its signatures, and one that lies

mod answers;
mod batch;
mod calls;
mod command;
mod core_node;
mod delivery;
mod endpoint;
mod event;
mod failover;
mod fault;
mod forge;
mod forged;
mod healed;
mod inject;
mod keys;
mod laws;
mod liar;
mod links;
mod machine;
mod minimise;
mod models;
mod network;
mod node;
mod orders;
mod outcome;
mod queue;
mod reach;
mod run;
mod shape;
mod slots;
mod sometimes;
mod storage;
mod store;
mod streams;
mod swarm;
mod trace;
mod users;
mod watch;
mod world;

pub use batch::{Batch, run_batch};
pub use command::command;
pub use laws::Violation;
pub use outcome::{Outcome, run};
pub use shape::{Options, Profile};

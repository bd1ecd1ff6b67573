//! Models in the simulated mesh: users publish and delete versions through agents, and the cores'
//! replication copies them from store to store.
//!
//! What core decides is the product's; what surrounds it there and needs a store or the network is
//! written again here, by the same rules, as `async` functions over virtual time:
//!
//! - `objects`, `operations`: the stores' objects, and the faults of operations on them
//! - `context`, `work`, `running`: how work waits, what it shares within a process, how it ends
//! - `perform`: between cores, work and the world
//! - `claims`, `commit`, `upkeep`: regionmesh-store
//! - `publish`, `fetch`, `serve`: regionmesh-replication
//! - `routes`: where versions are fetched from
//! - `act`, `acts`, `users`: what users do
//! - `told`, `laws`: what they were told, and what must hold

pub(crate) mod act;
pub(crate) mod acts;
mod claims;
mod commit;
mod context;
mod fetch;
mod laws;
pub(crate) mod objects;
mod operations;
mod perform;
mod publish;
pub(crate) mod routes;
pub(crate) mod running;
mod serve;
pub(crate) mod told;
mod upkeep;
mod users;
pub(crate) mod work;

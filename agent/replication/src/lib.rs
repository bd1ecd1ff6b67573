//! Replication: taking in versions, fetching them from other regions, and serving them to others.
//!
//! The region's [`Store`] and the [`Transport`] to other agents are ports of this crate; the agent
//! has the adapters. Reading order: `store` and `transport` → `publish` → `fetch` and `serve`, the
//! two ends of a bulk stream, whose frames are in `frames` → `route`, where a version comes from.

mod clock;
mod early_sync;
mod fetch;
mod frames;
mod metrics;
mod publish;
mod route;
mod serve;
mod settings;
mod store;
mod transport;

pub use clock::HybridClock;
pub use fetch::Fetcher;
pub use frames::STALL;
pub use metrics::ReplicationMetrics;
pub use publish::{OpenUpload, PublishError, Publisher, PublisherSetup};
pub use route::Routes;
pub use serve::BulkServer;
pub use settings::Settings;
pub use store::Store;
pub use transport::{BulkReceive, BulkSend, Transport};

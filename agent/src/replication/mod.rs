//! Replication: taking in versions, fetching them from other regions, and serving them to others.

pub mod bulk;
pub mod clock;
pub mod fetch;
pub mod metrics;
pub mod publish;
pub mod route;
pub mod serve;

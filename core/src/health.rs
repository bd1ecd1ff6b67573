//! From single probes to the verdict on a region.

pub mod endpoint;
pub mod gray;
pub mod probe;
pub mod store;
pub mod verdict;

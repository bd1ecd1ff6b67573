//! The basics of every part of an agent: the clock, logs, listeners, files, the metrics registry,
//! problems and counters.

pub mod describe;
pub mod files;
pub mod listener;
pub mod logging;
pub mod meter;
pub mod metrics;
pub mod models;
pub mod problems;
pub mod time;

/// Version of the binary, with the commit that it was built from if that is known.
pub const VERSION: &str = match option_env!("REGIONMESH_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

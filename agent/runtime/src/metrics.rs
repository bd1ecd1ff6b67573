//! The registry that every part registers its metrics in, and its text form.
//!
//! Names follow Prometheus' conventions: prefix `regionmesh_`, base units (seconds, bytes),
//! counters end in `_total`, label names are `region`, `peer`, `reason`. A metric is defined next
//! to the code that it measures: each part has its own struct with `fn new(&Registry) ->
//! prometheus::Result<Self>`.

use prometheus::{Encoder, Registry, TextEncoder};

/// All metrics in the Prometheus text format 0.0.4.
pub fn render(registry: &Registry) -> Result<String, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

//! Slots for event streams, and their metrics.

use prometheus::{
    IntCounterVec, IntGauge, register_int_counter_vec_with_registry,
    register_int_gauge_with_registry,
};
use regionmesh_runtime::{
    listener::{PlaceLimits, Room},
    metrics::Registry,
};
use std::sync::Arc;

/// Concurrent streams.
pub(crate) const STREAMS_MAX: usize = 64;
/// Concurrent streams to one client.
pub(crate) const STREAMS_PER_CLIENT: usize = 32;

/// Slots for streams, and their metrics. Clones share both.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    pub(crate) places: Arc<Room>,
    pub(crate) open: IntGauge,
    ended: IntCounterVec,
}

impl Streams {
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            places: Room::new(PlaceLimits {
                total: STREAMS_MAX,
                per_client: STREAMS_PER_CLIENT,
            }),
            open: register_int_gauge_with_registry!(
                "regionmesh_event_streams",
                "Open event streams.",
                registry
            )?,
            ended: register_int_counter_vec_with_registry!(
                "regionmesh_event_streams_ended_total",
                "Event streams ended, by reason: left, slow, lagged, stopping, refused.",
                &["reason"],
                registry
            )?,
        })
    }

    pub(crate) fn ended(&self, reason: &str) {
        self.ended.with_label_values(&[reason]).inc();
    }
}

//! Slots for event streams, and their metrics.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use regionmesh_runtime::listener::{PlaceLimits, Room};
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
        let streams = Self {
            places: Room::new(PlaceLimits {
                total: STREAMS_MAX,
                per_client: STREAMS_PER_CLIENT,
            }),
            open: IntGauge::new(
                "regionmesh_event_streams",
                "Streams of events that are open.",
            )?,
            ended: IntCounterVec::new(
                Opts::new(
                    "regionmesh_event_streams_ended_total",
                    "Streams of events that ended, by reason: left (the reader went), slow (it \
                     went, or was cut off, with events that it had not taken), lagged (events that \
                     it had not taken were gone), stopping, refused (no place).",
                ),
                &["reason"],
            )?,
        };

        registry.register(Box::new(streams.open.clone()))?;
        registry.register(Box::new(streams.ended.clone()))?;
        Ok(streams)
    }

    pub(crate) fn ended(&self, reason: &str) {
        self.ended.with_label_values(&[reason]).inc();
    }
}

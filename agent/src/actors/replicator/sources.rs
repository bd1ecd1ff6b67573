//! The sources of a version, and when to wait for a cheaper one.

use super::state::ReplicatorState;
use crate::cost::{day::date, observe, view::pricing};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::manifest::VersionSummary,
};
use regionmesh_replication::{RELAYED_MIN_BYTES, Routes, relay_timeout};
use regionmesh_runtime::time::unix_ms;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

impl ReplicatorState {
    fn with_routes<R>(&self, find: impl FnOnce(&Routes<'_>) -> R) -> R {
        let books = self.arguments.books.borrow().clone();
        let board = self.arguments.snapshots.board.borrow().clone();
        let regions = observe::region_map(&self.arguments.config);

        find(&Routes {
            own: &self.arguments.id.region,
            clouds: &self.arguments.config.clouds(),
            pricing: pricing(&books, &regions),
            today: date(unix_ms()),
            round_trips_ms: observe::round_trips_ms(&board),
        })
    }

    /// The connected agents of the regions that hold a version, the cheapest first.
    pub(super) fn sources(&self, holders: &[RegionName]) -> Vec<Vec<AgentId>> {
        let links = self.arguments.snapshots.links.borrow().clone();
        let links = links
            .iter()
            .map(|(agent, link)| (agent.clone(), link.round_trip_us))
            .collect();

        self.with_routes(|routes| routes.sources(holders, &links))
    }

    /// Whether to fetch a version later, from another region that is about to hold it and is
    /// cheaper.
    pub(super) fn waits_for_relay(
        &mut self,
        version: &VersionSummary,
        holders: &[RegionName],
    ) -> bool {
        let longest = Duration::from_secs(self.arguments.config.replication.relay_wait_s);
        let missing = self
            .first_missing
            .get(version)
            .map(Instant::elapsed)
            .unwrap_or_default();
        let may_wait =
            version.size >= RELAYED_MIN_BYTES && missing < relay_timeout(version.size, longest);
        let relay = if may_wait { self.relay(holders) } else { None };
        let model = &version.model;
        let name = &version.version;

        let Some(relay) = relay else {
            if let Some(relay) = self.awaited.remove(version) {
                let outcome = if holders.contains(&relay) {
                    "relayed"
                } else {
                    "direct"
                };

                tracing::info!(
                    %model,
                    version = %name,
                    %relay,
                    outcome,
                    "no longer waiting for a relay"
                );
                self.arguments
                    .fetcher
                    .metrics
                    .relays
                    .with_label_values(&[outcome])
                    .inc();
            }

            return false;
        };

        if self.awaited.get(version) != Some(&relay) {
            tracing::info!(%model, version = %name, %relay, "waiting for a relay, from which it is \
                cheaper to fetch");
            self.awaited.insert(version.clone(), relay);
        }

        true
    }

    fn relay(&self, holders: &[RegionName]) -> Option<RegionName> {
        let links = self.arguments.snapshots.links.borrow().clone();
        let is_connected = |region: &RegionName| links.keys().any(|agent| agent.region == *region);
        let others = self.peers.keys().filter(|region| !holders.contains(region));
        let lacking: BTreeSet<RegionName> = others
            .filter(|region| is_connected(region))
            .cloned()
            .collect();

        self.with_routes(|routes| routes.relay(holders, &lacking))
    }
}

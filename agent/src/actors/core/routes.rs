//! Ranks sources by the prices of egress.

use crate::{
    config::Config,
    cost::{books::Books, day::date, observe, view::pricing},
};
use regionmesh_core::{gossip::BoardView, replication};
use regionmesh_cost::RegionMap;
use regionmesh_protocol::identity::{AgentId, RegionName};
use regionmesh_replication::Routes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Debug)]
pub(super) struct EgressRoutes {
    own: RegionName,
    clouds: BTreeMap<RegionName, String>,
    regions: RegionMap,
    books: Arc<Books>,
}

impl EgressRoutes {
    pub(super) fn new(config: &Config, own: &RegionName, books: Arc<Books>) -> Self {
        Self {
            own: own.clone(),
            clouds: config.clouds(),
            regions: observe::region_map(config),
            books,
        }
    }

    fn on(&self, unix_ms: u64, round_trips_ms: BTreeMap<(String, String), f64>) -> Routes<'_> {
        Routes {
            own: &self.own,
            clouds: &self.clouds,
            pricing: pricing(&self.books, &self.regions),
            today: date(unix_ms),
            round_trips_ms,
        }
    }
}

impl replication::Routes for EgressRoutes {
    fn sources(
        &self,
        unix_ms: u64,
        holders: &[RegionName],
        links: &BTreeMap<AgentId, u64>,
    ) -> Vec<Vec<AgentId>> {
        self.on(unix_ms, BTreeMap::new()).sources(holders, links)
    }

    fn relay(
        &self,
        unix_ms: u64,
        board: &BoardView,
        holders: &[RegionName],
        lacking: &BTreeSet<RegionName>,
    ) -> Option<RegionName> {
        let round_trips_ms = observe::round_trips_ms(board);
        self.on(unix_ms, round_trips_ms).relay(holders, lacking)
    }
}

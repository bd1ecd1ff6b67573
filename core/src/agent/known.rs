//! What the parts last decided, for each other and for a restart.

use crate::{
    gateways::Gateways,
    gossip::BoardView,
    health::verdict::RegionVerdict,
    leader::{Contact, PlanClock},
    planning::freeze::Freeze,
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::CommittedPlan,
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

#[derive(Debug)]
pub(super) struct Known {
    pub(super) board: Arc<BoardView>,
    /// Whether health has not read a board that may change a decision.
    pub(super) is_board_urgent: bool,
    pub(super) verdicts: Arc<BTreeMap<RegionName, RegionVerdict>>,
    pub(super) plan: Option<Arc<CommittedPlan>>,
    pub(super) plan_clock: PlanClock,
    pub(super) freeze: Option<Arc<Freeze>>,
    pub(super) contact: Contact,
    pub(super) leader: Option<AgentId>,
    /// Round trips to the connected agents, microseconds.
    pub(super) links: Arc<BTreeMap<AgentId, u64>>,
    pub(super) gateways: Arc<Gateways>,
}

impl Known {
    /// Nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            board: Arc::default(),
            is_board_urgent: false,
            verdicts: Arc::default(),
            plan: None,
            plan_clock: PlanClock::new(now),
            freeze: None,
            contact: Contact::default(),
            leader: None,
            links: Arc::default(),
            gateways: Arc::default(),
        }
    }
}

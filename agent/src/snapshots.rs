//! What every part of an agent may read without asking an actor.
//!
//! Each cell has one writer, named beside it; readers borrow the latest value or wait for a change.

use crate::{clocks::Clocks, cost::shift::RequestCosts, events::EventLog};
use regionmesh_core::{
    gossip::BoardView,
    health::verdict::RegionVerdict,
    notify::{alert::Alert, changes::ZoneState},
    planning::{
        PlanInputs,
        freeze::{Freeze, OwnView},
    },
};
use regionmesh_mesh::LinkInfo;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::catalogue::Catalogue,
    plan::CommittedPlan,
    register::ballot::Ballot,
};
use regionmesh_runtime::problems::Problems;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Instant};
use tokio::sync::watch;

/// Who leads, as this agent knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderView {
    /// The leader's ballot; none while an election is due.
    pub ballot: Option<Ballot>,
    /// Whether this agent is the leader.
    pub is_self: bool,
}

/// The cells.
#[derive(Debug, Clone, Default)]
pub struct Snapshots {
    /// The board. Writer: gossip.
    pub board: watch::Sender<Arc<BoardView>>,
    /// Direct connections. Writer: mesh.
    pub links: watch::Sender<Arc<BTreeMap<AgentId, LinkInfo>>>,
    /// The verdict on every region. Writer: health.
    pub verdicts: watch::Sender<Arc<BTreeMap<RegionName, RegionVerdict>>>,
    /// The highest committed plan known. Writer: dns-leader.
    pub plan: watch::Sender<Option<Arc<CommittedPlan>>>,
    /// What the next plan would rest on, as this agent sees it. Writer: dns-leader.
    pub plan_inputs: watch::Sender<Option<Arc<PlanInputs>>>,
    /// Whether the plan can be acted on: it was compared with another region's since the start, or
    /// since the process stood still, or none could be heard in time. Writers: dns-leader, and dns
    /// where it notices that the process stood still.
    pub is_current: watch::Sender<bool>,
    /// When the process went on after it had stood still. Writer: dns.
    pub resumed: watch::Sender<Option<Instant>>,
    /// When the last board exchange with another region that succeeded began. Writer: gossip.
    pub heard: watch::Sender<Option<Instant>>,
    /// Whether the catalogues of all living regions were read since the start, so that what this
    /// region lacks is known, or as many as another region could read. Never false again. Writer:
    /// replicator.
    pub has_catalogues: watch::Sender<bool>,
    /// Who leads. Writer: dns-leader.
    pub leader: watch::Sender<LeaderView>,
    /// Whether the plan is frozen. Writer: dns-leader.
    pub freeze: watch::Sender<Option<Arc<Freeze>>>,
    /// What this agent's own probes say of every region. Writer: health.
    pub own_view: watch::Sender<Arc<BTreeMap<RegionName, OwnView>>>,
    /// What the region's bucket holds. Writer: replicator.
    pub catalogue: watch::Sender<Arc<Catalogue>>,
    /// What other regions hold, as far as their catalogues were read. Writer: replicator.
    pub peer_catalogues: watch::Sender<Arc<BTreeMap<RegionName, Arc<Catalogue>>>>,
    /// How the zones that this agent writes do, by provider; nothing while it does not lead.
    /// Writer: each provider's keeper its own entry.
    pub zones: watch::Sender<BTreeMap<&'static str, ZoneState>>,
    /// What happened. Writer: events.
    pub events: watch::Sender<EventLog>,
    /// What is the case and somebody should know, and what lately ceased to be. Writer: events.
    pub alerts: watch::Sender<Arc<Vec<Alert>>>,
    /// What a request costs in each region. Writer: cost.
    pub request_costs: watch::Sender<Option<Arc<RequestCosts>>>,
    /// This agent's problems. Writer: whichever part notices one.
    pub problems: Problems,
    /// How our clock and the plan's compare. Writers: gossip what peers tell, dns-leader the rest.
    pub clocks: Clocks,
}

impl Snapshots {
    /// The highest committed plan known, its points in time told by our own clock.
    pub fn plan_by_own_clock(&self) -> Option<Arc<CommittedPlan>> {
        let committed = self.plan.borrow().clone()?;
        match self.clocks.by_own_clock(&committed.plan) {
            Cow::Borrowed(_) => Some(committed),
            Cow::Owned(plan) => Some(Arc::new(CommittedPlan {
                stamp: committed.stamp.clone(),
                plan,
            })),
        }
    }
}

//! State that every part of an agent may read without asking an actor.
//!
//! Each cell names its writer; readers borrow the latest value or wait for a change.

use crate::{clocks::Clocks, cost::request_costs::RequestCosts, events::EventLog};
use regionmesh_core::{
    gateways::Gateways,
    gossip::BoardView,
    health::verdict::RegionVerdict,
    leader::LeaderView,
    notify::{alert::Alert, changes::ZoneState},
    planning::{PlanInputs, freeze::Freeze},
};
use regionmesh_mesh::LinkInfo;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::catalogue::Catalogue,
    plan::CommittedPlan,
};
use regionmesh_runtime::problems::Problems;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Instant};
use tokio::sync::watch;

/// State that every part of an agent may read.
#[derive(Debug, Clone, Default)]
pub struct Snapshots {
    /// The status board. Writer: core.
    pub board: watch::Sender<Arc<BoardView>>,
    /// Direct connections. Writer: mesh.
    pub links: watch::Sender<Arc<BTreeMap<AgentId, LinkInfo>>>,
    /// Which agents of this region hold links to other regions. Writer: core.
    pub gateways: watch::Sender<Arc<Gateways>>,
    /// The verdict on every region. Writer: core.
    pub verdicts: watch::Sender<Arc<BTreeMap<RegionName, RegionVerdict>>>,
    /// The highest committed plan known. Writer: core.
    pub plan: watch::Sender<Option<Arc<CommittedPlan>>>,
    /// The inputs of the next plan, as this agent sees them. Writer: core.
    pub plan_inputs: watch::Sender<Option<Arc<PlanInputs>>>,
    /// Whether the plan can be acted on: since the start, or since the process last stalled, it was
    /// compared with another region's, or none answered in time. Writers: core, and dns when it
    /// detects a stall of the process.
    pub is_current: watch::Sender<bool>,
    /// When the process resumed after a stall. Writer: dns.
    pub resumed: watch::Sender<Option<Instant>>,
    /// Whether the catalogues of all live regions, or as many as another region could read, were
    /// read since the start, so that missing versions are known. Never false again. Writer: core.
    pub has_catalogues: watch::Sender<bool>,
    /// The leader. Writer: core.
    pub leader: watch::Sender<LeaderView>,
    /// Whether the plan is frozen. Writer: core.
    pub freeze: watch::Sender<Option<Arc<Freeze>>>,
    /// The catalogue of the region's bucket. Writer: core.
    pub catalogue: watch::Sender<Arc<Catalogue>>,
    /// The catalogues of other regions that could be read. Writer: core.
    pub peer_catalogues: watch::Sender<Arc<BTreeMap<RegionName, Arc<Catalogue>>>>,
    /// State of the zones that this agent writes, by provider; empty while it does not lead.
    /// Writer: each provider its own entry.
    pub zones: watch::Sender<BTreeMap<&'static str, ZoneState>>,
    /// Recent events. Writer: events.
    pub events: watch::Sender<EventLog>,
    /// Active and recently resolved alerts. Writer: events.
    pub alerts: watch::Sender<Arc<Vec<Alert>>>,
    /// The cost of a request in each region. Writer: cost.
    pub request_costs: watch::Sender<Option<Arc<RequestCosts>>>,
    /// This agent's problems. Writers: all parts.
    pub problems: Problems,
    /// Our clock and the plan's. Writer: core.
    pub clocks: Clocks,
}

impl Snapshots {
    /// The highest committed plan known, with its times converted to our clock.
    pub fn plan_by_own_clock(&self) -> Option<Arc<CommittedPlan>> {
        let committed = self.plan.borrow().clone()?;
        match self.clocks.by_own_clock(&committed.plan) {
            Cow::Borrowed(_) => Some(committed),
            Cow::Owned(plan) => Some(Arc::new(CommittedPlan {
                stamp: committed.stamp.clone(),
                plan,
                certificate: committed.certificate.clone(),
            })),
        }
    }
}

/// A watched value, for a reader that takes it whenever it changed.
#[derive(Debug)]
pub(crate) struct Feed<T> {
    receiver: watch::Receiver<T>,
    has_begun: bool,
}

impl<T: Clone> Feed<T> {
    /// Begins with the current value.
    pub(crate) fn new(receiver: watch::Receiver<T>) -> Self {
        Self {
            receiver,
            has_begun: false,
        }
    }

    /// The value, if it was not taken yet.
    pub(crate) fn take(&mut self) -> Option<T> {
        let is_new = self.receiver.has_changed().unwrap_or_default();
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        (is_new || is_first).then(|| self.receiver.borrow_and_update().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_begins_with_the_current_value_and_then_has_changes_alone() {
        let sender = watch::Sender::new(1);
        let mut feed = Feed::new(sender.subscribe());
        assert_eq!([feed.take(), feed.take()], [Some(1), None]);

        sender.send_replace(2);
        sender.send_replace(3);
        assert_eq!([feed.take(), feed.take()], [Some(3), None]);

        let mut late = Feed::new(sender.subscribe());
        drop(sender);
        assert_eq!([late.take(), late.take()], [Some(3), None]);
    }
}

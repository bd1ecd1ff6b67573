//! Which other regions an agent holds links to, and which agents of other regions it accepts.
//!
//! A gateway stays linked with every region. Another agent is linked with a region while it needs
//! it, and sends agents of other regions on to its gateways. One that comes back could not reach
//! them (they are behind one address, for example), and is accepted.

use regionmesh_core::gateways::Gateways;
use regionmesh_protocol::identity::{AgentId, RegionName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a link stays open that is no longer needed.
const LINGER: Duration = Duration::from_secs(30);
/// Within this time, an agent that was sent on comes back or never.
const COMES_BACK: Duration = Duration::from_secs(60);

/// How long this agent wants a link to a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Always,
    Until(Instant),
    Never,
}

#[derive(Debug, Default)]
pub(crate) struct Reach {
    gateways: Arc<Gateways>,
    /// Until when each region is needed.
    needed: BTreeMap<RegionName, Instant>,
    /// When agents of other regions were sent on.
    sent_on: BTreeMap<AgentId, Instant>,
    /// Agents of other regions that came back.
    returned: BTreeSet<AgentId>,
}

impl Reach {
    pub(crate) fn gateways(&self) -> &Arc<Gateways> {
        &self.gateways
    }

    /// Adopts the gateways of the agent's region. `regions` are those of the mesh.
    pub(crate) fn set<'a>(
        &mut self,
        gateways: Arc<Gateways>,
        regions: impl IntoIterator<Item = &'a RegionName>,
        now: Instant,
    ) {
        if self.gateways.is_own && !gateways.is_own {
            for region in regions {
                self.need(region, now);
            }
        }

        self.gateways = gateways;
    }

    /// A region is needed now.
    pub(crate) fn need(&mut self, region: &RegionName, now: Instant) {
        self.needed.insert(region.clone(), now + LINGER);
    }

    pub(crate) fn wanted(&self, region: &RegionName, now: Instant) -> Wanted {
        match self.needed.get(region) {
            _ if self.gateways.is_own => Wanted::Always,
            Some(until) if now < *until => Wanted::Until(*until),
            _ => Wanted::Never,
        }
    }

    /// Whether an agent of another region may stay connected to this agent.
    pub(crate) fn may_stay(&self, peer: &AgentId) -> bool {
        self.gateways.is_own || self.returned.contains(peer)
    }

    /// Whether to accept a connection of an agent of another region; if not, it is sent on.
    pub(crate) fn accepts(&mut self, peer: &AgentId, now: Instant) -> bool {
        self.sent_on
            .retain(|_, at| now.saturating_duration_since(*at) < COMES_BACK);
        if self.may_stay(peer) {
            return true;
        }

        let is_back = self.sent_on.remove(peer).is_some();
        if is_back {
            self.returned.insert(peer.clone());
        } else {
            self.sent_on.insert(peer.clone(), now);
        }

        is_back
    }

    /// The last connection to this agent closed.
    pub(crate) fn closed(&mut self, peer: &AgentId) {
        self.returned.remove(peer);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn gateways(is_own: bool) -> Arc<Gateways> {
        let others = BTreeSet::from(["a/1".parse().unwrap()]);
        Arc::new(Gateways {
            is_own,
            before: 0,
            others,
        })
    }

    fn region() -> RegionName {
        "b".parse().unwrap()
    }

    #[test]
    fn a_gateway_wants_every_region_and_lingers_when_it_is_none_any_more() {
        let now = Instant::now();
        let mut reach = Reach::default();
        assert_eq!(reach.wanted(&region(), now), Wanted::Always);

        reach.set(gateways(false), [&region()], now);
        assert_eq!(reach.wanted(&region(), now), Wanted::Until(now + LINGER));
        assert_eq!(reach.wanted(&region(), now + LINGER), Wanted::Never);

        reach.set(gateways(true), [&region()], now + LINGER);
        assert_eq!(reach.wanted(&region(), now + LINGER), Wanted::Always);
    }

    #[test]
    fn another_agent_wants_a_region_while_it_needs_it() {
        let start = Instant::now();
        let mut reach = Reach::default();
        reach.set(gateways(false), [], start);
        assert_eq!(reach.wanted(&region(), start), Wanted::Never);

        reach.need(&region(), start);
        let later = start + LINGER / 2;
        reach.need(&region(), later);
        assert_eq!(
            reach.wanted(&region(), start + LINGER),
            Wanted::Until(later + LINGER)
        );
    }

    #[test]
    fn an_agent_is_sent_on_once_and_accepted_when_it_comes_back() {
        let now = Instant::now();
        let peer: AgentId = "b/1".parse().unwrap();
        let mut reach = Reach::default();
        assert!(reach.accepts(&peer, now));

        reach.set(gateways(false), [], now);
        assert!(!reach.may_stay(&peer));
        assert!(!reach.accepts(&peer, now));
        assert!(reach.accepts(&peer, now + COMES_BACK / 2));
        assert!(reach.may_stay(&peer));

        reach.closed(&peer);
        assert!(!reach.accepts(&peer, now));
        assert!(!reach.accepts(&peer, now + COMES_BACK), "that was too late");
    }
}

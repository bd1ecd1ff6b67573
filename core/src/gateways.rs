//! Which agents of a region hold links to other regions, so that their number does not grow with
//! the region's agents.
//!
//! These are the observers ([`crate::health`]), with the leader among them if it is of this region.
//! The other agents follow the board through them, do no work that needs other regions, and don't
//! stand for election; gateways stand one after another, or they would fence each other. An agent
//! that reaches none of its region's gateways is one itself.

use regionmesh_protocol::identity::AgentId;
use std::collections::{BTreeMap, BTreeSet};

/// The gateways of an agent's region, as that agent sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateways {
    /// Whether this agent is one.
    pub is_own: bool,
    /// How many of them come before this agent.
    pub before: u64,
    /// The other ones.
    pub others: BTreeSet<AgentId>,
}

impl Default for Gateways {
    /// Of an agent that knows no other.
    fn default() -> Self {
        Self {
            is_own: true,
            before: 0,
            others: BTreeSet::new(),
        }
    }
}

impl Gateways {
    /// `observers`: those of the region of agent `own`. `links`: the connected agents.
    pub(crate) fn choose(
        own: &AgentId,
        observers: &[AgentId],
        leader: Option<&AgentId>,
        links: &BTreeMap<AgentId, u64>,
    ) -> Self {
        let leader =
            leader.filter(|leader| leader.region == own.region && !observers.contains(leader));
        let places = observers
            .len()
            .saturating_sub(usize::from(leader.is_some()));
        let gateways: Vec<&AgentId> = observers.iter().take(places).chain(leader).collect();
        let place = gateways.iter().position(|agent| *agent == own);
        let others: BTreeSet<AgentId> = gateways
            .iter()
            .filter(|agent| **agent != own)
            .map(|agent| (*agent).clone())
            .collect();

        let is_linked = others.iter().any(|agent| links.contains_key(agent));
        Self {
            is_own: place.is_some() || !is_linked,
            before: place.unwrap_or(gateways.len()) as u64,
            others,
        }
    }

    /// How many agents of the region stand for election before this one; none: it does not.
    pub(crate) fn candidacy(&self) -> Option<u64> {
        self.is_own.then_some(self.before)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentId {
        name.parse().unwrap()
    }

    fn choose(own: &str, observers: &[&str], leader: Option<&str>, links: &[&str]) -> Gateways {
        let agents: Vec<AgentId> = observers.iter().copied().map(agent).collect();
        let leader = leader.map(agent);
        let links = links.iter().map(|name| (agent(name), 1_000)).collect();
        Gateways::choose(&agent(own), &agents, leader.as_ref(), &links)
    }

    fn others(gateways: &Gateways) -> Vec<String> {
        gateways.others.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn observers_are_gateways() {
        let observers = ["a/1", "a/2", "a/3"];
        let observer = choose("a/2", &observers, None, &["a/1", "b/1"]);
        assert_eq!(observer.candidacy(), Some(1));
        assert_eq!(others(&observer), ["a/1", "a/3"]);

        let other = choose("a/4", &observers, None, &["a/1"]);
        assert_eq!(other.candidacy(), None);
        assert_eq!(others(&other), observers);
    }

    #[test]
    fn a_leader_takes_the_place_of_the_last_observer_of_its_own_region() {
        let observers = ["a/1", "a/2", "a/3"];
        let leader = choose("a/4", &observers, Some("a/4"), &["a/1"]);
        assert_eq!(leader.candidacy(), Some(2));
        assert_eq!(others(&leader), ["a/1", "a/2"]);
        assert!(!choose("a/3", &observers, Some("a/4"), &["a/1"]).is_own);

        assert!(choose("a/3", &observers, Some("b/4"), &["a/1"]).is_own);
        assert!(choose("a/3", &observers, Some("a/1"), &["a/1"]).is_own);
    }

    #[test]
    fn an_agent_that_reaches_no_gateway_is_one() {
        let observers = ["a/1", "a/2", "a/3"];
        let alone = choose("a/4", &observers, None, &["a/5", "b/1"]);
        assert_eq!(alone.candidacy(), Some(3));
        assert_eq!(others(&alone), observers);
    }
}

//! Which claims of other agents about plans, leaders and ballots are believed.
//!
//! A plan is adopted immediately if its certificate proves it ([`super::certificate`]), regardless
//! of who publishes it. That is the usual case and takes no extra time. Any other plan, and any
//! claim to lead under a ballot that our own region's acceptor did not promise last, is confirmed
//! by the acceptors first ([`super::confirm`]): one round trip, at most one round at a time. A plan
//! saved on disk needs a certificate too, or this agent's own signature, and is then compared with
//! the acceptors. Claims that the acceptors refute are dropped and reported.

use super::{confirm::Reading, types::Refusal};
use crate::throttle::KeyedThrottle;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::Plan,
    register::ballot::{Ballot, Stamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// How often a persisting claim is counted and reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How long no plan is adopted after one was withdrawn, so that every reader notices.
const WITHDRAWN_FOR: Duration = Duration::from_millis(500);

/// What is known about the claims of other agents.
#[derive(Debug)]
pub(super) struct Trust {
    /// The last ballot that our region's acceptor promised, as far as this agent knows.
    pub(super) promised: Option<Ballot>,
    /// Whether the plan known was compared with the acceptors, or proven to members that were. One
    /// from the disk is not at first.
    pub(super) is_plan_confirmed: bool,
    /// The last plan that a round of reading found committed, or that this agent committed.
    pub(super) decided: Option<(Stamp, Plan)>,
    /// Ballots of others that a majority promised.
    pub(super) leaders: BTreeSet<Ballot>,
    /// Refuted claims, and when they were refuted.
    pub(super) refuted: BTreeMap<(AgentId, Claim), Instant>,
    /// Agents whose plan is not proven by its certificate, and since when they publish it.
    pub(super) uncertified: BTreeMap<AgentId, Instant>,
    /// Whether the acceptors are to be read.
    pub(super) is_due: bool,
    pub(super) round: Option<Round>,
    pub(super) rounds: u64,
    pub(super) ended: Option<Instant>,
    pub(super) withdrawn: Option<Instant>,
    /// Limits the reports of an agent's claims.
    pub(super) reports: KeyedThrottle<(AgentId, Refusal)>,
}

/// What an agent claims.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    Plan(Stamp),
    Leads(Ballot),
}

/// One round of reading the acceptors.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) number: u64,
    pub(super) begun: Instant,
    pub(super) open: BTreeSet<RegionName>,
    pub(super) reading: Reading,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            promised: None,
            is_plan_confirmed: false,
            decided: None,
            leaders: BTreeSet::new(),
            refuted: BTreeMap::new(),
            uncertified: BTreeMap::new(),
            // The acceptors are read at every start.
            is_due: true,
            round: None,
            rounds: 0,
            ended: None,
            withdrawn: None,
            reports: KeyedThrottle::new(REPORT_EVERY),
        }
    }
}

impl Trust {
    /// Whether a plan was withdrawn a moment ago.
    pub(super) fn is_withdrawing(&self, now: Instant) -> bool {
        self.withdrawn
            .is_some_and(|at| now.saturating_duration_since(at) < WITHDRAWN_FOR)
    }

    pub(super) fn is_refuted(&self, agent: &AgentId, claim: Claim) -> bool {
        self.refuted.contains_key(&(agent.clone(), claim))
    }
}

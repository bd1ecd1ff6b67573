//! A ballot that gathers promises.

use super::types::{Acceptors, ProposerSettings};
use regionmesh_protocol::{
    identity::RegionName,
    plan::Plan,
    register::{
        ballot::{Ballot, Stamp},
        members::{Incarnation, Members},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// What acceptors had accepted when they promised.
pub(super) type Found = BTreeMap<Incarnation, Option<(Stamp, Plan)>>;

#[derive(Debug, Clone)]
pub(super) struct Preparing {
    pub(super) ballot: Ballot,
    pub(super) acceptors: Acceptors,
    pub(super) promised: BTreeMap<RegionName, Incarnation>,
    pub(super) highest: Option<(Stamp, Plan)>,
    /// What each acceptor that promised had accepted.
    pub(super) found: Found,
    pub(super) since_ms: u64,
}

impl Preparing {
    /// The members that decide about the next value: those that the highest value found names.
    pub(super) fn deciders(&self) -> Option<&Members> {
        match (&self.highest, &self.acceptors) {
            (Some((_, found)), _) => Some(&found.members),
            (None, Acceptors::Known(members)) => Some(members),
            (None, Acceptors::First { .. }) => None,
        }
    }

    pub(super) fn names(&self) -> BTreeSet<RegionName> {
        let asked = match &self.acceptors {
            Acceptors::First { names, .. } => names.clone(),
            Acceptors::Known(members) => members.names(),
        };

        asked
            .into_iter()
            .chain(self.deciders().map(Members::names).unwrap_or_default())
            .collect()
    }

    pub(super) fn has_majority(&self, settings: &ProposerSettings, now_ms: u64) -> bool {
        let votes = self.promised.values().copied().collect();
        match (&self.acceptors, self.deciders()) {
            // Known members were named by a value, and some acceptor of each majority of them has
            // that value.
            (Acceptors::Known(_), Some(members)) => {
                self.highest.is_some() && members.has_majority(&votes)
            }
            (Acceptors::First { .. }, Some(members)) => members.has_majority(&votes),
            (Acceptors::First { names, .. }, None) => {
                let answered = names
                    .iter()
                    .filter(|name| self.promised.contains_key(*name))
                    .count();
                let is_waiting = now_ms.saturating_sub(self.since_ms) < settings.first_ms;

                answered == names.len() || answered > names.len() / 2 && !is_waiting
            }
            (Acceptors::Known(_), None) => false,
        }
    }
}

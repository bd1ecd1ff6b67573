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
    /// The acceptors that promised, as far as what they had accepted is plausible.
    pub(super) promised: BTreeMap<RegionName, Incarnation>,
    /// The value that this agent knows to be committed.
    pub(super) known: Option<(Stamp, Plan)>,
    /// The highest plausible value that one of them had accepted, or that is known.
    pub(super) highest: Option<(Stamp, Plan)>,
    /// What each acceptor that promised says that it had accepted.
    pub(super) found: BTreeMap<RegionName, (Incarnation, Option<(Stamp, Plan)>)>,
    pub(super) since_ms: u64,
}

impl Preparing {
    /// Takes in a promise. A forged value may name any members, so one is plausible only if its
    /// members are those known, or one change away from those of another plausible value. A promise
    /// with a higher implausible one does not count.
    pub(super) fn add(
        &mut self,
        from: &RegionName,
        incarnation: Incarnation,
        accepted: Option<(Stamp, Plan)>,
    ) {
        // A value that an acceptor kept from another register is not ours.
        let accepted = accepted.filter(|(_, value)| match &self.acceptors {
            Acceptors::Known(members) => value.members.register == members.register,
            Acceptors::First { .. } => true,
        });
        self.found.insert(from.clone(), (incarnation, accepted));

        let plausible = self.plausible_members();
        let is_plausible = |(_, value): &&(Stamp, Plan)| match &self.acceptors {
            Acceptors::Known(_) => plausible.contains(&value.members),
            Acceptors::First { .. } => true,
        };
        let values = self.found.values().filter_map(|(_, value)| value.as_ref());
        let highest = values
            .filter(is_plausible)
            .chain(&self.known)
            .max_by(|(a, _), (b, _)| a.cmp(b));

        let counts = |value: &Option<(Stamp, Plan)>| {
            let above = highest.map(|(stamp, _)| stamp);
            value.as_ref().map(|(stamp, _)| stamp) <= above
        };
        let counted = self.found.iter().filter(|(_, (_, value))| counts(value));
        let promised = counted.map(|(name, (incarnation, _))| (name.clone(), *incarnation));

        self.promised = promised.collect();
        self.highest = highest.cloned();
    }

    /// The members known, and those that values name, as far as each is one change away from
    /// another of them, or two acceptors say the same: one may lie.
    fn plausible_members(&self) -> Vec<Members> {
        let Acceptors::Known(known) = &self.acceptors else {
            return Vec::new();
        };
        let named: Vec<&Members> = self
            .found
            .values()
            .filter_map(|(_, accepted)| Some(&accepted.as_ref()?.1.members))
            .collect();

        let mut plausible = vec![known.clone()];
        loop {
            let next = named.iter().find(|members| {
                let is_near = |near: &Members| near.check_change(members).is_ok();
                let is_repeated = named.iter().filter(|named| named == members).count() > 1;
                !plausible.contains(members) && (is_repeated || plausible.iter().any(is_near))
            });
            match next {
                Some(next) => plausible.push((*next).clone()),
                None => return plausible,
            }
        }
    }

    /// The members that decide about a value that names these: its own, and those known, or what is
    /// one change away.
    pub(super) fn before(&self, members: &Members) -> Members {
        let plausible = self.plausible_members();
        let is_near = |near: &&Members| near.check_change(members).is_ok();
        plausible.iter().find(is_near).unwrap_or(members).clone()
    }

    /// What the incarnations that promised had accepted.
    pub(super) fn take_found(&mut self) -> Found {
        let found = std::mem::take(&mut self.found);
        found.into_values().collect()
    }

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

//! Whether model versions can be served: what each agent reports about the versions that its region
//! holds, when a version may be promoted, and when a region that can't serve a model gives up its
//! share of the traffic.

use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::ModelName,
    status::servability::{Known, Outcome, VERSIONS_MAX},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// One region's state of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionState {
    /// No agent of the region is alive: nothing is known.
    Silent,
    /// It does not hold the version.
    Missing,
    /// It holds the version, and an agent has not tried it yet.
    Untested,
    /// It holds the version, and every agent that serves can serve it.
    Servable,
    /// It holds the version, and another server serves its models: the outcome is unknown.
    Held,
    /// It holds the version, and an agent publishes outcomes of newer versions only.
    Unpublished,
    /// An agent can't serve it.
    Unservable(String),
}

impl RegionState {
    /// From whether a region holds a version and what its living agents publish; none for an agent
    /// without the embedded server.
    pub fn of<'a>(is_held: bool, agents: impl IntoIterator<Item = Option<Known<'a>>>) -> Self {
        let agents: Vec<_> = agents.into_iter().collect();
        if agents.is_empty() {
            return Self::Silent;
        }
        if !is_held {
            return Self::Missing;
        }

        let serving: Vec<_> = agents.into_iter().flatten().collect();
        let failed = serving.iter().find_map(|known| match known {
            Known::Tried(Outcome::Unservable { reason, .. }) => Some(reason.clone()),
            _ => None,
        });

        match failed {
            Some(reason) => Self::Unservable(reason),
            None if serving.is_empty() => Self::Held,
            None if serving.contains(&Known::Untried) => Self::Untested,
            None if serving.contains(&Known::Unpublished) => Self::Unpublished,
            None => Self::Servable,
        }
    }

    /// Whether this region is no obstacle to a promotion.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Servable | Self::Held)
    }

    /// Whether waiting may make it good.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Missing | Self::Untested)
    }
}

impl fmt::Display for RegionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("no agent is alive"),
            Self::Missing => f.write_str("not replicated yet"),
            Self::Untested => f.write_str("not tested yet"),
            Self::Servable => f.write_str("servable"),
            Self::Held => f.write_str("held, and not served by RegionMesh"),
            Self::Unpublished => {
                write!(
                    f,
                    "held; whether it can be served is published for the {VERSIONS_MAX} newest only"
                )
            }
            Self::Unservable(reason) if reason.is_empty() => f.write_str("can't be served"),
            Self::Unservable(reason) => write!(f, "can't be served: {reason}"),
        }
    }
}

/// Whether a version may be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promotable {
    /// A majority of all regions can serve it, as far as is known.
    Yes,
    /// Not yet: regions are still replicating or testing it.
    NotYet,
    /// No, and waiting does not help: too many regions can't serve it, or are silent, for a
    /// majority.
    No,
}

/// Whether a version in these states may be promoted; `regions` has every region of the mesh. A
/// region that holds the version and does not publish its outcome counts as able to serve it,
/// unless some region can't.
pub fn promotable(regions: &BTreeMap<RegionName, RegionState>) -> Promotable {
    let count = |is: fn(&RegionState) -> bool| regions.values().filter(|state| is(state)).count();
    let is_doubted = count(|state| matches!(state, RegionState::Unservable(_))) > 0;
    let unpublished = if is_doubted {
        0
    } else {
        count(|state| *state == RegionState::Unpublished)
    };
    let good = count(RegionState::is_good) + unpublished;
    let pending = count(RegionState::is_pending);

    if 2 * good > regions.len() {
        Promotable::Yes
    } else if 2 * (good + pending) > regions.len() {
        Promotable::NotYet
    } else {
        Promotable::No
    }
}

/// Which models a region serves and which it can't serve in any version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegionModels {
    /// Served now.
    pub served: BTreeSet<ModelName>,
    /// Not served, and not being loaded.
    pub unserved: BTreeSet<ModelName>,
}

/// The models for whose sake `own` should get no traffic: more than half of the other regions serve
/// them, and `own` can't.
///
/// A model that hardly any region can serve costs no region its traffic. If more than half of all
/// regions would have to leave for one model or another, none does: users are then better off with
/// the models that each region has.
pub fn given_up_for(
    own: &RegionName,
    regions: &BTreeMap<RegionName, RegionModels>,
) -> BTreeSet<ModelName> {
    let lacking = |name: &RegionName, models: &RegionModels| -> BTreeSet<ModelName> {
        let others = regions.len().saturating_sub(1);
        let is_served_elsewhere = |model: &&ModelName| {
            let serving = regions
                .iter()
                .filter(|(other, models)| *other != name && models.served.contains(*model));
            2 * serving.count() > others
        };

        let unserved = models
            .unserved
            .iter()
            .filter(|model| !models.served.contains(*model));

        unserved.filter(is_served_elsewhere).cloned().collect()
    };

    let going = regions
        .iter()
        .filter(|(name, models)| !lacking(name, models).is_empty())
        .count();

    match regions.get(own) {
        Some(models) if 2 * going <= regions.len() => lacking(own, models),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

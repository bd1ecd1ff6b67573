//! What operators order of the register's members: add a region (or the witness), remove one,
//! rename one.
//!
//! One at a time, and only what leaves a register that can decide. The plan follows in the same
//! value: who is no member any more gets no traffic, who is one anew comes in by gate and ramp, and
//! a renamed region keeps its share, its standing and its overrides.

use super::{PlanInputs, next};
use crate::planning::order::check_texts;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{MemberOrder, MemberOrderError, Order, OrderAction, OrderError, Plan},
    register::members::{Incarnation, MemberChange, MembersError},
};
use std::collections::{BTreeMap, BTreeSet};

/// What the leader sees when it judges an order about members.
#[derive(Debug, Clone, Copy)]
pub struct MemberSight<'a> {
    /// The leader.
    pub leader: &'a AgentId,
    /// The acceptors of its configuration.
    pub configured: &'a BTreeSet<RegionName>,
    /// The incarnation of each acceptor that answered it lately.
    pub answering: &'a BTreeMap<RegionName, Incarnation>,
}

/// What the leader does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberStep {
    /// Let this acceptor begin anew and catch up; then commit [`MemberChange::Join`].
    Join(RegionName),
    /// Commit this change.
    Commit(MemberChange),
}

/// Whether an order about members can be carried out, and how.
pub fn check_membership(
    current: &Plan,
    order: &Order,
    sight: MemberSight<'_>,
) -> Result<MemberStep, OrderError> {
    check_texts(order)?;
    let OrderAction::Member(action) = &order.action else {
        return Err(MemberOrderError::NoName.into());
    };
    let name = order.region.clone().ok_or(MemberOrderError::NoName)?;

    Ok(check(current, &name, action, sight)?)
}

fn check(
    current: &Plan,
    name: &RegionName,
    action: &MemberOrder,
    sight: MemberSight<'_>,
) -> Result<MemberStep, MemberOrderError> {
    let configured = |region: &RegionName| {
        let region = region.clone();
        let leader = sight.leader.clone();
        if sight.configured.contains(&region) {
            Ok(())
        } else {
            Err(MemberOrderError::NotConfigured { region, leader })
        }
    };

    let members = &current.members;
    let counts = |(name, counted): &(&RegionName, &Option<Incarnation>)| {
        counted.is_some_and(|counted| sight.answering.get(*name) == Some(&counted))
    };
    let (change, force) = match action {
        MemberOrder::Add { force } => {
            if members.has(name) {
                return Err(MembersError::IsAMember(name.clone()).into());
            }
            configured(name)?;

            // What is there must be a majority without the new one, else its first failure would
            // stop everything.
            let answering = members.acceptors.iter().filter(counts).count();
            let after = members.len() + 1;

            if members.len() > 1 && answering <= after / 2 {
                return Err(MemberOrderError::NoMajorityLeft {
                    answering,
                    members: after,
                });
            }

            // The incarnation is not drawn yet: one that nobody has stands in for it.
            (
                MemberChange::Join(name.clone(), Incarnation::default()),
                *force,
            )
        }
        MemberOrder::Remove { force } => {
            let after = members.after(&MemberChange::Remove(name.clone()))?;
            let share = current.shares().get(name).copied().unwrap_or(0.0);
            if share > 0.0 && !force {
                let percent = (share * 100.0).ceil() as u8;
                return Err(MemberOrderError::HasTraffic {
                    region: name.clone(),
                    percent,
                });
            }

            let answering = after.acceptors.iter().filter(counts).count();
            if answering <= after.len() / 2 {
                return Err(MemberOrderError::NoMajorityLeft {
                    answering,
                    members: after.len(),
                });
            }

            (MemberChange::Remove(name.clone()), *force)
        }
        MemberOrder::Rename { to } => {
            members.after(&MemberChange::Rename(name.clone(), to.clone()))?;
            configured(to)?;
            (MemberChange::Rename(name.clone(), to.clone()), false)
        }
    };

    let after = members.after(&change)?;
    if let (None, Some(why), false) = (
        members.why_not_automatic(),
        after.why_not_automatic(),
        force,
    ) {
        return Err(MemberOrderError::NotAutomatic(why));
    }

    Ok(match change {
        MemberChange::Join(name, _) => MemberStep::Join(name),
        change => MemberStep::Commit(change),
    })
}

/// The plan after `change`, for `reason`. `inputs` are those of the members after it.
pub fn plan_membership(
    current: &Plan,
    change: &MemberChange,
    reason: String,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Result<Plan, MembersError> {
    let mut before = Plan {
        members: current.members.after(change)?,
        ..current.clone()
    };

    if let MemberChange::Rename(old, new) = change {
        if let Some(region) = before.regions.remove(old) {
            before.regions.insert(new.clone(), region);
        }

        for standing in before
            .overrides
            .iter_mut()
            .filter(|standing| standing.region.as_ref() == Some(old))
        {
            standing.region = Some(new.clone());
        }

        for yielded in &mut before.yielded {
            if yielded.order.as_ref() == Some(old) {
                yielded.order = Some(new.clone());
            }
            if yielded.region == *old {
                yielded.region = new.clone();
            }
        }
    }

    let overrides = before.overrides.clone();
    Ok(next::plan_with(&before, overrides, reason, inputs, now_ms))
}

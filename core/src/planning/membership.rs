//! What operators order of the register's members: add a region (or the witness), remove one,
//! rename one.
//!
//! One change at a time, and only if the register can still decide afterwards. The same value
//! carries the plan that follows: a removed region gets no traffic, a new one comes in by cool-down
//! and ramp, and a renamed one keeps its share, its traffic state and its overrides.

use super::{PlanInputs, next};
use crate::planning::order::check_texts;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{MemberOrder, MemberOrderError, Order, OrderAction, OrderError, Plan},
    register::members::{Incarnation, MemberChange, Members, MembersError},
};
use std::collections::{BTreeMap, BTreeSet};

/// What the leader sees when it judges an order about members.
#[derive(Debug, Clone, Copy)]
pub struct MemberView<'a> {
    pub leader: &'a AgentId,
    /// The acceptors of its configuration.
    pub configured: &'a BTreeSet<RegionName>,
    /// The incarnation of each acceptor that answered recently.
    pub answering: &'a BTreeMap<RegionName, Incarnation>,
}

impl MemberView<'_> {
    fn check_configured(&self, region: &RegionName) -> Result<(), MemberOrderError> {
        if self.configured.contains(region) {
            return Ok(());
        }

        Err(MemberOrderError::NotConfigured {
            region: region.clone(),
            leader: self.leader.clone(),
        })
    }

    /// How many of the members that vote answer.
    fn answering_of(&self, members: &Members) -> usize {
        let answers = |(name, counted): &(&RegionName, &Option<Incarnation>)| {
            counted.is_some_and(|counted| self.answering.get(*name) == Some(&counted))
        };

        members.acceptors.iter().filter(answers).count()
    }
}

/// What the leader does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberStep {
    /// Reset this acceptor and let it catch up; then commit [`MemberChange::Join`].
    Join(RegionName),
    /// Commit this change.
    Commit(MemberChange),
}

/// Whether an order about members can be carried out, and how.
pub fn check_membership(
    current: &Plan,
    order: &Order,
    view: MemberView<'_>,
) -> Result<MemberStep, OrderError> {
    check_texts(order)?;
    let OrderAction::Member(action) = &order.action else {
        return Err(MemberOrderError::NoName.into());
    };
    let name = order.region.clone().ok_or(MemberOrderError::NoName)?;

    Ok(check(current, &name, action, view)?)
}

fn check(
    current: &Plan,
    name: &RegionName,
    action: &MemberOrder,
    view: MemberView<'_>,
) -> Result<MemberStep, MemberOrderError> {
    let members = &current.members;
    let (change, is_forced) = match action {
        MemberOrder::Add { force } => (check_add(members, name, view)?, *force),
        MemberOrder::Remove { force } => (check_remove(current, name, *force, view)?, *force),
        MemberOrder::Rename { to } => {
            let change = MemberChange::Rename(name.clone(), to.clone());
            members.after(&change)?;
            view.check_configured(to)?;
            (change, false)
        }
    };

    let was_automatic = members.why_not_automatic().is_none();
    let after = members.after(&change)?;
    if let Some(why) = after.why_not_automatic()
        && was_automatic
        && !is_forced
    {
        return Err(MemberOrderError::NotAutomatic(why));
    }

    Ok(match change {
        MemberChange::Join(name, _) => MemberStep::Join(name),
        change => MemberStep::Commit(change),
    })
}

fn check_add(
    members: &Members,
    name: &RegionName,
    view: MemberView<'_>,
) -> Result<MemberChange, MemberOrderError> {
    if members.has(name) {
        return Err(MembersError::IsAMember(name.clone()).into());
    }
    view.check_configured(name)?;

    // The present members must form a majority without the new one, or its first failure would
    // stop the register.
    let answering = view.answering_of(members);
    let after = members.len() + 1;
    if members.len() > 1 && answering <= after / 2 {
        return Err(MemberOrderError::NoMajorityLeft {
            answering,
            members: after,
        });
    }

    // The incarnation is not drawn yet: the default, which no acceptor has, takes its place.
    Ok(MemberChange::Join(name.clone(), Incarnation::default()))
}

fn check_remove(
    current: &Plan,
    name: &RegionName,
    is_forced: bool,
    view: MemberView<'_>,
) -> Result<MemberChange, MemberOrderError> {
    let change = MemberChange::Remove(name.clone());
    let after = current.members.after(&change)?;

    let share = current.shares().get(name).copied().unwrap_or(0.0);
    if share > 0.0 && !is_forced {
        return Err(MemberOrderError::HasTraffic {
            region: name.clone(),
            percent: (share * 100.0).ceil() as u8,
        });
    }

    let answering = view.answering_of(&after);
    if answering <= after.len() / 2 {
        return Err(MemberOrderError::NoMajorityLeft {
            answering,
            members: after.len(),
        });
    }

    Ok(change)
}

/// The plan after `change`, for `reason`. `inputs` are those of the new members.
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
        rename(&mut before, old, new);
    }

    let overrides = before.overrides.clone();
    Ok(next::plan_with(&before, overrides, reason, inputs, now_ms))
}

/// Gives a region another name, with everything that the plan says about it.
pub(super) fn rename(plan: &mut Plan, old: &RegionName, new: &RegionName) {
    if let Some(region) = plan.regions.remove(old) {
        plan.regions.insert(new.clone(), region);
    }

    for existing in plan
        .overrides
        .iter_mut()
        .filter(|existing| existing.region.as_ref() == Some(old))
    {
        existing.region = Some(new.clone());
    }

    for yielded in &mut plan.yielded {
        if yielded.order.as_ref() == Some(old) {
            yielded.order = Some(new.clone());
        }
        if yielded.region == *old {
            yielded.region = new.clone();
        }
    }
}

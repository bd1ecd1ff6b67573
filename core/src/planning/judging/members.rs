//! Changes of the register's members.

use super::grounds::{Grounds, Objection};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{MemberOrder, OrderAction, Plan},
    register::members::Members,
};
use std::collections::BTreeSet;

/// The old and the new names of members that are renamed.
pub(super) type Renamed<'a> = Vec<(&'a RegionName, &'a RegionName)>;

/// Checks the members: each that comes, goes or has another name does so by a proven order. Several
/// changes may lie between the last plan that this agent knows and this one.
pub(super) fn check<'a>(
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'a>,
) -> Result<Renamed<'a>, Objection> {
    let after = next.members.names();
    let Some(before) = base.map(|base| &base.members).filter(|old| !old.is_empty()) else {
        return if after == *grounds.configured {
            Ok(Vec::new())
        } else {
            Err(Objection::Members("they are not those configured".into()))
        };
    };

    before
        .check_successor(&next.members)
        .map_err(|error| Objection::Members(error.to_string()))?;
    let (own, incarnation) = grounds.own;
    let counts_ours = |members: &Members| {
        let counted = members.acceptors.get(own).copied().flatten();
        counted == Some(incarnation)
    };
    if counts_ours(before) && next.members.has(own) && !counts_ours(&next.members) {
        let why = format!("the acceptor of {own} would lose its vote, and works");
        return Err(Objection::Members(why));
    }

    let names = before.names();
    let mut added: BTreeSet<&RegionName> = after.difference(&names).collect();
    let mut removed: BTreeSet<&RegionName> = names.difference(&after).collect();

    let mut renamed = Vec::new();
    for order in &grounds.orders {
        let (Some(region), OrderAction::Member(action)) = (&order.region, &order.action) else {
            continue;
        };
        match action {
            MemberOrder::Add { .. } => {
                added.remove(region);
            }
            MemberOrder::Remove { .. } => {
                removed.remove(region);
            }
            MemberOrder::Rename { to } if removed.contains(region) && added.contains(to) => {
                removed.remove(region);
                added.remove(to);
                renamed.push((region, to));
            }
            MemberOrder::Rename { .. } => {}
        }
    }

    match added.into_iter().chain(removed).next() {
        Some(name) => Err(Objection::Members(format!("no proven order for {name}"))),
        None => Ok(renamed),
    }
}

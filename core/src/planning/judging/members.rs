//! Changes of the register's members.

use super::grounds::{Grounds, Objection};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{MemberOrder, OrderAction, Plan},
};

/// Checks the members; returns the old and the new name if one is renamed.
pub(super) fn check(
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> Result<Option<(RegionName, RegionName)>, Objection> {
    let after = next.members.names();
    let Some(before) = base.map(|base| &base.members).filter(|old| !old.is_empty()) else {
        return if after == *grounds.configured {
            Ok(None)
        } else {
            Err(Objection::Members("they are not those configured".into()))
        };
    };

    before
        .check_change(&next.members)
        .map_err(|error| Objection::Members(error.to_string()))?;
    let names = before.names();
    let added = after.difference(&names).next();
    let removed = names.difference(&after).next();

    let is_ordered = |wanted: &dyn Fn(&MemberOrder) -> bool, region: &RegionName| {
        grounds.orders.iter().any(|order| {
            order.region.as_ref() == Some(region)
                && matches!(&order.action, OrderAction::Member(member) if wanted(member))
        })
    };
    let is_explained = match (removed, added) {
        (None, None) => true,
        (None, Some(new)) => is_ordered(&|order| matches!(order, MemberOrder::Add { .. }), new),
        (Some(old), None) => is_ordered(&|order| matches!(order, MemberOrder::Remove { .. }), old),
        (Some(old), Some(new)) => is_ordered(
            &|order| matches!(order, MemberOrder::Rename { to } if to == new),
            old,
        ),
    };

    if !is_explained {
        let names: Vec<&str> = removed
            .into_iter()
            .chain(added)
            .map(|name| name.as_str())
            .collect();
        let why = format!("no proven order for {}", names.join(" and "));
        return Err(Objection::Members(why));
    }

    Ok(removed.cloned().zip(added.cloned()))
}

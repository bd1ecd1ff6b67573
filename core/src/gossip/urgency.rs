//! Which changes of a status are passed on immediately.
//!
//! Counters, ages and round-trip times change all the time, and reach all agents within seconds
//! through the comparison of boards. What changes a decision of another agent does not wait.

use regionmesh_protocol::status::{Observations, ServingStatus, StatusEntry};

/// Whether a status, or its change from `old`, may change a decision of another agent.
pub(super) fn is_urgent(old: Option<&StatusEntry>, new: &StatusEntry) -> bool {
    let Some(old) = old else {
        return true;
    };

    match (old, new) {
        (StatusEntry::Observations(old), StatusEntry::Observations(new)) => {
            conclusions(old) != conclusions(new)
        }
        (StatusEntry::Serving(old), StatusEntry::Serving(new)) => state(old) != state(new),
        (StatusEntry::Links(old), StatusEntry::Links(new)) => old.unreachable != new.unreachable,
        (_, StatusEntry::Cost(_)) => false,
        _ => old != new,
    }
}

/// The observations without their evidence and times.
fn conclusions(all: &Observations) -> impl PartialEq + '_ {
    let regions = all.regions.iter().map(|seen| {
        let addresses = seen.addresses.iter();
        let addresses = addresses.map(|address| (address.address, address.condition));
        (&seen.region, seen.condition, addresses.collect::<Vec<_>>())
    });

    (all.own, all.own_address, regions.collect::<Vec<_>>())
}

/// The status without its counters.
fn state(serving: &ServingStatus) -> impl PartialEq + '_ {
    (serving.is_ready, &serving.models, serving.places)
}

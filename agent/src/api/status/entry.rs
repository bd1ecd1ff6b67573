//! Reading the entries of an agent's view.

use regionmesh_core::gossip::AgentView;
use regionmesh_protocol::status::{StatusEntry, StatusKind};
use std::time::Duration;

pub(crate) fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn status_entry(view: &AgentView, kind: StatusKind) -> Option<&StatusEntry> {
    view.status_entries
        .get(&kind)
        .map(|seen| &*seen.status_entry)
}

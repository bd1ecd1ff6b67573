//! The core actor and the actors that do its IO, over scripted connections and probes.

mod network;
mod orders;
mod probes;
mod restarts;
mod signatures;
mod spread;
mod world;

use super::*;
use crate::actors::messages::LeaderMessage;
use network::{Endpoint, Script};
use regionmesh_core::gossip::BoardView;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::CommittedPlan,
    status::{
        ServingStatus, StatusEntry, StatusKind,
        condition::{Condition, Observation},
    },
};
use std::{sync::Arc, time::Duration};
use world::{Mesh, Node, eventually};

fn serving(requests_total: u64) -> StatusEntry {
    StatusEntry::Serving(ServingStatus {
        requests_total,
        ..ServingStatus::default()
    })
}

fn has(view: &BoardView, owner: &AgentId, status_entry: &StatusEntry) -> bool {
    view.agents
        .get(owner)
        .and_then(|agent| agent.status_entries.get(&status_entry.kind()))
        .is_some_and(|seen| *seen.status_entry == *status_entry)
}

fn is_alive(view: &BoardView, agent: &AgentId) -> bool {
    view.agents.get(agent).is_some_and(|view| view.is_alive)
}

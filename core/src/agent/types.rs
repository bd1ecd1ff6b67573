//! What goes into the core of an agent, and what comes out.

use crate::{gateways::Gateways, gossip, health, leader, replication};
use regionmesh_protocol::identity::AgentId;
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// The configuration of an agent's decisions. All parts name the same agent and mesh.
#[derive(Debug, Clone)]
pub struct Settings {
    pub gossip: gossip::Settings,
    pub health: health::Settings,
    pub leader: leader::Settings,
    pub replication: replication::Settings,
}

/// What happened.
///
/// The inputs of parts are those from outside. The core itself starts and ticks its parts, and
/// gives them the board, the verdicts, links and clocks.
#[derive(Debug)]
pub enum Input {
    /// The time of the last [`Effect::WakeAt`] has come.
    Wake,
    /// The caller started. If it is a restart, everything that was under way is lost; the plan, the
    /// board and the verdicts stay. Give links, routes and the readiness of the embedded server
    /// again.
    Restarted,
    /// The process was suspended or stalled: the plan may be outdated.
    Resumed,
    /// The connected agents, and the round trip to each, microseconds.
    Links(Arc<BTreeMap<AgentId, u64>>),
    /// Links that open and close, packets, exchanges, a new certificate, and the status entries of
    /// parts outside the core.
    Gossip(gossip::Input),
    /// Probes and canaries, or that they were lost; the readiness of the embedded server, drains.
    Health(health::Input),
    /// Answers of acceptors and voters, the cost target, requests for votes, orders, and the stop.
    Leader(Box<leader::Input>),
    /// Results of tasks, routes, leftovers, and writes of this agent to the store.
    Replication(replication::Input),
}

impl From<gossip::Input> for Input {
    fn from(input: gossip::Input) -> Self {
        Self::Gossip(input)
    }
}

impl From<health::Input> for Input {
    fn from(input: health::Input) -> Self {
        Self::Health(input)
    }
}

impl From<leader::Input> for Input {
    fn from(input: leader::Input) -> Self {
        Self::Leader(Box::new(input))
    }
}

impl From<replication::Input> for Input {
    fn from(input: replication::Input) -> Self {
        Self::Replication(input)
    }
}

/// What to do.
///
/// Of the effects of parts, these stay inside: every `Publish`, [`gossip::Effect::WakeAt`],
/// [`gossip::Effect::Heard`], [`gossip::Effect::PeerClock`] and [`health::Effect::OwnView`].
#[derive(Debug)]
pub enum Effect {
    /// Replaces the alarm: the next [`Input::Wake`] is due then; may have passed.
    WakeAt(Instant),
    /// Which agents of the region hold links to others from now on. At first this agent does.
    Gateways(Arc<Gateways>),
    Gossip(gossip::Effect),
    Health(health::Effect),
    Leader(leader::Effect),
    Replication(replication::Effect),
}

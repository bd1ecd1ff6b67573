//! What goes into one agent's core and comes out of it: the only way between an agent and its
//! world.

use super::forge::Lie;
use rand::rngs::StdRng;
use regionmesh_core::{
    gossip,
    health::{FinishedProbe, Probe},
    leader::{self, Refusal, proposer::StepDown},
    now::Now,
    planning::{Strategy, freeze::LocalAnswer, judging::Objection},
    recovery::ramp::RecoveryPolicy,
    replication,
    slots::Proposal,
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName},
    plan::{CommittedPlan, Order},
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::{Ballot, Bounds, Stamp},
    },
    status::condition::Condition,
    wire::{BulkReply, BulkRequest, OrderRefusal, PeerReply, PeerRequest},
};
use std::{net::IpAddr, sync::Arc, time::Instant};

/// Connects a question with its answer; drawn by the side that asks.
pub(crate) type Ticket = u64;

/// One agent's core.
pub(crate) trait Node {
    /// Takes in one input and appends what the world must do.
    fn handle(&mut self, input: NodeInput, now: Now, rng: &mut StdRng, out: &mut Vec<NodeEffect>);
}

/// An agent's configuration.
#[derive(Debug, Clone)]
pub(crate) struct NodeConfig {
    pub(crate) mesh: MeshName,
    pub(crate) id: AgentId,
    pub(crate) regions: Vec<RegionConfig>,
    pub(crate) has_witness: bool,
    pub(crate) strategy: Strategy,
    pub(crate) recovery: RecoveryPolicy,
    pub(crate) max_out: u16,
    pub(crate) ttl_ms: u64,
    /// How often it reads its region's store.
    pub(crate) rescan_ms: u64,
    /// Its key is stolen.
    pub(crate) is_liar: bool,
}

/// A region's part of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct RegionConfig {
    pub(crate) name: RegionName,
    pub(crate) address: IpAddr,
    pub(crate) priority: u16,
}

/// What an agent keeps on its disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) plan: Option<Arc<CommittedPlan>>,
}

/// A peer to call.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// Any linked agent of this region.
    Region(RegionName),
    Agent(AgentId),
}

/// What one agent asks another on a stream.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// A board exchange.
    Exchange(Vec<u8>),
    Request(Box<PeerRequest>),
    /// A manifest, or bytes of a file.
    Bulk(Box<BulkRequest>),
}

/// The answer to a [`Question`].
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Exchange(Vec<u8>),
    Reply(Box<PeerReply>),
    Bulk(BulkReply, Vec<u8>),
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallError {
    NotLinked,
    /// The link was lost before the answer came.
    LinkLost,
    TimedOut,
}

/// An acceptor that an agent reaches without a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Acceptor {
    /// In the own region's store.
    Own,
    Witness,
}

/// The acceptor's store failed or timed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreFailed;

/// What happens to an agent.
#[derive(Debug, Clone)]
pub(crate) enum NodeInput {
    /// The first input of each process.
    Start(Disk),
    /// The time of the last [`NodeEffect::WakeAt`] has come.
    Wake,
    LinkUp(AgentId),
    LinkDown(AgentId),
    Datagram {
        from: AgentId,
        payload: Vec<u8>,
    },
    /// A peer asks; [`NodeEffect::Answer`] with this ticket answers.
    Asked {
        from: AgentId,
        question: Question,
        ticket: Ticket,
    },
    /// A [`NodeEffect::Ask`] has ended.
    Answered {
        ticket: Ticket,
        answer: Result<Answer, CallError>,
    },
    /// A [`NodeEffect::Apply`] has ended.
    Applied {
        ticket: Ticket,
        answer: Result<Box<AcceptorAnswer>, StoreFailed>,
    },
    /// Our region's acceptor is to accept this; [`NodeEffect::Judged`] answers.
    Judge(Box<Proposal>),
    /// A [`NodeEffect::Probe`] has ended.
    Probed(Box<FinishedProbe>),
    /// An operator's order, given to this agent's API; [`NodeEffect::OrderEnded`] ends it.
    Ordered {
        ticket: Ticket,
        order: Box<Order>,
    },
    /// What became of a [`NodeEffect::Replication`], or of the region's store.
    Replication(Box<replication::Input>),
}

/// What an agent wants done.
#[derive(Debug, Clone)]
pub(crate) enum NodeEffect {
    /// Replaces any earlier one.
    WakeAt(Instant),
    /// May be lost.
    Datagram {
        to: AgentId,
        payload: Vec<u8>,
    },
    Ask {
        to: Peer,
        question: Question,
        ticket: Ticket,
        timeout_ms: u64,
    },
    Answer {
        ticket: Ticket,
        answer: Answer,
    },
    Apply {
        ticket: Ticket,
        acceptor: Acceptor,
        request: Box<AcceptorRequest>,
    },
    /// What there is against [`NodeInput::Judge`].
    Judged(Result<(), Objection>),
    /// Bounds of what the acceptors whose stores this agent writes accept from now on.
    SetBounds(Box<Bounds>),
    Probe(Box<Probe>),
    /// Whether the agent holds links to other regions from now on.
    Gateway(bool),
    /// Answer DNS by this from now on; none: answer nothing.
    Serve(Option<DnsSnapshot>),
    /// Keep on the disk.
    Save(Arc<CommittedPlan>),
    OrderEnded {
        ticket: Ticket,
        outcome: Box<Result<CommittedPlan, OrderRefusal>>,
    },
    /// Read, change or copy models.
    Replication(Box<replication::Effect>),
    Notice(Notice),
}

/// What an agent's DNS server answers by.
#[derive(Debug, Clone)]
pub(crate) struct DnsSnapshot {
    pub(crate) plan: Arc<CommittedPlan>,
    /// Replaces the plan's weights while the plan is frozen.
    pub(crate) local: Option<Arc<LocalAnswer>>,
}

/// What an agent would log: for the timeline, and for laws that need a claim to check.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    Elected(Ballot),
    SteppedDown(Ballot, StepDown),
    Committed(Stamp),
    Verdict(RegionName, Condition),
    /// A region's vote counts in the verdict on itself.
    OwnVote(RegionName),
    /// A majority promised a thief's ballot.
    ThiefElected(Ballot, Lie),
    /// For the timeline only, like all that follow.
    Leader(Box<leader::Notice>),
    Gossip(Arc<gossip::Notice>),
    /// A claim of a peer is refused.
    Refused(AgentId, Refusal, String),
}

//! Every message that one actor may send to another.

use crate::{actors::cost::Verdict, cost::books::Books};
use ractor::RpcReplyPort;
use regionmesh_core::{health::FinishedProbe, leader, replication};
use regionmesh_mesh::PeerError;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::digest::Digest,
    plan::{CommittedPlan, Order},
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::Ballot,
        prevote::{PreVoteReply, PreVoteRequest},
    },
    status::StatusEntry,
    wire::{OrderRefusal, PeerReply},
};
use std::{sync::Arc, time::Instant};

/// To the gossip actor.
#[derive(Debug)]
pub enum GossipMessage {
    /// The mesh connected to this agent.
    LinkUp(AgentId),
    /// The last connection to this agent is gone.
    LinkDown(AgentId),
    /// A SWIM packet came in; its region's certificate vouches for the sender's region only.
    Datagram { from: AgentId, payload: Vec<u8> },
    /// A peer opened a board exchange; the answer goes back on its stream.
    Exchange {
        /// The peer at the other end of the connection.
        from: AgentId,
        request: Vec<u8>,
        /// Where the answer goes.
        reply: RpcReplyPort<Vec<u8>>,
    },
    /// Publish this status in our board entry of its kind.
    Publish(Box<StatusEntry>),
    /// The certificate was replaced: sign all entries again.
    CertificateReloaded,
    /// From gossip to itself: something is due.
    Wake,
    /// From gossip to itself: an exchange that it began has ended.
    ExchangeEnded {
        with: AgentId,
        /// When it was asked, and when it had answered.
        span: (Instant, Instant),
        answer: Result<Vec<u8>, PeerError>,
    },
}

/// To the health actor.
#[derive(Debug)]
pub enum HealthMessage {
    /// Report our own region as draining (`true`) or not.
    SetDraining(bool),
    /// Its own: a probe ended.
    ProbeFinished(FinishedProbe),
    /// Its own: whether any canary answered.
    CanariesChecked(bool),
    /// Its own: the status board changed.
    BoardChanged,
    /// Its own: the tick.
    Tick,
}

/// To the dns-leader actor.
#[derive(Debug)]
pub enum LeaderMessage {
    /// A proposer asks our region's acceptor.
    Acceptor(
        AcceptorRequest,
        RpcReplyPort<Result<AcceptorAnswer, String>>,
    ),
    /// A candidate asks for our vote.
    PreVote(PreVoteRequest, RpcReplyPort<PreVoteReply>),
    /// An operator's order; answered once it is committed, or can't be.
    Order(
        Box<Order>,
        RpcReplyPort<Result<CommittedPlan, OrderRefusal>>,
    ),
    /// Its own: time passed, or the board or the verdicts changed.
    Tick,
    /// Its own: an acceptor answered our proposer.
    AcceptorAnswered {
        from: RegionName,
        /// Its answer, or why there is none.
        answer: Result<AcceptorAnswer, String>,
    },
    /// Its own: a region voted on our candidature.
    Voted {
        from: RegionName,
        /// The ballot that it was asked about.
        ballot: Ballot,
        /// Its vote, or why there is none.
        vote: Result<PreVoteReply, String>,
    },
    /// Its own: what a proposer's request to our region's acceptor means.
    AcceptorAsked(Box<leader::Input>),
    /// Its own: an acceptor's state, to be compared with what agents publish.
    AcceptorRead {
        /// In which round of reading.
        round: u64,
        from: RegionName,
        /// Its answer, or why there is none.
        answer: Result<AcceptorAnswer, String>,
    },
}

/// To the replicator actor.
#[derive(Debug)]
pub enum ReplicatorMessage {
    /// A peer asks for part of what the region holds: of which catalogue, from which byte on.
    CataloguePage(Option<Digest>, u64, RpcReplyPort<PeerReply>),
    /// Something may be due.
    Tick,
    /// The board changed, or this agent wrote to the region's store.
    Changed,
    /// A task ended.
    Ended(Box<replication::Input>),
}

/// To the cost actor; all are its own.
#[derive(Debug)]
pub enum CostMessage {
    /// Time to observe running capacity.
    Tick,
    /// The region's bucket holds other documents than before.
    CatalogueChanged,
    /// The documents were read.
    BooksRead(Arc<Books>),
    /// Budgets, anomalies and bills were judged.
    Judged(Box<Verdict>),
    /// An export was read, or why it could not be.
    ExportRead(String, Result<(), String>),
}

// Local only: none of these crosses the network, so nothing is serialised.
impl ractor::Message for GossipMessage {}
impl ractor::Message for HealthMessage {}
impl ractor::Message for LeaderMessage {}
impl ractor::Message for ReplicatorMessage {}
impl ractor::Message for CostMessage {}

//! Every message that one actor may send to another.

mod core;

pub use self::core::CoreMessage;

use crate::{
    actors::{cost::Verdict, report::Report},
    cost::books::Books,
};
use ractor::RpcReplyPort;
use regionmesh_core::{health::Probe, replication};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::Ballot,
    },
};
use std::{sync::Arc, time::Instant};

/// To the gossip actor; all are the core's.
#[derive(Debug)]
pub enum GossipMessage {
    /// Send a SWIM packet, best effort.
    Datagram { to: AgentId, payload: Vec<u8> },
    /// Exchange boards with this connected peer.
    Exchange {
        with: AgentId,
        request: Vec<u8>,
        report: Report,
    },
}

/// To the health actor; all are the core's.
#[derive(Debug)]
pub enum HealthMessage {
    Probe(Probe, Report),
    /// Probe the canaries at this time, which may have passed.
    CheckCanaries(Instant, Report),
}

/// To the dns-leader actor.
#[derive(Debug)]
pub enum LeaderMessage {
    /// A proposer of another agent asks our region's acceptor.
    Acceptor(
        AcceptorRequest,
        RpcReplyPort<Result<AcceptorAnswer, String>>,
    ),
    /// From the core.
    Call(Call, Report),
}

/// A call to an acceptor or a voter.
#[derive(Debug)]
pub enum Call {
    /// Ask this acceptor.
    Acceptor(RegionName, Box<AcceptorRequest>),
    /// Read this acceptor's state in this round of reading.
    Read(RegionName, u64),
    /// Ask an agent of this region, or the witness, for its vote on our candidature.
    Vote(RegionName, Ballot),
}

/// To the replicator actor.
#[derive(Debug)]
pub enum ReplicatorMessage {
    /// From the core: do this work with the store or a peer.
    Work(Box<replication::Effect>, Report),
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

//! What goes into gossip, and what comes out.

use super::{
    membership::{PacketError, SwimFault},
    outcome::{PublishError, Rejection},
    skew::PeerClock,
    view::BoardView,
};
use crate::ticket::Ticket;
use regionmesh_protocol::{
    codec::CodecError,
    identity::{AgentId, MeshName},
    plan::PlanAge,
    status::StatusEntry,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// Who this agent is.
#[derive(Debug, Clone)]
pub struct Settings {
    pub own: AgentId,
    pub mesh: MeshName,
    /// When the process started, Unix milliseconds: ranks our entries above those of earlier
    /// processes.
    pub started_ms: u64,
}

/// Why an exchange that we began got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeError {
    /// A word, for a metric label.
    pub outcome: &'static str,
    /// For people.
    pub error: String,
}

/// What happens to gossip.
#[derive(Debug)]
pub enum Input {
    /// The caller restarted: exchanges and the alarm that were under way are lost.
    Restarted,
    /// The time of the last [`Effect::WakeAt`] has come.
    Wake,
    /// The first connection to this agent opened.
    LinkUp(AgentId),
    /// The last connection to this agent closed.
    LinkDown(AgentId),
    /// All connected agents: corrects what lost or late messages about links left wrong.
    Links(BTreeSet<AgentId>),
    /// A SWIM packet arrived; its region's certificate vouches for the sender's region only.
    Datagram { from: AgentId, payload: Vec<u8> },
    /// A connected peer opened a board exchange.
    ExchangeAsked {
        from: AgentId,
        request: Vec<u8>,
        ticket: Ticket,
    },
    /// An exchange from [`Effect::BeginExchange`] ended.
    ExchangeEnded {
        with: AgentId,
        /// When it was asked, and when it had answered.
        span: (Instant, Instant),
        answer: Result<Vec<u8>, ExchangeError>,
    },
    /// Put this status into our entry of its kind.
    Publish(Box<StatusEntry>),
    /// The certificate was replaced: all our entries are signed again.
    CertificateReloaded,
    /// How old the plan is that this agent knows: exchanges carry it to peers.
    PlanAge(Option<PlanAge>),
}

/// What the caller has to do.
#[derive(Debug)]
pub enum Effect {
    /// Send a SWIM packet, best effort.
    SendDatagram { to: AgentId, payload: Vec<u8> },
    /// Exchange boards with this connected peer; [`Input::ExchangeEnded`] reports the end.
    BeginExchange { with: AgentId, request: Vec<u8> },
    /// The answer to an [`Input::ExchangeAsked`].
    Reply(Ticket, Vec<u8>),
    /// The board changed.
    Board(Arc<BoardView>),
    /// Start of the last successful exchange that shows what other regions know. Follows the board
    /// that it brought.
    Heard(Instant),
    /// Replaces the alarm: the next [`Input::Wake`] is due then.
    WakeAt(Instant),
    /// A peer's clocks, as its request or its answer carried them.
    PeerClock(PeerClock),
    /// For logs and metrics.
    Notice(Notice),
}

/// What logs and metrics show. Ages are milliseconds.
#[derive(Debug)]
pub enum Notice {
    /// A member joined or came back.
    MemberUp {
        agent: AgentId,
        was_down_ms: Option<u64>,
    },
    /// The mesh declared a member dead.
    MemberDown {
        agent: AgentId,
        was_up_ms: Option<u64>,
        /// Age of its newest entry on the board.
        last_status_ms: Option<u64>,
    },
    /// A member restarted before its death was detected.
    MemberRestarted(AgentId),
    /// Peers had declared this agent dead; it rejoined with this generation.
    Rejoined(u64),
    /// An agent was dead for this long, and its entries were dropped.
    Forgotten {
        agent: AgentId,
        dead_for: Duration,
    },
    DatagramRefused {
        from: AgentId,
        error: PacketError,
    },
    SwimFault(SwimFault),
    /// Our entries were signed with a new certificate.
    Recertified,
    PublishFailed(PublishError),
    /// Peers hold newer entries of this agent than it made: all are signed again.
    Outranked,
    EntriesRejected {
        from: AgentId,
        reason: Rejection,
        count: u64,
    },
    /// A peer's exchange was answered.
    ExchangeAnswered,
    /// A peer's request could not be read.
    ExchangeRefused {
        from: AgentId,
        error: CodecError,
    },
    /// The answer to a peer could not be encoded.
    AnswerFailed {
        from: AgentId,
        error: CodecError,
    },
    /// An exchange that we began succeeded.
    Exchanged,
    ExchangeFailed {
        with: AgentId,
        error: ExchangeError,
    },
    /// Sizes, whenever the board changes.
    Sizes {
        /// This agent included.
        members_alive: usize,
        board_agents: usize,
        board_entries: usize,
        board_bytes: usize,
    },
}

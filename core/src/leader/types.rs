//! What goes into the leader part and comes out of it.

use super::{notice::Notice, plan_clock::PlanClock};
use crate::{
    gossip::{BoardView, skew::PeerClock},
    health::verdict::RegionVerdict,
    planning::{
        CostTarget, PlanInputs, PlanSettings,
        freeze::{Freeze, OwnView},
        judging::Objection,
    },
    problem_change::ProblemChange,
    slots::Proposal,
    ticket::Ticket,
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName},
    plan::{CommittedPlan, Order, Plan},
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::{Ballot, Bounds},
        certificate::AgentSignature,
        prevote::{PreVoteReply, PreVoteRequest},
    },
    status::StatusEntry,
    wire::OrderRefusal,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

/// The configuration of the leader part.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This agent.
    pub id: AgentId,
    pub mesh: MeshName,
    /// The acceptors that the configuration names; a new register begins with them.
    pub configured: BTreeSet<RegionName>,
    pub plan: PlanSettings,
    /// Whether DNS may leave out regions while the plan is frozen.
    pub filters_when_frozen: bool,
    /// Whether DNS answers no region while the verdict on every region is failed.
    pub withdraws_when_all_failed: bool,
}

/// What is known at the start.
#[derive(Debug)]
pub struct Start {
    /// The plan from the disk.
    pub saved: Option<CommittedPlan>,
    /// This agent's signature of it, if it was saved with one.
    pub confirmation: Option<AgentSignature>,
    /// The plan that this process knows from before, if only this part was restarted.
    pub known: Option<Arc<CommittedPlan>>,
    /// As of before, if only this part was restarted.
    pub freeze: Option<Arc<Freeze>>,
}

/// This agent's contact with other regions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contact {
    /// Whether the plan can be acted on. Set by [`Effect::Current`]; the process clears it after a
    /// stall.
    pub is_current: bool,
    /// When the process resumed after a stall.
    pub resumed: Option<Instant>,
    /// Start of the last successful board exchange that shows what other regions know.
    pub heard: Option<Instant>,
}

/// The leader, as known to this agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderView {
    /// The leader's ballot; none while an election is due.
    pub ballot: Option<Ballot>,
    /// Whether this agent is the leader.
    pub is_self: bool,
}

/// What happened. `Board`, `Verdicts`, `OwnView`, `Contact` and `Candidacy` are only remembered:
/// `Tick` acts on them.
#[derive(Debug)]
pub enum Input {
    /// The first input, apart from those that are only remembered.
    Start(Box<Start>),
    /// Time passed, or the board or the verdicts changed. Every 500 ms, and every 100 ms while
    /// something is under way.
    Tick,
    Board(Arc<BoardView>),
    Verdicts(Arc<BTreeMap<RegionName, RegionVerdict>>),
    /// The result of this agent's own probes.
    OwnView(Arc<BTreeMap<RegionName, OwnView>>),
    Contact(Contact),
    /// How many agents of the region stand for election before this one; none: it does not.
    Candidacy(Option<u64>),
    /// A peer's clocks, from a board exchange.
    PeerClock(PeerClock),
    /// The answer to [`Effect::JudgeCost`].
    CostTarget(Option<CostTarget>),
    /// An acceptor answered [`Effect::CallAcceptor`], or why it did not.
    AcceptorAnswered {
        from: RegionName,
        answer: Result<AcceptorAnswer, String>,
    },
    /// An acceptor answered [`Effect::ReadAcceptor`], or why it did not.
    AcceptorRead {
        round: u64,
        from: RegionName,
        answer: Result<AcceptorAnswer, String>,
    },
    /// A region answered [`Effect::AskVote`], or why it did not.
    Voted {
        from: RegionName,
        /// The ballot that it was asked about.
        ballot: Ballot,
        vote: Result<PreVoteReply, String>,
    },
    /// A candidate asks for our vote.
    VoteAsked(PreVoteRequest, Ticket),
    /// A leader, perhaps this agent, asks our region's acceptor to accept a plan.
    Proposed(Box<Proposal>, Ticket),
    /// An operator's order.
    Order(Box<Order>, Ticket),
    /// A proposer got a promise or an accept from our region's acceptor.
    ProposerHeard(Ballot),
    /// A proposer asked our region's acceptor for more than is known to be plausible.
    AskedTooFar,
    /// The agent stops.
    Stop,
}

impl Input {
    /// What an answer of our region's acceptor to another agent's request means for this agent.
    pub fn of_asked(request: &AcceptorRequest, reply: &AcceptorReply) -> Option<Self> {
        match reply {
            AcceptorReply::TooFar(_) | AcceptorReply::Undecided(_) => Some(Self::AskedTooFar),
            AcceptorReply::Refused { .. } | AcceptorReply::Unjustified { .. } => None,
            _ => request.ballot().cloned().map(Self::ProposerHeard),
        }
    }
}

/// What to do.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "requests are the most frequent effects and are sent at once"
)]
pub enum Effect {
    /// Ask this acceptor, and answer with [`Input::AcceptorAnswered`].
    CallAcceptor {
        to: RegionName,
        request: AcceptorRequest,
    },
    /// Read this acceptor's state, and answer with [`Input::AcceptorRead`].
    ReadAcceptor {
        round: u64,
        to: RegionName,
    },
    /// Ask an agent of this region, or the witness, for its vote; answer with [`Input::Voted`].
    AskVote {
        to: RegionName,
        ballot: Ballot,
    },
    /// Publish this entry.
    Publish(Box<StatusEntry>),
    /// The highest committed plan known is this. Repeated when it gains signatures.
    AdoptPlan(Arc<CommittedPlan>),
    /// The plan known was never committed: none is known.
    WithdrawPlan,
    /// How to convert the plan's times to our clock.
    PlanClock(PlanClock),
    /// The inputs of the next plan, as this agent sees them.
    PlanInputs(Arc<PlanInputs>),
    /// Compute which traffic to move to cheaper regions; answer with [`Input::CostTarget`].
    JudgeCost {
        /// The plan in force, by our own clock.
        current: Box<Plan>,
        inputs: Arc<PlanInputs>,
    },
    LeaderView(LeaderView),
    /// Whether the plan is frozen.
    Freeze(Option<Arc<Freeze>>),
    /// The plan can be acted on.
    Current,
    /// How far the acceptors whose stores this agent writes may go.
    Bounds(Box<Bounds>),
    /// The answer to [`Input::VoteAsked`].
    VoteReply(Ticket, PreVoteReply),
    /// The answer to [`Input::Proposed`]: what there is against the plan.
    Judged(Ticket, Result<(), Objection>),
    /// The answer to [`Input::Order`].
    OrderReply(Ticket, Box<Result<CommittedPlan, OrderRefusal>>),
    Problem(ProblemChange),
    /// A claim of a peer is refused.
    Refuse {
        peer: AgentId,
        reason: Refusal,
        what: String,
    },
    /// Something is refused that is not one peer's fault: only counted.
    CountRefusal(Refusal),
    /// Something to log or to count.
    Notice(Notice),
}

/// Why a claim is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// A ballot more than one step beyond what a majority of acceptors promised.
    BallotTooFar,
    /// A plan that was not accepted by a majority.
    PlanNotCommitted,
    /// A claim to lead under a ballot that was not promised by a majority.
    NotTheLeader,
    /// A plan with a region or address that is not in this agent's configuration.
    UnknownAddress,
    /// An acceptor's state beyond what a majority can have reached.
    AcceptorImplausible,
}

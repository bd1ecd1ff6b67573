//! What this agent believes of what others tell of plans, leaders and ballots.
//!
//! A plan is adopted at once if the agent that tells of it is the one whose ballot it bears, and
//! that ballot is the last that our own region's acceptor promised: then a leader speaks for
//! itself. That is the usual case, and it costs no time. Any other plan, and any other claim to
//! lead, is looked up at the acceptors first ([`regionmesh_core::leader::confirm`]): one round
//! trip, at most one round at a time. A plan kept on disk is treated like one that somebody tells
//! of, except that it is answered meanwhile. What the acceptors refute is dropped, and whoever told
//! of it is reported.

use super::{
    board,
    calls::{CALL_TIMEOUT, ask_acceptor},
    driver::Driver,
};
use crate::{actors::messages::LeaderMessage, refusals::reason};
use regionmesh_core::{
    gossip::BoardView,
    leader::{
        confirm::{Reading, Voters},
        election::KnownLeader,
    },
};
use regionmesh_dns::unknown_addresses;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{CommittedPlan, Plan},
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::{Ballot, Bounds, Reach, Stamp},
        members::Members,
    },
    status::problem::ProblemKind,
};
use regionmesh_runtime::logging::Reminder;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Pause between two rounds of reading, once the agent acts on a plan.
const READ_PAUSE: Duration = Duration::from_secs(1);
/// The same after a start, while peers are being connected and DNS waits.
const FIRST_READ_PAUSE: Duration = Duration::from_millis(150);
/// What was refuted is not looked up again for so long.
const REFUTED_FOR: Duration = Duration::from_secs(60);
/// How often a claim that stands is counted and reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How long nothing is adopted after a plan was withdrawn, so that every reader sees that it was.
const WITHDRAWN_FOR: Duration = Duration::from_millis(500);

/// What is known about what others tell.
pub(super) struct Trust {
    /// The last ballot that our region's acceptor promised, as far as this agent knows.
    pub(super) promised: Option<Ballot>,
    /// Whether the plan known is known to be committed. One from the disk is not at first.
    pub(super) is_plan_confirmed: bool,
    /// The last plan that a round of reading found committed, or that this agent committed.
    decided: Option<(Stamp, Plan)>,
    /// Ballots of others that a majority promised.
    leaders: BTreeSet<Ballot>,
    /// What agents tell and acceptors refuted, and when.
    refuted: BTreeMap<(AgentId, Claim), Instant>,
    /// Whether something is to be looked up.
    pub(super) is_due: bool,
    round: Option<Round>,
    rounds: u64,
    ended: Option<Instant>,
    withdrawn: Option<Instant>,
    reports: Reminder<(AgentId, &'static str)>,
}

/// What an agent claims.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Plan(Stamp),
    Leads(Ballot),
}

/// One round of reading the acceptors.
struct Round {
    number: u64,
    begun: Instant,
    open: BTreeSet<RegionName>,
    reading: Reading,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            promised: None,
            is_plan_confirmed: false,
            decided: None,
            leaders: BTreeSet::new(),
            refuted: BTreeMap::new(),
            // What the acceptors say is asked for at every start.
            is_due: true,
            round: None,
            rounds: 0,
            ended: None,
            withdrawn: None,
            reports: Reminder::new(REPORT_EVERY),
        }
    }
}

impl Driver {
    /// Takes up from the board what can be believed, and looks up what can't yet.
    pub(super) fn weigh(&mut self, board: &BoardView) {
        self.weigh_ballots(board);
        self.weigh_plans(board);
        self.weigh_leaders(board);
        self.trust.refuted.retain(|(agent, _), at| {
            at.elapsed() < REFUTED_FOR && board.agents.contains_key(agent)
        });
        self.trust
            .reports
            .retain(|(agent, _)| board.agents.contains_key(agent));
        self.arguments.refusals.expire(Instant::now());
        self.read_if_due();
    }

    /// The leader that another agent says it is, if it is believed.
    pub(super) fn known_leader(&self, board: &BoardView) -> Option<KnownLeader> {
        let planned = self
            .arguments
            .snapshots
            .plan
            .borrow()
            .clone()
            .filter(|_| self.trust.is_plan_confirmed);

        let is_believed = |ballot: &Ballot| {
            ballot.number <= self.election.known().allowance().number
                && (self.trust.promised.as_ref() == Some(ballot)
                    || self.trust.leaders.contains(ballot)
                    || planned
                        .as_ref()
                        .is_some_and(|planned| planned.stamp.ballot == *ballot))
        };

        board::known_leader(board, &self.arguments.id, is_believed)
    }

    /// A proposer asked our acceptor for more than is plausible: perhaps the others are as far.
    pub(super) fn asked_too_far(&mut self) {
        self.trust.is_due = true;
    }

    /// Takes note of what an acceptor says of itself; whether it is believed.
    pub(super) fn note_acceptor(&mut self, from: &RegionName, reply: &AcceptorReply) -> bool {
        let is_believed = self.election.acceptor_says(from, reply);
        if *from == self.arguments.id.region {
            match reply {
                AcceptorReply::State(state) => self.trust.promised.clone_from(&state.promised),
                AcceptorReply::Promised { ballot, .. } => {
                    self.trust.promised = Some(ballot.clone())
                }
                AcceptorReply::Accepted(stamp) => self.trust.promised = Some(stamp.ballot.clone()),
                _ => {}
            }
        }

        if !is_believed
            || matches!(
                reply,
                AcceptorReply::TooFar(_) | AcceptorReply::Undecided(_)
            )
        {
            self.trust.is_due = true;
        }

        self.bound_acceptors();
        self.tell_strays(from, reply, is_believed);
        is_believed
    }

    /// A plan was found committed, or committed by this agent.
    pub(super) fn decided(&mut self, plan: CommittedPlan) {
        self.trust.decided = Some((plan.stamp, plan.plan));
        self.bound_acceptors();
    }

    /// Acceptors that this agent reaches in their stores follow what the others say.
    fn bound_acceptors(&self) {
        let bounds = Bounds {
            allowance: self.election.known().allowance(),
            decided: self.trust.decided.clone(),
        };

        if let Some(witness) = &self.arguments.witness {
            witness.set_bounds(bounds.clone());
        }
        self.arguments.store.set_bounds(bounds);
    }

    fn tell_strays(&self, from: &RegionName, reply: &AcceptorReply, is_believed: bool) {
        let known = self.election.known();
        let strays: BTreeMap<&RegionName, Reach> = known.strays().collect();
        self.arguments
            .snapshots
            .problems
            .retain(ProblemKind::AcceptorImplausible, |subject| {
                strays.keys().any(|region| region.as_str() == subject)
            });

        if is_believed || !strays.contains_key(from) {
            return;
        }

        let detail = format!(
            "it says {}, and a majority of the acceptors is at {}: it has no vote until its `register/` is removed from its \
             store, see docs/how-to/troubleshoot.md",
            reply.reach().unwrap_or_default(),
            known.majority(),
        );

        self.arguments
            .refusals
            .count_one(reason::ACCEPTOR_IMPLAUSIBLE);
        self.arguments.snapshots.problems.set(
            ProblemKind::AcceptorImplausible,
            from.as_str(),
            detail,
        );
    }

    fn weigh_ballots(&mut self, board: &BoardView) {
        let mut strange = Vec::new();
        for (agent, ballot) in board::ballots(board) {
            let is_own = *agent == self.arguments.id;
            if !self.election.observe(ballot)
                && !is_own
                && ballot.number > self.election.known().allowance().number
            {
                strange.push((agent.clone(), ballot.clone()));
            }
        }

        if strange.is_empty() {
            return;
        }

        if !self.election.known().is_informed() {
            // Perhaps it is us who were away.
            self.trust.is_due = true;
            return;
        }

        for (agent, ballot) in strange {
            self.report(
                &agent,
                reason::BALLOT_TOO_FAR,
                &format!("it tells of ballot {ballot}"),
            );
        }
    }

    fn weigh_plans(&mut self, board: &BoardView) {
        if self.is_withdrawing() {
            return;
        }

        let later = |driver: &Self| {
            let known = driver.arguments.snapshots.plan.borrow().clone();
            let told = board::plans(board, &driver.arguments.id);
            let is_later =
                |plan: &CommittedPlan| known.as_ref().is_none_or(|known| known.stamp < plan.stamp);
            let told = told.filter(|(_, plan, _)| is_later(plan));

            told.map(|(agent, plan, _)| (agent.clone(), plan.clone()))
                .collect::<Vec<_>>()
        };

        let mut told = later(self);
        told.sort_by(|(_, a), (_, b)| a.stamp.cmp(&b.stamp));
        for (agent, plan) in told {
            if self.is_from_its_leader(&agent, &plan) {
                self.learn_plan(&plan, true, None);
            }
        }

        let has_open = later(self)
            .into_iter()
            .any(|(agent, plan)| !self.is_refuted(&agent, Claim::Plan(plan.stamp)));
        let is_unsure =
            !self.trust.is_plan_confirmed && self.arguments.snapshots.plan.borrow().is_some();

        self.trust.is_due |= has_open || is_unsure;
    }

    /// Whether an agent tells of a plan of its own, under the ballot that our own acceptor promised
    /// it.
    fn is_from_its_leader(&self, agent: &AgentId, plan: &CommittedPlan) -> bool {
        let ballot = &plan.stamp.ballot;
        let reach = Reach {
            number: ballot.number,
            seq: plan.stamp.seq,
        };
        let is_promised =
            self.trust.promised.as_ref() == Some(ballot) || self.trust.leaders.contains(ballot);

        ballot.agent == *agent && is_promised && reach.is_within(self.election.known().allowance())
    }

    fn weigh_leaders(&mut self, board: &BoardView) {
        let claimed: BTreeSet<Ballot> = board::claims(board, &self.arguments.id)
            .map(|(ballot, ..)| ballot.clone())
            .collect();
        self.trust.leaders.retain(|ballot| claimed.contains(ballot));

        let known = self.known_leader(board).map(|leader| leader.ballot);
        // A lower ballot than the known leader's changes nothing.
        let is_open = |ballot: &&Ballot| {
            known.as_ref() < Some(*ballot)
                && !self.is_refuted(&ballot.agent, Claim::Leads((*ballot).clone()))
        };
        let has_open = claimed.iter().any(|ballot| is_open(&ballot));

        self.trust.is_due |= has_open;
    }

    fn is_refuted(&self, agent: &AgentId, claim: Claim) -> bool {
        self.trust.refuted.contains_key(&(agent.clone(), claim))
    }

    fn report(&mut self, agent: &AgentId, reason: &'static str, what: &str) {
        if self
            .trust
            .reports
            .admit(&(agent.clone(), reason), Instant::now())
            .is_some()
        {
            self.arguments
                .refusals
                .refuse(&agent.to_string(), reason, what);
        }
    }

    /// Asks all acceptors what they promised and accepted, if something is to be looked up and no
    /// round is on its way.
    fn read_if_due(&mut self) {
        let is_current = *self.arguments.snapshots.is_current.borrow();
        let pause = if is_current {
            READ_PAUSE
        } else {
            FIRST_READ_PAUSE
        };
        let is_paused = self.trust.ended.is_some_and(|at| at.elapsed() < pause);

        if self
            .trust
            .round
            .as_ref()
            .is_some_and(|round| round.begun.elapsed() > CALL_TIMEOUT * 3)
        {
            self.trust.round = None;
        }

        if !self.trust.is_due || is_paused || self.trust.round.is_some() {
            return;
        }
        self.trust.is_due = false;
        self.trust.rounds += 1;

        let members = self
            .members()
            .map(|members| members.names())
            .unwrap_or_default();
        let open: BTreeSet<RegionName> = members.union(&self.configured).cloned().collect();
        let number = self.trust.rounds;

        for from in open.clone() {
            let arguments = self.arguments.clone();
            let myself = self.myself.clone();
            tokio::spawn(async move {
                let asked = ask_acceptor(&arguments, &from, AcceptorRequest::Read);
                let answer = tokio::time::timeout(CALL_TIMEOUT * 2, asked).await;
                let answer = answer
                    .unwrap_or_else(|_| Err(format!("no answer within {:?}", CALL_TIMEOUT * 2)));
                let _ = myself.cast(LeaderMessage::AcceptorRead {
                    round: number,
                    from,
                    answer,
                });
            });
        }

        self.trust.round = Some(Round {
            number,
            begun: Instant::now(),
            open,
            reading: Reading::default(),
        });
    }

    /// One acceptor's answer in a round of reading.
    pub(super) fn acceptor_read(
        &mut self,
        number: u64,
        from: RegionName,
        answer: Result<AcceptorAnswer, String>,
    ) {
        let reply = answer.ok().map(|answer| answer.reply);
        if let Some(reply) = &reply {
            self.note_acceptor(&from, reply);
        }

        let Some(mut round) = self.trust.round.take_if(|round| round.number == number) else {
            return;
        };
        round.open.remove(&from);
        if let Some(AcceptorReply::State(state)) = reply {
            round.reading.add(from, state);
        }

        let board = self.board();
        self.judge_plans(&board, &round);
        self.judge_leaders(&board, &round);
        if round.open.is_empty() {
            self.trust.ended = Some(Instant::now());
        } else {
            self.trust.round = Some(round);
        }
    }

    /// Whether a plan was taken back a moment ago.
    fn is_withdrawing(&self) -> bool {
        self.trust
            .withdrawn
            .is_some_and(|at| at.elapsed() < WITHDRAWN_FOR)
    }

    fn judge_plans(&mut self, board: &BoardView, round: &Round) {
        if self.is_withdrawing() {
            self.trust.is_due = true;
            return;
        }

        let known = self.arguments.snapshots.plan.borrow().clone();
        let is_confirmed = self.trust.is_plan_confirmed;
        let members = known
            .as_ref()
            .filter(|_| is_confirmed)
            .map(|known| known.plan.members.clone());
        let committed =
            self.with_voters(members.as_ref(), |voters| round.reading.committed(voters));
        let is_wrong = known
            .as_ref()
            .filter(|_| !is_confirmed)
            .is_some_and(|known| {
                committed
                    .as_ref()
                    .is_some_and(|committed| committed.stamp < known.stamp)
                    || self.with_voters(None, |voters| round.reading.refutes(known, voters))
            });

        if let Some(known) = known.filter(|_| is_wrong) {
            self.withdraw(&known);
            return;
        }

        if let Some(committed) = committed {
            self.learn_plan(&committed, true, None);
            self.decided(committed);
        }

        // What was told before the round began and no majority has accepted was never committed.
        let refuted: Vec<(AgentId, Stamp)> = board::plans(board, &self.arguments.id)
            .filter(|(_, plan, since)| {
                *since < round.begun
                    && self.with_voters(members.as_ref(), |voters| {
                        round.reading.refutes(plan, voters)
                    })
            })
            .map(|(agent, plan, _)| (agent.clone(), plan.stamp.clone()))
            .collect();

        for (agent, stamp) in refuted {
            self.report(
                &agent,
                reason::PLAN_NOT_COMMITTED,
                &format!("it tells of plan {stamp}, which no majority accepted"),
            );

            self.trust
                .refuted
                .insert((agent, Claim::Plan(stamp)), Instant::now());
        }
    }

    fn judge_leaders(&mut self, board: &BoardView, round: &Round) {
        let members = self.members().filter(|_| self.trust.is_plan_confirmed);
        let mut promised = Vec::new();
        let mut refuted = Vec::new();

        self.with_voters(members.as_ref(), |voters| {
            for (ballot, _, since) in board::claims(board, &self.arguments.id) {
                if round.reading.is_promised(ballot, voters) {
                    promised.push(ballot.clone());
                } else if since < round.begun && round.reading.refutes_ballot(ballot, voters) {
                    refuted.push(ballot.clone());
                }
            }
        });

        self.trust.leaders.extend(promised);
        for ballot in refuted {
            let what =
                format!("it says that it leads under ballot {ballot}, which no majority promised");
            self.report(&ballot.agent.clone(), reason::NOT_THE_LEADER, &what);
            self.trust
                .refuted
                .insert((ballot.agent.clone(), Claim::Leads(ballot)), Instant::now());
        }
    }

    fn with_voters<T>(&self, known: Option<&Members>, judge: impl FnOnce(&Voters<'_>) -> T) -> T {
        let known = known.filter(|members| !members.is_empty());
        judge(&Voters {
            known,
            configured: &self.configured,
            own: &self.arguments.id.region,
        })
    }

    /// Takes back a plan from the disk that was never committed. The one that was is adopted a
    /// moment later.
    fn withdraw(&mut self, plan: &CommittedPlan) {
        tracing::error!(
            stamp = %plan.stamp, reason = %plan.plan.reason,
            "the plan kept on disk was never committed: it is dropped, and the register's is used"
        );

        self.arguments
            .refusals
            .count_one(reason::PLAN_NOT_COMMITTED);
        self.arguments.snapshots.plan.send_replace(None);
        self.trust.is_plan_confirmed = false;
        self.trust.withdrawn = Some(Instant::now());
        self.trust.is_due = true;
    }

    /// Says which regions and addresses of a plan are not in our configuration, and so are not
    /// answered.
    pub(super) fn tell_addresses(&self, plan: &CommittedPlan) {
        let unknown = unknown_addresses(&self.arguments.config.dns_regions(), &plan.plan);
        let problems = &self.arguments.snapshots.problems;
        problems.retain(ProblemKind::PlanAddressUnknown, |subject| {
            unknown.keys().any(|region| region.as_str() == subject)
        });

        for (region, addresses) in unknown {
            self.arguments.refusals.count_one(reason::UNKNOWN_ADDRESS);
            let detail = match &addresses[..] {
                [] => format!(
                    "plan {} names a region that is not in this agent's configuration",
                    plan.stamp
                ),
                some => {
                    format!(
                        "plan {} names {some:?}, which this agent's configuration does not have \
                            there",
                        plan.stamp
                    )
                }
            };

            tracing::warn!(%region, ?addresses, stamp = %plan.stamp, "left out of DNS answers: not \
                in the configuration");

            let advice = "left out of its DNS answers; run the same [[regions]] on all agents";
            problems.set(
                ProblemKind::PlanAddressUnknown,
                region.as_str(),
                format!("{detail}; {advice}"),
            );
        }
    }
}

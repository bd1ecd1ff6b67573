//! The proposer of the register: takes a ballot, finds what was decided, and commits plans one
//! after another.
//!
//! Sans-IO: calls and the time go in, [`Effect`]s come out. One round of `Prepare` gives the right
//! to propose; the first value under the new ballot is the highest one that was accepted before, or
//! its successor, which contains it (CASPaxos, Rystsov 2018, §2.2; [`Proposer::succeed`]). Each
//! further value costs one round of `Accept`. An accept whose outcome is unknown is repeated with
//! the same stamp and value until a majority has it or a higher ballot fences this proposer: one
//! stamp never carries two values.
//!
//! The acceptors are those that the latest value found names. That suffices even if the caller's
//! list is old: each value was accepted by a majority of the members that its predecessor names, so
//! some acceptor of every such majority knows the next list. It requires that members change one at
//! a time ([`regionmesh_protocol::register::members`]), which [`Proposer::commit`] enforces, and
//! that a proposer commits something before it changes them, which [`Proposer::leading`]
//! guarantees. Votes are counted by incarnation, never by name: an acceptor that lost its state
//! answers, but does not count. A value that changes the members needs majorities of both lists, so
//! that the signatures of those who accepted it prove it to an agent that knows only one of them
//! ([`crate::leader::certificate`]).
//!
//! A new register has no list. Its first leader counts answers by the names in the configuration,
//! and waits a moment for all of them: an acceptor that has not answered by then is a member
//! without a vote, and joins later.

mod ask;
mod join;
mod leading;
mod objections;
mod preparing;
mod succession;
mod types;

pub use types::{Acceptors, Effect, NoJoin, ProposerError, ProposerSettings, StepDown};

use leading::{Leading, Pending, Unjustified};
use preparing::Preparing;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan},
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply},
        ballot::{Ballot, Stamp},
        certificate::Acceptance,
        members::{Incarnation, Members},
    },
};
use std::{collections::BTreeMap, mem};

/// Most characters of an objection's reason, which comes from a peer.
const WHY_MAX: usize = 200;

#[derive(Debug, Clone)]
enum Phase {
    Idle,
    Preparing(Box<Preparing>),
    Leading(Box<Leading>),
}

/// One agent's proposer.
#[derive(Debug, Clone)]
pub struct Proposer {
    settings: ProposerSettings,
    last_ballot: Option<Ballot>,
    asked_ms: BTreeMap<RegionName, u64>,
    /// The latest value that is proven to be committed, as its agent knows it.
    known: Option<(Stamp, Plan)>,
    phase: Phase,
}

impl Proposer {
    /// A proposer without a ballot.
    pub fn new(settings: ProposerSettings) -> Self {
        Self {
            settings,
            last_ballot: None,
            asked_ms: BTreeMap::new(),
            known: None,
            phase: Phase::Idle,
        }
    }

    fn lead(&self) -> Option<&Leading> {
        match &self.phase {
            Phase::Leading(leading) => Some(leading),
            _ => None,
        }
    }

    /// The ballot under which this proposer leads; none while it only tries to.
    pub fn leading(&self) -> Option<&Ballot> {
        self.lead()
            .filter(|leading| leading.is_elected)
            .map(|leading| &leading.ballot)
    }

    /// The ballot that this proposer holds or seeks.
    pub fn ballot(&self) -> Option<&Ballot> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Preparing(preparing) => Some(&preparing.ballot),
            Phase::Leading(leading) => Some(&leading.ballot),
        }
    }

    /// The last value that this proposer knows to be decided while it leads.
    pub fn decided(&self) -> Option<&(Stamp, Plan)> {
        self.lead()?.decided.as_ref()
    }

    /// The members that decide about the next value, while this proposer leads.
    pub fn members(&self) -> Option<&Members> {
        self.lead().map(Leading::members)
    }

    /// Whether it leads and has nothing in progress.
    pub fn is_ready(&self) -> bool {
        self.lead()
            .is_some_and(|leading| leading.is_elected && leading.pending.is_none())
    }

    /// The acceptor that is joining.
    pub fn joining(&self) -> Option<&RegionName> {
        self.lead()?.joining.as_ref().map(|joining| &joining.region)
    }

    /// The incarnation that each acceptor last answered with, of those heard within
    /// [`ProposerSettings::silence_ms`].
    pub fn heard(&self, now_ms: u64) -> BTreeMap<RegionName, Incarnation> {
        let fresh = |at_ms: u64| now_ms.saturating_sub(at_ms) < self.settings.silence_ms;
        let heard = self.lead().into_iter().flat_map(|leading| &leading.heard);
        heard
            .filter(|(_, (at_ms, _))| fresh(*at_ms))
            .map(|(name, (_, incarnation))| (name.clone(), *incarnation))
            .collect()
    }

    /// Learns of a value that is proven to be committed.
    pub fn learn(&mut self, committed: &CommittedPlan) {
        let CommittedPlan { stamp, plan, .. } = committed;
        self.known = Some((stamp.clone(), plan.clone()));
    }

    /// Tries for leadership under `ballot`.
    pub fn prepare(
        &mut self,
        ballot: Ballot,
        acceptors: Acceptors,
        now_ms: u64,
    ) -> Result<Vec<Effect>, ProposerError> {
        if let Some(last) = self.last_ballot.as_ref().filter(|last| **last >= ballot) {
            return Err(ProposerError::BallotNotHigher {
                asked: ballot.into(),
                last: last.clone().into(),
            });
        }

        self.last_ballot = Some(ballot.clone());
        let known = self.known.clone().filter(|(_, value)| match &acceptors {
            Acceptors::Known(members) => value.members.register == members.register,
            Acceptors::First { .. } => false,
        });
        let promised = BTreeMap::new();
        self.phase = Phase::Preparing(Box::new(Preparing {
            ballot,
            acceptors,
            promised,
            known,
            highest: None,
            found: BTreeMap::new(),
            since_ms: now_ms,
        }));

        self.asked_ms.clear();
        Ok(self.ask(now_ms))
    }

    /// Commits `value`. While another value is in progress, the latest request waits and earlier
    /// ones are dropped. A value that names no members keeps the present ones.
    pub fn commit(&mut self, mut value: Plan, now_ms: u64) -> Result<Vec<Effect>, ProposerError> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Err(ProposerError::NotLeading);
        };
        if !leading.is_elected {
            return Err(ProposerError::NotLeading);
        }

        let before = leading
            .pending
            .as_ref()
            .map_or(leading.members(), |pending| &pending.value.members);

        if value.members.is_empty() {
            value.members = before.clone();
        }
        before.check_change(&value.members)?;
        if leading.pending.is_some() {
            leading.queued = Some(value);
            return Ok(Vec::new());
        }

        self.propose(value, now_ms)
    }

    fn propose(&mut self, value: Plan, now_ms: u64) -> Result<Vec<Effect>, ProposerError> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Err(ProposerError::NotLeading);
        };
        let seq = leading
            .last_seq()
            .checked_add(1)
            .ok_or(ProposerError::Exhausted)?;
        let stamp = Stamp {
            ballot: leading.ballot.clone(),
            seq,
        };
        let members = leading.members().clone();

        leading.pending = Some(Pending::new(stamp, value, members, now_ms));

        self.asked_ms.clear();
        Ok(self.ask(now_ms))
    }

    /// Takes in an acceptor's answer. Old and repeated answers do no harm.
    pub fn answered(
        &mut self,
        from: &RegionName,
        answer: AcceptorAnswer,
        now_ms: u64,
    ) -> Vec<Effect> {
        let AcceptorAnswer {
            incarnation,
            reply,
            acceptance,
        } = answer;
        let acceptance = acceptance.filter(|acceptance| {
            acceptance.region() == from && acceptance.incarnation == incarnation
        });

        if let Phase::Leading(leading) = &mut self.phase {
            let timeout_ms = self.settings.silence_ms;
            leading
                .gone
                .retain(|_, since_ms| now_ms.saturating_sub(*since_ms) < timeout_ms);
            if leading.gone.contains_key(&incarnation) {
                return Vec::new();
            }

            let before = leading.heard.insert(from.clone(), (now_ms, incarnation));
            let has_joined = leading.joining.as_ref().is_some_and(|joining| {
                joining.region == *from && reply == AcceptorReply::Joined(joining.incarnation)
            });

            if let Some((_, before)) = before.filter(|before| has_joined && before.1 != incarnation)
            {
                leading.gone.insert(before, now_ms);
            }
        }

        match reply {
            AcceptorReply::Refused { promised } => self.outranked(promised),
            AcceptorReply::State(state) => {
                // A member without a vote may have promised anything in any register: that says
                // nothing about ours.
                let counts = self
                    .members()
                    .is_some_and(|members| members.counts(incarnation));
                state
                    .promised
                    .filter(|_| counts)
                    .map_or_else(Vec::new, |promised| self.outranked(promised))
            }
            AcceptorReply::Promised { ballot, accepted } => {
                self.promised(from, incarnation, &ballot, accepted, now_ms)
            }
            AcceptorReply::Accepted(stamp) => {
                self.accepted(from, incarnation, &stamp, acceptance, now_ms)
            }
            AcceptorReply::Joined(incarnation) => self.joined(from, Ok(incarnation)),
            AcceptorReply::Votes { register } => self.joined(from, Err(NoJoin::Votes(register))),
            // Its agent asks the others; until then the request is repeated.
            AcceptorReply::TooFar(_) | AcceptorReply::Undecided(_) => Vec::new(),
            AcceptorReply::Unjustified {
                stamp,
                why,
                is_final,
            } => {
                let printable = why.chars().filter(|letter| !letter.is_control());
                let why = printable.take(WHY_MAX).collect();
                self.objected(from, stamp, Unjustified { why, is_final }, now_ms)
            }
        }
    }

    fn promised(
        &mut self,
        from: &RegionName,
        incarnation: Incarnation,
        promise: &Ballot,
        accepted: Option<(Stamp, Plan)>,
        now_ms: u64,
    ) -> Vec<Effect> {
        if self.ballot() != Some(promise) {
            return Vec::new();
        }
        let preparing = match &mut self.phase {
            Phase::Preparing(preparing) => preparing,
            Phase::Leading(leading) => {
                leading.found.insert(incarnation, accepted);
                return Vec::new();
            }
            Phase::Idle => return Vec::new(),
        };

        preparing.add(from, incarnation, accepted);
        self.elect(now_ms)
    }

    /// Leads once a majority promised.
    fn elect(&mut self, now_ms: u64) -> Vec<Effect> {
        let Phase::Preparing(preparing) = &mut self.phase else {
            return Vec::new();
        };
        if !preparing.has_majority(&self.settings, now_ms) {
            // The value found may name acceptors that were not asked yet.
            return self.ask(now_ms);
        }

        let found = preparing.highest.take();
        let first_members = match (&found, &preparing.acceptors) {
            (Some((_, value)), _) => value.members.clone(),
            (None, Acceptors::First { names, register }) => {
                Members::first(*register, names.iter().cloned(), &preparing.promised)
            }
            (None, Acceptors::Known(members)) => members.clone(),
        };
        let promised = mem::take(&mut preparing.promised).into_iter();

        let deciders = found
            .as_ref()
            .map(|(_, value)| preparing.before(&value.members));
        let mut leading = Leading {
            ballot: preparing.ballot.clone(),
            is_elected: found.is_none(),
            since_ms: preparing.since_ms,
            first_members,
            found: preparing.take_found(),
            repeated: found.as_ref().map(|(stamp, _)| stamp.clone()),
            succeeded: None,
            given_up_seq: 0,
            given_up: 0,
            decided: None,
            uncertified: None,
            pending: None,
            queued: None,
            joining: None,
            heard: promised
                .map(|(name, incarnation)| (name, (now_ms, incarnation)))
                .collect(),
            gone: BTreeMap::new(),
            polled_ms: now_ms,
            refreshed_ms: now_ms,
        };

        let ballot = leading.ballot.clone();
        let Some((stamp, value)) = found else {
            self.phase = Phase::Leading(leading.into());
            return vec![Effect::Elected(ballot)];
        };
        let Some(seq) = stamp.seq.checked_add(1) else {
            self.phase = Phase::Idle;
            return vec![Effect::SteppedDown(
                ballot.clone(),
                StepDown::Outranked(stamp.ballot),
            )];
        };

        let members = deciders.unwrap_or_else(|| value.members.clone());
        let offer = preparing.offer(&stamp, &value, &members);
        leading.pending = Some(Pending::new(Stamp { ballot, seq }, value, members, now_ms));

        self.phase = Phase::Leading(leading.into());
        self.asked_ms.clear();
        offer.map_or_else(|| self.ask(now_ms), |offer| vec![offer])
    }

    fn accepted(
        &mut self,
        from: &RegionName,
        incarnation: Incarnation,
        stamp: &Stamp,
        acceptance: Option<Acceptance>,
        now_ms: u64,
    ) -> Vec<Effect> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let Some(pending) = leading
            .pending
            .as_mut()
            .filter(|pending| pending.stamp == *stamp)
        else {
            return leading.accepted_late(stamp, acceptance);
        };

        pending.objections.remove(from);
        pending.add(incarnation, acceptance);
        if !pending.has_majorities() {
            return Vec::new();
        }

        let Some(pending) = leading.pending.take() else {
            return Vec::new();
        };
        if !pending.is_repeated {
            leading.given_up = 0;
        }
        let committed = pending.committed();
        leading.decided = Some((pending.stamp.clone(), pending.value.clone()));
        leading.uncertified = (!pending.is_certified()).then_some(pending);

        leading.succeeded = None;
        let mut effects = Vec::new();
        if !mem::replace(&mut leading.is_elected, true) {
            effects.push(Effect::Elected(leading.ballot.clone()));
        }
        effects.push(Effect::Committed(committed));
        if let Some(next) = leading.queued.take() {
            effects.extend(self.propose(next, now_ms).unwrap_or_default());
        }

        effects
    }

    /// Takes in a ballot seen anywhere: in a refusal, on the board, in a committed plan. A higher
    /// one ends ours.
    pub fn outranked(&mut self, by: Ballot) -> Vec<Effect> {
        match self.ballot() {
            Some(ours) if by > *ours => self.step_down(StepDown::Outranked(by)),
            _ => Vec::new(),
        }
    }

    /// Gives up the ballot for `reason`.
    pub fn step_down(&mut self, reason: StepDown) -> Vec<Effect> {
        let ballot = self.ballot().cloned();
        self.phase = Phase::Idle;
        ballot
            .into_iter()
            .map(|ballot| Effect::SteppedDown(ballot, reason.clone()))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

//! The proposer of the register: takes a ballot, finds what was decided, and commits one plan after
//! another.
//!
//! Sans-IO: calls go in, [`Effect`]s come out, time is handed in. One round of `Prepare` gives the
//! right to propose; the highest value that was accepted before is committed again under the new
//! ballot before anything else (CASPaxos, Rystsov 2018, §2.2), and each further value costs one
//! round of `Accept`. An accept whose outcome is not known is repeated with the same stamp and
//! value until a majority has it or a higher ballot fences this proposer: one stamp never carries
//! two values.
//!
//! The acceptors are those that the latest value found names. That is enough even if the caller's
//! list is old: each value was accepted by a majority of the members that its predecessor names, so
//! some acceptor of every such majority leads on to the next list. It needs that members change one
//! at a time ([`regionmesh_protocol::register::members`]), which [`Proposer::commit`] enforces, and
//! that nobody changes them who has not committed anything yet, which [`Proposer::leading`] means.
//! Votes are counted by incarnation, never by name: an acceptor that lost its state answers, and
//! does not count.
//!
//! A register that begins has no list. Its first leader counts answers by the names of the
//! configuration, and waits a moment for all of them: whoever is not heard by then is a member
//! without a vote, and joins later.

mod types;

use regionmesh_protocol::{
    identity::RegionName,
    plan::Plan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::{Ballot, Stamp},
        members::{Incarnation, Members},
    },
};
use std::collections::{BTreeMap, BTreeSet};
pub use types::{Acceptors, Effect, NoJoin, ProposerError, ProposerSettings, StepDown};

/// A value on its way to a majority.
#[derive(Debug, Clone)]
struct Pending {
    stamp: Stamp,
    value: Plan,
    members: Members,
    accepted: BTreeSet<Incarnation>,
}

#[derive(Debug, Clone)]
enum Phase {
    Idle,
    Preparing(Box<Preparing>),
    Leading(Box<Leading>),
}

#[derive(Debug, Clone)]
struct Preparing {
    ballot: Ballot,
    acceptors: Acceptors,
    promised: BTreeMap<RegionName, Incarnation>,
    highest: Option<(Stamp, Plan)>,
    since_ms: u64,
}

impl Preparing {
    /// Who decides about the next value: those that the highest value found names.
    fn deciders(&self) -> Option<&Members> {
        match (&self.highest, &self.acceptors) {
            (Some((_, found)), _) => Some(&found.members),
            (None, Acceptors::Known(members)) => Some(members),
            (None, Acceptors::First { .. }) => None,
        }
    }

    fn names(&self) -> BTreeSet<RegionName> {
        let asked = match &self.acceptors {
            Acceptors::First { names, .. } => names.clone(),
            Acceptors::Known(members) => members.names(),
        };

        asked
            .into_iter()
            .chain(self.deciders().map(Members::names).unwrap_or_default())
            .collect()
    }

    fn has_majority(&self, settings: &ProposerSettings, now_ms: u64) -> bool {
        let votes = self.promised.values().copied().collect();
        match (&self.acceptors, self.deciders()) {
            // Members that are known were named by a value, and some acceptor of each majority of
            // them has it.
            (Acceptors::Known(_), Some(members)) => {
                self.highest.is_some() && members.has_majority(&votes)
            }
            (Acceptors::First { .. }, Some(members)) => members.has_majority(&votes),
            (Acceptors::First { names, .. }, None) => {
                let answered = names
                    .iter()
                    .filter(|name| self.promised.contains_key(*name))
                    .count();
                let is_patient = now_ms.saturating_sub(self.since_ms) < settings.first_ms;

                answered == names.len() || answered > names.len() / 2 && !is_patient
            }
            (Acceptors::Known(_), None) => false,
        }
    }
}

#[derive(Debug, Clone)]
struct Joining {
    region: RegionName,
    incarnation: Incarnation,
    since_ms: u64,
    asked_ms: u64,
}

#[derive(Debug, Clone)]
struct Leading {
    ballot: Ballot,
    /// False while the value found is being committed again.
    is_elected: bool,
    since_ms: u64,
    /// The members while nothing was decided by this proposer.
    first_members: Members,
    /// The last value known to be decided; its members decide about the next.
    decided: Option<(Stamp, Plan)>,
    pending: Option<Pending>,
    queued: Option<Plan>,
    joining: Option<Joining>,
    /// When each acceptor last answered, and as whom.
    heard: BTreeMap<RegionName, (u64, Incarnation)>,
    /// What acceptors that joined were before, and when they joined: late answers say nothing of
    /// them any more.
    gone: BTreeMap<Incarnation, u64>,
    /// When members without a vote were last asked whether they are there.
    looked_ms: u64,
    refreshed_ms: u64,
}

impl Leading {
    fn members(&self) -> &Members {
        self.decided
            .as_ref()
            .map_or(&self.first_members, |(_, value)| &value.members)
    }

    fn last_seq(&self) -> u64 {
        self.decided.as_ref().map_or(0, |(stamp, _)| stamp.seq)
    }

    /// When a majority was last known to answer.
    fn majority_heard_ms(&self) -> u64 {
        let members = self.members();
        let heard_ms = |(name, counted): (&RegionName, &Option<Incarnation>)| {
            let heard = self
                .heard
                .get(name)
                .filter(|(_, incarnation)| *counted == Some(*incarnation));

            // Who was never heard counts from the beginning; who has no vote, as never.
            counted.map_or(0, |_| heard.map_or(self.since_ms, |(at_ms, _)| *at_ms))
        };

        let mut heard: Vec<u64> = members.acceptors.iter().map(heard_ms).collect();
        heard.sort_unstable_by(|a, b| b.cmp(a));
        heard
            .get(members.len() / 2)
            .copied()
            .unwrap_or(self.since_ms)
    }
}

/// One agent's proposer.
#[derive(Debug, Clone)]
pub struct Proposer {
    settings: ProposerSettings,
    last_ballot: Option<Ballot>,
    asked_ms: BTreeMap<RegionName, u64>,
    phase: Phase,
}

impl Proposer {
    /// A proposer without a ballot.
    pub fn new(settings: ProposerSettings) -> Self {
        Self {
            settings,
            last_ballot: None,
            asked_ms: BTreeMap::new(),
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

    /// The ballot that this proposer holds or tries for.
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

    /// Who decides about the next value, while this proposer leads.
    pub fn members(&self) -> Option<&Members> {
        self.lead().map(Leading::members)
    }

    /// Whether it leads and has nothing under way.
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
        let promised = BTreeMap::new();
        self.phase = Phase::Preparing(Box::new(Preparing {
            ballot,
            acceptors,
            promised,
            highest: None,
            since_ms: now_ms,
        }));

        self.asked_ms.clear();
        Ok(self.ask(now_ms))
    }

    /// Commits `value`. While another value is under way the latest asked for waits, earlier ones
    /// are forgotten. A value that names no members leaves them as they are.
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

        leading.pending = Some(Pending {
            stamp,
            value,
            members,
            accepted: BTreeSet::new(),
        });

        self.asked_ms.clear();
        Ok(self.ask(now_ms))
    }

    /// Lets an acceptor begin anew as `incarnation` with what is decided, so that it can be
    /// counted: whatever it kept of another register, or of before it lost its state, is gone then.
    /// Ends with [`Effect::Joined`], unless this proposer steps down before.
    pub fn join(
        &mut self,
        region: RegionName,
        incarnation: Incarnation,
        now_ms: u64,
    ) -> Result<Vec<Effect>, ProposerError> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Err(ProposerError::NotLeading);
        };
        if let Some(joining) = &leading.joining {
            return Err(ProposerError::Joining(joining.region.clone()));
        }
        if leading.decided.is_none() {
            return Err(ProposerError::NotLeading);
        }

        leading.joining = Some(Joining {
            region,
            incarnation,
            since_ms: now_ms,
            asked_ms: now_ms,
        });

        Ok(self.ask_to_join().into_iter().collect())
    }

    fn ask_to_join(&self) -> Option<Effect> {
        let leading = self.lead()?;
        let joining = leading.joining.as_ref()?;
        let (stamp, value) = leading.decided.as_ref()?;
        let request = AcceptorRequest::Join(joining.incarnation, stamp.clone(), value.clone());

        Some(Effect::Send {
            to: joining.region.clone(),
            request,
        })
    }

    /// Takes an acceptor's answer. Old and repeated answers do no harm.
    pub fn answered(
        &mut self,
        from: &RegionName,
        answer: AcceptorAnswer,
        now_ms: u64,
    ) -> Vec<Effect> {
        let AcceptorAnswer { incarnation, reply } = answer;
        if let Phase::Leading(leading) = &mut self.phase {
            let patience_ms = self.settings.silence_ms;
            leading
                .gone
                .retain(|_, since_ms| now_ms.saturating_sub(*since_ms) < patience_ms);
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
                // A member without a vote may have promised anything, in whatever register: it says
                // nothing of ours.
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
            AcceptorReply::Accepted(stamp) => self.accepted(incarnation, &stamp, now_ms),
            AcceptorReply::Joined(incarnation) => self.joined(from, Ok(incarnation)),
            AcceptorReply::Votes { register } => self.joined(from, Err(NoJoin::Votes(register))),
            // It asks the others; the same request is repeated meanwhile.
            AcceptorReply::TooFar(_) | AcceptorReply::Undecided(_) => Vec::new(),
        }
    }

    fn joined(&mut self, from: &RegionName, outcome: Result<Incarnation, NoJoin>) -> Vec<Effect> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let is_awaited = leading.joining.as_ref().is_some_and(|joining| {
            joining.region == *from
                && outcome
                    .as_ref()
                    .map_or(true, |joined| *joined == joining.incarnation)
        });

        if !is_awaited {
            return Vec::new();
        }
        leading.joining = None;
        match outcome {
            Ok(incarnation) => vec![Effect::Joined(from.clone(), incarnation)],
            Err(why) => vec![Effect::NotJoined(from.clone(), why)],
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
        let Phase::Preparing(preparing) = &mut self.phase else {
            return Vec::new();
        };
        if *promise != preparing.ballot {
            return Vec::new();
        }
        preparing.promised.insert(from.clone(), incarnation);

        // What an acceptor kept of another register is no value of ours.
        let accepted = accepted.filter(|(_, value)| match &preparing.acceptors {
            Acceptors::Known(members) => value.members.register == members.register,
            Acceptors::First { .. } => true,
        });

        if accepted.as_ref().map(|(stamp, _)| stamp)
            > preparing.highest.as_ref().map(|(stamp, _)| stamp)
        {
            preparing.highest = accepted;
        }

        self.elect(now_ms)
    }

    /// Goes on to lead once a majority promised.
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
        let promised = std::mem::take(&mut preparing.promised).into_iter();

        let mut leading = Leading {
            ballot: preparing.ballot.clone(),
            is_elected: found.is_none(),
            since_ms: preparing.since_ms,
            first_members,
            decided: None,
            pending: None,
            queued: None,
            joining: None,
            heard: promised
                .map(|(name, incarnation)| (name, (now_ms, incarnation)))
                .collect(),
            gone: BTreeMap::new(),
            looked_ms: now_ms,
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

        let members = value.members.clone();
        leading.pending = Some(Pending {
            stamp: Stamp { ballot, seq },
            value,
            members,
            accepted: BTreeSet::new(),
        });

        self.phase = Phase::Leading(leading.into());
        self.asked_ms.clear();
        self.ask(now_ms)
    }

    fn accepted(&mut self, incarnation: Incarnation, stamp: &Stamp, now_ms: u64) -> Vec<Effect> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let Some(pending) = leading
            .pending
            .as_mut()
            .filter(|pending| pending.stamp == *stamp)
        else {
            return Vec::new();
        };

        pending.accepted.insert(incarnation);
        if !pending.members.has_majority(&pending.accepted) {
            return Vec::new();
        }

        let Some(pending) = leading.pending.take() else {
            return Vec::new();
        };
        leading.decided = Some((pending.stamp.clone(), pending.value.clone()));

        let mut effects = Vec::new();
        if !std::mem::replace(&mut leading.is_elected, true) {
            effects.push(Effect::Elected(leading.ballot.clone()));
        }
        effects.push(Effect::Committed(pending.stamp, pending.value));
        if let Some(next) = leading.queued.take() {
            effects.extend(self.propose(next, now_ms).unwrap_or_default());
        }

        effects
    }

    /// Tells of a ballot seen anywhere: in a refusal, on the board, in a committed plan. A higher
    /// one ends this one's.
    pub fn outranked(&mut self, by: Ballot) -> Vec<Effect> {
        match self.ballot() {
            Some(ours) if by > *ours => self.step_down(StepDown::Outranked(by)),
            _ => Vec::new(),
        }
    }

    /// Gives the ballot up, for `reason`.
    pub fn step_down(&mut self, reason: StepDown) -> Vec<Effect> {
        let ballot = self.ballot().cloned();
        self.phase = Phase::Idle;
        ballot
            .into_iter()
            .map(|ballot| Effect::SteppedDown(ballot, reason.clone()))
            .collect()
    }

    /// Repeats what was not answered, refreshes, gives up. To be called every 100 ms or so.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        if let Some(reason) = self.lost_patience(now_ms) {
            return self.step_down(reason);
        }

        let mut effects = self.tick_join(now_ms);
        effects.extend(self.look_for_voteless(now_ms));
        if let Phase::Leading(leading) = &mut self.phase
            && leading.pending.is_none()
            && now_ms.saturating_sub(leading.refreshed_ms) >= self.settings.refresh_ms
        {
            leading.refreshed_ms = now_ms;
            let read = |to: RegionName| Effect::Send {
                to,
                request: AcceptorRequest::Read,
            };

            effects.extend(leading.members().names().into_iter().map(read));
            return effects;
        }

        effects.extend(match self.phase {
            // The first leader's patience may be over.
            Phase::Preparing(_) => self.elect(now_ms),
            _ => self.ask(now_ms),
        });

        effects
    }

    /// A member without a vote is one that the register can't lose any more: it is looked for more
    /// often than is refreshed.
    fn look_for_voteless(&mut self, now_ms: u64) -> Vec<Effect> {
        let retry_ms = self.settings.retry_ms;
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };

        if !leading.is_elected || now_ms.saturating_sub(leading.looked_ms) < retry_ms {
            return Vec::new();
        }
        leading.looked_ms = now_ms;

        let voteless = leading
            .members()
            .acceptors
            .iter()
            .filter(|(_, counted)| counted.is_none());

        voteless
            .map(|(name, _)| Effect::Send {
                to: name.clone(),
                request: AcceptorRequest::Read,
            })
            .collect()
    }

    fn tick_join(&mut self, now_ms: u64) -> Vec<Effect> {
        let retry_ms = self.settings.retry_ms;
        let limit_ms = self.settings.prepare_ms;
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let Some(joining) = &mut leading.joining else {
            return Vec::new();
        };

        if now_ms.saturating_sub(joining.since_ms) >= limit_ms {
            let region = joining.region.clone();
            leading.joining = None;
            return vec![Effect::NotJoined(region, NoJoin::Silent(limit_ms))];
        }

        if now_ms.saturating_sub(joining.asked_ms) < retry_ms {
            return Vec::new();
        }
        joining.asked_ms = now_ms;
        self.ask_to_join().into_iter().collect()
    }

    fn lost_patience(&self, now_ms: u64) -> Option<StepDown> {
        let (members, since_ms, limit_ms) = match &self.phase {
            Phase::Idle => return None,
            Phase::Preparing(preparing) => (
                preparing.names().len(),
                preparing.since_ms,
                self.settings.prepare_ms,
            ),
            Phase::Leading(leading) if !leading.is_elected => (
                leading.members().len(),
                leading.since_ms,
                self.settings.prepare_ms,
            ),
            Phase::Leading(leading) => (
                leading.members().len(),
                leading.majority_heard_ms(),
                self.settings.silence_ms,
            ),
        };

        let silent_ms = now_ms.saturating_sub(since_ms);
        (silent_ms >= limit_ms).then_some(StepDown::NoMajority { members, silent_ms })
    }

    /// Asks whoever has not answered the present question and was not asked within `retry_ms`.
    fn ask(&mut self, now_ms: u64) -> Vec<Effect> {
        let (request, open): (AcceptorRequest, Vec<RegionName>) = match &self.phase {
            Phase::Preparing(preparing) => {
                // The first leader waits for everybody; who promised hears from it meanwhile, else
                // it would elect another.
                let is_first = matches!(preparing.acceptors, Acceptors::First { .. });
                let is_open =
                    |name: &RegionName| is_first || !preparing.promised.contains_key(name);
                let open = preparing.names().into_iter().filter(is_open);

                (
                    AcceptorRequest::Prepare(preparing.ballot.clone()),
                    open.collect(),
                )
            }
            Phase::Leading(leading) => {
                let Some(pending) = &leading.pending else {
                    return Vec::new();
                };
                let is_open = |counted: &Option<Incarnation>| {
                    counted.is_some_and(|vote| !pending.accepted.contains(&vote))
                };
                let open = pending
                    .members
                    .acceptors
                    .iter()
                    .filter(|(_, counted)| is_open(counted));
                let request = AcceptorRequest::Accept(pending.stamp.clone(), pending.value.clone());

                (request, open.map(|(name, _)| name.clone()).collect())
            }
            Phase::Idle => return Vec::new(),
        };

        let retry_ms = self.settings.retry_ms;
        let is_due = |asked: Option<&u64>| {
            asked.is_none_or(|asked| now_ms.saturating_sub(*asked) >= retry_ms)
        };
        let due: Vec<RegionName> = open
            .into_iter()
            .filter(|member| is_due(self.asked_ms.get(member)))
            .collect();

        self.asked_ms
            .extend(due.iter().map(|member| (member.clone(), now_ms)));
        due.into_iter()
            .map(|to| Effect::Send {
                to,
                request: request.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

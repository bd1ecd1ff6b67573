//! The proposer of the register: takes a ballot, finds what was decided, and commits one plan after another.
//!
//! Sans-IO: calls go in, [`Effect`]s come out, time is handed in. One round of `Prepare` gives the right to propose; the
//! highest value that was accepted before is committed again under the new ballot before anything else (CASPaxos,
//! Rystsov 2018, §2.2), and each further value costs one round of `Accept`. An accept whose outcome is not known is
//! repeated with the same stamp and value until a majority has it or a higher ballot fences this proposer: one stamp
//! never carries two values.
//!
//! The acceptors are those that the latest value found names. That is enough even if the caller's list is old: each
//! value was accepted by a majority of the members that its predecessor names, so some acceptor of every such majority
//! leads on to the next list. It needs that members change one at a time, which [`Proposer::commit`] enforces.

use crate::{
    identity::RegionName,
    register::{AcceptorReply, AcceptorRequest, Ballot, RegisterValue, Stamp, has_majority},
};
use std::collections::{BTreeMap, BTreeSet};

/// The proposer's patience, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposerSettings {
    /// An acceptor that did not answer is asked again after this long.
    pub retry_ms: u64,
    /// A ballot that found no majority, or a first commit that found none, is given up after this long.
    pub prepare_ms: u64,
    /// How often an idle leader asks the acceptors whether it still leads.
    pub refresh_ms: u64,
    /// A leader that has heard of no majority for this long steps down.
    pub silence_ms: u64,
}

impl Default for ProposerSettings {
    fn default() -> Self {
        // Refresh reads cost a listing per region and period in a cloud's store: 2 s is about 6 USD a month and region.
        Self { retry_ms: 500, prepare_ms: 3_000, refresh_ms: 2_000, silence_ms: 5_000 }
    }
}

/// What the caller is to do, or is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask this acceptor; hand its answer to [`Proposer::answered`].
    Send {
        /// The acceptor: a region's name, or `witness`.
        to: RegionName,
        /// The request.
        request: AcceptorRequest,
    },
    /// This proposer leads: it holds a majority's promises and what was decided before is committed under its ballot.
    Elected(Ballot),
    /// A majority accepted this value: it is decided.
    Committed(Stamp, RegisterValue),
    /// This proposer no longer leads, or will not.
    SteppedDown(Ballot, StepDown),
}

/// Why a proposer gave its ballot up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepDown {
    /// Another proposer holds a higher ballot.
    #[error("fenced by the higher ballot {0}")]
    Outranked(Ballot),
    /// Too few acceptors answered in time.
    #[error("no majority of {members} acceptors answered for {silent_ms} ms")]
    NoMajority {
        /// How many acceptors there are.
        members: usize,
        /// How long, milliseconds.
        silent_ms: u64,
    },
}

/// Why a request to the proposer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposerError {
    /// Only a leader commits.
    #[error("this agent does not lead, so it cannot commit a plan")]
    NotLeading,
    /// A ballot is used once, and later ones are higher.
    #[error("ballot {asked} is not higher than {last}, which was used before")]
    BallotNotHigher {
        /// The ballot asked for.
        asked: Box<Ballot>,
        /// The last one used.
        last: Box<Ballot>,
    },
    /// The acceptors may change by one at a time, and never to none.
    #[error("the register's members would change by {changed} at once; add or remove one at a time")]
    MembersJump {
        /// How many would be added or removed.
        changed: usize,
    },
    /// There is no further number.
    #[error("the register's sequence numbers are used up")]
    Exhausted,
}

/// A value on its way to a majority.
#[derive(Debug, Clone)]
struct Pending {
    stamp: Stamp,
    value: RegisterValue,
    members: BTreeSet<RegionName>,
    accepted: BTreeSet<RegionName>,
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
    /// The acceptors as far as the caller knew.
    members: BTreeSet<RegionName>,
    promised: BTreeSet<RegionName>,
    highest: Option<(Stamp, RegisterValue)>,
    since_ms: u64,
}

#[derive(Debug, Clone)]
struct Leading {
    ballot: Ballot,
    /// False while the value found is being committed again.
    is_elected: bool,
    since_ms: u64,
    /// The members while nothing was ever decided.
    first_members: BTreeSet<RegionName>,
    /// The last value known to be decided; its members decide about the next.
    decided: Option<(Stamp, RegisterValue)>,
    pending: Option<Pending>,
    queued: Option<RegisterValue>,
    heard_ms: BTreeMap<RegionName, u64>,
    refreshed_ms: u64,
}

impl Leading {
    fn members(&self) -> &BTreeSet<RegionName> {
        self.decided.as_ref().map_or(&self.first_members, |(_, value)| &value.members)
    }

    fn last_seq(&self) -> u64 {
        self.decided.as_ref().map_or(0, |(stamp, _)| stamp.seq)
    }

    /// When a majority was last known to answer.
    fn majority_heard_ms(&self) -> u64 {
        let members = self.members();
        let mut heard: Vec<u64> =
            members.iter().map(|member| self.heard_ms.get(member).copied().unwrap_or(self.since_ms)).collect();
        heard.sort_unstable_by(|a, b| b.cmp(a));
        heard.get(members.len() / 2).copied().unwrap_or(self.since_ms)
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
        Self { settings, last_ballot: None, asked_ms: BTreeMap::new(), phase: Phase::Idle }
    }

    /// The ballot under which this proposer leads; none while it only tries to.
    pub fn leading(&self) -> Option<&Ballot> {
        match &self.phase {
            Phase::Leading(leading) if leading.is_elected => Some(&leading.ballot),
            _ => None,
        }
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
    pub fn decided(&self) -> Option<&(Stamp, RegisterValue)> {
        match &self.phase {
            Phase::Leading(leading) => leading.decided.as_ref(),
            _ => None,
        }
    }

    /// Who decides about the next value, while this proposer leads.
    pub fn members(&self) -> Option<&BTreeSet<RegionName>> {
        match &self.phase {
            Phase::Leading(leading) => Some(leading.members()),
            _ => None,
        }
    }

    /// Whether it leads and has nothing under way.
    pub fn is_ready(&self) -> bool {
        matches!(&self.phase, Phase::Leading(leading) if leading.is_elected && leading.pending.is_none())
    }

    /// Tries for leadership under `ballot`. `members` are the acceptors as far as the caller knows.
    pub fn prepare(
        &mut self,
        ballot: Ballot,
        members: BTreeSet<RegionName>,
        now_ms: u64,
    ) -> Result<Vec<Effect>, ProposerError> {
        if let Some(last) = self.last_ballot.as_ref().filter(|last| **last >= ballot) {
            return Err(ProposerError::BallotNotHigher { asked: ballot.into(), last: last.clone().into() });
        }
        self.last_ballot = Some(ballot.clone());
        let promised = BTreeSet::new();
        self.phase =
            Phase::Preparing(Box::new(Preparing { ballot, members, promised, highest: None, since_ms: now_ms }));
        self.asked_ms.clear();
        Ok(self.ask(now_ms))
    }

    /// Commits `value`. While another value is under way the latest asked for waits, earlier ones are forgotten.
    pub fn commit(&mut self, value: RegisterValue, now_ms: u64) -> Result<Vec<Effect>, ProposerError> {
        let Phase::Leading(leading) = &mut self.phase else { return Err(ProposerError::NotLeading) };
        if !leading.is_elected {
            return Err(ProposerError::NotLeading);
        }
        if let Some(pending) = &leading.pending {
            check_members(&pending.value.members, &value.members)?;
            leading.queued = Some(value);
            return Ok(Vec::new());
        }
        check_members(leading.members(), &value.members)?;
        self.propose(value, now_ms)
    }

    fn propose(&mut self, value: RegisterValue, now_ms: u64) -> Result<Vec<Effect>, ProposerError> {
        let Phase::Leading(leading) = &mut self.phase else { return Err(ProposerError::NotLeading) };
        let seq = leading.last_seq().checked_add(1).ok_or(ProposerError::Exhausted)?;
        let stamp = Stamp { ballot: leading.ballot.clone(), seq };
        let members = leading.members().clone();
        leading.pending = Some(Pending { stamp, value, members, accepted: BTreeSet::new() });
        self.asked_ms.clear();
        Ok(self.ask(now_ms))
    }

    /// Takes an acceptor's answer. Old and repeated answers do no harm.
    pub fn answered(&mut self, from: &RegionName, reply: AcceptorReply, now_ms: u64) -> Vec<Effect> {
        if let Phase::Leading(leading) = &mut self.phase {
            leading.heard_ms.insert(from.clone(), now_ms);
        }
        match reply {
            AcceptorReply::Refused { promised } => self.outranked(promised),
            AcceptorReply::State(state) => state.promised.map_or_else(Vec::new, |promised| self.outranked(promised)),
            AcceptorReply::Promised { ballot, accepted } => self.promised(from, &ballot, accepted, now_ms),
            AcceptorReply::Accepted(stamp) => self.accepted(from, &stamp, now_ms),
        }
    }

    fn promised(
        &mut self,
        from: &RegionName,
        promise: &Ballot,
        accepted: Option<(Stamp, RegisterValue)>,
        now_ms: u64,
    ) -> Vec<Effect> {
        let Phase::Preparing(preparing) = &mut self.phase else { return Vec::new() };
        let Preparing { ballot, members, promised, highest, since_ms } = &mut **preparing;
        if promise != ballot {
            return Vec::new();
        }
        promised.insert(from.clone());
        let is_later = accepted.as_ref().map(|(stamp, _)| stamp) > highest.as_ref().map(|(stamp, _)| stamp);
        if is_later {
            *highest = accepted;
        }
        let deciders = highest.as_ref().map_or(&*members, |(_, value)| &value.members);
        if !has_majority(deciders, promised) {
            // The value found may name acceptors that were not asked yet.
            return self.ask(now_ms);
        }
        let found = highest.take();
        let mut leading = Leading {
            ballot: ballot.clone(),
            is_elected: found.is_none(),
            since_ms: *since_ms,
            first_members: members.clone(),
            decided: None,
            pending: None,
            queued: None,
            heard_ms: promised.iter().map(|member| (member.clone(), now_ms)).collect(),
            refreshed_ms: now_ms,
        };
        let ballot = leading.ballot.clone();
        let Some((stamp, value)) = found else {
            self.phase = Phase::Leading(leading.into());
            return vec![Effect::Elected(ballot)];
        };
        let Some(seq) = stamp.seq.checked_add(1) else {
            self.phase = Phase::Idle;
            return vec![Effect::SteppedDown(ballot.clone(), StepDown::Outranked(stamp.ballot))];
        };
        let members = value.members.clone();
        leading.first_members = members.clone();
        leading.pending = Some(Pending { stamp: Stamp { ballot, seq }, value, members, accepted: BTreeSet::new() });
        self.phase = Phase::Leading(leading.into());
        self.asked_ms.clear();
        self.ask(now_ms)
    }

    fn accepted(&mut self, from: &RegionName, stamp: &Stamp, now_ms: u64) -> Vec<Effect> {
        let Phase::Leading(leading) = &mut self.phase else { return Vec::new() };
        let Some(pending) = leading.pending.as_mut().filter(|pending| pending.stamp == *stamp) else {
            return Vec::new();
        };
        pending.accepted.insert(from.clone());
        if !has_majority(&pending.members, &pending.accepted) {
            return Vec::new();
        }
        let Some(pending) = leading.pending.take() else { return Vec::new() };
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

    /// Tells of a ballot seen anywhere: in a refusal, on the board, in a committed plan. A higher one ends this one's.
    pub fn outranked(&mut self, by: Ballot) -> Vec<Effect> {
        match self.ballot() {
            Some(ours) if by > *ours => self.step_down(StepDown::Outranked(by)),
            _ => Vec::new(),
        }
    }

    fn step_down(&mut self, reason: StepDown) -> Vec<Effect> {
        let ballot = self.ballot().cloned();
        self.phase = Phase::Idle;
        ballot.into_iter().map(|ballot| Effect::SteppedDown(ballot, reason.clone())).collect()
    }

    /// Repeats what was not answered, refreshes, gives up. To be called every 100 ms or so.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        if let Some(reason) = self.lost_patience(now_ms) {
            return self.step_down(reason);
        }
        if let Phase::Leading(leading) = &mut self.phase
            && leading.pending.is_none()
            && now_ms.saturating_sub(leading.refreshed_ms) >= self.settings.refresh_ms
        {
            leading.refreshed_ms = now_ms;
            let read = |member: &RegionName| Effect::Send { to: member.clone(), request: AcceptorRequest::Read };
            return leading.members().iter().map(read).collect();
        }
        self.ask(now_ms)
    }

    fn lost_patience(&self, now_ms: u64) -> Option<StepDown> {
        let (members, since_ms, limit_ms) = match &self.phase {
            Phase::Idle => return None,
            Phase::Preparing(preparing) => (&preparing.members, preparing.since_ms, self.settings.prepare_ms),
            Phase::Leading(leading) if !leading.is_elected => {
                (leading.members(), leading.since_ms, self.settings.prepare_ms)
            }
            Phase::Leading(leading) => (leading.members(), leading.majority_heard_ms(), self.settings.silence_ms),
        };
        let silent_ms = now_ms.saturating_sub(since_ms);
        (silent_ms >= limit_ms).then_some(StepDown::NoMajority { members: members.len(), silent_ms })
    }

    /// Asks whoever has not answered the present question and was not asked within `retry_ms`.
    fn ask(&mut self, now_ms: u64) -> Vec<Effect> {
        let (request, open): (AcceptorRequest, Vec<RegionName>) = match &self.phase {
            Phase::Preparing(preparing) => {
                let Preparing { ballot, members, promised, highest, .. } = &**preparing;
                let named = highest.iter().flat_map(|(_, value)| &value.members);
                let open: BTreeSet<_> =
                    members.iter().chain(named).filter(|member| !promised.contains(*member)).collect();
                (AcceptorRequest::Prepare(ballot.clone()), open.into_iter().cloned().collect())
            }
            Phase::Leading(leading) => {
                let Some(pending) = &leading.pending else { return Vec::new() };
                let open = pending.members.difference(&pending.accepted).cloned().collect();
                (AcceptorRequest::Accept(pending.stamp.clone(), pending.value.clone()), open)
            }
            Phase::Idle => return Vec::new(),
        };
        let retry_ms = self.settings.retry_ms;
        let is_due = |asked: Option<&u64>| asked.is_none_or(|asked| now_ms.saturating_sub(*asked) >= retry_ms);
        let due: Vec<RegionName> = open.into_iter().filter(|member| is_due(self.asked_ms.get(member))).collect();
        self.asked_ms.extend(due.iter().map(|member| (member.clone(), now_ms)));
        due.into_iter().map(|to| Effect::Send { to, request: request.clone() }).collect()
    }
}

fn check_members(before: &BTreeSet<RegionName>, after: &BTreeSet<RegionName>) -> Result<(), ProposerError> {
    let changed = before.symmetric_difference(after).count();
    if changed > 1 || after.is_empty() { Err(ProposerError::MembersJump { changed }) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::{plan::Plan, register::AcceptorState};

    fn names(text: &str) -> BTreeSet<RegionName> {
        text.split(' ').map(|name| name.parse().unwrap()).collect()
    }

    fn ballot(number: u64) -> Ballot {
        Ballot { number, agent: "a/x".parse().unwrap(), boot: 1 }
    }

    fn value(members: &str, reason: &str) -> RegisterValue {
        RegisterValue { members: names(members), plan: Plan { reason: reason.into(), ..Plan::default() } }
    }

    /// Acceptors that answer at once, the absent ones excepted; gives all that is not sent.
    fn settle(
        proposer: &mut Proposer,
        acceptors: &mut BTreeMap<RegionName, AcceptorState>,
        mut effects: Vec<Effect>,
        now_ms: u64,
    ) -> Vec<Effect> {
        let mut told = Vec::new();
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                let Effect::Send { to, request } = effect else {
                    told.push(effect);
                    continue;
                };
                let Some(state) = acceptors.get_mut(&to) else { continue };
                let (reply, changed) = state.apply(&request);
                *state = changed.unwrap_or(state.clone());
                next.extend(proposer.answered(&to, reply, now_ms));
            }
            effects = next;
        }
        told
    }

    fn acceptors(text: &str) -> BTreeMap<RegionName, AcceptorState> {
        names(text).into_iter().map(|name| (name, AcceptorState::default())).collect()
    }

    fn lead(
        acceptors: &mut BTreeMap<RegionName, AcceptorState>,
        number: u64,
        members: &str,
    ) -> (Proposer, Vec<Effect>) {
        let mut proposer = Proposer::new(ProposerSettings::default());
        let effects = proposer.prepare(ballot(number), names(members), 0).unwrap();
        let told = settle(&mut proposer, acceptors, effects, 0);
        (proposer, told)
    }

    #[test]
    fn a_new_leader_commits_again_what_one_acceptor_has_before_anything_else() {
        let mut all = acceptors("a b c");
        let old = Stamp { ballot: ballot(1), seq: 4 };
        all.insert(
            "b".parse().unwrap(),
            AcceptorState { promised: Some(ballot(1)), accepted: Some((old, value("a b c", "kept"))) },
        );
        let (proposer, told) = lead(&mut all, 2, "a b");
        let stamp = Stamp { ballot: ballot(2), seq: 5 };
        assert_eq!(told, [Effect::Elected(ballot(2)), Effect::Committed(stamp, value("a b c", "kept"))]);
        assert!(proposer.is_ready());
    }

    #[test]
    fn an_uncertain_accept_is_repeated_unchanged_and_the_latest_request_waits() {
        let mut all = acceptors("a b c");
        let (mut proposer, _) = lead(&mut all, 1, "a b c");
        let first = proposer.commit(value("a b c", "1"), 10).unwrap();
        assert_eq!(first.len(), 3);
        assert_eq!(proposer.commit(value("a b c", "2"), 11).unwrap(), []);
        assert_eq!(proposer.commit(value("a b c", "3"), 12).unwrap(), []);
        assert_eq!(proposer.tick(100), []);
        let repeated = proposer.tick(600);
        assert_eq!(repeated, first);
        let told = settle(&mut proposer, &mut all, repeated, 600);
        let committed: Vec<_> = told
            .iter()
            .map(|effect| match effect {
                Effect::Committed(stamp, value) => (stamp.seq, value.plan.reason.as_str()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(committed, [(1, "1"), (2, "3")]);
    }

    #[test]
    fn a_leader_without_a_majority_steps_down_and_one_with_a_majority_stays() {
        let mut all = acceptors("a b c");
        let (mut proposer, _) = lead(&mut all, 1, "a b c");
        all.remove(&"c".parse().unwrap());
        for now_ms in (0..20_000).step_by(100) {
            let effects = proposer.tick(now_ms);
            assert_eq!(settle(&mut proposer, &mut all, effects, now_ms), []);
        }
        all.remove(&"b".parse().unwrap());
        let lost = (20_000..30_000).step_by(100).find_map(|now_ms| {
            let effects = proposer.tick(now_ms);
            settle(&mut proposer, &mut all, effects, now_ms).pop().map(|effect| (now_ms, effect))
        });
        let (at_ms, effect) = lost.unwrap();
        assert!((23_000..26_000).contains(&at_ms), "{at_ms}");
        assert!(matches!(effect, Effect::SteppedDown(_, StepDown::NoMajority { members: 3, .. })));
    }

    #[test]
    fn a_refusal_names_the_ballot_that_outranks_and_an_older_one_is_ignored() {
        let mut all = acceptors("a b c");
        let (mut proposer, _) = lead(&mut all, 2, "a b c");
        let from: RegionName = "b".parse().unwrap();
        assert_eq!(proposer.answered(&from, AcceptorReply::Refused { promised: ballot(2) }, 1), []);
        let told = proposer.answered(&from, AcceptorReply::Refused { promised: ballot(3) }, 1);
        assert_eq!(told, [Effect::SteppedDown(ballot(2), StepDown::Outranked(ballot(3)))]);
        let again = proposer.prepare(ballot(2), names("a b c"), 2);
        assert!(matches!(again, Err(ProposerError::BallotNotHigher { .. })));
    }

    #[test]
    fn members_change_one_at_a_time_and_an_old_list_leads_on_to_the_new() {
        let mut all = acceptors("a b c d");
        let (mut proposer, _) = lead(&mut all, 1, "a b c");
        let jump = proposer.commit(value("a d", "jump"), 1);
        assert_eq!(jump, Err(ProposerError::MembersJump { changed: 3 }));
        for (members, reason) in [("a b c d", "add"), ("b c d", "remove")] {
            let effects = proposer.commit(value(members, reason), 1).unwrap();
            settle(&mut proposer, &mut all, effects, 1);
        }
        // Who still thinks of the old list asks a and b, and is led to c and d.
        all.remove(&"c".parse().unwrap());
        let (successor, told) = lead(&mut all, 2, "a b c");
        assert!(
            matches!(&told[..], [Effect::Elected(_), Effect::Committed(_, value)] if value.plan.reason == "remove")
        );
        assert_eq!(successor.members(), Some(&names("b c d")));
    }
}

//! When to become a candidate for leader, and whether to grant a vote.
//!
//! Elections can't break safety (the register guarantees that), but a needless one fences a working
//! leader. So a candidate asks first (PreVote, Ongaro 2014 §9.6), agents that see a working leader
//! refuse, and first attempts are spread over 50–300 ms. [`crate::leader::ballots`] decides which
//! ballots are believed. Sans-IO: callers pass in time and random numbers.

mod types;

pub use types::{ElectionEffect, ElectionSettings, ElectionView, KnownLeader};

use crate::{backoff::Backoff, leader::ballots::KnownBallots, now::millis};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    register::{
        acceptor::{AcceptorReply, AcceptorState},
        ballot::Ballot,
        prevote::{PreVoteReply, PreVoteRequest},
    },
};
use std::{collections::BTreeSet, time::Duration};

/// Whether `votes` holds more than half of `members`. By name: a vote only says that an attempt is
/// worthwhile.
fn has_majority(members: &BTreeSet<RegionName>, votes: &BTreeSet<RegionName>) -> bool {
    members.intersection(votes).count() > members.len() / 2
}

/// The vote of the witness. A store observes nothing: it only shows that it is reachable, and which
/// ballot it promised.
pub fn witness_vote(state: &AcceptorState, ballot: &Ballot) -> PreVoteReply {
    let highest = state.highest().cloned();
    PreVoteReply {
        is_granted: highest.as_ref() < Some(ballot),
        highest,
        reason: "the witness promised a higher ballot".into(),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Follower,
    Waiting {
        until_ms: u64,
    },
    Asking {
        ballot: Ballot,
        granted: BTreeSet<RegionName>,
        refused: BTreeSet<RegionName>,
        since_ms: u64,
    },
    Proposing,
    Leading,
}

/// One agent's part in elections.
#[derive(Debug, Clone)]
pub struct Election {
    settings: ElectionSettings,
    me: AgentId,
    boot: u64,
    known: KnownBallots,
    /// The last ballot that this agent proposed under.
    proposed: Option<Ballot>,
    heard: Option<(Ballot, u64)>,
    lent: Option<(AgentId, u64)>,
    phase: Phase,
    attempts: u32,
    hold_until_ms: u64,
    /// How much longer this agent waits than the first of its region.
    turn_ms: u64,
}

impl Election {
    /// A follower. `boot` must differ between any two runs of the agent's election.
    pub fn new(settings: ElectionSettings, me: AgentId, boot: u64) -> Self {
        Self {
            settings,
            me,
            boot,
            known: KnownBallots::default(),
            proposed: None,
            heard: None,
            lent: None,
            phase: Phase::Follower,
            attempts: 0,
            hold_until_ms: 0,
            turn_ms: 0,
        }
    }

    /// The highest ballot that is believed.
    pub fn highest(&self) -> Option<&Ballot> {
        self.known.highest()
    }

    /// Whether this agent waits to be a candidate, or is one.
    pub(super) fn is_campaigning(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. } | Phase::Asking { .. })
    }

    /// What this agent knows of ballots.
    pub fn known(&self) -> &KnownBallots {
        &self.known
    }

    /// Takes in a ballot that was heard of; returns whether it is believed.
    pub fn observe(&mut self, ballot: &Ballot) -> bool {
        self.known.hear(ballot)
    }

    /// Takes in the answer of `region`'s acceptor; returns whether it is believed. If not, it is
    /// one vote less and must not reach the proposer.
    pub fn acceptor_replied(&mut self, region: &RegionName, reply: &AcceptorReply) -> bool {
        self.known.acceptor(region, reply);
        self.known.believes(reply, self.proposed.as_ref())
    }

    /// A proposer got an answer from our acceptor: it is working, although gossip may not know yet.
    pub fn heard(&mut self, ballot: &Ballot, now_ms: u64) {
        let reply = AcceptorReply::Refused {
            promised: ballot.clone(),
        };
        self.known.acceptor(&self.me.region, &reply);
        if self.heard.as_ref().is_none_or(|(heard, _)| heard <= ballot) {
            self.heard = Some((ballot.clone(), now_ms));
        }
    }

    /// A proposer asks for acceptance of what this agent objects to: it is working, if an acceptor
    /// could have promised its ballot.
    pub(crate) fn asked(&mut self, ballot: &Ballot, now_ms: u64) {
        let is_possible = ballot.number <= self.known.allowance().number;
        let is_latest = self.heard.as_ref().is_none_or(|(heard, _)| heard <= ballot);
        if is_possible && is_latest {
            self.heard = Some((ballot.clone(), now_ms));
        }
    }

    fn heard_other(&self, candidate: &AgentId, now_ms: u64) -> Option<&Ballot> {
        self.heard
            .as_ref()
            .filter(|(ballot, at_ms)| {
                ballot.agent != *candidate && now_ms.saturating_sub(*at_ms) < self.settings.heard_ms
            })
            .map(|(ballot, _)| ballot)
    }

    fn lent_to_other(&self, candidate: &AgentId, now_ms: u64) -> Option<&AgentId> {
        let is_fresh = |at_ms: u64| now_ms.saturating_sub(at_ms) < self.settings.lend_ms;
        self.lent
            .as_ref()
            .filter(|(other, at_ms)| other != candidate && is_fresh(*at_ms))
            .map(|(other, _)| other)
    }

    /// At most one above the highest seen, and higher than any that this agent proposed under; none
    /// if the numbers are used up.
    ///
    /// No agent sees a ballot that no acceptor could answer, so a further attempt has the same
    /// number. Its boot number is incremented instead: that keeps the ballots of one agent
    /// distinct, and the number within what others accept.
    fn next_ballot(&self) -> Option<Ballot> {
        let number = self
            .highest()
            .map_or(0, |highest| highest.number)
            .checked_add(1)?;
        let ballot = Ballot {
            number,
            agent: self.me.clone(),
            boot: self.boot,
        };

        match &self.proposed {
            Some(last) if *last >= ballot => Some(Ballot {
                boot: last.boot.checked_add(1)?,
                ..ballot
            }),
            _ => Some(ballot),
        }
    }

    fn propose(&mut self, ballot: Ballot) -> ElectionEffect {
        self.phase = Phase::Proposing;
        self.proposed = Some(ballot.clone());
        ElectionEffect::Propose(ballot)
    }

    /// Acts on the time that has passed. `random` is a fresh random number.
    pub fn tick(
        &mut self,
        view: &ElectionView,
        now_ms: u64,
        random: u64,
    ) -> Option<ElectionEffect> {
        self.known.set_members(&view.members);
        if matches!(self.phase, Phase::Proposing | Phase::Leading) {
            return None;
        }

        // An agent whose region is not a member (removed, or not added yet) does not lead. Nor does
        // one whose clock is far off, since a plan's times come from its leader's clock.
        let may_lead = view.members.contains(&self.me.region) && !view.is_clock_off;
        let candidacy = view.candidacy.filter(|_| may_lead);
        self.turn_ms = candidacy
            .unwrap_or_default()
            .saturating_mul(self.settings.turn_ms);
        if candidacy.is_none()
            || view.is_led_well(&self.me.region)
            || self.heard_other(&self.me, now_ms).is_some()
        {
            self.phase = Phase::Follower;
            self.attempts = 0;
            return None;
        }

        match &self.phase {
            Phase::Follower => self.wait(now_ms, random),
            Phase::Waiting { until_ms }
                if now_ms >= *until_ms && self.lent_to_other(&self.me, now_ms).is_none() =>
            {
                return self.request_votes(view, now_ms);
            }
            Phase::Asking {
                refused,
                granted,
                since_ms,
                ..
            } if now_ms >= since_ms + self.timeout_ms(view, refused) => {
                let silent = view
                    .members
                    .iter()
                    .filter(|region| !granted.contains(*region) && !refused.contains(*region));

                silent.for_each(|region| self.known.lost(region));
                self.try_again(now_ms, random);
            }
            _ => {}
        }

        None
    }

    fn wait(&mut self, now_ms: u64, random: u64) {
        let first = Duration::from_millis(self.settings.delay_max_ms);
        let longest = Duration::from_millis(self.settings.delay_cap_ms);
        let pause = Backoff::new(first, longest).after(self.attempts);
        let spread = millis(pause)
            .saturating_sub(self.settings.delay_min_ms)
            .saturating_add(1);
        let delay_ms = self.settings.delay_min_ms + self.turn_ms + random % spread;

        self.phase = Phase::Waiting {
            until_ms: now_ms.max(self.hold_until_ms) + delay_ms,
        };
    }

    fn try_again(&mut self, now_ms: u64, random: u64) {
        self.attempts = self.attempts.saturating_add(1);
        self.wait(now_ms, random);
    }

    /// How long to wait for votes if `refused` regions gave none.
    fn timeout_ms(&self, view: &ElectionView, refused: &BTreeSet<RegionName>) -> u64 {
        let sound: BTreeSet<_> = view.members.difference(&view.failed).cloned().collect();
        let open = sound.difference(refused).cloned().collect();
        let is_for_the_failed =
            has_majority(&view.members, &sound) && !has_majority(&view.members, &open);

        if is_for_the_failed {
            self.settings.failed_votes_ms
        } else {
            self.settings.votes_ms
        }
    }

    fn request_votes(&mut self, view: &ElectionView, now_ms: u64) -> Option<ElectionEffect> {
        let ballot = self.next_ballot()?;
        // One vote each: a candidate votes for itself.
        self.lent = Some((self.me.clone(), now_ms));

        let granted: BTreeSet<_> = view
            .members
            .get(&self.me.region)
            .cloned()
            .into_iter()
            .collect();

        if has_majority(&view.members, &granted) {
            return Some(self.propose(ballot));
        }

        let others = view.members.difference(&granted).cloned().collect();
        self.phase = Phase::Asking {
            ballot: ballot.clone(),
            granted,
            refused: BTreeSet::new(),
            since_ms: now_ms,
        };

        Some(ElectionEffect::RequestVotes(ballot, others))
    }

    /// Takes in a vote on `asked`; `None`: the region could not be asked.
    pub fn voted(
        &mut self,
        from: &RegionName,
        asked: &Ballot,
        reply: Option<&PreVoteReply>,
        view: &ElectionView,
        now_ms: u64,
        random: u64,
    ) -> Option<ElectionEffect> {
        self.known.set_members(&view.members);
        match reply {
            Some(reply) => drop(
                reply
                    .highest
                    .as_ref()
                    .map(|highest| self.known.hear(highest)),
            ),
            None => self.known.lost(from),
        }

        let is_outdated = self.known.highest() >= Some(asked);
        let Phase::Asking {
            ballot,
            granted,
            refused,
            ..
        } = &mut self.phase
        else {
            return None;
        };

        if ballot != asked {
            return None;
        }

        let votes = if reply.is_some_and(|reply| reply.is_granted) {
            &mut *granted
        } else {
            &mut *refused
        };

        votes.insert(from.clone());
        if has_majority(&view.members, granted) && !is_outdated {
            return Some(self.propose(asked.clone()));
        }

        let still_open: BTreeSet<_> = view.members.difference(refused).cloned().collect();
        if is_outdated || !has_majority(&view.members, &still_open) {
            self.try_again(now_ms, random);
        }

        None
    }

    /// The proposer leads under `ballot`.
    pub fn elected(&mut self, ballot: &Ballot) {
        self.known.hear(ballot);
        self.phase = Phase::Leading;
        self.attempts = 0;
    }

    /// The proposer gave up its ballot: it led and was outranked, or it never got a majority.
    pub fn stepped_down(&mut self, outranked_by: Option<&Ballot>, now_ms: u64, random: u64) {
        if let Some(ballot) = outranked_by {
            self.known.hear(ballot);
            if self.phase == Phase::Leading {
                self.hold_until_ms = now_ms + self.settings.hold_off_ms;
            }
        }

        self.try_again(now_ms, random);
    }

    /// Answers a candidate. Of two that ask each other at the same time the one with the lower
    /// ballot gives way: otherwise, with regions far apart, both would refuse and try again in
    /// step.
    pub fn vote(
        &mut self,
        request: &PreVoteRequest,
        view: &ElectionView,
        now_ms: u64,
    ) -> PreVoteReply {
        self.known.set_members(&view.members);
        let gives_way =
            matches!(&self.phase, Phase::Asking { ballot, .. } if *ballot < request.ballot);
        let refused = self.objection(request, view, gives_way, now_ms);

        if refused.is_none() {
            self.lent = Some((request.ballot.agent.clone(), now_ms));
            if gives_way {
                // Later votes for our own ballot no longer count.
                self.phase = Phase::Waiting {
                    until_ms: now_ms.saturating_add(self.settings.lend_ms),
                };
            }
        }

        PreVoteReply {
            is_granted: refused.is_none(),
            highest: self.highest().cloned(),
            reason: refused.unwrap_or_default(),
        }
    }

    fn objection(
        &self,
        request: &PreVoteRequest,
        view: &ElectionView,
        gives_way: bool,
        now_ms: u64,
    ) -> Option<String> {
        let candidate = &request.ballot.agent;
        let limit = self.known.allowance().number;
        if request.ballot.number > limit {
            return Some(format!(
                "{} knows of no majority for ballots beyond {limit}",
                self.me
            ));
        }

        if !view.members.contains(&candidate.region) {
            return Some(format!(
                "{} is not a member of the register",
                candidate.region
            ));
        }

        if self.phase == Phase::Leading
            && (!view.failed.contains(&self.me.region) || view.failed.contains(&candidate.region))
        {
            return Some(format!("{} leads", self.me));
        }

        if let Some(leader) = &view.leader
            && leader.ballot.agent != *candidate
            && view.is_led_well(&candidate.region)
        {
            return Some(format!("{} sees {} lead", self.me, leader.ballot));
        }

        if let Some(ballot) = self.heard_other(candidate, now_ms) {
            return Some(format!("{} just heard from {ballot}", self.me));
        }
        if let Some(other) = self.lent_to_other(candidate, now_ms).filter(|_| !gives_way) {
            return Some(format!("{} just voted for {other}", self.me));
        }

        let highest = self
            .highest()
            .filter(|highest| **highest >= request.ballot)?;
        Some(format!("{} knows of ballot {highest}", self.me))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

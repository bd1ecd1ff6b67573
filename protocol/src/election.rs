//! When to elect a leader, and whether to lend one's vote.
//!
//! An election costs nothing in safety (the register sees to that), only in calm: a needless one fences a leader that
//! did its work. So a candidate asks first (PreVote, Ongaro 2014 §9.6), whoever sees a leader at work refuses, and first
//! attempts are spread over 50–300 ms. Sans-IO: time and random numbers are handed in.

use crate::{
    identity::{AgentId, RegionName},
    register::{Ballot, has_majority},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A candidate's question before it takes a ballot: would you follow me? (PreVote, Ongaro 2014 §9.6)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVoteRequest {
    /// The ballot that the candidate would take.
    pub ballot: Ballot,
}

/// The answer to a [`PreVoteRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVoteReply {
    /// Whether this agent, too, sees no leader.
    pub is_granted: bool,
    /// The highest ballot that this agent knows of.
    pub highest: Option<Ballot>,
    /// Why not, for the candidate's log.
    pub reason: String,
}

/// An election's patience, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElectionSettings {
    /// Shortest delay before an attempt.
    pub delay_min_ms: u64,
    /// Longest delay before the first attempt; doubled with each further one.
    pub delay_max_ms: u64,
    /// No delay is longer than this.
    pub delay_cap_ms: u64,
    /// How long a candidate waits for votes.
    pub votes_ms: u64,
    /// How long a proposer that spoke through our acceptor counts as a leader at work, until gossip tells.
    pub heard_ms: u64,
    /// How long an outranked leader does not stand: where two sides see only a third (a witness), it damps the swing.
    pub hold_off_ms: u64,
}

impl Default for ElectionSettings {
    fn default() -> Self {
        Self {
            delay_min_ms: 50,
            delay_max_ms: 300,
            delay_cap_ms: 2_000,
            votes_ms: 1_000,
            heard_ms: 1_000,
            hold_off_ms: 5_000,
        }
    }
}

/// The leader that gossip tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownLeader {
    /// The highest ballot under which an agent says that it leads.
    pub ballot: Ballot,
    /// Whether SWIM holds that agent for alive.
    pub is_alive: bool,
}

/// What this agent sees when it decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// The leader, this agent itself excepted.
    pub leader: Option<KnownLeader>,
    /// Regions whose verdict is failed.
    pub failed: BTreeSet<RegionName>,
    /// The register's members as far as known.
    pub members: BTreeSet<RegionName>,
}

impl Sight {
    /// Whether a candidate of `region` has nothing to better: the leader's agent lives, and its region serves, or the
    /// candidate's own does not either (else a mesh whose regions all failed would elect without end).
    fn is_led_well(&self, candidate: &RegionName) -> bool {
        self.leader.as_ref().is_some_and(|leader| {
            leader.is_alive && (!self.failed.contains(&leader.ballot.agent.region) || self.failed.contains(candidate))
        })
    }
}

/// What the caller is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElectionEffect {
    /// Ask one agent of each of these regions (and the witness, if it is among them) for its vote.
    AskVotes(Ballot, BTreeSet<RegionName>),
    /// Take this ballot: start the proposer.
    Stand(Ballot),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Following,
    Waiting { until_ms: u64 },
    Asking { ballot: Ballot, granted: BTreeSet<RegionName>, refused: BTreeSet<RegionName>, until_ms: u64 },
    Standing,
    Leading,
}

/// One agent's part in elections.
#[derive(Debug, Clone)]
pub struct Election {
    settings: ElectionSettings,
    me: AgentId,
    boot: u64,
    highest: Option<Ballot>,
    heard: Option<(Ballot, u64)>,
    phase: Phase,
    attempts: u32,
    hold_until_ms: u64,
}

impl Election {
    /// An agent that follows. `boot` must differ between any two lives of the agent's election.
    pub fn new(settings: ElectionSettings, me: AgentId, boot: u64) -> Self {
        let phase = Phase::Following;
        Self { settings, me, boot, highest: None, heard: None, phase, attempts: 0, hold_until_ms: 0 }
    }

    /// The highest ballot seen anywhere.
    pub fn highest(&self) -> Option<&Ballot> {
        self.highest.as_ref()
    }

    /// Tells of a ballot seen anywhere.
    pub fn observe(&mut self, ballot: &Ballot) {
        if self.highest.as_ref().is_none_or(|highest| highest < ballot) {
            self.highest = Some(ballot.clone());
        }
    }

    /// A proposer got something from our acceptor: it is at work, though gossip may not know it yet.
    pub fn heard(&mut self, ballot: &Ballot, now_ms: u64) {
        self.observe(ballot);
        if self.heard.as_ref().is_none_or(|(heard, _)| heard <= ballot) {
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

    /// At most one above the highest seen; none when the numbers are used up.
    fn next_ballot(&self) -> Option<Ballot> {
        let number = self.highest.as_ref().map_or(0, |highest| highest.number).checked_add(1)?;
        Some(Ballot { number, agent: self.me.clone(), boot: self.boot })
    }

    /// Moves on with time. `random` is a fresh random number.
    pub fn tick(&mut self, sight: &Sight, now_ms: u64, random: u64) -> Option<ElectionEffect> {
        if matches!(self.phase, Phase::Standing | Phase::Leading) {
            return None;
        }
        if sight.is_led_well(&self.me.region) || self.heard_other(&self.me, now_ms).is_some() {
            self.phase = Phase::Following;
            self.attempts = 0;
            return None;
        }
        match &self.phase {
            Phase::Following => self.wait(now_ms, random),
            Phase::Waiting { until_ms } if now_ms >= *until_ms => return self.ask(sight, now_ms),
            Phase::Asking { until_ms, .. } if now_ms >= *until_ms => self.try_again(now_ms, random),
            _ => {}
        }
        None
    }

    fn wait(&mut self, now_ms: u64, random: u64) {
        let longest = self.settings.delay_max_ms.saturating_mul(1 << self.attempts.min(16));
        let longest = longest.min(self.settings.delay_cap_ms);
        let spread = longest.saturating_sub(self.settings.delay_min_ms).saturating_add(1);
        let delay_ms = self.settings.delay_min_ms + random % spread;
        self.phase = Phase::Waiting { until_ms: now_ms.max(self.hold_until_ms) + delay_ms };
    }

    fn try_again(&mut self, now_ms: u64, random: u64) {
        self.attempts = self.attempts.saturating_add(1);
        self.wait(now_ms, random);
    }

    fn ask(&mut self, sight: &Sight, now_ms: u64) -> Option<ElectionEffect> {
        let ballot = self.next_ballot()?;
        let granted: BTreeSet<_> = sight.members.get(&self.me.region).cloned().into_iter().collect();
        if has_majority(&sight.members, &granted) {
            self.phase = Phase::Standing;
            return Some(ElectionEffect::Stand(ballot));
        }
        let others = sight.members.difference(&granted).cloned().collect();
        let until_ms = now_ms + self.settings.votes_ms;
        self.phase = Phase::Asking { ballot: ballot.clone(), granted, refused: BTreeSet::new(), until_ms };
        Some(ElectionEffect::AskVotes(ballot, others))
    }

    /// Takes a vote on `ballot`; `None`: the region could not be asked.
    pub fn voted(
        &mut self,
        from: &RegionName,
        asked: &Ballot,
        reply: Option<&PreVoteReply>,
        sight: &Sight,
        now_ms: u64,
        random: u64,
    ) -> Option<ElectionEffect> {
        if let Some(highest) = reply.and_then(|reply| reply.highest.as_ref()) {
            self.observe(highest);
        }
        let is_outdated = self.highest.as_ref() >= Some(asked);
        let Phase::Asking { ballot, granted, refused, .. } = &mut self.phase else { return None };
        if ballot != asked {
            return None;
        }
        let votes = if reply.is_some_and(|reply| reply.is_granted) { &mut *granted } else { &mut *refused };
        votes.insert(from.clone());
        if has_majority(&sight.members, granted) && !is_outdated {
            self.phase = Phase::Standing;
            return Some(ElectionEffect::Stand(asked.clone()));
        }
        let still_open: BTreeSet<_> = sight.members.difference(refused).cloned().collect();
        if is_outdated || !has_majority(&sight.members, &still_open) {
            self.try_again(now_ms, random);
        }
        None
    }

    /// The proposer leads under `ballot`.
    pub fn elected(&mut self, ballot: &Ballot) {
        self.observe(ballot);
        self.phase = Phase::Leading;
        self.attempts = 0;
    }

    /// The proposer gave its ballot up: it led and was outranked, or it never got a majority.
    pub fn stepped_down(&mut self, outranked_by: Option<&Ballot>, now_ms: u64, random: u64) {
        if let Some(ballot) = outranked_by {
            self.observe(ballot);
            if self.phase == Phase::Leading {
                self.hold_until_ms = now_ms + self.settings.hold_off_ms;
            }
        }
        self.try_again(now_ms, random);
    }

    /// Answers a candidate.
    pub fn vote(&self, request: &PreVoteRequest, sight: &Sight, now_ms: u64) -> PreVoteReply {
        let refused = self.objection(request, sight, now_ms);
        PreVoteReply {
            is_granted: refused.is_none(),
            highest: self.highest.clone(),
            reason: refused.unwrap_or_default(),
        }
    }

    fn objection(&self, request: &PreVoteRequest, sight: &Sight, now_ms: u64) -> Option<String> {
        let candidate = &request.ballot.agent;
        if self.phase == Phase::Leading
            && (!sight.failed.contains(&self.me.region) || sight.failed.contains(&candidate.region))
        {
            return Some(format!("{} leads", self.me));
        }
        if let Some(leader) = &sight.leader
            && leader.ballot.agent != *candidate
            && sight.is_led_well(&candidate.region)
        {
            return Some(format!("{} sees {} lead", self.me, leader.ballot));
        }
        if let Some(ballot) = self.heard_other(candidate, now_ms) {
            return Some(format!("{} just heard from {ballot}", self.me));
        }
        let highest = self.highest.as_ref().filter(|highest| **highest >= request.ballot)?;
        Some(format!("{} knows of ballot {highest}", self.me))
    }
}

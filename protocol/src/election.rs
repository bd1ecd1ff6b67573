//! When to elect a leader, and whether to lend one's vote.
//!
//! An election costs nothing in safety (the register sees to that), only in calm: a needless one fences a leader that
//! did its work. So a candidate asks first (PreVote, Ongaro 2014 §9.6), whoever sees a leader at work refuses, and first
//! attempts are spread over 50–300 ms. Which ballots are believed at all: [`crate::ballots`]. Sans-IO: time and random
//! numbers are handed in.

use crate::{
    ballots::KnownBallots,
    identity::{AgentId, RegionName},
    register::{AcceptorReply, Ballot},
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

/// Whether `votes` holds more than half of `members`. By name: a vote only says that an attempt is worth it.
fn has_majority(members: &BTreeSet<RegionName>, votes: &BTreeSet<RegionName>) -> bool {
    members.intersection(votes).count() > members.len() / 2
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
    /// How long it waits where the others could elect it, refused to, and only failed regions are left to answer: their
    /// agents may live, and seldom do.
    pub failed_votes_ms: u64,
    /// How long a proposer that spoke through our acceptor counts as a leader at work, until gossip tells.
    pub heard_ms: u64,
    /// How long a vote that we gave is not given to another: candidates of the same instant would fence each other.
    pub lend_ms: u64,
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
            failed_votes_ms: 300,
            heard_ms: 1_000,
            lend_ms: 400,
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
    /// Whether this agent's clock is too far off the others' to lead, and one of them may lead instead.
    pub is_clock_off: bool,
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
    Asking { ballot: Ballot, granted: BTreeSet<RegionName>, refused: BTreeSet<RegionName>, since_ms: u64 },
    Standing,
    Leading,
}

/// One agent's part in elections.
#[derive(Debug, Clone)]
pub struct Election {
    settings: ElectionSettings,
    me: AgentId,
    boot: u64,
    known: KnownBallots,
    /// The last ballot that this agent stood with.
    stood: Option<Ballot>,
    heard: Option<(Ballot, u64)>,
    lent: Option<(AgentId, u64)>,
    phase: Phase,
    attempts: u32,
    hold_until_ms: u64,
}

impl Election {
    /// An agent that follows. `boot` must differ between any two lives of the agent's election.
    pub fn new(settings: ElectionSettings, me: AgentId, boot: u64) -> Self {
        Self {
            settings,
            me,
            boot,
            known: KnownBallots::default(),
            stood: None,
            heard: None,
            lent: None,
            phase: Phase::Following,
            attempts: 0,
            hold_until_ms: 0,
        }
    }

    /// The highest ballot that is believed.
    pub fn highest(&self) -> Option<&Ballot> {
        self.known.highest()
    }

    /// What this agent knows of ballots.
    pub fn known(&self) -> &KnownBallots {
        &self.known
    }

    /// Tells of a ballot that somebody told of; whether it is believed.
    pub fn observe(&mut self, ballot: &Ballot) -> bool {
        self.known.hear(ballot)
    }

    /// Tells what the acceptor of `region` answered; whether all of it is believed. If not, it is one vote less, whatever
    /// it says, and must not reach the proposer.
    pub fn acceptor_says(&mut self, region: &RegionName, reply: &AcceptorReply) -> bool {
        self.known.acceptor(region, reply);
        self.known.believes(reply, self.stood.as_ref())
    }

    /// A proposer got something from our acceptor: it is at work, though gossip may not know it yet.
    pub fn heard(&mut self, ballot: &Ballot, now_ms: u64) {
        let reply = AcceptorReply::Refused { promised: ballot.clone() };
        self.known.acceptor(&self.me.region, &reply);
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

    fn lent_to_other(&self, candidate: &AgentId, now_ms: u64) -> Option<&AgentId> {
        let is_fresh = |at_ms: u64| now_ms.saturating_sub(at_ms) < self.settings.lend_ms;
        self.lent.as_ref().filter(|(other, at_ms)| other != candidate && is_fresh(*at_ms)).map(|(other, _)| other)
    }

    /// At most one above the highest seen, and higher than any that this agent stood with; none when the numbers are used up.
    ///
    /// A ballot that no acceptor could answer is seen by nobody, so a further attempt has the same number. Its boot number
    /// is counted up instead: that keeps the ballots of one agent apart, and the number within what others accept.
    fn next_ballot(&self) -> Option<Ballot> {
        let number = self.highest().map_or(0, |highest| highest.number).checked_add(1)?;
        let ballot = Ballot { number, agent: self.me.clone(), boot: self.boot };
        match &self.stood {
            Some(stood) if *stood >= ballot => Some(Ballot { boot: stood.boot.checked_add(1)?, ..ballot }),
            _ => Some(ballot),
        }
    }

    fn stand(&mut self, ballot: Ballot) -> ElectionEffect {
        self.phase = Phase::Standing;
        self.stood = Some(ballot.clone());
        ElectionEffect::Stand(ballot)
    }

    /// Moves on with time. `random` is a fresh random number.
    pub fn tick(&mut self, sight: &Sight, now_ms: u64, random: u64) -> Option<ElectionEffect> {
        self.known.set_members(&sight.members);
        if matches!(self.phase, Phase::Standing | Phase::Leading) {
            return None;
        }
        // Who has no vote in the register does not lead it: its region was removed, or not added yet. Nor does an agent whose
        // clock is far off, since a plan's points in time are read off its leader's clock.
        let may_lead = sight.members.contains(&self.me.region) && !sight.is_clock_off;
        if !may_lead || sight.is_led_well(&self.me.region) || self.heard_other(&self.me, now_ms).is_some() {
            self.phase = Phase::Following;
            self.attempts = 0;
            return None;
        }
        match &self.phase {
            Phase::Following => self.wait(now_ms, random),
            Phase::Waiting { until_ms } if now_ms >= *until_ms && self.lent_to_other(&self.me, now_ms).is_none() => {
                return self.ask(sight, now_ms);
            }
            Phase::Asking { refused, granted, since_ms, .. }
                if now_ms >= since_ms + self.patience_ms(sight, refused) =>
            {
                let silent =
                    sight.members.iter().filter(|region| !granted.contains(*region) && !refused.contains(*region));
                silent.for_each(|region| self.known.lost(region));
                self.try_again(now_ms, random);
            }
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

    /// How long votes are waited for where `refused` regions gave none.
    fn patience_ms(&self, sight: &Sight, refused: &BTreeSet<RegionName>) -> u64 {
        let sound: BTreeSet<_> = sight.members.difference(&sight.failed).cloned().collect();
        let open = sound.difference(refused).cloned().collect();
        let is_for_the_failed = has_majority(&sight.members, &sound) && !has_majority(&sight.members, &open);
        if is_for_the_failed { self.settings.failed_votes_ms } else { self.settings.votes_ms }
    }

    fn ask(&mut self, sight: &Sight, now_ms: u64) -> Option<ElectionEffect> {
        let ballot = self.next_ballot()?;
        // One vote each: a candidate's own is given to itself.
        self.lent = Some((self.me.clone(), now_ms));
        let granted: BTreeSet<_> = sight.members.get(&self.me.region).cloned().into_iter().collect();
        if has_majority(&sight.members, &granted) {
            return Some(self.stand(ballot));
        }
        let others = sight.members.difference(&granted).cloned().collect();
        self.phase = Phase::Asking { ballot: ballot.clone(), granted, refused: BTreeSet::new(), since_ms: now_ms };
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
        self.known.set_members(&sight.members);
        match reply {
            Some(reply) => drop(reply.highest.as_ref().map(|highest| self.known.hear(highest))),
            None => self.known.lost(from),
        }
        let is_outdated = self.known.highest() >= Some(asked);
        let Phase::Asking { ballot, granted, refused, .. } = &mut self.phase else { return None };
        if ballot != asked {
            return None;
        }
        let votes = if reply.is_some_and(|reply| reply.is_granted) { &mut *granted } else { &mut *refused };
        votes.insert(from.clone());
        if has_majority(&sight.members, granted) && !is_outdated {
            return Some(self.stand(asked.clone()));
        }
        let still_open: BTreeSet<_> = sight.members.difference(refused).cloned().collect();
        if is_outdated || !has_majority(&sight.members, &still_open) {
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

    /// The proposer gave its ballot up: it led and was outranked, or it never got a majority.
    pub fn stepped_down(&mut self, outranked_by: Option<&Ballot>, now_ms: u64, random: u64) {
        if let Some(ballot) = outranked_by {
            self.known.hear(ballot);
            if self.phase == Phase::Leading {
                self.hold_until_ms = now_ms + self.settings.hold_off_ms;
            }
        }
        self.try_again(now_ms, random);
    }

    /// Answers a candidate. Of two that ask each other at the same time the one with the lower ballot gives way: where regions
    /// are far apart both would else refuse, and try again in step.
    pub fn vote(&mut self, request: &PreVoteRequest, sight: &Sight, now_ms: u64) -> PreVoteReply {
        self.known.set_members(&sight.members);
        let gives_way = matches!(&self.phase, Phase::Asking { ballot, .. } if *ballot < request.ballot);
        let refused = self.objection(request, sight, gives_way, now_ms);
        if refused.is_none() {
            self.lent = Some((request.ballot.agent.clone(), now_ms));
            if gives_way {
                // Votes for our own ballot that are still to come count no more.
                self.phase = Phase::Waiting { until_ms: now_ms.saturating_add(self.settings.lend_ms) };
            }
        }
        PreVoteReply {
            is_granted: refused.is_none(),
            highest: self.highest().cloned(),
            reason: refused.unwrap_or_default(),
        }
    }

    fn objection(&self, request: &PreVoteRequest, sight: &Sight, gives_way: bool, now_ms: u64) -> Option<String> {
        let candidate = &request.ballot.agent;
        let limit = self.known.allowance().number;
        if request.ballot.number > limit {
            return Some(format!("{} knows of no majority for ballots beyond {limit}", self.me));
        }
        if !sight.members.contains(&candidate.region) {
            return Some(format!("{} is no member of the register", candidate.region));
        }
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
        if let Some(other) = self.lent_to_other(candidate, now_ms).filter(|_| !gives_way) {
            return Some(format!("{} just voted for {other}", self.me));
        }
        let highest = self.highest().filter(|highest| **highest >= request.ballot)?;
        Some(format!("{} knows of ballot {highest}", self.me))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REGIONS: [&str; 3] = ["a", "b", "c"];

    fn ballot(number: u64, agent: &str) -> Ballot {
        Ballot { number, agent: agent.parse().unwrap(), boot: 1 }
    }

    fn election(agent: &str) -> Election {
        Election::new(ElectionSettings::default(), agent.parse().unwrap(), 1)
    }

    fn sight(leader: Option<(Ballot, bool)>, failed: &[&str]) -> Sight {
        Sight {
            leader: leader.map(|(ballot, is_alive)| KnownLeader { ballot, is_alive }),
            failed: failed.iter().map(|region| region.parse().unwrap()).collect(),
            members: REGIONS.iter().map(|region| region.parse().unwrap()).collect(),
            is_clock_off: false,
        }
    }

    fn asked(election: &mut Election, sight: &Sight) -> Option<(u64, Ballot)> {
        (0..=400).step_by(10).find_map(|now_ms| match election.tick(sight, now_ms, 77) {
            Some(ElectionEffect::AskVotes(ballot, regions)) => {
                assert!(!regions.contains(&election.me.region));
                Some((now_ms, ballot))
            }
            _ => None,
        })
    }

    proptest! {
        #[test]
        fn the_first_attempt_comes_within_50_to_310_ms_with_a_ballot_one_above_the_highest(
            number in 0..u64::MAX - 1, random: u64,
        ) {
            let (mut election, sight) = (election("a/x"), sight(None, &[]));
            for region in ["b", "c"] {
                election.acceptor_says(&region.parse().unwrap(), &AcceptorReply::Refused { promised: ballot(number, "c/x") });
            }
            let mut first = None;
            for now_ms in (0..=400).step_by(10) {
                if let Some(ElectionEffect::AskVotes(ballot, _)) = election.tick(&sight, now_ms, random) {
                    first.get_or_insert((now_ms, ballot));
                }
            }
            let (at_ms, taken) = first.unwrap();
            prop_assert!((50..=310).contains(&at_ms));
            prop_assert_eq!(taken.number, number + 1);
        }
    }

    proptest! {
        #[test]
        fn of_two_that_ask_each_other_before_they_hear_of_it_exactly_one_stands(
            (apart_ms, way_ms) in (1u64..300).prop_flat_map(|way_ms| (0..way_ms, Just(way_ms))),
            names in prop::sample::select(vec![("a/x", "b/x"), ("b/x", "a/x")]),
        ) {
            // The third region is dead. The second asks while the first's question is on its way.
            let (mut first, mut second, sight) = (election(names.0), election(names.1), sight(None, &[]));
            first.tick(&sight, 0, 0);
            second.tick(&sight, apart_ms, 0);
            let (Some(ElectionEffect::AskVotes(one, _)), Some(ElectionEffect::AskVotes(two, _))) =
                (first.tick(&sight, 50, 0), second.tick(&sight, 50 + apart_ms, 0))
            else {
                panic!("neither asks")
            };
            let from_second = second.vote(&PreVoteRequest { ballot: one.clone() }, &sight, 50 + way_ms);
            let from_first = first.vote(&PreVoteRequest { ballot: two.clone() }, &sight, 50 + apart_ms + way_ms);
            let back_ms = 50 + apart_ms + 2 * way_ms;
            let first_stands = first.voted(&second.me.region.clone(), &one, Some(&from_second), &sight, back_ms, 0);
            let second_stands = second.voted(&first.me.region.clone(), &two, Some(&from_first), &sight, back_ms, 0);
            prop_assert_eq!(first_stands.is_some(), one > two);
            prop_assert_eq!(second_stands.is_some(), two > one);
        }
    }

    proptest! {
        /// Whether it is a region's only member or has the votes of others: each attempt takes a ballot of its own, higher
        /// than all before, whatever became of them. Its number stays within what others accept.
        #[test]
        fn every_attempt_stands_with_a_higher_ballot_one_above_the_highest_seen(
            is_alone: bool,
            outcomes in prop::collection::vec((any::<bool>(), 0u64..5_000, any::<u64>()), 1..20),
        ) {
            let (mut election, mut sight) = (election("a/x"), sight(None, &[]));
            if is_alone {
                sight.members.retain(|region| region.as_str() == "a");
            }
            let grant = PreVoteReply { is_granted: true, highest: None, reason: String::new() };
            let (mut now_ms, mut stood): (u64, Vec<Ballot>) = (0, Vec::new());
            for (is_seen, pause_ms, random) in outcomes {
                let next = (0..1_000).find_map(|_| {
                    now_ms += 10;
                    match election.tick(&sight, now_ms, random)? {
                        ElectionEffect::AskVotes(ballot, _) => {
                            election.voted(&"b".parse().unwrap(), &ballot, Some(&grant), &sight, now_ms, random)
                        }
                        effect => Some(effect),
                    }
                });
                let Some(ElectionEffect::Stand(ballot)) = next else { panic!("it never stands again after {stood:?}") };
                let highest = election.highest().map_or(0, |highest| highest.number);
                prop_assert_eq!(ballot.number, highest + 1);
                prop_assert!(stood.last().is_none_or(|last| *last < ballot), "{:?} after {:?}", ballot, stood);
                if is_seen {
                    election.observe(&ballot);
                }
                stood.push(ballot);
                now_ms += pause_ms;
                election.stepped_down(None, now_ms, random);
            }
        }
    }

    #[test]
    fn an_agent_whose_clock_is_off_does_not_stand_and_still_votes() {
        let off = Sight { is_clock_off: true, ..sight(None, &[]) };
        assert_eq!(asked(&mut election("a/x"), &off), None);
        assert!(election("a/x").vote(&PreVoteRequest { ballot: ballot(4, "b/x") }, &off, 0).is_granted);
    }

    #[test]
    fn a_vote_given_to_another_is_not_given_again_however_high_the_ballot() {
        let (mut voter, nobody_leads) = (election("a/x"), sight(None, &[]));
        assert!(voter.vote(&PreVoteRequest { ballot: ballot(4, "b/x") }, &nobody_leads, 0).is_granted);
        assert!(!voter.vote(&PreVoteRequest { ballot: ballot(9, "c/x") }, &nobody_leads, 399).is_granted);
        assert!(voter.vote(&PreVoteRequest { ballot: ballot(9, "c/x") }, &nobody_leads, 400).is_granted);
    }

    #[test]
    fn nobody_stands_against_a_living_leader_and_nobody_votes_against_it() {
        let led = sight(Some((ballot(3, "c/x"), true)), &[]);
        assert_eq!(asked(&mut election("a/x"), &led), None);
        assert!(!election("a/x").vote(&PreVoteRequest { ballot: ballot(4, "b/x") }, &led, 0).is_granted);
        let gone = sight(Some((ballot(3, "c/x"), false)), &[]);
        assert!(asked(&mut election("a/x"), &gone).is_some());
        assert!(election("a/x").vote(&PreVoteRequest { ballot: ballot(4, "b/x") }, &gone, 0).is_granted);
    }

    #[test]
    fn a_leader_in_a_failed_region_makes_room_unless_the_candidate_is_no_better() {
        let leader = Some((ballot(3, "c/x"), true));
        assert!(asked(&mut election("a/x"), &sight(leader.clone(), &["c"])).is_some());
        assert_eq!(asked(&mut election("a/x"), &sight(leader, &["a", "b", "c"])), None);
    }

    #[test]
    fn a_leader_that_lost_its_majority_may_stand_again() {
        let seen = sight(Some((ballot(3, "c/x"), true)), &[]);
        assert!(election("a/x").vote(&PreVoteRequest { ballot: ballot(4, "c/x") }, &seen, 0).is_granted);
    }

    #[test]
    fn a_majority_of_votes_and_no_less_makes_a_candidate_stand() {
        let (mut election, sight) = (election("a/x"), sight(None, &[]));
        let (now_ms, ballot) = asked(&mut election, &sight).unwrap();
        let vote = |is_granted| PreVoteReply { is_granted, highest: None, reason: String::new() };
        let from = |name: &str| name.parse::<RegionName>().unwrap();
        assert_eq!(election.voted(&from("b"), &ballot, Some(&vote(false)), &sight, now_ms, 0), None);
        let stands = election.voted(&from("c"), &ballot, Some(&vote(true)), &sight, now_ms, 0);
        assert_eq!(stands, Some(ElectionEffect::Stand(ballot)));
    }

    #[test]
    fn a_candidate_waits_for_a_failed_region_only_as_long_as_others_could_elect_it() {
        let vote = PreVoteReply { is_granted: false, highest: None, reason: String::new() };
        let patience = |failed: &[&str]| {
            let (mut election, sight) = (election("a/x"), sight(None, failed));
            let (asked_ms, ballot) = asked(&mut election, &sight).unwrap();
            election.voted(&"b".parse().unwrap(), &ballot, Some(&vote), &sight, asked_ms, 0);
            let is_waiting = |now_ms: &u64| {
                election.tick(&sight, *now_ms, 0);
                matches!(election.phase, Phase::Asking { .. })
            };
            (asked_ms..).step_by(10).take_while(is_waiting).count() * 10
        };
        assert_eq!((patience(&[]), patience(&["c"]), patience(&["a", "b", "c"])), (1_000, 300, 1_000));
    }

    #[test]
    fn a_region_that_is_no_member_neither_stands_nor_is_voted_for() {
        let nobody_leads = sight(None, &[]);
        assert_eq!(asked(&mut election("d/x"), &nobody_leads), None);
        let vote = election("a/x").vote(&PreVoteRequest { ballot: ballot(4, "d/x") }, &nobody_leads, 0);
        assert!(!vote.is_granted && vote.reason.contains("d is no member"), "{vote:?}");
    }

    #[test]
    fn a_ballot_at_the_end_of_all_numbers_ends_no_election_whoever_tells_of_it() {
        let (mut election, nobody_leads) = (election("a/x"), sight(None, &[]));
        let last = ballot(u64::MAX, "c/x");
        election.tick(&nobody_leads, 0, 0);
        assert!(!election.observe(&last));
        for region in ["a", "c"] {
            election.heard(&ballot(6, "b/x"), 0);
            election.acceptor_says(&region.parse().unwrap(), &AcceptorReply::Refused { promised: ballot(6, "b/x") });
        }
        assert!(!election.acceptor_says(&"c".parse().unwrap(), &AcceptorReply::Refused { promised: last.clone() }));
        let vote = PreVoteReply { is_granted: false, highest: Some(last.clone()), reason: String::new() };
        election.voted(&"c".parse().unwrap(), &ballot(7, "a/x"), Some(&vote), &nobody_leads, 0, 0);
        election.stepped_down(Some(&last), 0, 0);
        assert!(!election.vote(&PreVoteRequest { ballot: last }, &nobody_leads, 0).is_granted);
        assert_eq!(election.next_ballot().map(|ballot| ballot.number), Some(7));
    }

    #[test]
    fn a_ballot_number_is_never_wrapped() {
        let (mut election, nobody_leads) = (election("a/x"), sight(None, &[]));
        for region in REGIONS {
            let last = AcceptorReply::Refused { promised: ballot(u64::MAX, "c/x") };
            election.acceptor_says(&region.parse().unwrap(), &last);
        }
        assert_eq!(asked(&mut election, &nobody_leads), None);
    }
}

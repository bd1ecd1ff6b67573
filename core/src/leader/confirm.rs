//! Whether what an agent tells of plans and leaders is true, judged by what the acceptors
//! themselves say.
//!
//! A status entry is one agent's word: it is signed, and still any agent can sign anything. So a
//! plan that somebody tells of is looked up at the acceptors before anything acts on it. It is
//! committed if a majority of the members accepted exactly it; it never was if a majority accepted
//! nothing as late as it, since any two majorities share an acceptor.
//!
//! Which members? A forged plan names whom it likes, and an agent that was away knows only the
//! members of its time. So two majorities must agree: of the members that the plan names, and of
//! those that the last plan believed names or, failing that, of the acceptors in this agent's own
//! configuration.

use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan},
    register::{
        acceptor::AcceptorState,
        ballot::{Ballot, Stamp},
        members::Members,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Whose word counts, apart from those that a plan itself names.
#[derive(Debug, Clone, Copy)]
pub struct Voters<'a> {
    /// The members that the last plan believed names.
    pub known: Option<&'a Members>,
    /// The acceptors in this agent's configuration.
    pub configured: &'a BTreeSet<RegionName>,
    /// This agent's region: while it is no member yet its acceptor does not count.
    pub own: &'a RegionName,
}

/// What acceptors said when they were asked at one time.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    states: BTreeMap<RegionName, AcceptorState>,
}

impl Reading {
    /// Adds what one acceptor says.
    pub fn add(&mut self, region: RegionName, state: AcceptorState) {
        self.states.insert(region, state);
    }

    /// Whether a majority accepted exactly this plan, so that it is committed.
    pub fn is_committed(&self, plan: &CommittedPlan, voters: &Voters<'_>) -> bool {
        let accepted = self.names(|state| {
            state
                .accepted
                .as_ref()
                .is_some_and(|(stamp, value)| *stamp == plan.stamp && *value == plan.plan)
        });
        let members = &plan.plan.members;
        let counts = |(name, counted): &(&RegionName, &Option<_>)| {
            let incarnation = self.states.get(*name).map(|state| state.incarnation);
            accepted.contains(*name) && counted.is_some() && **counted == incarnation
        };

        members.acceptors.iter().filter(counts).count() > members.len() / 2
            && self.agree(&accepted, members, voters)
    }

    /// Whether a majority accepted nothing as late as this plan, so that it was never committed.
    pub fn refutes(&self, plan: &CommittedPlan, voters: &Voters<'_>) -> bool {
        let earlier = self.names(|state| {
            state
                .accepted
                .as_ref()
                .is_none_or(|(stamp, _)| *stamp < plan.stamp)
        });

        self.are_majority(&earlier, &self.configured(&plan.plan.members, voters))
            && voters
                .known
                .is_none_or(|known| self.are_majority(&earlier, &known.names()))
    }

    /// The latest plan that a majority accepted.
    pub fn committed(&self, voters: &Voters<'_>) -> Option<CommittedPlan> {
        let accepted = self
            .states
            .values()
            .filter_map(|state| state.accepted.clone());
        let plans = accepted.map(|(stamp, plan): (Stamp, Plan)| CommittedPlan { stamp, plan });

        plans
            .filter(|plan| self.is_committed(plan, voters))
            .max_by(|a, b| a.stamp.cmp(&b.stamp))
    }

    /// Whether a majority promised this ballot, so that its owner may lead.
    pub fn is_promised(&self, ballot: &Ballot, voters: &Voters<'_>) -> bool {
        let promised = self.names(|state| state.promised.as_ref() == Some(ballot));
        self.are_majority(&promised, &self.members(voters))
    }

    /// Whether a majority promised only lower ballots, so that its owner can't have led.
    pub fn refutes_ballot(&self, ballot: &Ballot, voters: &Voters<'_>) -> bool {
        let lower = self.names(|state| {
            state
                .promised
                .as_ref()
                .is_none_or(|promised| promised < ballot)
        });

        self.are_majority(&lower, &self.members(voters))
    }

    fn names(&self, is_wanted: impl Fn(&AcceptorState) -> bool) -> BTreeSet<RegionName> {
        self.states
            .iter()
            .filter(|(_, state)| is_wanted(state))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn agree(&self, names: &BTreeSet<RegionName>, members: &Members, voters: &Voters<'_>) -> bool {
        voters
            .known
            .is_some_and(|known| self.are_majority(names, &known.names()))
            || self.are_majority(names, &self.configured(members, voters))
    }

    fn members(&self, voters: &Voters<'_>) -> BTreeSet<RegionName> {
        voters
            .known
            .map_or_else(|| voters.configured.clone(), Members::names)
    }

    /// The configuration's acceptors, without this agent's own where it is not among the members.
    fn configured(&self, members: &Members, voters: &Voters<'_>) -> BTreeSet<RegionName> {
        let is_asked = |name: &&RegionName| {
            *name != voters.own || members.has(name) || voters.configured.len() == 1
        };
        voters.configured.iter().filter(is_asked).cloned().collect()
    }

    fn are_majority(&self, names: &BTreeSet<RegionName>, of: &BTreeSet<RegionName>) -> bool {
        names.intersection(of).count() > of.len() / 2
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use regionmesh_protocol::register::members::Incarnation;

    fn name(index: usize) -> RegionName {
        format!("r{index}").parse().unwrap()
    }

    fn members(count: usize) -> Members {
        let acceptors = (0..count)
            .map(|index| (name(index), Some(Incarnation(index as u64))))
            .collect();
        Members {
            register: 7,
            acceptors,
        }
    }

    fn plan(number: u64, seq: u64, members: Members) -> CommittedPlan {
        let ballot = Ballot {
            number,
            agent: "r0/a".parse().unwrap(),
            boot: 1,
        };

        CommittedPlan {
            stamp: Stamp { ballot, seq },
            plan: Plan {
                members,
                reason: seq.to_string(),
                ..Plan::default()
            },
        }
    }

    fn reading(accepted: &[Option<CommittedPlan>]) -> Reading {
        let mut reading = Reading::default();
        for (index, accepted) in accepted.iter().enumerate() {
            let accepted = accepted.clone().map(|plan| (plan.stamp, plan.plan));
            let promised = accepted.as_ref().map(|(stamp, _)| stamp.ballot.clone());
            reading.add(
                name(index),
                AcceptorState {
                    incarnation: Incarnation(index as u64),
                    promised,
                    accepted,
                },
            );
        }

        reading
    }

    proptest! {
        #[test]
        fn a_plan_is_never_both_committed_and_refuted_and_neither_by_a_minority(
            seqs in vec(prop::option::of(1..4u64), 0..6),
            seq in 1..5u64,
            total in 1..6usize,
            knows: bool,
        ) {
            let accepted: Vec<_> = seqs
                .iter()
                .take(total)
                .map(|seq| seq.map(|seq| plan(1, seq, members(total))))
                .collect();
            let reading = reading(&accepted);
            let told = plan(1, seq, members(total));
            let known = members(total);
            let configured = members(total).names();
            let own = name(0);

            let voters = Voters {
                known: knows.then_some(&known),
                configured: &configured,
                own: &own,
            };
            let same = accepted
                .iter()
                .flatten()
                .filter(|plan| **plan == told)
                .count();

            prop_assert_eq!(reading.is_committed(&told, &voters), same > total / 2);
            prop_assert!(
                !(reading.is_committed(&told, &voters) && reading.refutes(&told, &voters))
            );

            let earlier = accepted
                .iter()
                .filter(|plan| plan.as_ref().is_none_or(|plan| plan.stamp < told.stamp))
                .count();

            prop_assert_eq!(reading.refutes(&told, &voters), earlier > total / 2);
        }
    }

    #[test]
    fn a_plan_that_names_its_own_voters_is_not_believed() {
        let known = members(5);
        let own = name(0);
        let configured = known.names();

        // One acceptor, of a thief, says that it accepted it; it names nobody else, or nobody.
        for named in [
            Members {
                acceptors: [(name(1), Some(Incarnation(1)))].into(),
                ..members(0)
            },
            Members::default(),
        ] {
            let forged = plan(9, 9, named);
            let genuine = Some(plan(1, 1, members(5)));
            let reading = reading(&[
                genuine.clone(),
                Some(forged.clone()),
                genuine.clone(),
                genuine.clone(),
                genuine,
            ]);

            for known in [None, Some(&known)] {
                let voters = Voters {
                    known,
                    configured: &configured,
                    own: &own,
                };

                assert!(
                    !reading.is_committed(&forged, &voters) && reading.refutes(&forged, &voters)
                );
                assert_eq!(reading.committed(&voters), Some(plan(1, 1, members(5))));
            }
        }
    }

    #[test]
    fn a_region_that_is_not_a_member_yet_learns_from_those_that_are() {
        let told = plan(1, 1, members(3));
        let own = name(3);
        let reading = reading(&[Some(told.clone()), Some(told.clone())]);
        let configured = members(4).names();

        assert!(reading.is_committed(
            &told,
            &Voters {
                known: None,
                configured: &configured,
                own: &own
            }
        ));
    }

    #[test]
    fn the_word_of_an_incarnation_that_has_no_vote_does_not_count() {
        let mut told = plan(1, 1, members(3));
        told.plan
            .members
            .acceptors
            .insert(name(1), Some(Incarnation(99)));

        let configured = members(3).names();
        let own = name(0);
        let reading = reading(&[Some(told.clone()), Some(told.clone())]);

        assert!(!reading.is_committed(
            &told,
            &Voters {
                known: None,
                configured: &configured,
                own: &own
            }
        ));
    }

    #[test]
    fn a_ballot_leads_if_a_majority_promised_it_and_never_did_if_a_majority_is_below_it() {
        let low = plan(1, 1, members(3));
        let high = plan(2, 2, members(3));
        let configured = members(3).names();
        let own = name(0);
        let voters = Voters {
            known: None,
            configured: &configured,
            own: &own,
        };
        let reading = reading(&[Some(low.clone()), Some(low.clone()), Some(high.clone())]);

        assert!(
            reading.is_promised(&low.stamp.ballot, &voters)
                && !reading.refutes_ballot(&low.stamp.ballot, &voters)
        );

        assert!(
            !reading.is_promised(&high.stamp.ballot, &voters)
                && reading.refutes_ballot(&high.stamp.ballot, &voters)
        );
    }
}

//! From the opinions of many observers to the verdict on a region.
//!
//! Two majorities: the agents of one observing region agree on that region's vote, then the
//! observing regions agree on the verdict. So a region with ten agents has one vote, as has a
//! region with one. The region that is judged does not vote: it may report itself failed or
//! draining, never up, because a region that is cut off believes in itself.

use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::condition::Condition,
    text::is_unprintable,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};

/// Longest piece of a peer's evidence that a reason quotes, characters.
const EVIDENCE_MAX: usize = 120;

/// The verdict on one address of a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressVerdict {
    /// The address.
    pub address: IpAddr,
    /// The verdict: by the same majority as a region's.
    pub condition: Condition,
    /// Since when, Unix milliseconds of the agent that says so.
    pub since_ms: u64,
    /// Why, in words.
    pub reason: String,
}

/// The verdict on one region, and the votes behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionVerdict {
    /// The verdict.
    pub condition: Condition,
    /// Since when, Unix milliseconds of the agent that says so.
    pub since_ms: u64,
    /// What each observing region concludes, sorted; `Unknown` abstains. The region itself is not
    /// among them.
    pub votes: Vec<(RegionName, Condition)>,
    /// Why, in words.
    pub reason: String,
    /// The verdict on each of its addresses; empty where the endpoint is probed as a whole.
    pub addresses: Vec<AddressVerdict>,
}

/// What one agent says about one region: an observer its conclusion, an agent of the region itself
/// its own report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion<'a> {
    /// Whose opinion.
    pub agent: &'a AgentId,
    /// What it says.
    pub condition: Condition,
    /// What brought it about; quoted, shortened, in the reason.
    pub evidence: &'a str,
    /// Whether the opinion is recent and its agent alive; a stale one does not count.
    pub is_fresh: bool,
}

/// The verdict on `region`.
///
/// - `observers`: what agents conclude from their probes; those of agents of `region` itself are
///   left out.
/// - `own_reports`: what agents of `region` report of it; those of others are left out. `Draining`
///   if none of the fresh ones serves on and one drains; `Failed` if more than half of the fresh
///   ones say so. They never lift it.
/// - `previous`: the last verdict, whose `since_ms` stays while the condition does.
///
/// `Failed` needs more than half of the observing regions that have an opinion; `Suspect` more than
/// half `Failed` or `Suspect`; a tie goes to the milder. `Unknown` if nobody has an opinion. A
/// single observing region decides alone: with two regions there is no better word to be had.
pub fn region_verdict(
    region: &RegionName,
    observers: &[Opinion<'_>],
    own_reports: &[Opinion<'_>],
    previous: Option<&RegionVerdict>,
    now_ms: u64,
) -> RegionVerdict {
    let mut by_region: BTreeMap<&RegionName, Vec<&Opinion<'_>>> = BTreeMap::new();
    for opinion in observers
        .iter()
        .filter(|opinion| opinion.is_fresh && opinion.agent.region != *region)
    {
        by_region
            .entry(&opinion.agent.region)
            .or_default()
            .push(opinion);
    }

    let votes: Vec<(RegionName, Condition)> = by_region
        .iter()
        .map(|(observer, opinions)| {
            (
                (*observer).clone(),
                majority(opinions.iter().map(|opinion| opinion.condition)),
            )
        })
        .collect();

    let observed = majority(votes.iter().map(|(_, vote)| *vote));
    let own = own_report(region, own_reports);
    let condition = own.map_or(observed, |own| lower(observed, own));
    let reason = if condition == observed {
        describe(&votes, observed, &by_region)
    } else {
        format!(
            "the region itself reports {condition}; {}",
            describe(&votes, observed, &by_region)
        )
    };

    let since_ms = previous
        .filter(|previous| previous.condition == condition)
        .map_or(now_ms, |previous| previous.since_ms);
    RegionVerdict {
        condition,
        since_ms,
        votes,
        reason,
        addresses: Vec::new(),
    }
}

/// The condition of an endpoint of several addresses: that of its `minimum`-th best, so that it has
/// failed only when fewer than `minimum` of its addresses have not. `Unknown` counts as better than
/// suspect: it may be healthy. Answers the index of the address that decides; none without
/// addresses.
pub fn of_addresses(conditions: &[Condition], minimum: usize) -> Option<usize> {
    let mut order: Vec<usize> = (0..conditions.len()).collect();
    order.sort_by_key(|index| badness(conditions[*index]));
    order
        .get(minimum.clamp(1, conditions.len().max(1)) - 1)
        .copied()
}

fn badness(condition: Condition) -> u8 {
    match condition {
        Condition::Healthy => 0,
        Condition::Unknown => 1,
        Condition::Suspect => 2,
        Condition::Draining => 3,
        Condition::Failed => 4,
    }
}

/// What a region's agents, each speaking for its own address, say of the region as a whole: nothing
/// while at least `minimum` addresses neither report themselves down nor are judged down by others;
/// then `Draining` if any of them drains, else `Failed`.
///
/// `addresses`: the verdict on each address, with what its own agents report.
pub fn own_of_addresses(
    addresses: &[(Condition, Option<Condition>)],
    minimum: usize,
) -> Option<Condition> {
    let is_down =
        |condition: Condition| matches!(condition, Condition::Failed | Condition::Draining);
    let reported = || {
        addresses
            .iter()
            .filter_map(|(_, own)| *own)
            .filter(|own| is_down(*own))
    };

    let up = addresses
        .iter()
        .filter(|(verdict, own)| !is_down(*verdict) && !own.is_some_and(is_down))
        .count();

    if reported().next().is_none() || up >= minimum.clamp(1, addresses.len().max(1)) {
        None
    } else if reported().any(|own| own == Condition::Draining) {
        Some(Condition::Draining)
    } else {
        Some(Condition::Failed)
    }
}

/// Which of a region's addresses users are to be given, out of `configured`: all that are not
/// judged failed or draining. One that nothing is known of stays as it `stands`. Never empty: where
/// none would be left all are given, since the region as a whole is judged then, and an answer that
/// may be bad beats none.
pub fn answered(
    configured: &[IpAddr],
    verdicts: &[AddressVerdict],
    stands: Option<&[IpAddr]>,
) -> Vec<IpAddr> {
    let is_good = |address: &&IpAddr| {
        let verdict = verdicts.iter().find(|verdict| verdict.address == **address);
        match verdict.map_or(Condition::Unknown, |verdict| verdict.condition) {
            Condition::Healthy | Condition::Suspect => true,
            Condition::Failed | Condition::Draining => false,
            Condition::Unknown => stands.is_none_or(|stands| stands.contains(*address)),
        }
    };
    let good: Vec<IpAddr> = configured.iter().filter(is_good).copied().collect();

    if good.is_empty() {
        configured.to_vec()
    } else {
        good
    }
}

/// What more than half agree on, leaving out those without an opinion; a tie goes to the milder.
fn majority(conditions: impl Iterator<Item = Condition>) -> Condition {
    let mut voters = 0usize;
    let mut failed = 0usize;
    let mut suspect = 0usize;

    for condition in conditions {
        match condition {
            // Only a region itself can drain; from an observer the word means nothing.
            Condition::Unknown | Condition::Draining => continue,
            Condition::Healthy => {}
            Condition::Suspect => suspect += 1,
            Condition::Failed => failed += 1,
        }

        voters += 1;
    }

    if voters == 0 {
        Condition::Unknown
    } else if failed * 2 > voters {
        Condition::Failed
    } else if (failed + suspect) * 2 > voters {
        Condition::Suspect
    } else {
        Condition::Healthy
    }
}

/// `Failed` or `Draining` if the region's own agents say so: an agent that drains while another
/// serves on takes itself out of its load balancer, and not the region out of the mesh.
pub fn own_report(region: &RegionName, reports: &[Opinion<'_>]) -> Option<Condition> {
    let fresh: Vec<Condition> = reports
        .iter()
        .filter(|report| report.is_fresh && report.agent.region == *region)
        .map(|report| report.condition)
        .collect();
    let failed = fresh
        .iter()
        .filter(|condition| **condition == Condition::Failed)
        .count();

    if failed * 2 > fresh.len() {
        Some(Condition::Failed)
    } else {
        let serves_on =
            |condition: &Condition| !matches!(condition, Condition::Failed | Condition::Draining);
        (fresh.contains(&Condition::Draining) && !fresh.iter().any(serves_on))
            .then_some(Condition::Draining)
    }
}

/// The worse of both; failed is worse than draining, since a draining region still answers those
/// who are there.
fn lower(observed: Condition, own: Condition) -> Condition {
    if observed == Condition::Failed {
        observed
    } else {
        own
    }
}

fn describe(
    votes: &[(RegionName, Condition)],
    observed: Condition,
    by_region: &BTreeMap<&RegionName, Vec<&Opinion<'_>>>,
) -> String {
    let voters = votes
        .iter()
        .filter(|(_, vote)| *vote != Condition::Unknown)
        .count();

    if voters == 0 {
        return "no observing region has an opinion".into();
    }

    let agreeing = votes
        .iter()
        .filter(|(_, vote)| agrees(*vote, observed))
        .count();
    let list: Vec<String> = votes
        .iter()
        .map(|(observer, vote)| {
            // A success is told by its time, which differs with each probe: it would change the
            // reason for nothing.
            let evidence = by_region
                .get(observer)
                .filter(|_| matches!(vote, Condition::Suspect | Condition::Failed))
                .and_then(|opinions| {
                    opinions
                        .iter()
                        .find(|opinion| agrees(opinion.condition, *vote))
                })
                .map(|opinion| quote(opinion.evidence))
                .filter(|evidence| !evidence.is_empty());

            match (vote, evidence) {
                (Condition::Unknown, _) => format!("{observer} abstains"),
                (_, Some(evidence)) => format!("{observer} {vote}: {evidence}"),
                (_, None) => format!("{observer} {vote}"),
            }
        })
        .collect();

    format!(
        "{agreeing} of {voters} observing regions say {observed} ({})",
        list.join(", ")
    )
}

fn agrees(vote: Condition, observed: Condition) -> bool {
    vote == observed || (vote == Condition::Failed && observed == Condition::Suspect)
}

/// A peer's text, safe in a log line.
fn quote(evidence: &str) -> String {
    evidence
        .chars()
        .filter(|c| !is_unprintable(*c))
        .take(EVIDENCE_MAX)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Said = (AgentId, Condition, bool);

    fn agent(region: &str, agent: u8) -> AgentId {
        AgentId {
            region: region.parse().unwrap(),
            agent: format!("node-{agent}").parse().unwrap(),
        }
    }

    fn condition() -> impl Strategy<Value = Condition> {
        prop::sample::select(Condition::ALL.to_vec())
    }

    fn said() -> impl Strategy<Value = Vec<Said>> {
        let one = (
            prop::sample::select(vec!["a", "b", "c", "d", "judged"]),
            0u8..3,
            condition(),
            prop::bool::weighted(0.8),
        );

        prop::collection::vec(
            one.prop_map(|(region, node, condition, fresh)| {
                (agent(region, node), condition, fresh)
            }),
            0..14,
        )
    }

    fn opinions(said: &[Said]) -> Vec<Opinion<'_>> {
        said.iter()
            .map(|(agent, condition, is_fresh)| Opinion {
                agent,
                condition: *condition,
                evidence: "evidence",
                is_fresh: *is_fresh,
            })
            .collect()
    }

    fn judge(said: &[Said], own: &[Said]) -> RegionVerdict {
        region_verdict(
            &"judged".parse().unwrap(),
            &opinions(said),
            &opinions(own),
            None,
            7,
        )
    }

    fn severity(condition: Condition) -> u8 {
        match condition {
            Condition::Unknown | Condition::Healthy => 0,
            Condition::Suspect => 1,
            Condition::Draining => 2,
            Condition::Failed => 3,
        }
    }

    proptest! {
        #[test]
        fn the_order_of_opinions_is_of_no_matter(
            (said, shuffled) in said().prop_flat_map(|said| (Just(said.clone()), Just(said).prop_shuffle())),
        ) {
            let one = judge(&said, &[]);
            let other = judge(&shuffled, &[]);
            prop_assert_eq!((one.condition, one.votes), (other.condition, other.votes));
        }

        #[test]
        fn the_regions_own_agents_never_lift_the_verdict(said in said(), own in said()) {
            let observed = judge(&said, &[]).condition;
            let with_own = judge(&said, &own).condition;
            prop_assert!(with_own == observed || (severity(with_own) > severity(observed)));
        }

        #[test]
        fn what_its_agents_observe_of_their_own_region_does_not_count(said in said()) {
            let others: Vec<Said> = said
                .iter()
                .filter(|(agent, ..)| agent.region.as_str() != "judged")
                .cloned()
                .collect();

            prop_assert_eq!(judge(&said, &[]), judge(&others, &[]));
        }

        #[test]
        fn abstentions_and_stale_opinions_change_nothing(
            said in said(),
            more in said(),
            own in said(),
        ) {
            let mut with_abstentions = said.clone();
            with_abstentions.extend(more.into_iter().map(|(agent, condition, _)| {
                if condition == Condition::Unknown {
                    (agent, condition, true)
                } else {
                    (agent, condition, false)
                }
            }));

            prop_assert_eq!(
                judge(&with_abstentions, &own).condition,
                judge(&said, &own).condition
            );
        }

        #[test]
        fn a_worse_opinion_never_makes_a_better_verdict(
            said in said(),
            which: prop::sample::Index,
            own in said(),
        ) {
            let ladder = [Condition::Healthy, Condition::Suspect, Condition::Failed];
            let mut worse = said.clone();
            prop_assume!(!worse.is_empty());

            let index = which.index(worse.len());
            let opinion = &mut worse[index];
            if let Some(step) = ladder
                .iter()
                .position(|condition| *condition == opinion.1)
                .filter(|step| *step < 2)
            {
                opinion.1 = ladder[step + 1];
            }

            prop_assert!(
                severity(judge(&worse, &own).condition) >= severity(judge(&said, &own).condition)
            );
        }

        #[test]
        fn failed_takes_more_than_half_of_the_observing_regions_with_an_opinion(said in said()) {
            let verdict = judge(&said, &[]);
            let count = |wanted: &[Condition]| {
                verdict
                    .votes
                    .iter()
                    .filter(|(_, vote)| wanted.contains(vote))
                    .count()
            };
            let voters = verdict.votes.len() - count(&[Condition::Unknown]);

            prop_assert_eq!(
                verdict.condition == Condition::Failed,
                count(&[Condition::Failed]) * 2 > voters
            );

            prop_assert_eq!(verdict.condition == Condition::Unknown, voters == 0);
        }

        #[test]
        fn since_stays_while_the_condition_does(first in said(), second in said()) {
            let region: RegionName = "judged".parse().unwrap();
            let before = region_verdict(&region, &opinions(&first), &[], None, 10);
            let after = region_verdict(&region, &opinions(&second), &[], Some(&before), 20);

            prop_assert_eq!(
                after.since_ms,
                if after.condition == before.condition {
                    10
                } else {
                    20
                }
            );
        }
    }

    #[test]
    fn many_agents_of_one_region_have_one_vote() {
        let said = [
            (agent("a", 0), Condition::Failed, true),
            (agent("a", 1), Condition::Failed, true),
            (agent("a", 2), Condition::Failed, true),
            (agent("b", 0), Condition::Healthy, true),
            (agent("c", 0), Condition::Healthy, true),
        ];

        assert_eq!(judge(&said, &[]).condition, Condition::Healthy);
    }

    #[test]
    fn a_single_observing_region_decides_alone() {
        assert_eq!(
            judge(&[(agent("a", 0), Condition::Failed, true)], &[]).condition,
            Condition::Failed
        );
    }

    #[test]
    fn a_region_may_report_itself_down_or_draining_and_only_that() {
        let healthy = [
            (agent("a", 0), Condition::Healthy, true),
            (agent("b", 0), Condition::Healthy, true),
        ];
        let own = |condition| [(agent("judged", 0), condition, true)];

        assert_eq!(
            judge(&healthy, &own(Condition::Draining)).condition,
            Condition::Draining
        );

        assert_eq!(
            judge(&healthy, &own(Condition::Failed)).condition,
            Condition::Failed
        );

        assert_eq!(
            judge(&[], &own(Condition::Healthy)).condition,
            Condition::Unknown
        );

        let impostor = [(agent("a", 1), Condition::Draining, true)];
        assert_eq!(judge(&healthy, &impostor).condition, Condition::Healthy);
    }

    #[test]
    fn one_of_three_own_agents_neither_fails_nor_drains_its_region() {
        let healthy = [(agent("a", 0), Condition::Healthy, true)];
        let own = |condition| {
            [
                (agent("judged", 0), condition, true),
                (agent("judged", 1), Condition::Healthy, true),
                (agent("judged", 2), Condition::Healthy, true),
            ]
        };

        assert_eq!(
            judge(&healthy, &own(Condition::Failed)).condition,
            Condition::Healthy
        );

        assert_eq!(
            judge(&healthy, &own(Condition::Draining)).condition,
            Condition::Healthy
        );

        let two = [
            (agent("judged", 0), Condition::Draining, true),
            (agent("judged", 1), Condition::Draining, true),
        ];

        assert_eq!(judge(&healthy, &two).condition, Condition::Draining);
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    proptest! {
        #[test]
        fn an_endpoint_has_failed_when_fewer_addresses_than_the_minimum_have_not(
            conditions in prop::collection::vec(condition(), 1..6),
            minimum in 0usize..8,
        ) {
            let decides = of_addresses(&conditions, minimum).unwrap();
            let alive = conditions
                .iter()
                .filter(|condition| **condition != Condition::Failed)
                .count();

            prop_assert_eq!(
                conditions[decides] == Condition::Failed,
                alive < minimum.clamp(1, conditions.len())
            );
        }

        #[test]
        fn an_answer_is_never_empty_and_holds_configured_addresses_alone(
            configured in prop::collection::vec(1u8..9, 1..6),
            verdicts in prop::collection::vec((1u8..9, condition()), 0..9),
            stands in prop::option::of(prop::collection::vec(1u8..9, 0..6)),
        ) {
            let ips = |list: &[u8]| list.iter().map(|last| ip(*last)).collect::<Vec<_>>();
            let judged: Vec<AddressVerdict> = verdicts
                .iter()
                .map(|(last, condition)| AddressVerdict {
                    address: ip(*last),
                    condition: *condition,
                    since_ms: 0,
                    reason: String::new(),
                })
                .collect();

            let configured = ips(&configured);
            let given = answered(
                &configured,
                &judged,
                stands.map(|stands| ips(&stands)).as_deref(),
            );

            prop_assert!(
                !given.is_empty() && given.iter().all(|address| configured.contains(address))
            );
        }

        #[test]
        fn an_agents_report_on_its_address_counts_for_the_region_only_when_too_few_are_left(
            addresses in prop::collection::vec((condition(), prop::option::of(condition())), 1..6),
            minimum in 1usize..4,
        ) {
            let down =
                |condition: Condition| matches!(condition, Condition::Failed | Condition::Draining);
            let up = addresses
                .iter()
                .filter(|(verdict, own)| !down(*verdict) && !own.is_some_and(down))
                .count();
            let own = own_of_addresses(&addresses, minimum);

            prop_assert!(own.is_none() || up < minimum);
            prop_assert!(own.is_none_or(down));
        }
    }

    #[test]
    fn a_dead_address_is_left_out_and_one_that_nothing_is_known_of_stays_as_it_is() {
        let judged = |last, condition| AddressVerdict {
            address: ip(last),
            condition,
            since_ms: 0,
            reason: String::new(),
        };
        let both = [ip(1), ip(2)];

        assert_eq!(
            answered(
                &both,
                &[judged(1, Condition::Failed), judged(2, Condition::Healthy)],
                None
            ),
            [ip(2)]
        );

        let unknown = [judged(1, Condition::Unknown), judged(2, Condition::Healthy)];
        assert_eq!(answered(&both, &unknown, Some(&[ip(2)])), [ip(2)]);
        assert_eq!(answered(&both, &unknown, None), both);
        assert_eq!(
            answered(
                &both,
                &[judged(1, Condition::Failed), judged(2, Condition::Draining)],
                None
            ),
            both
        );
    }

    #[test]
    fn the_reason_lists_the_votes() {
        let said = [
            (agent("ap-south-1", 0), Condition::Failed, true),
            (agent("us-west-2", 0), Condition::Failed, true),
            (agent("sa-east-1", 0), Condition::Unknown, true),
        ];

        assert_eq!(
            judge(&said, &[]).reason,
            "2 of 2 observing regions say failed (ap-south-1 failed: evidence, sa-east-1 abstains, \
                us-west-2 failed: evidence)"
        );
    }

    #[test]
    fn hostile_evidence_is_cut_and_has_no_line_breaks() {
        let evil = format!("x\n{}", "y".repeat(10_000));
        let id = agent("a", 0);
        let opinion = Opinion {
            agent: &id,
            condition: Condition::Failed,
            evidence: &evil,
            is_fresh: true,
        };
        let reason = region_verdict(&"judged".parse().unwrap(), &[opinion], &[], None, 0).reason;

        assert!(reason.len() < 200 && !reason.contains('\n'), "{reason}");
    }
}

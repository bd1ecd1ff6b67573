//! From the opinions of many observers to the verdict on a region.
//!
//! Two majorities: the agents of one observing region agree on that region's vote, then the observing regions agree on
//! the verdict. So a region with ten agents has one vote, as has a region with one. The region that is judged does not
//! vote: it may report itself failed or draining, never up, because a region that is cut off believes in itself.

use crate::identity::{AgentId, RegionName};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Longest piece of a peer's evidence that a reason quotes, characters.
const EVIDENCE_MAX: usize = 80;

/// What one observer concludes about one region's endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Nothing known yet, or the observer abstains (it can't reach its canaries).
    Unknown,
    /// Answers as it should.
    Healthy,
    /// Silent for 2 s: its weight is cut, reversibly.
    Suspect,
    /// Does not serve: positive evidence three times, or silence for 8 s.
    Failed,
    /// Its own agents ask for no traffic.
    Draining,
}

impl Condition {
    /// Every condition, mildest first.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Healthy, Self::Suspect, Self::Failed, Self::Draining];

    /// The word for it, as in JSON and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one observer saw of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The region whose endpoint was probed.
    pub region: RegionName,
    /// What the observer concludes.
    pub condition: Condition,
    /// The last probe's outcome in words: `200 in 1.3 ms`, `connection refused`, `no answer in 1 s`.
    pub evidence: String,
    /// When the condition was reached, observer's clock, Unix milliseconds.
    pub since_ms: u64,
    /// Time of the last successful probe, microseconds; none if there was none.
    pub round_trip_us: Option<u64>,
}

/// The verdict on one region, and the votes behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionVerdict {
    /// The verdict.
    pub condition: Condition,
    /// Since when, Unix milliseconds of the agent that says so.
    pub since_ms: u64,
    /// What each observing region concludes, sorted; `Unknown` abstains. The region itself is not among them.
    pub votes: Vec<(RegionName, Condition)>,
    /// Why, in words.
    pub reason: String,
}

/// What one agent says about one region: an observer its conclusion, an agent of the region itself its own report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion<'a> {
    /// Whose opinion.
    pub agent: &'a AgentId,
    /// What it says.
    pub condition: Condition,
    /// Its last probe in words; quoted, shortened, in the reason.
    pub evidence: &'a str,
    /// Whether the opinion is recent and its agent alive; a stale one does not count.
    pub is_fresh: bool,
}

/// The verdict on `region`.
///
/// - `observers`: what agents conclude from their probes; those of agents of `region` itself are left out.
/// - `own_reports`: what agents of `region` report of it; those of others are left out. One fresh `Draining` makes the
///   verdict `Draining`; more than half of the fresh ones `Failed` make it `Failed`. They never lift it.
/// - `previous`: the last verdict, whose `since_ms` stays while the condition does.
///
/// `Failed` needs more than half of the observing regions that have an opinion; `Suspect` more than half `Failed` or
/// `Suspect`; a tie goes to the milder. `Unknown` if nobody has an opinion. A single observing region decides alone:
/// with two regions there is no better word to be had.
pub fn region_verdict(
    region: &RegionName,
    observers: &[Opinion<'_>],
    own_reports: &[Opinion<'_>],
    previous: Option<&RegionVerdict>,
    now_ms: u64,
) -> RegionVerdict {
    let mut by_region: BTreeMap<&RegionName, Vec<&Opinion<'_>>> = BTreeMap::new();
    for opinion in observers.iter().filter(|opinion| opinion.is_fresh && opinion.agent.region != *region) {
        by_region.entry(&opinion.agent.region).or_default().push(opinion);
    }
    let votes: Vec<(RegionName, Condition)> = by_region
        .iter()
        .map(|(observer, opinions)| ((*observer).clone(), majority(opinions.iter().map(|opinion| opinion.condition))))
        .collect();
    let observed = majority(votes.iter().map(|(_, vote)| *vote));
    let own = own_report(region, own_reports);
    let condition = own.map_or(observed, |own| lower(observed, own));
    let reason = if condition == observed {
        describe(&votes, observed, &by_region)
    } else {
        format!("the region itself reports {condition}; {}", describe(&votes, observed, &by_region))
    };
    let since_ms =
        previous.filter(|previous| previous.condition == condition).map_or(now_ms, |previous| previous.since_ms);
    RegionVerdict { condition, since_ms, votes, reason }
}

/// What more than half agree on, leaving out those without an opinion; a tie goes to the milder.
fn majority(conditions: impl Iterator<Item = Condition>) -> Condition {
    let (mut voters, mut failed, mut suspect) = (0usize, 0usize, 0usize);
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

/// `Failed` or `Draining` if the region's own agents say so.
fn own_report(region: &RegionName, reports: &[Opinion<'_>]) -> Option<Condition> {
    let fresh: Vec<Condition> = reports
        .iter()
        .filter(|report| report.is_fresh && report.agent.region == *region)
        .map(|report| report.condition)
        .collect();
    let failed = fresh.iter().filter(|condition| **condition == Condition::Failed).count();
    if failed * 2 > fresh.len() {
        Some(Condition::Failed)
    } else {
        fresh.contains(&Condition::Draining).then_some(Condition::Draining)
    }
}

/// The worse of both; failed is worse than draining, since a draining region still answers those who are there.
fn lower(observed: Condition, own: Condition) -> Condition {
    if observed == Condition::Failed { observed } else { own }
}

fn describe(
    votes: &[(RegionName, Condition)],
    observed: Condition,
    by_region: &BTreeMap<&RegionName, Vec<&Opinion<'_>>>,
) -> String {
    let voters = votes.iter().filter(|(_, vote)| *vote != Condition::Unknown).count();
    if voters == 0 {
        return "no observing region has an opinion".into();
    }
    let agreeing = votes.iter().filter(|(_, vote)| agrees(*vote, observed)).count();
    let list: Vec<String> = votes
        .iter()
        .map(|(observer, vote)| {
            // A success is told by its time, which differs with each probe: it would change the reason for nothing.
            let evidence = by_region
                .get(observer)
                .filter(|_| matches!(vote, Condition::Suspect | Condition::Failed))
                .and_then(|opinions| opinions.iter().find(|opinion| agrees(opinion.condition, *vote)))
                .map(|opinion| quote(opinion.evidence))
                .filter(|evidence| !evidence.is_empty());
            match (vote, evidence) {
                (Condition::Unknown, _) => format!("{observer} abstains"),
                (_, Some(evidence)) => format!("{observer} {vote}: {evidence}"),
                (_, None) => format!("{observer} {vote}"),
            }
        })
        .collect();
    format!("{agreeing} of {voters} observing regions say {observed} ({})", list.join(", "))
}

fn agrees(vote: Condition, observed: Condition) -> bool {
    vote == observed || (vote == Condition::Failed && observed == Condition::Suspect)
}

/// A peer's text, safe in a log line.
fn quote(evidence: &str) -> String {
    evidence.chars().filter(|c| !c.is_control()).take(EVIDENCE_MAX).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Said = (AgentId, Condition, bool);

    fn agent(region: &str, agent: u8) -> AgentId {
        AgentId { region: region.parse().unwrap(), agent: format!("node-{agent}").parse().unwrap() }
    }

    fn condition() -> impl Strategy<Value = Condition> {
        prop::sample::select(Condition::ALL.to_vec())
    }

    fn said() -> impl Strategy<Value = Vec<Said>> {
        let one =
            (prop::sample::select(vec!["a", "b", "c", "d", "judged"]), 0u8..3, condition(), prop::bool::weighted(0.8));
        prop::collection::vec(
            one.prop_map(|(region, node, condition, fresh)| (agent(region, node), condition, fresh)),
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
        region_verdict(&"judged".parse().unwrap(), &opinions(said), &opinions(own), None, 7)
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
        fn the_order_of_opinions_is_of_no_matter((said, shuffled) in said().prop_flat_map(|said| (Just(said.clone()), Just(said).prop_shuffle()))) {
            let (one, other) = (judge(&said, &[]), judge(&shuffled, &[]));
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
            let others: Vec<Said> = said.iter().filter(|(agent, ..)| agent.region.as_str() != "judged").cloned().collect();
            prop_assert_eq!(judge(&said, &[]), judge(&others, &[]));
        }

        #[test]
        fn abstentions_and_stale_opinions_change_nothing(said in said(), more in said(), own in said()) {
            let mut with_abstentions = said.clone();
            with_abstentions.extend(more.into_iter().map(|(agent, condition, _)| {
                if condition == Condition::Unknown { (agent, condition, true) } else { (agent, condition, false) }
            }));
            prop_assert_eq!(judge(&with_abstentions, &own).condition, judge(&said, &own).condition);
        }

        #[test]
        fn a_worse_opinion_never_makes_a_better_verdict(said in said(), which: prop::sample::Index, own in said()) {
            let ladder = [Condition::Healthy, Condition::Suspect, Condition::Failed];
            let mut worse = said.clone();
            prop_assume!(!worse.is_empty());
            let index = which.index(worse.len());
            let opinion = &mut worse[index];
            if let Some(step) = ladder.iter().position(|condition| *condition == opinion.1).filter(|step| *step < 2) {
                opinion.1 = ladder[step + 1];
            }
            prop_assert!(severity(judge(&worse, &own).condition) >= severity(judge(&said, &own).condition));
        }

        #[test]
        fn failed_takes_more_than_half_of_the_observing_regions_with_an_opinion(said in said()) {
            let verdict = judge(&said, &[]);
            let count = |wanted: &[Condition]| verdict.votes.iter().filter(|(_, vote)| wanted.contains(vote)).count();
            let voters = verdict.votes.len() - count(&[Condition::Unknown]);
            prop_assert_eq!(verdict.condition == Condition::Failed, count(&[Condition::Failed]) * 2 > voters);
            prop_assert_eq!(verdict.condition == Condition::Unknown, voters == 0);
        }

        #[test]
        fn since_stays_while_the_condition_does(first in said(), second in said()) {
            let region: RegionName = "judged".parse().unwrap();
            let before = region_verdict(&region, &opinions(&first), &[], None, 10);
            let after = region_verdict(&region, &opinions(&second), &[], Some(&before), 20);
            prop_assert_eq!(after.since_ms, if after.condition == before.condition { 10 } else { 20 });
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
        assert_eq!(judge(&[(agent("a", 0), Condition::Failed, true)], &[]).condition, Condition::Failed);
    }

    #[test]
    fn a_region_may_report_itself_down_or_draining_and_only_that() {
        let healthy = [(agent("a", 0), Condition::Healthy, true), (agent("b", 0), Condition::Healthy, true)];
        let own = |condition| [(agent("judged", 0), condition, true)];
        assert_eq!(judge(&healthy, &own(Condition::Draining)).condition, Condition::Draining);
        assert_eq!(judge(&healthy, &own(Condition::Failed)).condition, Condition::Failed);
        assert_eq!(judge(&[], &own(Condition::Healthy)).condition, Condition::Unknown);
        let impostor = [(agent("a", 1), Condition::Draining, true)];
        assert_eq!(judge(&healthy, &impostor).condition, Condition::Healthy);
    }

    #[test]
    fn one_of_three_own_agents_does_not_fail_its_region_but_drains_it() {
        let healthy = [(agent("a", 0), Condition::Healthy, true)];
        let own = |condition| {
            [
                (agent("judged", 0), condition, true),
                (agent("judged", 1), Condition::Healthy, true),
                (agent("judged", 2), Condition::Healthy, true),
            ]
        };
        assert_eq!(judge(&healthy, &own(Condition::Failed)).condition, Condition::Healthy);
        assert_eq!(judge(&healthy, &own(Condition::Draining)).condition, Condition::Draining);
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
            "2 of 2 observing regions say failed (ap-south-1 failed: evidence, sa-east-1 abstains, us-west-2 failed: evidence)"
        );
    }

    #[test]
    fn hostile_evidence_is_cut_and_has_no_line_breaks() {
        let evil = format!("x\n{}", "y".repeat(10_000));
        let id = agent("a", 0);
        let opinion = Opinion { agent: &id, condition: Condition::Failed, evidence: &evil, is_fresh: true };
        let reason = region_verdict(&"judged".parse().unwrap(), &[opinion], &[], None, 0).reason;
        assert!(reason.len() < 200 && !reason.contains('\n'), "{reason}");
    }
}

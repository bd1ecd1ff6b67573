//! From the opinions of many observers to the verdict on a region.
//!
//! Two majorities: the agents of one observing region agree on that region's vote, then the
//! observing regions agree on the verdict. So a region with ten agents has one vote, like a region
//! with one. The judged region does not vote: it may report itself failed or draining, never up,
//! because a region that is cut off still looks healthy to itself.

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
    pub address: IpAddr,
    /// By the same majority as a region's verdict.
    pub condition: Condition,
    /// When it was reached, this agent's clock, Unix milliseconds.
    pub since_ms: u64,
    /// Why, in words.
    pub reason: String,
}

/// The verdict on one region, and the votes behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionVerdict {
    pub condition: Condition,
    /// When it was reached, this agent's clock, Unix milliseconds.
    pub since_ms: u64,
    /// What each observing region concludes, sorted; `Unknown` abstains. The region itself is not
    /// among them.
    pub votes: Vec<(RegionName, Condition)>,
    /// Why, in words.
    pub reason: String,
    /// The verdict on each of its addresses; empty where the endpoint is probed as a whole.
    pub addresses: Vec<AddressVerdict>,
}

/// What one agent says about one region: an observer's conclusion, or the own report of one of the
/// region's agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion<'a> {
    /// Whose opinion.
    pub agent: &'a AgentId,
    pub condition: Condition,
    /// The evidence; the reason quotes it, shortened.
    pub evidence: &'a str,
    /// Whether the opinion is recent; only then does it count.
    pub is_fresh: bool,
}

/// The verdict on `region`.
///
/// - `observers`: what agents conclude from their probes; agents of `region` itself are ignored.
/// - `own_reports`: what agents of `region` report about it; other agents are ignored. `Draining`
///   if one of the fresh ones drains and none still serves; `Failed` if more than half of the fresh
///   ones say so. They never improve the verdict.
/// - `previous`: the last verdict; its `since_ms` is kept while the condition stays.
///
/// `Failed` needs more than half of the observing regions that have an opinion; `Suspect` more than
/// half `Failed` or `Suspect`; a tie goes to the milder. `Unknown` if no region has an opinion. A
/// single observing region decides alone: with two regions there is no better evidence.
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
/// suspect: it may be healthy. Returns the index of the address that decides; none without
/// addresses.
pub(crate) fn of_addresses(conditions: &[Condition], minimum: usize) -> Option<usize> {
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

/// What a region's agents, each speaking for its own address, report about the region as a whole:
/// nothing while at least `minimum` addresses neither report themselves down nor are judged down by
/// others; otherwise `Draining` if any of them drains, else `Failed`.
///
/// `addresses`: the verdict on each address, with what its own agents report.
pub(crate) fn own_of_addresses(
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

/// Which of a region's `configured` addresses DNS answers: all that are not judged failed or
/// draining. An unknown one is answered if it is in `answered_now`, the present answer. Never
/// empty: if none would be left, all are answered, since then the region as a whole is judged, and
/// an answer that may be bad beats none.
pub fn answered(
    configured: &[IpAddr],
    verdicts: &[AddressVerdict],
    answered_now: Option<&[IpAddr]>,
) -> Vec<IpAddr> {
    let is_good = |address: &&IpAddr| {
        let verdict = verdicts.iter().find(|verdict| verdict.address == **address);
        match verdict.map_or(Condition::Unknown, |verdict| verdict.condition) {
            Condition::Healthy | Condition::Suspect => true,
            Condition::Failed | Condition::Draining => false,
            Condition::Unknown => {
                answered_now.is_none_or(|answered_now| answered_now.contains(*address))
            }
        }
    };
    let good: Vec<IpAddr> = configured.iter().filter(is_good).copied().collect();

    if good.is_empty() {
        configured.to_vec()
    } else {
        good
    }
}

/// What more than half agree on, ignoring those without an opinion; a tie goes to the milder.
pub(super) fn majority(conditions: impl Iterator<Item = Condition>) -> Condition {
    let mut voters = 0usize;
    let mut failed = 0usize;
    let mut suspect = 0usize;

    for condition in conditions {
        match condition {
            // Only a region itself can drain; from an observer it means nothing.
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
/// still serves takes itself out of its load balancer, not the region out of the mesh.
pub(crate) fn own_report(region: &RegionName, reports: &[Opinion<'_>]) -> Option<Condition> {
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

/// The worse of both; failed is worse than draining, since a draining region still answers its
/// present users.
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
            // The evidence of a success is its time, which differs with each probe: it would change
            // the reason needlessly.
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
mod tests;

//! The verdict on one region and on each of its addresses, from what all agents publish.

use super::{
    endpoint::LAST_PROBE,
    verdict::{
        AddressVerdict, Opinion, RegionVerdict, own_of_addresses, own_report, region_verdict,
    },
};
use crate::gossip::{AgentView, BoardView};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::{
        Observations, StatusEntry, StatusKind,
        condition::{Condition, Observation},
    },
};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// An observation older than this does not count: five publications were missed.
pub(super) const FRESH: Duration = Duration::from_secs(10);

/// The same if its agent is dead by membership; then only what it sees healthy counts. A partition
/// that takes agents away leaves others that must not take regions out alone at that moment: a
/// leader without a majority gives up after this time.
const FRESH_WHEN_DEAD: Duration = Duration::from_secs(5);

/// What one agent has published.
pub(super) struct Report<'a> {
    pub(super) agent: &'a AgentId,
    pub(super) observations: &'a Observations,
    /// Whether it is recent.
    pub(super) is_fresh: bool,
    is_alive: bool,
    seen_at: Instant,
}

impl<'a> Report<'a> {
    /// What `agent` observes and reports, if it published anything.
    pub(super) fn of(agent: &'a AgentId, view: &'a AgentView, now: Instant) -> Option<Self> {
        let seen = view.status_entries.get(&StatusKind::Observations)?;
        let StatusEntry::Observations(observations) = &*seen.status_entry else {
            return None;
        };
        let mut report = Self {
            agent,
            observations,
            is_fresh: false,
            is_alive: view.is_alive,
            seen_at: seen.seen_at,
        };
        report.is_fresh = now <= report.fresh_until();

        Some(report)
    }

    /// What this agent observes at present.
    pub(super) fn own(agent: &'a AgentId, observations: &'a Observations, now: Instant) -> Self {
        Self {
            agent,
            observations,
            is_fresh: true,
            is_alive: true,
            seen_at: now,
        }
    }

    /// Afterwards it is not recent any more.
    pub(super) fn fresh_until(&self) -> Instant {
        let fresh_for = match self.is_alive {
            true => FRESH,
            false => FRESH_WHEN_DEAD,
        };
        self.seen_at + fresh_for
    }

    /// What the agent observes of `region`.
    pub(super) fn seen(&self, region: &RegionName) -> Option<&'a Observation> {
        let mut regions = self.observations.regions.iter();
        regions.find(|seen| seen.region == *region)
    }

    fn on(&self, region: &RegionName) -> Option<Opinion<'a>> {
        let seen = self.seen(region)?;
        Some(self.opinion(seen.condition, &seen.evidence))
    }

    fn on_address(&self, region: &RegionName, address: IpAddr) -> Option<Opinion<'a>> {
        let mut addresses = self.seen(region)?.addresses.iter();
        let seen = addresses.find(|seen| seen.address == Some(address))?;

        // The last probe of a gray address differs each time; a verdict's reason must not.
        let evidence = seen.evidence.split(LAST_PROBE).next().unwrap_or_default();
        Some(self.opinion(seen.condition, evidence))
    }

    fn opinion(&self, condition: Condition, evidence: &'a str) -> Opinion<'a> {
        Opinion {
            agent: self.agent,
            condition,
            evidence,
            is_fresh: self.is_fresh && (self.is_alive || condition == Condition::Healthy),
        }
    }
}

/// The verdict on `region`, which has these addresses (none where it is probed as a whole) and
/// needs `minimum` of them.
pub(super) fn judge(
    region: &RegionName,
    addresses: &[IpAddr],
    minimum: usize,
    reports: &[Report<'_>],
    previous: Option<&RegionVerdict>,
    now_ms: u64,
) -> RegionVerdict {
    let of_region = |report: &&Report<'_>| report.agent.region == *region;
    // Its agents' own reports; those for one address count for that address first.
    let mut on_addresses = Vec::new();
    let mut conditions = Vec::new();

    for address in addresses {
        let observers: Vec<Opinion<'_>> = reports
            .iter()
            .filter_map(|report| report.on_address(region, *address))
            .collect();
        let own: Vec<Opinion<'_>> = reports
            .iter()
            .filter(of_region)
            .filter(|report| report.is_alive)
            .filter(|report| report.observations.own_address == Some(*address))
            .filter_map(|report| Some(report.opinion(report.observations.own?, "")))
            .collect();

        let before = previous.and_then(|verdict| {
            verdict
                .addresses
                .iter()
                .find(|before| before.address == *address)
        });
        let judged = region_verdict(region, &observers, &own, None, now_ms);
        let since_ms = before
            .filter(|before| before.condition == judged.condition)
            .map_or(now_ms, |before| before.since_ms);

        conditions.push((judged.condition, own_report(region, &own)));
        on_addresses.push(AddressVerdict {
            address: *address,
            condition: judged.condition,
            since_ms,
            reason: judged.reason,
        });
    }

    let of_addresses = own_of_addresses(&conditions, minimum);
    let observers: Vec<Opinion<'_>> = reports
        .iter()
        .filter_map(|report| report.on(region))
        .collect();
    let own: Vec<Opinion<'_>> = reports
        .iter()
        .filter(of_region)
        .filter(|report| report.is_alive)
        .filter_map(|report| {
            let own = report.observations.own?;
            let speaks_for_one = report
                .observations
                .own_address
                .is_some_and(|address| addresses.contains(&address));
            let counts = if speaks_for_one {
                of_addresses.unwrap_or(Condition::Healthy)
            } else {
                own
            };

            Some(report.opinion(counts, ""))
        })
        .collect();

    let mut verdict = region_verdict(region, &observers, &own, previous, now_ms);
    verdict.addresses = on_addresses;
    verdict
}

/// Whether our own board entry, perhaps of a previous run, reports the region draining.
pub(super) fn announced_drain(board: &BoardView, id: &AgentId) -> bool {
    let seen = board
        .agents
        .get(id)
        .and_then(|view| view.status_entries.get(&StatusKind::Observations));

    matches!(
        seen.map(|seen| &*seen.status_entry),
        Some(StatusEntry::Observations(Observations {
            own: Some(Condition::Draining),
            ..
        }))
    )
}

//! Verdicts from the board and this agent's own observations.

use super::{
    HealthState,
    judge::{Report, judge},
};
use regionmesh_core::{
    gossip::BoardView,
    health::verdict::{AddressVerdict, RegionVerdict},
};
use regionmesh_protocol::{
    identity::RegionName,
    status::{StatusEntry, StatusKind, condition::Condition},
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

/// An observation older than this does not count: five publications were missed.
pub(super) const FRESH: Duration = Duration::from_secs(10);

impl HealthState {
    /// Computes every verdict from the board and our own observations; logs each change.
    pub(super) fn judge(&mut self) {
        let board = self.arguments.snapshots.board.borrow().clone();
        let previous = self.arguments.snapshots.verdicts.borrow().clone();
        let verdicts = self.verdicts(&board, &previous);

        if *previous == verdicts {
            return;
        }

        for (region, verdict) in &verdicts {
            let of_addresses = previous
                .get(region)
                .map(|verdict| verdict.addresses.as_slice())
                .unwrap_or_default();

            self.log_addresses(region, of_addresses, &verdict.addresses);
            let before = previous.get(region).map(|verdict| verdict.condition);
            if before == Some(verdict.condition) {
                continue;
            }
            self.arguments.metrics.judges(region, verdict.condition);

            let after = verdict.condition;
            let reason = &verdict.reason;
            let Some(before) = before else { continue };

            self.arguments.metrics.changed(region);
            match after {
                Condition::Failed | Condition::Suspect => {
                    tracing::warn!(%region, %before, %after, reason, "the verdict on a region \
                        worsened");
                }
                _ => {
                    tracing::info!(%region, %before, %after, reason, "the verdict on a region \
                        changed")
                }
            }
        }

        self.arguments
            .snapshots
            .verdicts
            .send_replace(Arc::new(verdicts));
    }

    fn log_addresses(
        &self,
        region: &RegionName,
        before: &[AddressVerdict],
        after: &[AddressVerdict],
    ) {
        for judged in after {
            let before = before
                .iter()
                .find(|before| before.address == judged.address)
                .map(|before| before.condition);

            if before == Some(judged.condition) {
                continue;
            }
            self.arguments
                .metrics
                .judges_address(region, judged.address, judged.condition);

            let address = judged.address;
            let verdict = judged.condition;
            let reason = &judged.reason;

            // With a single address the region's verdict is enough.
            if before.is_some() && after.len() > 1 {
                tracing::info!(%region, %address, %verdict, reason, "the verdict on an address \
                    changed");
            }
        }
    }

    pub(super) fn verdicts(
        &self,
        board: &BoardView,
        previous: &BTreeMap<RegionName, RegionVerdict>,
    ) -> BTreeMap<RegionName, RegionVerdict> {
        let own = self.observations();
        let mut reports = vec![Report {
            agent: &self.arguments.id,
            observations: &own,
            is_fresh: true,
        }];

        for (agent, view) in &board.agents {
            // A region that is not in our configuration has no vote, whatever its certificate says.
            if *agent == self.arguments.id || !self.trackers.contains_key(&agent.region) {
                continue;
            }

            if let Some(seen) = view.status_entries.get(&StatusKind::Observations)
                && let StatusEntry::Observations(observations) = &*seen.status_entry
            {
                let is_fresh = view.is_alive && seen.seen_at.elapsed() <= FRESH;
                reports.push(Report {
                    agent,
                    observations,
                    is_fresh,
                });
            }
        }

        let now_ms = self.shift.wall_ms(self.clock.now_ms());
        let judge = |(region, addresses): (&RegionName, &Vec<IpAddr>)| {
            let verdict = judge(
                region,
                addresses,
                self.policy.minimum,
                &reports,
                previous.get(region),
                now_ms,
            );

            (region.clone(), verdict)
        };

        self.addresses.iter().map(judge).collect()
    }
}

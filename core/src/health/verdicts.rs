//! Verdicts from the board and this agent's own observations.

use super::{
    Health,
    judge::{Report, judge},
    types::{Effect, EndpointSettings, Notice},
    verdict::{AddressVerdict, RegionVerdict},
};
use crate::now::Now;
use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use std::{collections::BTreeMap, sync::Arc};

impl Health {
    /// Computes every verdict from the board and our own observations.
    pub(super) fn judge(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.is_unjudged = false;
        self.view(now, out);
        let verdicts = self.compute(now);
        if *self.verdicts == verdicts {
            return;
        }

        for (region, verdict) in &verdicts {
            let before = self.verdicts.get(region);
            let of_addresses = before
                .map(|before| before.addresses.as_slice())
                .unwrap_or_default();
            address_notices(region, of_addresses, &verdict.addresses, out);

            let before = before.map(|before| before.condition);
            if before != Some(verdict.condition) {
                out.push(Effect::Notice(Notice::Verdict {
                    region: region.clone(),
                    before,
                    after: verdict.condition,
                    reason: verdict.reason.clone(),
                }));
            }
        }

        self.verdicts = Arc::new(verdicts);
        out.push(Effect::Verdicts(self.verdicts.clone()));
    }

    /// Whether some region is not healthy: then the reasons of verdicts change with the evidence.
    pub(super) fn is_anything_wrong(&self) -> bool {
        let mut verdicts = self.verdicts.values();
        verdicts.any(|verdict| verdict.condition != Condition::Healthy)
    }

    fn compute(&mut self, now: Now) -> BTreeMap<RegionName, RegionVerdict> {
        let own = self.observations();
        let board = self.board.clone();
        let own_id = self.settings.id.clone();
        let mut reports = vec![Report::own(&own_id, &own, now.monotonic)];
        self.fresh_until = None;

        for (agent, view) in &board.agents {
            // A region that is not in our configuration has no vote, whatever its certificate says.
            let is_configured = self.settings.endpoints.contains_key(&agent.region);
            if *agent == self.settings.id || !is_configured {
                continue;
            }

            let Some(report) = Report::of(agent, view, now.monotonic) else {
                continue;
            };
            if report.is_fresh {
                let until = report.fresh_until();
                self.fresh_until = Some(self.fresh_until.map_or(until, |first| first.min(until)));
            }
            reports.push(report);
        }

        let now_ms = self.shift.wall_ms(self.clock.ms(now.monotonic));
        let judge = |(region, endpoint): (&RegionName, &EndpointSettings)| {
            let verdict = judge(
                region,
                &endpoint.addresses,
                self.settings.policy.minimum,
                &reports,
                self.verdicts.get(region),
                now_ms,
            );

            (region.clone(), verdict)
        };

        self.settings.endpoints.iter().map(judge).collect()
    }
}

fn address_notices(
    region: &RegionName,
    before: &[AddressVerdict],
    after: &[AddressVerdict],
    out: &mut Vec<Effect>,
) {
    for judged in after {
        let before = before
            .iter()
            .find(|before| before.address == judged.address)
            .map(|before| before.condition);

        if before != Some(judged.condition) {
            out.push(Effect::Notice(Notice::AddressVerdict {
                region: region.clone(),
                address: judged.address,
                before,
                after: judged.condition,
                reason: judged.reason.clone(),
                is_only: after.len() == 1,
            }));
        }
    }
}

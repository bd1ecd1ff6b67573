//! Detects a frozen plan, without a leader or while automatic failover is refused, and hands the
//! DNS server the answers for that time.

use super::driver::Driver;
use regionmesh_core::{
    gossip::BoardView,
    planning::freeze::{Freeze, LocalAnswer, Place, local_answer},
};
use regionmesh_protocol::{identity::RegionName, plan::Plan};
use regionmesh_runtime::time::unix_ms;
use std::{collections::BTreeSet, sync::Arc};

impl Driver {
    /// Updates whether the plan is frozen, and what this agent's DNS answers while it is.
    pub(super) fn judge_freeze(&mut self, board: &BoardView) {
        let now_ms = self.now_ms();
        let is_led = self.arguments.snapshots.leader.borrow().ballot.is_some();
        let frozen_ms = self.freeze.observe(is_led, now_ms);
        let plan = self.arguments.snapshots.plan.borrow().clone();
        let before = self.arguments.snapshots.freeze.borrow().clone();
        let refused = self
            .members()
            .and_then(|members| members.why_not_automatic());

        // A leader that acts on orders only does not move users: reported once our own answer
        // differs from the plan.
        let next = plan
            .filter(|_| frozen_ms.is_some() || refused.is_some())
            .and_then(|committed| {
                let local = self.local_answer(&committed.plan);
                if frozen_ms.is_none() && local.is_none() {
                    return None;
                }

                let lasted_ms = frozen_ms.map_or(0, |since_ms| now_ms - since_ms);
                let since_ms = before
                    .as_ref()
                    .map_or(unix_ms().saturating_sub(lasted_ms), |before| {
                        before.since_ms
                    });

                Some(self.frozen(board, refused.filter(|_| is_led), local, since_ms))
            });

        if before.as_deref() == next.as_ref() {
            return;
        }

        let left_out = |freeze: Option<&Freeze>| {
            freeze
                .and_then(|freeze| freeze.local.as_deref())
                .map(|local| local.left_out.clone())
                .unwrap_or_default()
        };

        self.publish_left_out(&left_out(before.as_deref()), &left_out(next.as_ref()));
        self.arguments
            .metrics
            .frozen
            .is_frozen
            .set(i64::from(next.is_some()));

        match &next {
            Some(freeze) => tracing::warn!(
                since_ms = freeze.since_ms,
                detail = freeze.detail,
                "the plan is frozen"
            ),
            None => tracing::info!("the plan is no longer frozen"),
        }

        self.arguments
            .snapshots
            .freeze
            .send_replace(next.map(Arc::new));
    }

    /// `refused`: why the leader moves no traffic automatically.
    fn frozen(
        &self,
        board: &BoardView,
        refused: Option<String>,
        local: Option<LocalAnswer>,
        since_ms: u64,
    ) -> Freeze {
        let names = self
            .members()
            .map_or_else(|| self.configured.clone(), |members| members.names());
        let living: BTreeSet<&RegionName> = board
            .agents
            .iter()
            .filter(|(_, view)| view.is_alive)
            .map(|(agent, _)| &agent.region)
            .collect();

        let own = &self.arguments.id.region;
        let reachable = names
            .iter()
            .filter(|name| living.contains(name) || *name == own)
            .count();
        let mut detail = if let Some(why) = refused {
            why
        } else if reachable * 2 > names.len() {
            format!(
                "no leader is elected although {reachable} of {} regions are reachable; see their \
                    stores",
                names.len()
            )
        } else {
            format!(
                "{reachable} of {} regions reachable, not a majority; restore the others",
                names.len()
            )
        };

        if let Some(local) = &local {
            let names: Vec<&str> = local.left_out.iter().map(RegionName::as_str).collect();
            let consequence = if names.is_empty() {
                "; the plan answers no region, this agent's DNS those that its own probes see \
                    healthy"
                    .to_owned()
            } else {
                format!(
                    "; this agent's DNS leaves out {}, refused to its own probes",
                    names.join(", ")
                )
            };

            detail += &consequence;
        }

        Freeze {
            since_ms,
            reachable,
            members: names.len(),
            local: local.map(Arc::new),
            detail,
        }
    }

    fn local_answer(&self, plan: &Plan) -> Option<LocalAnswer> {
        let config = &self.arguments.config;
        if !config.dns.filter_when_frozen {
            return None;
        }

        let place = |region: &crate::config::RegionConfig| {
            (
                region.name.clone(),
                Place {
                    weight_bp: region.weight_bp,
                    priority: region.priority,
                },
            )
        };

        let places = config.regions.iter().map(place).collect();
        let seen = self.arguments.snapshots.own_view.borrow().clone();
        local_answer(
            plan,
            config.traffic.when_all_down.withdraws(plan),
            &seen,
            config.traffic.strategy,
            &places,
        )
    }

    fn publish_left_out(&self, before: &BTreeSet<RegionName>, after: &BTreeSet<RegionName>) {
        for region in before.union(after) {
            let is_left_out = after.contains(region);
            self.arguments
                .metrics
                .frozen
                .left_out
                .with_label_values(&[region.as_str()])
                .set(i64::from(is_left_out));

            if is_left_out == before.contains(region) {
                continue;
            }

            if is_left_out {
                tracing::warn!(%region, "the plan is frozen: DNS leaves out a region that refuses \
                    this agent's probes");
            } else {
                tracing::info!(%region, "DNS answers a region that it had left out");
            }
        }
    }
}

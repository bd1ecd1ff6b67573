//! Detects a frozen plan, without a leader or while automatic failover is refused, and hands the
//! DNS server the answers for that time.

use super::{notice::Notice, state::Leader, turn::Turn, types::Effect};
use crate::{
    gossip::BoardView,
    planning::{
        RegionSettings,
        freeze::{Freeze, LocalAnswer, Place, local_answer},
    },
};
use regionmesh_protocol::{identity::RegionName, plan::Plan};
use std::{collections::BTreeSet, sync::Arc};

impl Leader {
    /// Updates whether the plan is frozen, and what this agent's DNS answers while it is.
    pub(super) fn judge_freeze(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        let now_ms = self.now_ms(turn.now);
        let leader = self.published.leader.as_ref();
        let is_led = leader.is_some_and(|leader| leader.ballot.is_some());
        let frozen_ms = self.freeze.observe(is_led, now_ms);
        let before = self.published.freeze.clone();
        let refused = self
            .members()
            .and_then(|members| members.why_not_automatic());

        // A leader that acts on orders only does not move users: reported once our own answer
        // differs from the plan.
        let next = self
            .plan
            .as_ref()
            .filter(|_| frozen_ms.is_some() || refused.is_some())
            .and_then(|committed| {
                let local = self.local_answer(&committed.plan);
                if frozen_ms.is_none() && local.is_none() {
                    return None;
                }

                let lasted_ms = frozen_ms.map_or(0, |since_ms| now_ms - since_ms);
                let since_ms = before
                    .as_ref()
                    .map_or(turn.now.unix_ms.saturating_sub(lasted_ms), |before| {
                        before.since_ms
                    });

                Some(self.frozen(board, refused.filter(|_| is_led), local, since_ms))
            });

        if before.as_deref() == next.as_ref() {
            return;
        }

        report_left_out(&left_out(before.as_deref()), &left_out(next.as_ref()), turn);
        self.published.freeze = next.map(Arc::new);
        turn.emit(Effect::Freeze(self.published.freeze.clone()));
    }

    /// `refused`: why the leader moves no traffic automatically.
    fn frozen(
        &self,
        board: &BoardView,
        refused: Option<String>,
        local: Option<LocalAnswer>,
        since_ms: u64,
    ) -> Freeze {
        let names = self.member_names();
        let living: BTreeSet<&RegionName> = board
            .agents
            .iter()
            .filter(|(_, view)| view.is_alive)
            .map(|(agent, _)| &agent.region)
            .collect();

        let own = self.own_region();
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
        let settings = &self.settings;
        if !settings.filters_when_frozen {
            return None;
        }

        let place = |(name, region): (&RegionName, &RegionSettings)| {
            (
                name.clone(),
                Place {
                    weight_bp: region.weight_bp,
                    priority: region.priority,
                },
            )
        };

        let places = settings.plan.regions.iter().map(place).collect();
        local_answer(
            plan,
            settings.withdraws_when_all_failed && plan.all_failed_ms.is_some(),
            &self.seen.own_view,
            settings.plan.strategy,
            &places,
        )
    }
}

/// The regions that our own DNS leaves out.
fn left_out(freeze: Option<&Freeze>) -> BTreeSet<RegionName> {
    freeze
        .and_then(|freeze| freeze.local.as_deref())
        .map(|local| local.left_out.clone())
        .unwrap_or_default()
}

fn report_left_out(
    before: &BTreeSet<RegionName>,
    after: &BTreeSet<RegionName>,
    turn: &mut Turn<'_>,
) {
    for region in before.union(after) {
        let is_left_out = after.contains(region);
        turn.notice(Notice::LeftOut {
            region: region.clone(),
            is_left_out,
            is_news: is_left_out != before.contains(region),
        });
    }
}

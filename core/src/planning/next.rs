//! From one plan to the next.
//!
//! The steps, in order: drop expired overrides; update every region's traffic state by its verdict
//! and its overrides; take out as many failed regions as the limit allows; start one ramp; derive
//! weights from traffic states, within capacity, and apply cost factors while every region is
//! healthy; make sure that some region still answers. Applying the result again at the same time
//! changes nothing.

mod draft;
mod last_resort;
mod moves;
mod shares;

use super::{PlanInputs, words::LAST_SHARES};
use draft::Draft;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Override, Plan},
    status::condition::Condition,
};
use std::collections::BTreeMap;

/// The plan that follows from `current`, the inputs and the time; none if `current` may stay.
///
/// Traffic states:
/// - First plan: every region not known to be down serves. A region that joins later, or is not up
///   yet at the first plan, comes in by cool-down and ramp: it has never proved that it serves, and
///   no failure is counted against it.
/// - Suspect: the share is cut to `suspect_percent` and given back as soon as the suspicion ends;
///   on the ramp, one step back instead; a cool-down starts over.
/// - Failed: out, and counted as a flap; limited to a suspect region's share if automation already
///   has `max_out` regions out. Draining: out, not counted. Unknown: nothing moves.
/// - Healthy again: the cool-down ([`crate::recovery::ramp::RecoveryPolicy::cool_down_for`]), which
///   does not end while the region lacks models or has not loaded them; then the ramp, one region
///   at a time, so that any effect on the others can be attributed to it.
///
/// Guards: [`Draft::grant_exits`], at most `max_out` regions out by automation;
/// [`super::weights::within_capacity`], no region gets more than it can take;
/// [`Draft::ensure_answer`], the answer is never empty. Orders outrank all of this except
/// survival: see [`super::yielding::Survival::yielded`].
pub fn next_plan(current: Option<&Plan>, inputs: &PlanInputs, now_ms: u64) -> Option<Plan> {
    let draft = Draft::new(current, inputs, now_ms).complete(current);
    draft.finish(current)
}

/// The plan that would follow if these regions were in these conditions; none if the current one
/// would stay. Changes nothing.
pub fn what_if(
    current: Option<&Plan>,
    inputs: &PlanInputs,
    assumed: &BTreeMap<RegionName, Condition>,
    now_ms: u64,
) -> Option<Plan> {
    let mut inputs = inputs.clone();
    for (name, condition) in assumed {
        if let Some(input) = inputs.regions.get_mut(name) {
            input.condition = *condition;
            input.since_ms = now_ms;
            input.reason = "as assumed".into();
        }
    }

    next_plan(current, &inputs, now_ms)
}

/// The plan with these overrides instead of the current ones. It always differs: its reason says
/// who ordered what.
pub(super) fn plan_with(
    current: &Plan,
    overrides: Vec<Override>,
    reason: String,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Plan {
    let ordered = Plan {
        overrides,
        ..current.clone()
    };
    let mut draft = Draft::new(Some(&ordered), inputs, now_ms);

    draft.reasons.insert(0, reason);
    draft.complete(Some(current)).into_plan()
}

impl Draft<'_> {
    fn complete(mut self, current: Option<&Plan>) -> Self {
        // One region's move may make room for another's: a cool-down that ends frees a place among
        // those that are out. Every round but the last moves a region, and none moves in a circle,
        // so the bound is never reached.
        for _ in 0..=4 * self.regions.len() {
            let before = self.regions.clone();
            self.apply_verdicts();
            self.grant_exits();
            self.end_cool_downs();
            if self.regions == before {
                break;
            }
        }

        let reasons_before = self.reasons.len();
        self.report_limited(current);
        self.share_out(current);
        self.ensure_answer(current, reasons_before);

        let before = current.and_then(|plan| plan.all_failed_ms);
        match (before, self.all_failed_ms) {
            (None, Some(_)) => self.add_reason(LAST_SHARES.into()),
            (Some(_), None) => self.add_reason("at least one region is no longer failed".into()),
            _ => {}
        }

        self
    }

    fn finish(mut self, current: Option<&Plan>) -> Option<Plan> {
        if current.is_some_and(|plan| self.is_equal_to(plan)) {
            return None;
        }
        if self.reasons.is_empty() {
            self.reasons.push("the configured shares changed".into());
        }

        Some(self.into_plan())
    }
}

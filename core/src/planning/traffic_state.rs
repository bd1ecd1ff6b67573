//! How one region's traffic state changes: by its verdict, its overrides and, on the ramp, its
//! canary analysis.

use super::{PlanInputs, RegionInput, overrides::Orders};
use crate::recovery::{
    canary::{CanaryComparison, Evidence},
    ramp::{RampMove, RecoveryPolicy},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, OverrideKind, RegionPlan, TrafficState},
    status::condition::Condition,
};

/// What decides about one region's traffic state at one time.
pub(super) struct Situation<'a> {
    pub(super) orders: Orders<'a>,
    pub(super) input: &'a RegionInput,
    pub(super) inputs: &'a PlanInputs,
    pub(super) now_ms: u64,
}

impl Situation<'_> {
    /// `what`, with the verdict's reason if it has one.
    fn because(&self, what: &str) -> String {
        if self.input.reason.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {}", self.input.reason)
        }
    }

    fn out(&self) -> TrafficState {
        TrafficState::Out {
            since_ms: self.now_ms,
        }
    }
}

/// Moves one region's traffic state until no further move is due at this time.
pub(super) fn converge(
    name: &RegionName,
    region: &mut RegionPlan,
    situation: &Situation<'_>,
    reasons: &mut Vec<String>,
) {
    while let Some(reason) = step(region, situation) {
        reasons.push(format!("{name}: {reason}"));
    }
}

/// One move of one region's traffic state, and why; none if none is due. Every chain of moves at
/// one time ends: under one verdict a region moves in one direction only, and a measurement counts
/// for the step that it was taken on.
fn step(region: &mut RegionPlan, situation: &Situation<'_>) -> Option<String> {
    if let Some(promotion) = situation.orders.promotion(situation.input)
        && (promotion.is_immediate
            || matches!(
                region.traffic_state,
                TrafficState::Serving | TrafficState::Reduced
            ))
    {
        if region.traffic_state == TrafficState::Serving {
            return None;
        }

        serve(region);
        let by = &promotion.by;
        return Some(format!("promoted by {by}, without cool-down or ramp"));
    }

    match situation.orders.condition(situation.input) {
        Condition::Unknown => None,
        Condition::Draining => drain(region, situation),
        Condition::Failed => fail(region, situation),
        Condition::Suspect => suspect(region, situation),
        Condition::Healthy => recover(region, situation),
    }
}

/// The move of a region that drains, on its own or by an order.
fn drain(region: &mut RegionPlan, situation: &Situation<'_>) -> Option<String> {
    let (absence, reason) = match situation.orders.own(OverrideKind::Drain) {
        Some(order) => (
            Absence::Ordered,
            format!("drained by {} ({})", order.by, order.why),
        ),
        None => (Absence::Draining, situation.because("drains")),
    };

    let is_out = matches!(region.traffic_state, TrafficState::Out { .. });
    if is_out && region.absence == Some(absence) {
        return None;
    }

    region.absence = Some(absence);
    if !is_out {
        region.traffic_state = situation.out();
    }

    Some(reason)
}

/// The move of a region that failed.
fn fail(region: &mut RegionPlan, situation: &Situation<'_>) -> Option<String> {
    let is_carrying = region.weight_bp > 0;
    let (traffic_state, absence) = match &region.traffic_state {
        TrafficState::Out { .. }
        | TrafficState::Limited {
            healthy_ms: None, ..
        } => return None,

        // Whether it may be taken out depends on the other regions: see `grant_exits`.
        TrafficState::Serving | TrafficState::Reduced | TrafficState::Limited { .. }
            if is_carrying =>
        {
            let limited = TrafficState::Limited {
                since_ms: situation.now_ms,
                healthy_ms: None,
            };
            (limited, None)
        }
        TrafficState::Serving | TrafficState::Reduced | TrafficState::Limited { .. } => {
            (situation.out(), Some(Absence::Idle))
        }

        // It had not been given back all of its traffic: it loses it immediately, however many
        // others are out.
        TrafficState::Ramping { .. } => (situation.out(), Some(Absence::Failed)),
        TrafficState::CoolingDown { .. } => (situation.out(), region.absence),
    };

    region.traffic_state = traffic_state;
    region.absence = absence;
    region.hold_doublings = 0;
    count_failure(region, situation.now_ms);
    Some(situation.because("failed"))
}

/// The move of a suspect region.
fn suspect(region: &mut RegionPlan, situation: &Situation<'_>) -> Option<String> {
    let Situation {
        input,
        inputs,
        now_ms,
        ..
    } = *situation;

    let (traffic_state, reason) = match region.traffic_state {
        TrafficState::Serving => {
            let percent = inputs.suspect_percent;
            let reason = format!("suspect, its share is cut to {percent} %");
            (TrafficState::Reduced, reason)
        }
        TrafficState::CoolingDown { .. } => {
            (situation.out(), "suspect, its cool-down starts over".into())
        }
        TrafficState::Limited {
            since_ms,
            healthy_ms: Some(_),
        } => {
            let traffic_state = TrafficState::Limited {
                since_ms,
                healthy_ms: None,
            };
            (traffic_state, "suspect, its cool-down starts over".into())
        }
        TrafficState::Ramping { step, since_ms } => {
            // Once for each suspicion: this step is younger than the suspicion it was entered for.
            if since_ms >= input.judged_ms(now_ms) {
                return None;
            }

            let step = inputs.recovery.back(step);
            let traffic_state = TrafficState::Ramping {
                step,
                since_ms: now_ms.max(input.judged_ms(now_ms)),
            };

            let percent = inputs.recovery.percent_at(step);
            (traffic_state, format!("suspect, back to {percent} %"))
        }
        TrafficState::Reduced | TrafficState::Out { .. } | TrafficState::Limited { .. } => {
            return None;
        }
    };

    region.traffic_state = traffic_state;
    Some(situation.because(&reason))
}

/// The move of a healthy region.
fn recover(region: &mut RegionPlan, situation: &Situation<'_>) -> Option<String> {
    let recovery = &situation.inputs.recovery;
    let now_ms = situation.now_ms;
    let cool_down_s = recovery.cool_down_for(region.flaps) / 1_000;

    let (traffic_state, reason) = match region.traffic_state {
        TrafficState::Reduced => (
            TrafficState::Serving,
            "answers again, gets its full share".into(),
        ),
        TrafficState::Out { .. } => (
            TrafficState::CoolingDown { since_ms: now_ms },
            format!("healthy again, must stay so for {cool_down_s} s"),
        ),
        TrafficState::Limited {
            since_ms,
            healthy_ms: None,
        } => {
            let traffic_state = TrafficState::Limited {
                since_ms,
                healthy_ms: Some(now_ms),
            };
            let reason =
                format!("healthy again, keeps its cut share and must stay so for {cool_down_s} s");
            (traffic_state, reason)
        }
        TrafficState::Ramping { step, since_ms } => {
            return climb(region, step, since_ms, situation);
        }
        TrafficState::Serving => {
            let age_ms = now_ms.saturating_sub(region.failed_ms);
            if region.flaps == 0 || age_ms < recovery.forget_flaps_ms {
                return None;
            }

            region.flaps = 0;
            (TrafficState::Serving, "its failures are forgotten".into())
        }
        TrafficState::CoolingDown { .. } | TrafficState::Limited { .. } => return None,
    };

    region.traffic_state = traffic_state;
    Some(reason)
}

/// A healthy region on the ramp: back if it does worse than the others, forward if it has done well
/// for long enough.
fn climb(
    region: &mut RegionPlan,
    step: usize,
    since_ms: u64,
    situation: &Situation<'_>,
) -> Option<String> {
    let recovery = &situation.inputs.recovery;
    if recovery.steps.is_empty() {
        serve(region);
        return Some("the ramp has no steps, gets its full share".into());
    }

    let held_ms = situation.now_ms.saturating_sub(since_ms);
    let hold_ms = recovery.hold_for(step, region.hold_doublings, situation.inputs.ttl_ms);

    match comparison_of(situation.input, step, since_ms) {
        // No measurements here: the clock and the verdict decide.
        Ok(None) => {}
        Ok(Some(comparison)) => {
            let is_enough = comparison.is_enough(recovery.min_requests, held_ms, hold_ms);
            let is_over = held_ms >= hold_ms && is_enough;
            if let Some(regression) = comparison.regression(recovery.errors_floor_bp, is_over) {
                return Some(fall_back(region, step, &regression, situation));
            }
            if !is_enough {
                return None;
            }
        }
        Err(Unmeasured) => return None,
    }

    match recovery.advance(step, held_ms, hold_ms) {
        RampMove::Hold => None,
        RampMove::Step(step) => {
            region.hold_doublings = 0;
            region.traffic_state = TrafficState::Ramping {
                step,
                since_ms: situation.now_ms,
            };

            let percent = recovery.percent_at(step);
            let number = step + 1;
            let of = recovery.steps.len();
            Some(format!("ramps up to {percent} % (step {number} of {of})"))
        }
        RampMove::Full => {
            serve(region);
            Some("ramp complete, gets its full share".into())
        }
    }
}

/// One step back, which is then held twice as long; from the first step back to a cool-down, which
/// counts as a failure and therefore lasts twice as long too.
fn fall_back(
    region: &mut RegionPlan,
    step: usize,
    regression: &str,
    situation: &Situation<'_>,
) -> String {
    let recovery = &situation.inputs.recovery;
    let now_ms = situation.now_ms;
    if step == 0 {
        count_failure(region, now_ms);
        region.hold_doublings = 0;
        region.absence = region.absence.or(Some(Absence::Failed));
        region.traffic_state = TrafficState::CoolingDown { since_ms: now_ms };

        let cool_down_s = recovery.cool_down_for(region.flaps) / 1_000;
        return format!(
            "worse than the regions that serve, back to 0 % and a cool-down of {cool_down_s} s: \
                {regression}"
        );
    }

    let back = recovery.back(step);
    region.hold_doublings = recovery.doubled(region.hold_doublings);
    region.traffic_state = TrafficState::Ramping {
        step: back,
        since_ms: now_ms,
    };

    let hold_s = recovery.hold_for(back, region.hold_doublings, situation.inputs.ttl_ms) / 1_000;
    let percent = recovery.percent_at(back);
    format!(
        "worse than the regions that serve, back to {percent} %, held for {hold_s} s: {regression}"
    )
}

/// A measurement is due and missing.
pub(super) struct Unmeasured;

/// The measurement of this very step; none if none is due.
pub(super) fn comparison_of(
    input: &RegionInput,
    step: usize,
    since_ms: u64,
) -> Result<Option<&CanaryComparison>, Unmeasured> {
    match &input.evidence {
        Evidence::NotMeasured => Ok(None),
        Evidence::Measured(comparison)
            if (comparison.step, comparison.since_ms) == (step, since_ms) =>
        {
            Ok(Some(comparison))
        }
        Evidence::Measured(_) | Evidence::Missing => Err(Unmeasured),
    }
}

fn count_failure(region: &mut RegionPlan, now_ms: u64) {
    region.flaps = region.flaps.saturating_add(1);
    region.failed_ms = now_ms;
}

/// Puts a region into full service.
pub(super) fn serve(region: &mut RegionPlan) {
    region.traffic_state = TrafficState::Serving;
    region.absence = None;
    region.hold_doublings = 0;
}

/// Since when the region has waited, if its cool-down may end.
pub(super) fn has_cooled_down(
    region: &RegionPlan,
    condition: Condition,
    input: &RegionInput,
    recovery: &RecoveryPolicy,
    now_ms: u64,
) -> Option<u64> {
    let since_ms = cooling_down_since(region)?;
    let has_waited = now_ms.saturating_sub(since_ms) >= recovery.cool_down_for(region.flaps);
    (has_waited && condition == Condition::Healthy && input.is_fit()).then_some(since_ms)
}

/// When the region's cool-down began.
pub(super) fn cooling_down_since(region: &RegionPlan) -> Option<u64> {
    match region.traffic_state {
        TrafficState::CoolingDown { since_ms } => Some(since_ms),
        TrafficState::Limited { healthy_ms, .. } => healthy_ms,
        _ => None,
    }
}

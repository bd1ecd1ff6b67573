//! How one region's standing follows its verdict, its overrides and, on the ramp, what is measured
//! of it.

use super::{PlanInputs, RegionInput};
use crate::recovery::{
    ramp::{RampMove, RecoveryPolicy},
    trial::{Evidence, Trial},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, Override, OverrideKind, RegionPlan, Standing, YieldedOrder},
    status::condition::Condition,
};

/// What an operator ordered, as far as one region is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orders<'a> {
    /// For this region.
    pub(super) own: Option<&'a Override>,
    /// For the whole mesh: a hold.
    pub(super) mesh: Option<&'a Override>,
}

impl<'a> Orders<'a> {
    pub(super) fn of(overrides: &'a [Override], region: &RegionName) -> Self {
        let find = |of: Option<&RegionName>| {
            overrides
                .iter()
                .find(|standing| standing.region.as_ref() == of)
        };

        Self {
            own: find(Some(region)),
            mesh: find(None),
        }
    }

    /// The same without the orders that yield for this region.
    pub(super) fn in_effect(
        overrides: &'a [Override],
        yielded: &[YieldedOrder],
        region: &RegionName,
    ) -> Self {
        let all = Self::of(overrides, region);
        let stands = |order: &&Override| {
            !yielded
                .iter()
                .any(|yielded| yielded.region == *region && yielded.order == order.region)
        };

        Self {
            own: all.own.filter(stands),
            mesh: all.mesh.filter(stands),
        }
    }

    pub(super) fn own(&self, kind: OverrideKind) -> Option<&'a Override> {
        self.own.filter(|own| own.kind == kind)
    }

    /// The hold that keeps automation from this region.
    pub(super) fn hold(&self) -> Option<&'a Override> {
        self.own(OverrideKind::Hold).or(self.mesh)
    }

    /// The verdict that automation acts on: a drained region drains, a held one is not known
    /// anything of.
    pub(super) fn condition(&self, input: &RegionInput) -> Condition {
        if self.own(OverrideKind::Drain).is_some() {
            Condition::Draining
        } else if self.hold().is_some() {
            Condition::Unknown
        } else {
            input.condition
        }
    }

    /// Whether the region is to get all traffic and may.
    pub(super) fn promotion(&self, input: &RegionInput) -> Option<&'a Override> {
        let is_fit = !matches!(
            self.condition(input),
            Condition::Failed | Condition::Draining
        );
        self.own(OverrideKind::Promote).filter(|_| is_fit)
    }
}

/// Moves one region's standing until nothing asks for a further move at this time.
pub(super) fn settle(
    name: &RegionName,
    region: &mut RegionPlan,
    orders: Orders<'_>,
    input: &RegionInput,
    inputs: &PlanInputs,
    now_ms: u64,
    reasons: &mut Vec<String>,
) {
    while let Some(reason) = step(region, orders, input, inputs, now_ms) {
        reasons.push(format!("{name}: {reason}"));
    }
}

/// One move of one region's standing, and why; none if it rests. Every chain of moves at one time
/// ends, since under one verdict a region moves in one direction only, and what was measured counts
/// for the step that it was measured on.
fn step(
    region: &mut RegionPlan,
    orders: Orders<'_>,
    input: &RegionInput,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Option<String> {
    let recovery = &inputs.recovery;
    let because = |what: &str| {
        if input.reason.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {}", input.reason)
        }
    };

    if let Some(promotion) = orders.promotion(input)
        && (promotion.is_immediate
            || matches!(region.standing, Standing::Serving | Standing::Reduced))
    {
        if region.standing == Standing::Serving {
            return None;
        }
        serve(region);
        return Some(format!(
            "promoted by {}, without cool-down or ramp",
            promotion.by
        ));
    }

    let condition = orders.condition(input);
    let (standing, reason) = match (condition, &region.standing) {
        (Condition::Unknown, _) => return None,

        (Condition::Draining, standing) => {
            let (absence, reason) = match orders.own {
                Some(order) if order.kind == OverrideKind::Drain => (
                    Absence::Ordered,
                    format!("drained by {} ({})", order.by, order.why),
                ),
                _ => (Absence::Draining, because("drains")),
            };
            let is_out = matches!(standing, Standing::Out { .. });

            if is_out && region.absence == Some(absence) {
                return None;
            }
            region.absence = Some(absence);
            (
                if is_out {
                    standing.clone()
                } else {
                    Standing::Out { since_ms: now_ms }
                },
                reason,
            )
        }

        (
            Condition::Failed,
            Standing::Out { .. }
            | Standing::Limited {
                healthy_ms: None, ..
            },
        ) => return None,
        (Condition::Failed, standing) => {
            let carries = region.weight_bp > 0;
            let (next, absence) = match standing {
                // Whether it may be taken out is not its own affair: see `grant_exits`.
                Standing::Serving | Standing::Reduced | Standing::Limited { .. } if carries => (
                    Standing::Limited {
                        since_ms: now_ms,
                        healthy_ms: None,
                    },
                    None,
                ),
                Standing::Serving | Standing::Reduced | Standing::Limited { .. } => {
                    (Standing::Out { since_ms: now_ms }, Some(Absence::Idle))
                }
                // It had not been given back all of its traffic: it loses it at once, whoever else
                // is out.
                Standing::Ramping { .. } => {
                    (Standing::Out { since_ms: now_ms }, Some(Absence::Failed))
                }
                Standing::Gated { .. } | Standing::Out { .. } => {
                    (Standing::Out { since_ms: now_ms }, region.absence)
                }
            };

            region.absence = absence;
            region.hold_doublings = 0;
            count_failure(region, now_ms);
            (next, because("failed"))
        }

        (Condition::Suspect, Standing::Serving) => (
            Standing::Reduced,
            because(&format!(
                "suspect, its share is cut to {} %",
                inputs.suspect_percent
            )),
        ),
        (Condition::Suspect, Standing::Gated { .. }) => (
            Standing::Out { since_ms: now_ms },
            because("suspect, its gate begins anew"),
        ),
        (
            Condition::Suspect,
            Standing::Limited {
                since_ms,
                healthy_ms: Some(_),
            },
        ) => {
            let standing = Standing::Limited {
                since_ms: *since_ms,
                healthy_ms: None,
            };
            (standing, because("suspect, its gate begins anew"))
        }
        (Condition::Suspect, Standing::Ramping { step, since_ms }) => {
            // Once for each suspicion: this step is younger than the suspicion it was entered for.
            if *since_ms >= input.judged_ms(now_ms) {
                return None;
            }

            let step = recovery.back(*step);
            let standing = Standing::Ramping {
                step,
                since_ms: now_ms.max(input.judged_ms(now_ms)),
            };

            (
                standing,
                because(&format!("suspect, back to {} %", recovery.percent_at(step))),
            )
        }
        (
            Condition::Suspect,
            Standing::Reduced | Standing::Out { .. } | Standing::Limited { .. },
        ) => return None,

        (Condition::Healthy, Standing::Reduced) => (
            Standing::Serving,
            "answers again, gets its full share".into(),
        ),
        (Condition::Healthy, Standing::Out { .. }) => {
            let gate_s = recovery.gate_for(region.flaps) / 1_000;
            (
                Standing::Gated { since_ms: now_ms },
                format!("healthy again, must stay so for {gate_s} s"),
            )
        }
        (
            Condition::Healthy,
            Standing::Limited {
                since_ms,
                healthy_ms: None,
            },
        ) => {
            let gate_s = recovery.gate_for(region.flaps) / 1_000;
            let standing = Standing::Limited {
                since_ms: *since_ms,
                healthy_ms: Some(now_ms),
            };

            (
                standing,
                format!("healthy again, keeps its cut share and must stay so for {gate_s} s"),
            )
        }
        (Condition::Healthy, Standing::Ramping { step, since_ms }) => {
            let step = *step;
            let since_ms = *since_ms;
            return climb(region, step, since_ms, input, inputs, now_ms);
        }
        (Condition::Healthy, Standing::Serving) => {
            if region.flaps == 0
                || now_ms.saturating_sub(region.failed_ms) < recovery.forget_flaps_ms
            {
                return None;
            }

            region.flaps = 0;
            (Standing::Serving, "its failures are forgotten".into())
        }
        (Condition::Healthy, Standing::Gated { .. } | Standing::Limited { .. }) => return None,
    };

    region.standing = standing;
    Some(reason)
}

/// A healthy region on the ramp: back if it does worse than the others, on if it has done well for
/// long enough.
fn climb(
    region: &mut RegionPlan,
    step: usize,
    since_ms: u64,
    input: &RegionInput,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Option<String> {
    let recovery = &inputs.recovery;
    let held_ms = now_ms.saturating_sub(since_ms);
    let hold_ms = recovery.hold_for(step, region.hold_doublings, inputs.ttl_ms);

    match trial_of(input, step, since_ms) {
        // Nobody measures: the clock and the verdict decide.
        Ok(None) => {}
        Ok(Some(trial)) => {
            let is_enough = trial.is_enough(recovery.min_requests, held_ms, hold_ms);
            let is_over = held_ms >= hold_ms && is_enough;
            if let Some(worse) = trial.worse(recovery.errors_floor_bp, is_over) {
                return Some(fall_back(region, step, &worse, inputs, now_ms));
            }

            if !is_enough {
                return None;
            }
        }
        Err(Unmeasured) => return None,
    }

    let (standing, reason) = match recovery.advance(step, held_ms, hold_ms) {
        RampMove::Hold => return None,
        RampMove::Step(step) => {
            let number = step + 1;
            let of = recovery.steps.len();
            let reason = format!(
                "ramps up to {} % (step {number} of {of})",
                recovery.percent_at(step)
            );

            (
                Standing::Ramping {
                    step,
                    since_ms: now_ms,
                },
                reason,
            )
        }
        RampMove::Full => {
            serve(region);
            return Some("ramp complete, gets its full share".into());
        }
    };

    region.standing = standing;
    region.hold_doublings = 0;
    Some(reason)
}

/// One step back, which is then held twice as long; from the first step back to the gate, which
/// counts as a failure and therefore lasts twice as long too.
fn fall_back(
    region: &mut RegionPlan,
    step: usize,
    worse: &str,
    inputs: &PlanInputs,
    now_ms: u64,
) -> String {
    let recovery = &inputs.recovery;
    if step == 0 {
        count_failure(region, now_ms);
        region.hold_doublings = 0;
        region.absence = region.absence.or(Some(Absence::Failed));
        region.standing = Standing::Gated { since_ms: now_ms };

        let gate_s = recovery.gate_for(region.flaps) / 1_000;
        return format!(
            "worse than the regions that serve, back to 0 % and a gate of {gate_s} s: {worse}"
        );
    }

    let back = recovery.back(step);
    region.hold_doublings = recovery.doubled(region.hold_doublings);
    region.standing = Standing::Ramping {
        step: back,
        since_ms: now_ms,
    };

    let hold_s = recovery.hold_for(back, region.hold_doublings, inputs.ttl_ms) / 1_000;
    let percent = recovery.percent_at(back);
    format!("worse than the regions that serve, back to {percent} %, held for {hold_s} s: {worse}")
}

/// What should be measured is not.
pub(super) struct Unmeasured;

/// What was measured on this very step; none where nothing is to be.
pub(super) fn trial_of(
    input: &RegionInput,
    step: usize,
    since_ms: u64,
) -> Result<Option<&Trial>, Unmeasured> {
    match &input.evidence {
        Evidence::NotMeasured => Ok(None),
        Evidence::Measured(trial) if (trial.step, trial.since_ms) == (step, since_ms) => {
            Ok(Some(trial))
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
    region.standing = Standing::Serving;
    region.absence = None;
    region.hold_doublings = 0;
}

/// Since when the region has waited, if its gate may open.
pub(super) fn gate_passed(
    region: &RegionPlan,
    condition: Condition,
    input: &RegionInput,
    recovery: &RecoveryPolicy,
    now_ms: u64,
) -> Option<u64> {
    let since_ms = gated_since(region)?;
    let has_waited = now_ms.saturating_sub(since_ms) >= recovery.gate_for(region.flaps);
    (has_waited && condition == Condition::Healthy && input.is_fit()).then_some(since_ms)
}

/// Since when the region's gate counts.
pub(super) fn gated_since(region: &RegionPlan) -> Option<u64> {
    match region.standing {
        Standing::Gated { since_ms } => Some(since_ms),
        Standing::Limited { healthy_ms, .. } => healthy_ms,
        _ => None,
    }
}
